"""Stage `clipping`: what winsorizing clips of random minibatches, at snapshots of runs."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from cgpipe.gradients.clipping import measure_clipping, measured_step
from cgpipe.names import Device
from cgpipe.pipeline.artifacts import Provenance, read_netcdf, write_netcdf
from cgpipe.pipeline.progress import log
from cgpipe.pipeline.stages.device import TrainingImages, choose
from cgpipe.pipeline.stages.inputs import each_run, read_corrupted
from cgpipe.pipeline.stages.snapshots import open_snapshots
from cgpipe.pipeline.streams import stream


@dataclass(frozen=True)
class Spec:
    """The settings that this stage reads. The size of a minibatch is in the record of the snapshots."""

    batches: int
    device: Device
    levels: list[int]
    noise: float
    replicate: int
    seed: int
    winsor: int  # of the training


def run(
    spec: Spec | list[Spec],
    provenance: Provenance,
    *,
    dataset: Path,
    corrupted: Sequence[Path],
    snapshots: Sequence[Path],
    clipping: Sequence[Path],
) -> None:
    """Winsorize minibatches at several levels, at snapshots of each run."""
    runs = each_run(spec, provenance, corrupted=corrupted, snapshots=snapshots, clipping=clipping)
    device = choose(runs[0][0].device)
    images = read_netcdf(dataset, "data")
    on_device = TrainingImages(images, device)
    for one, made, (of_labels, of_snapshots, out) in runs:
        labels = read_corrupted(of_labels, images)
        log.info("%s", of_snapshots)
        with open_snapshots(of_snapshots, device) as (description, kept):
            result = measure_clipping(
                ((step, layers) for step, layers in kept if measured_step(step)),
                on_device.of(labels),
                torch.from_numpy(labels["label_train"].values.astype(np.int64)).to(device),
                labels["pristine"].values,
                levels=one.levels,
                batches=one.batches,
                batch_size=json.loads(description["spec"])["batch_size"],
                rng=stream(one.seed, "clipping", one.replicate),
            )
            made = made.of(images, labels).of_tensors(description)
        of_run = f"{one.noise:.0%} noise, trained with c = {one.winsor}, replicate {one.replicate}"
        write_netcdf(result, out, title=f"What winsorizing clips, {of_run}", provenance=made)
        log.info("wrote %s", out)
