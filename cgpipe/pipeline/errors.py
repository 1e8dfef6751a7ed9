"""What is said of an error in one message. Needs nothing but Python, since it says what else is missing."""

import os
import subprocess
import sys
import traceback
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
HOW = "CGPIPE_TRACEBACK=1 in the environment, or `python -m cgpipe --traceback STAGE`, shows the traceback"


def told(error: BaseException) -> str:
    """Say what went wrong.

    Parameters
    ----------
    error : BaseException
        As it was caught.

    Returns
    -------
    str
        The message of an error that this package raises, and of one with a file, as it is. Of any other its
        type too, where it came from, what to do if that is known, and how to see the traceback.
    """
    frames = traceback.extract_tb(error.__traceback__)
    inside = [frame for frame in frames if PACKAGE in Path(frame.filename).parents]
    # What this package raises is written for the user; what it runs into is not.
    raised = frames and frames[-1] in inside and (frames[-1].line or "").startswith("raise ")
    if raised or (isinstance(error, OSError) and error.filename is not None):
        return str(error)
    said = ": ".join(filter(None, [type(error).__qualname__, str(error).strip()]))
    if isinstance(error, KeyError):
        said = f"an artifact that was read lacks {error} (KeyError)"
    if isinstance(error, (subprocess.CalledProcessError, subprocess.TimeoutExpired)):
        said = said.rstrip(".") + _last_words(error)
    ends = (f"{frame.filename}:{frame.lineno}" for frame in [*frames[-1:], *inside[-1:]])
    places = dict.fromkeys(ends)
    parts = [f"{said} (at {', called from '.join(places)})" if places else said]
    if isinstance(error, ImportError):
        parts.append(
            f"The Python that runs, {sys.executable}, lacks it, or has it in a version that does not fit: "
            "`python -m pip install 'cgpipe[workflow]'` adds what an installed cgpipe needs, and `make "
            "install` in a clone makes .venv, whose bin/python has all of it"
        )
    return ". ".join([*parts, HOW])


def traceback_wanted() -> bool:
    """Whether the environment asks for tracebacks."""
    return os.environ.get("CGPIPE_TRACEBACK", "").strip().lower() not in ("", "0", "false", "no", "off")


def end(error: BaseException) -> None:
    """End the process with one message, unless the traceback is asked for: then return."""
    if not traceback_wanted() and "--traceback" not in sys.argv:
        sys.exit(f"cgpipe: error: {told(error)}")


def _last_words(error: "subprocess.CalledProcessError | subprocess.TimeoutExpired") -> str:
    said = error.stderr or error.output or ""
    text = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
    lines = text.strip().splitlines()[-5:]
    return ". It said: " + "\n".join(lines) if lines else ""
