"""What the Snakefile needs of its jobs: their command lines, and whether their results are as planned.

Snakemake knows how a file was made from `.snakemake` alone, and people delete that folder. So the results
themselves are read (`cgpipe.pipeline.records`). The answer reaches Snakemake as the age of a file that is an
input of every job. Imports neither torch nor xarray.
"""

import shlex
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from snakemake.exceptions import WorkflowError
from snakemake.io import apply_wildcards
from snakemake.logging import logger

from cgpipe.data.errors import DataError
from cgpipe.pipeline.records import why_stale

# Settings, as text, and code of a stage whose results a job reads, by its name and the wildcards of the job.
Before = Callable[[str, Any], tuple[str, str]]

# Names of files that no stage is given: `Planned` is for Snakemake, and a stage names its record itself.
NO_OPTIONS = ("planned", "record")


def as_options(*files: Mapping[str, str | Sequence[str]], arguments: Iterable[str] = ()) -> str:
    """Files as options of `cgpipe STAGE`, each with the name of its kind, quoted for a shell.

    Parameters
    ----------
    files : mapping from str to str or sequence of str
        Kinds, such as `label_noise`, and the file or files of each: inputs and outputs of a job.
    arguments : iterable of str
        Paths without an option; they come last.

    Returns
    -------
    str
        Such as `--label-noise a.nc --label-noise b.nc`.
    """
    options = [
        f"--{kind.replace('_', '-')} {shlex.quote(path)}"
        for named in files
        for kind, paths in named.items()
        if kind not in NO_OPTIONS
        for path in ([paths] if isinstance(paths, str) else paths)
    ]
    return " ".join([*options, *map(shlex.quote, arguments)])


class Planned:
    """A file that is newer than all results that are not as planned, so that Snakemake makes them again.

    Parameters
    ----------
    path : Path
        Where to write it; its folder is made.
    name : str
        Name of the config, for messages.
    before : callable
        What is planned of the stages that a job's inputs come from.
    """

    def __init__(self, path: Path, name: str, before: Before) -> None:
        self.path = path
        self._name, self._before = name, before
        self._reported: set[tuple[str, str]] = set()
        path.parent.mkdir(exist_ok=True)
        self._write()

    def outdates(self, rule: str, job: Any, wildcards: Any) -> bool:
        """Whether the results of a job are not as planned; if so, a warning says why.

        Parameters
        ----------
        rule : str
            Its rule.
        job : RuleProxy
            The same, as `rules` holds it: `input`, `output`, and `params` with `stage`, `spec` and `code`.
        wildcards : Wildcards
            Of the job.

        Raises
        ------
        WorkflowError
            If results cannot be read, or are from the future.
        """
        reasons = _why_stale(job, wildcards, self._before)
        for reason, path in reasons.items():
            if (rule, reason) not in self._reported:  # once for files that differ alike
                logger.warning(
                    f"{path} {reason}: it is made again and replaced, and so is what else differs like this. "
                    f"To keep it, stop, and give the config another name than {self._name}."
                )
                self._reported.add((rule, reason))
        if reasons:
            self._make_newer_than(_paths(job.output, wildcards))
        return bool(reasons)

    def _make_newer_than(self, outputs: Sequence[Path]) -> None:
        newest = max(path.stat().st_mtime for path in outputs if path.exists())
        while self.path.stat().st_mtime <= newest:  # file systems may count in seconds
            if newest > time.time() + 3:
                raise WorkflowError(
                    f"the time stamp of {', '.join(map(str, outputs))} lies in the future, and so snakemake "
                    "would not replace it: touch it, or set the clock right"
                )
            time.sleep(0.1)
            self._write()

    def _write(self) -> None:
        # Never the same twice, as Snakemake compares files that are newer by content.
        self.path.write_text(uuid.uuid4().hex, encoding="ascii")


def is_done(job: Any, wildcards: Any, before: Before) -> bool:
    """Whether the results of a job are there and as planned; arguments and errors as of `Planned`."""
    there = all(path.exists() for path in _paths(job.output, wildcards))
    return there and not _why_stale(job, wildcards, before)


def _paths(names: Any, wildcards: Any) -> list[Path]:
    # `planned` among the inputs is what asks.
    asking = getattr(names, "planned", None)
    files: list[Path] = []
    for name in names:
        if name is not asking:
            found = name(wildcards) if callable(name) else apply_wildcards(str(name), wildcards)
            files += map(Path, [found] if isinstance(found, str) else found)
    return files


def _why_stale(job: Any, wildcards: Any, before: Before) -> dict[str, Path]:
    params = job.params

    def of_job(name: str) -> Any:
        value = getattr(params, name, None)
        return value(wildcards) if callable(value) else value

    try:
        planned = {name: of_job(name) for name in ("stage", "spec", "code")}
        files = _paths(job.output, wildcards), _paths(job.input, wildcards)
        return why_stale(*files, **planned, before=lambda stage: before(stage, wildcards))
    except DataError as error:
        raise WorkflowError(f"dataset: {error}") from None
    except OSError as error:
        raise WorkflowError(
            f"results that are there could not be read ({error}): nothing was changed. Try again"
        ) from None
