"""Stage `contributions`: every training example against the whole gradient, at the logged steps of a run."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr

from cgpipe.gradients.coherence import stiffness
from cgpipe.gradients.population import example_contributions, group_gradients, inner_products
from cgpipe.names import Device
from cgpipe.networks.dense import Layer
from cgpipe.pipeline.artifacts import Provenance, read_netcdf, write_netcdf
from cgpipe.pipeline.progress import log
from cgpipe.pipeline.stages.device import choose
from cgpipe.pipeline.stages.inputs import flat_images, read_corrupted
from cgpipe.pipeline.stages.snapshots import open_snapshots
from cgpipe.pipeline.streams import stream

# All other groups of examples are unions of these.
CELLS = ["pristine, learned", "pristine, not learned", "corrupt, learned", "corrupt, not learned"]
PAIRS = ["all", "pristine", "corrupt", "pristine with corrupt"]

VARIABLES = {
    "contribution": (
        ("step", "example", "layer"),
        "inner product of the example's gradient with the sum of all, over the layer's parameters, nats²",
        "1",
    ),
    "squared_norm": (
        ("step", "example", "layer"),
        "squared norm of the example's gradient, over the layer's parameters, nats²",
        "1",
    ),
    "gram": (
        ("step", "layer", "cell", "other_cell"),
        "inner product of the summed gradients of two cells of examples, nats²",
        "1",
    ),
    "energy": (("step", "layer", "cell"), "sum of the squared norms over the cell's examples, nats²", "1"),
    "loss": (("step", "cell"), "sum of the losses of the examples of the cell, nats", "1"),
    "size": (("step", "cell"), "examples in the cell", "1"),
    "sign_stiffness": (("step", "pair"), "mean sign of the inner product of two examples' gradients", "1"),
    "cosine_stiffness": (("step", "pair"), "mean cosine between two examples' gradients", "1"),
}


@dataclass(frozen=True)
class Spec:
    """The settings that this stage reads."""

    device: Device
    noise: float
    replicate: int
    seed: int
    stiffness_examples: int


@dataclass(frozen=True)
class Population:
    """All training examples, and the indices of those that stiffness takes in pairs."""

    images: torch.Tensor
    labels: torch.Tensor
    corrupt: torch.Tensor
    paired: torch.Tensor


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
    torch.set_grad_enabled(False)
    device = choose(spec.device)
    images = read_netcdf(dataset, "data")
    labels = read_corrupted(corrupted, images)
    count = images.sizes["train_example"]
    if spec.stiffness_examples > count:
        raise ValueError(
            f"{spec.stiffness_examples} examples for stiffness of {count}: ask for at most {count}"
        )
    paired = stream(spec.seed, "stiffness", spec.replicate).choice(
        count, spec.stiffness_examples, replace=False
    )
    population = Population(
        images=torch.from_numpy(flat_images(images, "train")).to(device),
        labels=torch.from_numpy(labels["label_train"].values.astype(np.int64)).to(device),
        corrupt=torch.from_numpy(~labels["pristine"].values).to(device),
        paired=torch.from_numpy(np.sort(paired)).to(device),
    )
    with open_snapshots(snapshots, device) as kept:
        steps = kept.steps
        found = [at_snapshot(layers, population) for layers in kept]
        made = provenance.of(images, labels).of_tensors(kept.description)

    result = as_dataset(found, steps, labels["pristine"].values)
    title = f"Contributions of all training examples, {spec.noise:.0%} noise, replicate {spec.replicate}"
    write_netcdf(result, contributions, title=title, provenance=made)
    log.info("wrote %s: %d steps x %d examples", contributions, len(steps), count)


def at_snapshot(layers: list[Layer], of: Population) -> dict[str, npt.NDArray[Any]]:
    """All that is kept of one snapshot, by the names in VARIABLES."""

    def cell(logits: torch.Tensor, part: slice) -> torch.Tensor:
        wrong = logits.argmax(1) != of.labels[part]
        return 2 * of.corrupt[part].long() + wrong.long()

    cells = group_gradients(layers, of.images, of.labels, cell, len(CELLS))
    each = example_contributions(layers, of.images, of.labels, cells.total())
    pairs = by_pair(
        inner_products(layers, of.images[of.paired], of.labels[of.paired]),
        of.corrupt[of.paired].cpu().numpy(),
    )
    return {
        "contribution": each.u.astype(np.float32),
        "squared_norm": each.squared_norm.astype(np.float32),
        "gram": cells.gram(),
        "energy": cells.energy.T,
        "loss": cells.loss,
        "size": cells.size,
        "sign_stiffness": pairs[:, 0],
        "cosine_stiffness": pairs[:, 1],
    }


def by_pair(products: npt.NDArray[np.float64], corrupt: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Sign and cosine stiffness, shape (pair, 2), in the order of PAIRS."""
    everyone = np.ones_like(corrupt)
    groups = {
        "all": (everyone, everyone),
        "pristine": (~corrupt, ~corrupt),
        "corrupt": (corrupt, corrupt),
        "pristine with corrupt": (~corrupt, corrupt),
    }
    return np.array([stiffness(products, *groups[pair]) for pair in PAIRS])


def as_dataset(
    found: list[dict[str, npt.NDArray[Any]]],
    steps: npt.NDArray[np.int64],
    pristine: npt.NDArray[np.bool_],
) -> xr.Dataset:
    """One Dataset of all snapshots."""
    depth = len(found[0]["gram"])
    variables: Mapping[str, Any] = {
        name: (dims, np.stack([at[name] for at in found]), {"long_name": meaning, "units": units})
        for name, (dims, meaning, units) in VARIABLES.items()
    }
    designation = {"long_name": "designation of the examples, and whether they are classified as trained"}
    return xr.Dataset(
        {
            **variables,
            "pristine": (
                "example",
                pristine,
                {"long_name": "whether the class to train on is the true one"},
            ),
        },
        coords={
            "step": ("step", steps, {"long_name": "updates made", "units": "1"}),
            "layer": ("layer", np.arange(depth), {"long_name": "layer, from 0 at the input"}),
            "cell": ("cell", CELLS, designation),
            "other_cell": ("other_cell", CELLS, designation),
            "pair": ("pair", PAIRS, {"long_name": "of which examples the pairs are"}),
        },
    )
