"""Stage `contributions`: every training example against the whole gradient, at the snapshots of runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from cgpipe.gradients.population import measure_contributions
from cgpipe.names import Device
from cgpipe.pipeline.artifacts import Provenance, read_netcdf, write_netcdf
from cgpipe.pipeline.progress import log
from cgpipe.pipeline.stages.device import TrainingImages, choose
from cgpipe.pipeline.stages.inputs import each_run, read_corrupted
from cgpipe.pipeline.stages.snapshots import open_snapshots
from cgpipe.pipeline.streams import stream


@dataclass(frozen=True)
class Spec:
    """The settings that this stage reads."""

    device: Device
    noise: float
    replicate: int
    seed: int
    stiffness_examples: int


def run(
    spec: Spec | list[Spec],
    provenance: Provenance,
    *,
    dataset: Path,
    corrupted: Sequence[Path],
    snapshots: Sequence[Path],
    contributions: Sequence[Path],
) -> None:
    """Take u_e and ‖g_e‖² of the whole training set from every snapshot of each run, layer by layer."""
    runs = each_run(spec, provenance, corrupted=corrupted, snapshots=snapshots, contributions=contributions)
    device = choose(runs[0][0].device)
    images = read_netcdf(dataset, "data")
    on_device = TrainingImages(images, device)
    for one, made, (of_labels, of_snapshots, out) in runs:
        labels = read_corrupted(of_labels, images)
        log.info("%s", of_snapshots)
        with open_snapshots(of_snapshots, device) as (description, kept):
            result = measure_contributions(
                kept,
                on_device.of(labels),
                torch.from_numpy(labels["label_train"].values.astype(np.int64)).to(device),
                labels["pristine"].values,
                stiffness_examples=one.stiffness_examples,
                rng=stream(one.seed, "stiffness", one.replicate),
            )
            made = made.of(images, labels).of_tensors(description)
        title = f"Contributions of all training examples, {one.noise:.0%} noise, replicate {one.replicate}"
        write_netcdf(result, out, title=title, provenance=made)
        log.info("wrote %s: %d steps x %d examples", out, *result["contribution"].shape[:2])
