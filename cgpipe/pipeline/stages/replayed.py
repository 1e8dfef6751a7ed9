"""Runs whose updates are made again from their snapshots, for the stages that measure along the way."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr

from cgpipe.learning.replay import Replay
from cgpipe.learning.run import Examples, examples
from cgpipe.names import Device
from cgpipe.networks.dense import Layer
from cgpipe.pipeline.artifacts import Provenance, read_netcdf, write_netcdf
from cgpipe.pipeline.progress import log
from cgpipe.pipeline.stages.device import TrainingImages, choose
from cgpipe.pipeline.stages.inputs import each_run, read_corrupted
from cgpipe.pipeline.stages.snapshots import Snapshots, open_snapshots
from cgpipe.pipeline.streams import stream


@dataclass(frozen=True)
class ReplaySpec:
    """The settings that these stages read. Those of a training are in the record of its snapshots."""

    device: Device
    noise: float
    replicate: int


class Replayed:
    """A run that has ended, and its updates again.

    Parameters
    ----------
    settings : dict
        Of the training.
    snapshots : Snapshots
        What it kept.
    training : Examples
        What it was trained on.
    pristine : array of bool, shape (example,)
        Whether the label is the true one.

    Attributes
    ----------
    difference : float
        Relative difference between a snapshot and the same step made again, the largest that was seen.
    """

    def __init__(
        self,
        settings: dict[str, Any],
        snapshots: Snapshots,
        training: Examples,
        pristine: npt.NDArray[np.bool_],
    ) -> None:
        self.snapshots, self.training, self.pristine = snapshots, training, pristine
        self.steps: int = settings["steps"]
        self.epoch = len(pristine) // settings["batch_size"]
        self.difference = 0.0
        self._replay = Replay(
            snapshots[0],
            training,
            batch_size=settings["batch_size"],
            learning_rate=settings["learning_rate"],
            update=settings["update"],
            c=settings["winsor"],
            batch_rng=stream(settings["seed"], "batches", settings["replicate"]),
        )

    def updates(self, start: int, count: int) -> Iterator[tuple[list[Layer], npt.NDArray[np.int64]]]:
        """Make updates from a snapshot on, as `Replay.updates`, and compare with the snapshots after it."""
        later = {step for step in self.snapshots.steps if start < step <= start + count}
        for step, update in enumerate(self._replay.updates(start, self.snapshots[start], count), start):
            if step in later:
                self._compare(step)
            yield update
        if start + count in later:
            self._compare(start + count)

    def _compare(self, step: int) -> None:
        kept = [p for layer in self.snapshots[step] for p in layer]
        made = [p for layer in self._replay.layers for p in layer]
        if all(torch.equal(*pair) for pair in zip(kept, made, strict=True)):
            return
        difference = max(
            float((again - once).norm() / once.norm()) for again, once in zip(made, kept, strict=True)
        )
        if not self.difference:
            log.warning(
                "step %d, trained again, differs from its snapshot by %.1e: on another type of processor or "
                "with another number of threads, a training rounds differently",
                step,
                difference,
            )
        self.difference = max(self.difference, difference)


def measure_runs(
    spec: ReplaySpec | list[ReplaySpec],
    provenance: Provenance,
    measure: Callable[[Replayed], xr.Dataset],
    *,
    title: str,
    dataset: Path,
    corrupted: Sequence[Path],
    snapshots: Sequence[Path],
    out: Sequence[Path],
) -> None:
    """Measure each run of a job, and write what was measured, with the `difference` of its updates."""
    runs = each_run(spec, provenance, corrupted=corrupted, snapshots=snapshots, out=out)
    device = choose(runs[0][0].device)
    images = read_netcdf(dataset, "data")
    on_device = TrainingImages(images, device)
    for one, made, (of_labels, of_snapshots, written) in runs:
        labels = read_corrupted(of_labels, images)
        training = examples(on_device.of(labels), labels["label_train"].values, device)
        log.info("%s", of_snapshots)
        with open_snapshots(of_snapshots, device) as (description, kept):
            run = Replayed(json.loads(description["spec"]), kept, training, labels["pristine"].values)
            result = measure(run).assign_attrs(replay_difference=run.difference)
            made = made.of(images, labels).of_tensors(description)
        of_run = f"{title}, {one.noise:.0%} noise, replicate {one.replicate}"
        write_netcdf(result, written, title=of_run, provenance=made)
        log.info("wrote %s", written)
