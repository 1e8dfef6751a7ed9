"""Stage `gradients`: the paper's sample of per-example gradients, at the snapshots of a run."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from cgpipe.gradients.per_example import measure_gradients
from cgpipe.names import Device
from cgpipe.pipeline.artifacts import Provenance, read_netcdf, write_netcdf
from cgpipe.pipeline.progress import log
from cgpipe.pipeline.stages.device import TrainingImages, choose
from cgpipe.pipeline.stages.inputs import read_corrupted
from cgpipe.pipeline.stages.snapshots import open_snapshots
from cgpipe.pipeline.streams import stream


@dataclass(frozen=True)
class Spec:
    """The settings that this stage reads."""

    device: Device
    draws: int
    examples: int
    noise: float
    replicate: int
    seed: int
    weights: int


def run(
    spec: Spec, provenance: Provenance, *, dataset: Path, corrupted: Path, snapshots: Path, gradients: Path
) -> None:
    """Sample examples and weights, and take their gradients from every snapshot."""
    device = choose(spec.device)
    images = read_netcdf(dataset, "data")
    labels = read_corrupted(corrupted, images)
    with open_snapshots(snapshots, device) as (description, kept):
        result = measure_gradients(
            kept,
            TrainingImages(images, device).of(labels),
            torch.from_numpy(labels["label_train"].values.astype(np.int64)).to(device),
            labels["pristine"].values,
            examples=spec.examples,
            weights=spec.weights,
            draws=spec.draws,
            rng=stream(spec.seed, "sample", spec.replicate),
        )
        result = result.assign_coords(example=labels["index"][result["example"].values])
        made = provenance.of(images, labels).of_tensors(description)
    title = f"Per-example gradients of a sample, {spec.noise:.0%} noise, replicate {spec.replicate}"
    write_netcdf(result, gradients, title=title, provenance=made)
    shape = (*result["gradient"].shape, spec.draws)
    log.info("wrote %s: %d steps x %d examples x %d weights; %d draws", gradients, *shape)
