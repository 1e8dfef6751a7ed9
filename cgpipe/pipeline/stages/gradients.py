"""Stage `gradients`: the paper's sample of per-example gradients, at the logged steps of a run."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from cgpipe.gradients.per_example import draw_weights, sampled_gradients
from cgpipe.names import Device
from cgpipe.pipeline.artifacts import Provenance, read_netcdf, write_netcdf
from cgpipe.pipeline.progress import log
from cgpipe.pipeline.stages.device import choose
from cgpipe.pipeline.stages.inputs import flat_images, read_corrupted
from cgpipe.pipeline.stages.snapshots import open_snapshots
from cgpipe.pipeline.streams import stream


@dataclass(frozen=True)
class Spec:
    """The settings that this stage reads."""

    device: Device
    examples: int
    noise: float
    replicate: int
    seed: int
    weights: int


def run(
    spec: Spec, provenance: Provenance, *, dataset: Path, corrupted: Path, snapshots: Path, gradients: Path
) -> None:
    """Sample examples and weights once, and take their gradients from every snapshot."""
    torch.set_grad_enabled(False)
    device = choose(spec.device)
    images = read_netcdf(dataset, "data")
    labels = read_corrupted(corrupted, images)
    rng = stream(spec.seed, "sample", spec.replicate)
    population = images.sizes["train_example"]
    if spec.examples > population:
        raise ValueError(f"{spec.examples} examples to sample of {population}: ask for at most {population}")
    examples = np.sort(rng.choice(population, spec.examples, replace=False))
    x = torch.from_numpy(flat_images(images, "train")[examples]).to(device)
    y = torch.from_numpy(labels["label_train"].values[examples].astype(np.int64)).to(device)

    with open_snapshots(snapshots, device) as kept:
        steps = kept.steps
        sample = draw_weights(kept.shapes, spec.weights, rng)
        values = np.empty((len(steps), spec.examples, len(sample.layer)), np.float32)
        for t, layers in enumerate(kept):
            values[t] = sampled_gradients(layers, x, y, sample).cpu().numpy()
        made = provenance.of(images, labels).of_tensors(kept.description)

    result = xr.Dataset(
        {
            "gradient": (
                ("step", "example", "weight"),
                values,
                {
                    "long_name": "gradient of the example's own loss with respect to the weight, nats",
                    "units": "1",
                },
            ),
            "pristine": (
                "example",
                labels["pristine"].values[examples],
                {"long_name": "whether the class to train on is the true one"},
            ),
        },
        coords={
            "step": ("step", steps, {"long_name": "updates made", "units": "1"}),
            "example": ("example", examples, {"long_name": "index of the training example"}),
            "layer": ("weight", sample.layer, {"long_name": "layer of the weight, from 0 at the input"}),
            "output": ("weight", sample.output, {"long_name": "output unit of the weight in its layer"}),
            "input": ("weight", sample.input, {"long_name": "input unit of the weight in its layer"}),
        },
    )
    title = f"Per-example gradients of a sample, {spec.noise:.0%} noise, replicate {spec.replicate}"
    write_netcdf(result, gradients, title=title, provenance=made)
    log.info("wrote %s: %d steps x %d examples x %d weights", gradients, *values.shape)
