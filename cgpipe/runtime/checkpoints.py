"""What a killed run goes on from.

The folder lies beside the run's results and is named by what the run is: settings, code and data. It
is no output of the workflow, so it outlives a failed job, and a run of other settings never finds it.
"""

import hashlib
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import numpy.typing as npt

from cgpipe.runtime.artifacts import open_tensors, write_tensors

Arrays = dict[str, npt.NDArray[Any]]


class StoppedError(RuntimeError):
    """The run was asked to stop, and has saved where it is."""


class Checkpoint:
    """State of a run on disk.

    Parameters
    ----------
    beside : Path
        Folder of the run's results.
    identity : sequence of str
        Settings, code and data of the run.
    """

    def __init__(self, beside: Path, *identity: str) -> None:
        digest = hashlib.sha256("\n".join(identity).encode()).hexdigest()[:16]
        self._beside = beside
        self._folder = beside / f".checkpoint-{digest}"

    def save(self, arrays: Mapping[str, npt.NDArray[Any]], description: Mapping[str, Any]) -> None:
        """Replace what was saved before, atomically."""
        write_tensors(arrays, self._folder / "state.safetensors", description)

    def load(self) -> tuple[Arrays, dict[str, Any]] | None:
        """What was saved last, or None."""
        path = self._folder / "state.safetensors"
        if not path.exists():
            return None
        with open_tensors(path) as (description, file):
            return {name: file.get_tensor(name) for name in file.keys()}, description  # noqa: SIM118

    def keep(self, step: int, parameters: Arrays) -> None:
        """Keep a snapshot of the parameters, apart from the state, which is written more often."""
        write_tensors(parameters, self._folder / f"step-{step}.safetensors", {"step": step})

    def kept(self, step: int) -> Arrays:
        """A snapshot that was kept."""
        with open_tensors(self._folder / f"step-{step}.safetensors") as (_, file):
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118

    def discard(self) -> None:
        """Remove this run's checkpoint, and those that other settings left in its place."""
        for folder in self._beside.glob(".checkpoint-*"):
            # The state first: without it, what is left of a folder is never gone on from.
            (folder / "state.safetensors").unlink(missing_ok=True)
            shutil.rmtree(folder)


class StopRequest:
    """Whether the scheduler has asked the run to stop: SIGTERM, or SIGUSR1 ahead of a time limit."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        for number in (signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, self._note)

    def _note(self, number: int, _: FrameType | None) -> None:
        self.signal = signal.Signals(number)
