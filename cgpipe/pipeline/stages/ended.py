"""Runs that have ended, for the stages that measure along them at their snapshots."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
import xarray as xr

from cgpipe.data.images import flat_images, shaped_images
from cgpipe.names import Device
from cgpipe.pipeline.artifacts import Provenance, read_netcdf, write_netcdf
from cgpipe.pipeline.progress import log
from cgpipe.pipeline.stages.device import TrainingImages, choose
from cgpipe.pipeline.stages.inputs import each_run, read_corrupted
from cgpipe.pipeline.stages.networks import is_dense
from cgpipe.pipeline.stages.snapshots import Snapshots, open_snapshots


@dataclass(frozen=True)
class OfRun:
    """Settings that each of these stages reads. Those of a training are in the record of its snapshots."""

    device: Device
    noise: float
    replicate: int


class EndedRun(NamedTuple):
    """A run, as it was trained."""

    settings: dict[str, Any]  # of the training
    snapshots: Snapshots
    training: tuple[torch.Tensor, torch.Tensor]  # images and labels that it was trained on, on the device
    labels: xr.Dataset  # as stage corrupt wrote them
    test: Callable[[], tuple[torch.Tensor, torch.Tensor]]  # images and labels of the test set, on the device


Settings = TypeVar("Settings", bound=OfRun)


def measure_runs(
    spec: Settings | list[Settings],
    provenance: Provenance,
    measure: Callable[[Settings, EndedRun], xr.Dataset],
    *,
    title: str,
    dataset: Path,
    corrupted: Sequence[Path],
    snapshots: Sequence[Path],
    out: Mapping[str, Sequence[Path]],
) -> None:
    """Measure each run of a job, and write what was measured to its file in `out`, by what that is."""
    runs = each_run(spec, provenance, corrupted=corrupted, snapshots=snapshots, **out)
    device = choose(runs[0][0].device)
    images = read_netcdf(dataset, "data")
    on_device = cache(lambda normalize, flat: TrainingImages(images, device, normalize=normalize, flat=flat))
    test = cache(lambda normalize, flat: test_set(images, device, normalize=normalize, flat=flat))
    for one, made, (of_labels, of_snapshots, written) in runs:
        labels = read_corrupted(of_labels, images)
        classes = torch.from_numpy(labels["label_train"].values.astype(np.int64)).to(device)
        log.info("%s", of_snapshots)
        with open_snapshots(of_snapshots, images, device) as (description, settings, kept):
            seen = settings["normalize"], is_dense(settings)
            training = (on_device(*seen).of(labels), classes)
            result = measure(one, EndedRun(settings, kept, training, labels, partial(test, *seen)))
            made = made.of(images, labels).of_tensors(description)
        of_run = f"{title}, {one.noise:.0%} noise, replicate {one.replicate}"
        write_netcdf(result, written, title=of_run, provenance=made)
        log.info("wrote %s", written)


def test_set(
    dataset: xr.Dataset, device: torch.device, *, normalize: bool, flat: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """The images of the test set, shaped as a network takes them, and their labels."""
    images = (flat_images if flat else shaped_images)(dataset, "test", normalize=normalize)
    labels = dataset["test_labels"].values.astype(np.int64)
    return torch.from_numpy(images).to(device), torch.from_numpy(labels).to(device)
