"""Stage `activity`: how many hidden units of a run are in use, at the logged steps."""

from dataclasses import dataclass
from pathlib import Path

import torch

from cgpipe.data.images import flat_images
from cgpipe.learning.activity import measure_activity
from cgpipe.names import Device
from cgpipe.pipeline.artifacts import Provenance, read_netcdf, write_netcdf
from cgpipe.pipeline.progress import log
from cgpipe.pipeline.stages.device import choose
from cgpipe.pipeline.stages.snapshots import open_snapshots


@dataclass(frozen=True)
class Spec:
    """The settings that this stage reads."""

    device: Device
    noise: float
    replicate: int
    winsor: int


def run(spec: Spec, provenance: Provenance, *, dataset: Path, snapshots: Path, activity: Path) -> None:
    """Pass all training examples through every snapshot."""
    device = choose(spec.device)
    images = read_netcdf(dataset, "data")
    with open_snapshots(snapshots, device) as (description, kept):
        result = measure_activity(kept, torch.from_numpy(flat_images(images, "train")).to(device))
        made = provenance.of(images).of_tensors(description)
    title = f"Activity of hidden units, {spec.noise:.0%} noise, c = {spec.winsor}, replicate {spec.replicate}"
    write_netcdf(result, activity, title=title, provenance=made)
    log.info("wrote %s: %d steps x %d hidden layers", activity, *result["dead"].shape)
