"""Stage `activity`: how many hidden units of a run are in use, at the logged steps."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from cgpipe.learning.activity import active_examples
from cgpipe.names import Device
from cgpipe.pipeline.artifacts import Provenance, read_netcdf, write_netcdf
from cgpipe.pipeline.progress import log
from cgpipe.pipeline.stages.device import choose
from cgpipe.pipeline.stages.inputs import flat_images
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
    torch.set_grad_enabled(False)
    device = choose(spec.device)
    images = read_netcdf(dataset, "data")
    training = torch.from_numpy(flat_images(images, "train")).to(device)
    dead, active = [], []
    with open_snapshots(snapshots, device) as kept:
        steps, depth = kept.steps, len(kept.shapes)
        for layers in kept:
            counts = active_examples(layers, training)
            dead.append([np.mean(count == 0) for count in counts])
            active.append([np.mean(count) / len(training) for count in counts])
        made = provenance.of(images).of_tensors(kept.description)

    dims = ("step", "layer")
    result = xr.Dataset(
        {
            "dead": (
                dims,
                np.array(dead),
                {"long_name": "share of the units that no training example activates", "units": "1"},
            ),
            "active": (
                dims,
                np.array(active),
                {"long_name": "share of the units that a training example activates, mean", "units": "1"},
            ),
        },
        coords={
            "step": ("step", steps, {"long_name": "updates made", "units": "1"}),
            "layer": ("layer", np.arange(1, depth), {"long_name": "hidden layer, from 1 at the input"}),
        },
    )
    title = f"Activity of hidden units, {spec.noise:.0%} noise, c = {spec.winsor}, replicate {spec.replicate}"
    write_netcdf(result, activity, title=title, provenance=made)
    log.info("wrote %s: %d steps x %d hidden layers", activity, len(steps), depth - 1)
