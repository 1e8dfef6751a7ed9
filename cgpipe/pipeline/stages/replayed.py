"""Runs whose updates are made again from their snapshots, for the stages that measure along the way."""

from collections.abc import Callable, Collection, Iterator
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr

from cgpipe.gradients.bursts import burst_steps
from cgpipe.learning.replay import Replay, ReplayError
from cgpipe.learning.run import Examples
from cgpipe.networks.network import Network
from cgpipe.pipeline.progress import log
from cgpipe.pipeline.stages.ended import EndedRun
from cgpipe.pipeline.stages.inputs import of_updates

Settings = TypeVar("Settings")
Step = tuple[int, int, Network]  # step of the snapshot before, updates made, and the network then


class Replayed:
    """The updates of a run that has ended, again.

    Attributes
    ----------
    difference : float
        Relative difference between a snapshot and the same step made again, the largest that was seen.
    """

    def __init__(self, run: EndedRun) -> None:
        self.snapshots, self.training, settings = run.snapshots, Examples(*run.training), run.settings
        self.pristine = run.labels["pristine"].values
        self.steps: int = settings["steps"]
        self.epoch = len(self.pristine) // settings["batch_size"]
        self.difference = 0.0
        self._replay = Replay(self.snapshots[0], self.training, **of_updates(settings))

    def updates(self, start: int, count: int) -> Iterator[tuple[Network, npt.NDArray[np.int64]]]:
        """Make updates from a snapshot on, as `Replay.updates`, and compare with the snapshots after it."""
        later = {step for step in self.snapshots.steps if start < step <= start + count}
        for step, update in enumerate(self._replay.updates(start, self.snapshots[start], count), start):
            if step in later:
                self._compare(step)
            yield update
        if start + count in later:
            self._compare(start + count)

    def bursts(self, marks: Collection[int]) -> Iterator[Step]:
        """The run at its snapshots, and at the steps after its first, its last and these (`burst_steps`)."""
        for start, count in burst_steps(self.snapshots.steps, marks):
            for step, (network, _) in enumerate(self.updates(start, count), start):
                yield start, step, network
            log.info("steps %d to %d of %d", start, start + count - 1, self.steps)

    def _compare(self, step: int) -> None:
        kept, made = self.snapshots[step].parameters(), self._replay.network.parameters()
        pairs = [(m[name], k[name]) for k, m in zip(kept, made, strict=True) for name in k]
        if all(torch.equal(*pair) for pair in pairs):
            return
        difference = max(float((again - once).norm() / once.norm()) for again, once in pairs)
        if not self.difference:
            log.warning(
                "step %d, trained again, differs from its snapshot by %.1e: on another type of processor or "
                "with another number of threads, a training rounds differently",
                step,
                difference,
            )
        self.difference = max(self.difference, difference)


def replayed(measure: Callable[[Replayed], xr.Dataset]) -> Callable[[object, EndedRun], xr.Dataset]:
    """A measurement of the updates of a run, made again; notes their `difference` with the result."""

    def measured(_: object, run: EndedRun) -> xr.Dataset:
        again = Replayed(run)
        return measure(again).assign_attrs(replay_difference=again.difference)

    return measured


def at_marks(
    measure: Callable[[Settings, EndedRun, Iterator[Step]], xr.Dataset],
) -> Callable[[Settings, EndedRun], xr.Dataset]:
    """A measurement at the snapshots of a run, with the updates after its marks made again (`burst_steps`).

    Where updates cannot be made again, all snapshots are measured alone; else their `difference` is noted.
    """

    def measured(spec: Settings, run: EndedRun) -> xr.Dataset:
        marks = {float(mark): step for mark, step in run.snapshots.marks.items()}
        try:
            again = Replayed(run)
            result = measure(spec, run, again.bursts(marks.values()))
            result.attrs["replay_difference"] = again.difference
        except ReplayError as error:
            log.info("each snapshot alone: %s", error)
            result = measure(spec, run, ((step, step, network) for step, network in run.snapshots))
        if levels := sorted(marks, reverse=True):
            described = {"long_name": "level that the training loss fell to, nats", "units": "1"}
            result = result.assign_coords(mark=("mark", levels, described))
            described = {"long_name": "updates made before it did so", "units": "1"}
            result["mark_step"] = "mark", [marks[level] for level in levels], described
        return result

    return measured
