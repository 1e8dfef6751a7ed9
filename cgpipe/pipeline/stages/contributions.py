"""Stage `contributions`: every training example against the whole gradient, at the logged steps of a run."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from cgpipe.gradients.population import measure_contributions
from cgpipe.names import Device
from cgpipe.pipeline.artifacts import Provenance, read_netcdf, write_netcdf
from cgpipe.pipeline.progress import log
from cgpipe.pipeline.stages.device import choose
from cgpipe.pipeline.stages.inputs import read_corrupted, training_images
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
    spec: Spec,
    provenance: Provenance,
    *,
    dataset: Path,
    corrupted: Path,
    snapshots: Path,
    contributions: Path,
) -> None:
    """Take u_e and ‖g_e‖² of the whole training set from every snapshot, layer by layer."""
    device = choose(spec.device)
    images = read_netcdf(dataset, "data")
    labels = read_corrupted(corrupted, images)
    with open_snapshots(snapshots, device) as (description, kept):
        result = measure_contributions(
            kept,
            torch.from_numpy(training_images(images, labels)).to(device),
            torch.from_numpy(labels["label_train"].values.astype(np.int64)).to(device),
            labels["pristine"].values,
            stiffness_examples=spec.stiffness_examples,
            rng=stream(spec.seed, "stiffness", spec.replicate),
        )
        made = provenance.of(images, labels).of_tensors(description)
    title = f"Contributions of all training examples, {spec.noise:.0%} noise, replicate {spec.replicate}"
    write_netcdf(result, contributions, title=title, provenance=made)
    log.info("wrote %s: %d steps x %d examples", contributions, *result["contribution"].shape[:2])
