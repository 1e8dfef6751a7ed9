"""Coherence on a sample of the training examples and on as many that a network was not trained on.

On training examples coherence falls to that of orthogonal gradients as they are fitted; on others it says
what the gradients of the population have in common (Chatterjee and Zielinski 2022, arXiv 2203.10036).

Index letters: e example, g group, l layer, p part: groups are unions of parts, which share no example.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr

from cgpipe.gradients.coherence import pair_coherence
from cgpipe.gradients.contributions import Floats, mask
from cgpipe.gradients.sums import GradientSum, check_finite, zeros_like
from cgpipe.networks.dense import Layer, losses
from cgpipe.networks.given import NetworkLike, network_of
from cgpipe.networks.network import Network, Parameters

# The parts of each group: pristine; pristine, near chance; corrupt; corrupt, near chance.
GROUPS = {"all": (1, 1, 1, 1), "pristine": (1, 1, 0, 0), "corrupt": (0, 0, 1, 1), "near chance": (0, 1, 0, 1)}
MEMBERS = np.array(list(GROUPS.values()), np.float64)  # (g, p)
PARTS = MEMBERS.shape[1]
NEAR_CHANCE = (0.5, 1.5)  # times the logarithm of the number of classes

_BY_LAYER, _BY_GROUP = ("burst_step", "set", "group", "layer"), ("burst_step", "set", "group")
VARIABLES = {
    "squared_norm": (_BY_LAYER, "squared norm of the group's summed gradient, nats²"),
    "product": (_BY_LAYER, "inner product of the sum of all gradients of the set with the group's, nats²"),
    "energy": (_BY_LAYER, "sum of the squared norms over the group's examples, nats²"),
    "size": (_BY_GROUP, "examples in the group"),
    "loss": (_BY_GROUP, "mean loss of the group, nats"),
    "accuracy": (_BY_GROUP, "share of the group's examples that are classified as their label"),
    "cosine": (_BY_GROUP, "mean cosine between the gradients of two examples of the group"),
}


class Sample(NamedTuple):
    """Some examples of a set, on the device of the network."""

    images: torch.Tensor  # (e, ...)
    labels: torch.Tensor  # (e,), those that the loss is of
    pristine: npt.NDArray[np.bool_]  # (e,), whether the label is the true one


@torch.no_grad()
def measure_heldout(bursts: Iterable[tuple[int, int, NetworkLike]], sets: Mapping[str, Sample]) -> xr.Dataset:
    """What coherence on several sets of examples is made of, over a training run.

    Parameters
    ----------
    bursts : iterable of (int, int, network)
        Step of the snapshot that a burst begins with, updates made, and the network then; in ascending order.
    sets : mapping of str to Sample
        By name, such as `training` and `held-out`. What is compared must be of equally many examples.

    Returns
    -------
    Dataset
        Over burst_step, set, group and layer, at the scale of sums, nats²: `squared_norm`, ‖Σ g_e‖² over the
        group, `product`, ⟨Σ g_e over the set, Σ g_e over the group⟩, and `energy`, Σ‖g_e‖². Over burst_step,
        set and group: `size`; `loss` and `accuracy`, means; `cosine`, the mean over pairs of different
        examples of the cosine over all parameters. An example without a gradient has no direction and is left
        out of it. NaN where there is nothing to take a mean of. An example is near chance where its own loss
        is 0.5 to 1.5 times log k, of k classes. Coordinates: `snapshot` (burst_step), where a burst begins,
        and `layer_kind` (layer), the class of the layer.

    Raises
    ------
    ValueError
        If a gradient is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from cgpipe.networks.dense import initial_layers
    >>> rng = np.random.default_rng(0)
    >>> layers = initial_layers([5, 4, 3], "xavier", rng)
    >>> sample = Sample(torch.rand(20, 5), torch.arange(20) % 3, np.arange(20) < 10)
    >>> made = measure_heldout([(0, 0, layers)], {"training": sample})
    >>> made["size"].squeeze(drop=True).sel(group=["all", "corrupt"]).values.tolist()
    [20, 10]
    """
    steps: list[tuple[int, int]] = []
    measured: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in VARIABLES}
    for snapshot, step, given in bursts:
        steps.append((snapshot, step))
        of_sets = []
        for sample in sets.values():
            network = network_of(given, sample.images)
            of_sets.append(_of_groups(network, sample))
        for name, values in measured.items():
            values.append(np.stack([of_set[name] for of_set in of_sets]))

    one = next(iter(sets.values()))
    modules = [layer.module for layer in network.pass_examples(one.images[:1], one.labels[:1]).layers]
    kinds = ["Linear" if isinstance(module, Layer) else type(module).__name__ for module in modules]
    snapshots, burst_steps = np.transpose(steps)
    return xr.Dataset(
        {
            name: (dims, np.stack(measured[name]), {"long_name": meaning, "units": "1"})
            for name, (dims, meaning) in VARIABLES.items()
        },
        coords={
            "burst_step": ("burst_step", burst_steps, {"long_name": "updates made", "units": "1"}),
            "snapshot": (
                "burst_step",
                snapshots,
                {"long_name": "step of the snapshot that the burst begins with", "units": "1"},
            ),
            "set": ("set", list(sets), {"long_name": "where the examples are from"}),
            "group": ("group", list(GROUPS), {"long_name": "which of the examples"}),
            "layer": (
                "layer",
                list(network.layers),
                {"long_name": "layer that has parameters, in the order of the forward pass"},
            ),
            "layer_kind": ("layer", kinds, {"long_name": "class of the layer"}),
        },
    )


def _of_groups(network: Network, sample: Sample) -> dict[str, npt.NDArray[Any]]:
    """Values of VARIABLES of one set at one step, (g, l) or (g,)."""
    images, labels, pristine = sample
    corrupt = torch.from_numpy(~mask(pristine, len(labels))).long().to(images.device)
    low, high = (bound * math.log(network.classes) for bound in NEAR_CHANCE)
    # Of the gradients, then of the gradients divided by their lengths, by part.
    sums = [zeros_like(network) for _ in range(2 * PARTS)]
    adding = [GradientSum(of_part) for of_part in sums]
    energy = np.zeros((PARTS, len(network.layers)))
    counted = np.zeros((PARTS, 4))
    for part, logits, layers in network.passes(images, labels):
        squares = torch.stack([layer.squared_norms() for layer in layers], dim=1)  # (e, l)
        lengths = squares.sum(1).sqrt()
        # One divided by less is not finite.
        directed = lengths > torch.finfo(logits.dtype).tiny
        own = losses(logits, labels[part]).double()
        of_part = 2 * corrupt[part] + ((own >= low) & (own <= high)).long()
        units = [layer.scaled(1 / lengths) for layer in layers]
        for p in range(PARTS):
            among = of_part == p
            (members,), (pointed,) = (
                torch.nonzero(which, as_tuple=True) for which in (among, among & directed)
            )
            adding[p].add([layer.of(members) for layer in layers])
            adding[PARTS + p].add([layer.of(pointed) for layer in units])
        right = logits.argmax(1) == labels[part]
        each = torch.stack([torch.ones_like(own), directed.double(), own, right.double()], dim=1)
        of_parts = torch.nn.functional.one_hot(of_part, PARTS).double().T  # (p, e)
        energy += (of_parts @ squares).cpu().numpy()
        counted += (of_parts @ each).cpu().numpy()
    for of in adding:
        of.end()
    check_finite(network, energy)
    gram, of_units = _gram(sums[:PARTS]), _gram(sums[PARTS:]).sum(0)
    size, pointed_, loss, right_ = (MEMBERS @ counted).T  # (g,)
    with np.errstate(invalid="ignore"):
        return {
            # Sums that cancel are rounded below 0.
            "squared_norm": np.maximum(np.einsum("gp,lpq,gq->gl", MEMBERS, gram, MEMBERS), 0),
            "product": np.einsum("lpq,gq->gl", gram, MEMBERS),
            "energy": MEMBERS @ energy,
            "size": size.astype(np.int64),
            "loss": loss / size,
            "accuracy": right_ / size,
            "cosine": pair_coherence(
                np.maximum(np.einsum("gp,pq,gq->g", MEMBERS, of_units, MEMBERS), 0), pointed_, pointed_
            ),
        }


def _gram(sums: Sequence[Sequence[Parameters]]) -> Floats:
    """Inner products of the sums of the parts, layer by layer, (l, p, p)."""
    layers = [
        torch.stack([torch.cat([values.flatten() for values in of.values()]) for of in parts])
        for parts in zip(*sums, strict=True)
    ]
    return torch.stack([flat @ flat.T for flat in layers]).cpu().numpy()
