"""What a killed run goes on from.

The folder lies beside the run's results and is named by what the run is: settings, code and data. It
is no output of the workflow, so it outlives a failed job, and a run of other settings never finds it.
"""

import fcntl
import hashlib
import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import numpy.typing as npt

from cgpipe.runtime.artifacts import ArtifactError, open_tensors, write_tensors
from cgpipe.runtime.progress import log

Arrays = dict[str, npt.NDArray[Any]]


class StoppedError(RuntimeError):
    """The run was asked to stop, and has saved where it is."""


class BusyError(RuntimeError):
    """Another process trains the same run."""


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

    def hold(self) -> None:
        """Keep other processes from the same run, until this one ends, however it ends.

        Raises
        ------
        BusyError
            If another process holds it.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        # Left open on purpose: the lock lives as long as the process.
        lock = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise BusyError(
                f"{self._folder} is held by another process that trains this run, perhaps a job that a "
                "killed snakemake left behind. Wait for it to end, or cancel it (squeue --me, scancel)"
            ) from None

    def save(self, arrays: Mapping[str, npt.NDArray[Any]], description: Mapping[str, Any]) -> None:
        """Replace what was saved before, atomically."""
        write_tensors(arrays, self._folder / "state.safetensors", description)

    def load(self, kept: Sequence[int] = ()) -> tuple[Arrays, dict[str, Any]] | None:
        """What was saved last, or None if there is nothing, or nothing whole.

        Parameters
        ----------
        kept : sequence of int
            Steps whose snapshots must be whole, too, up to the one that was saved.
        """
        path = self._folder / "state.safetensors"
        if not path.exists():
            return None
        try:
            arrays, description = _read(path)
            for step in kept:
                if step <= description["step"]:
                    self.kept(step)
        except ArtifactError as error:
            log.warning("the checkpoint is of no use, and the run begins again: %s", error)
            return None
        return arrays, description

    def keep(self, step: int, parameters: Arrays) -> None:
        """Keep a snapshot of the parameters, apart from the state, which is written more often."""
        write_tensors(parameters, self._folder / f"step-{step}.safetensors", {"step": step})

    def kept(self, step: int) -> Arrays:
        """A snapshot that was kept."""
        return _read(self._folder / f"step-{step}.safetensors")[0]

    def discard(self) -> None:
        """Remove this run's checkpoint, and those that other settings left in its place."""
        for folder in self._beside.glob(".checkpoint-*"):
            # The state first: without it, what is left of a folder is never gone on from.
            (folder / "state.safetensors").unlink(missing_ok=True)
            shutil.rmtree(folder)


def _read(path: Path) -> tuple[Arrays, dict[str, Any]]:
    with open_tensors(path) as (description, file):
        del description["sha256"]
        return {name: file.get_tensor(name) for name in file.keys()}, description  # noqa: SIM118


class StopRequest:
    """Whether the scheduler has asked the run to stop: SIGTERM, or SIGUSR1 ahead of a time limit."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        for number in (signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, self._note)

    def _note(self, number: int, _: FrameType | None) -> None:
        self.signal = signal.Signals(number)
