"""What a killed run goes on from.

It lies in the folder of the run's results and is named by what the run is: settings, code and data. It
is no output of the workflow, so it outlives a failed job, and a run of other settings never finds it.
"""

import hashlib
import os
import platform
import signal
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Any

import numpy.typing as npt

from cgpipe.pipeline import disks
from cgpipe.pipeline.artifacts import (
    ArtifactError,
    MissingError,
    UnreadableError,
    open_tensors,
    whole,
    write_tensors,
)
from cgpipe.pipeline.progress import log
from cgpipe.pipeline.unfinished import CHECKPOINTS, DIVERGED, STATE

Arrays = dict[str, npt.NDArray[Any]]
UNLOCKED = (
    "a second job of the same run is not refused when it begins; it takes the run over, and the first one "
    "stops when it next saves"
)


class StoppedError(RuntimeError):
    """The run was asked to stop, and has saved where it is."""


class BusyError(RuntimeError):
    """Another process trains the same run."""


class Checkpoint:
    """State of a run on disk.

    Parameters
    ----------
    results : Path
        Folder of the run's results.
    identity : sequence of str
        Settings, code and data of the run.
    """

    def __init__(self, results: Path, *identity: str) -> None:
        digest = hashlib.sha256("\n".join(identity).encode()).hexdigest()[:16]
        self._results = results
        self._folder = results / CHECKPOINTS.replace("*", digest)
        self._lock: int | None = None
        self._me = ""  # as `_holder` describes this process

    def hold(self) -> None:
        """Keep other processes from the same run, until this one ends, however it ends.

        Where files cannot be locked, or only for the processes of one machine, the last one that came holds
        it: those before stop when they next save.

        Raises
        ------
        BusyError
            If another process holds it.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        # Left open on purpose: the lock lives as long as the process.
        self._lock = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT, 0o666)
        if not disks.lock(self._lock, UNLOCKED):
            self._release()
            raise BusyError(
                f"{self._folder} is held by another process that trains this run ({self._holder()}), perhaps "
                "a job that a killed snakemake left behind. Wait for it to end, or cancel it (squeue --me, "
                "scancel)"
            )
        me = f"process {os.getpid()} of {platform.node()}, since {datetime.now().isoformat(' ')}"
        with whole(self._folder / "holder") as temporary:
            temporary.write_text(me, encoding="utf-8")
        self._me = me

    def save(self, arrays: Mapping[str, npt.NDArray[Any]], description: Mapping[str, Any]) -> None:
        """Replace what was saved before, atomically; a BusyError if another process holds it now."""
        self._check_holder()
        write_tensors(arrays, self._folder / STATE, description)

    def load(self) -> tuple[Arrays, dict[str, Any]] | None:
        """What was saved last, or None if there is nothing, or nothing whole.

        The snapshots of the steps that the description lists as `kept` must be whole, too.

        Raises
        ------
        ArtifactError
            If something is there that could not be read: it may be good.
        """
        try:
            try:
                arrays, description = _read(self._folder / STATE)
            except MissingError:
                return None
            for step in description.get("kept", ()):
                self.kept(step)
        except UnreadableError as error:
            raise UnreadableError(
                f"{error}. The run goes on from there once it can be read; for it to begin again instead, "
                f"move {self._folder} away"
            ) from error
        except ArtifactError as error:
            log.warning("the checkpoint is of no use, and the run begins again: %s", error)
            return None
        return arrays, description

    def keep(self, step: int, parameters: Arrays) -> None:
        """Keep a snapshot of the parameters, apart from the state, which is written more often; as `save`."""
        self._check_holder()
        write_tensors(parameters, self._folder / f"step-{step}.safetensors", {"step": step})

    def kept(self, step: int) -> Arrays:
        """A snapshot that was kept; a BusyError as of `save`."""
        self._check_holder()
        return _read(self._folder / f"step-{step}.safetensors")[0]

    def discard(self, *, diverged: bool = False) -> None:
        """Remove this run's checkpoint, and those that other settings left in its place.

        Of a run that has `diverged`, a mark is left: it is not packed with others again.
        """
        folders = disks.found(self._results, CHECKPOINTS)
        # The states first: without it, what is left of a folder is never gone on from.
        disks.remove(*(folder / STATE for folder in folders))
        self._release()  # NFS keeps the folder of a file that is open
        for folder in folders:
            disks.remove_folder(folder)
        if diverged:
            disks.extra(self._mark_diverged, "the other runs of its pack fail with it again")

    def _mark_diverged(self) -> None:
        self._folder.mkdir(exist_ok=True)
        (self._folder / DIVERGED).touch()

    def _release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _holder(self) -> str:
        """The process that began this run last, as a phrase for messages."""
        try:
            return (self._folder / "holder").read_text(encoding="utf-8")
        except FileNotFoundError:
            return "it has ended"
        except OSError as error:
            disks.warn_once(UNLOCKED, error)
            return self._me

    def _check_holder(self) -> None:
        if self._me and (holder := self._holder()) != self._me:
            raise BusyError(
                f"{self._folder} was taken over by another process that trains this run, and saves in it "
                f"({holder}). This one stops, and leaves the run to that one"
            )


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
