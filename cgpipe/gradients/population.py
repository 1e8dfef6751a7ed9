"""What every example of a population contributes to the gradient, exactly and over all parameters.

Nothing of the size examples × parameters is ever formed: inner products and norms of per-example gradients
follow from what entered a layer and the gradient at its output (Chatterjee 2020, section 2.4, which samples
instead).

Index letters: e example, k group, l layer.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr

from cgpipe.gradients.coherence import stiffness
from cgpipe.gradients.contributions import Floats, mask
from cgpipe.gradients.sums import GradientSum, check_finite
from cgpipe.networks.dense import losses
from cgpipe.networks.given import NetworkLike, network_of
from cgpipe.networks.network import Parameters
from cgpipe.networks.per_example.base import LayerGradients, rows

MINIBATCH = 100  # examples of which the gradient of a training step is taken, for batch normalization

# Groups of examples, by pristine and learned: all other groups are unions of these.
GROUPS = {
    "pristine, learned": (True, True),
    "pristine, not learned": (True, False),
    "corrupt, learned": (False, True),
    "corrupt, not learned": (False, False),
}

VARIABLES = {
    "contribution": (
        ("step", "example", "layer"),
        "inner product of the example's gradient with the sum of all, over the layer's parameters, nats²",
    ),
    "squared_norm": (
        ("step", "example", "layer"),
        "squared norm of the example's gradient, over the layer's parameters, nats²",
    ),
    "gram": (
        ("step", "layer", "group", "other_group"),
        "inner product of the summed gradients of two groups of examples, nats²",
    ),
    "energy": (("step", "layer", "group"), "sum of the squared norms over the group's examples, nats²"),
    "loss": (("step", "group"), "sum of the losses of the examples of the group, nats"),
    "size": (("step", "group"), "examples in the group"),
    "training_cosine": (
        ("step",),
        "cosine between the gradient of a minibatch with saved statistics and that of a training step",
    ),
    "sign_stiffness": (("step", "pair"), "mean sign of the inner product of two examples' gradients"),
    "cosine_stiffness": (("step", "pair"), "mean cosine between two examples' gradients"),
}


class GroupGradients(NamedTuple):
    """Sums of the per-example gradients over groups, at the scale of a sum."""

    layers: list[dict[str, torch.Tensor]]  # by layer and parameter, of shape (k, ...), float64
    energy: Floats  # (k, l), Σ_e ‖g_e‖² over the group
    loss: Floats  # (k,), summed over the group
    size: npt.NDArray[np.int64]  # (k,), examples in the group

    def gram(self) -> Floats:
        """Inner products of the groups' gradients, layer by layer, shape (l, k, k)."""
        return np.stack([_gram(of.values()) for of in self.layers])

    def total(self) -> list[dict[str, torch.Tensor]]:
        """Sum over all groups, by layer and parameter."""
        return [{name: sums.sum(0) for name, sums in of.items()} for of in self.layers]


class Contributions(NamedTuple):
    """Each example against the whole, layer by layer; sums over the layers are those of the network."""

    u: Floats  # (e, l), ⟨g, g_e⟩
    squared_norm: Floats  # (e, l), ‖g_e‖²


def group_gradients(
    network: NetworkLike,
    images: torch.Tensor,
    labels: torch.Tensor,
    groups: Callable[[torch.Tensor, slice], torch.Tensor],
    count: int,
    *,
    at_once: int | None = None,
) -> GroupGradients:
    """Sum the gradients of the examples' own losses over each group.

    Parameters
    ----------
    network : Network, torch.nn.Module or sequence of Layer
        The network.
    images : tensor of float, shape (example, ...)
        All examples.
    labels : tensor of int, shape (example,)
        The labels they are trained on.
    groups : callable
        Takes the logits of some examples, shape (example, class), and which examples they are, a slice,
        and returns the group of each, from 0 to count - 1.
    count : int
        How many groups there are.
    at_once : int, optional
        Examples in memory at once; by default as many as suit the device and the network.

    Returns
    -------
    GroupGradients
        Over weights and biases alike; accumulated in float64. Zero for an empty group.

    Raises
    ------
    ValueError
        If a gradient is not finite.
    """
    network = network_of(network, images)
    sums = [
        {name: _zeros(count, p).to(images.device) for name, p in of.items()} for of in network.parameters()
    ]
    of_groups = [GradientSum([{name: p[k] for name, p in of.items()} for of in sums]) for k in range(count)]
    energy = np.zeros((count, len(sums)))
    loss = np.zeros(count)
    size = np.zeros(count, np.int64)
    for part, logits, layers in network.passes(images, labels, at_once):
        group = groups(logits, part)
        order = torch.argsort(group, stable=True)
        # To the host once, in the order of the groups: a GPU that is waited for stands still.
        squares = _squared_norms(layers)[order].cpu()  # (e, l)
        of_examples = losses(logits, labels[part])[order].cpu()  # (e,)
        sizes = np.bincount(group.cpu().numpy(), minlength=count)
        size += sizes
        in_groups = (torch.split(values, sizes.tolist()) for values in (squares, of_examples, order))
        for k, (of_squares, of_losses, members) in enumerate(zip(*in_groups, strict=True)):
            energy[k] += of_squares.numpy().sum(0)
            loss[k] += of_losses.numpy().sum(dtype=np.float64)
            whole = len(members) == len(order)
            of_groups[k].add(layers if whole else [layer.of(members) for layer in layers])
    for of_group in of_groups:
        of_group.end()
    check_finite(network, energy)
    return GroupGradients(sums, energy, loss, size)


def example_contributions(
    network: NetworkLike,
    images: torch.Tensor,
    labels: torch.Tensor,
    total: Sequence[Parameters],
    *,
    at_once: int | None = None,
) -> Contributions:
    """u_e = ⟨g, g_e⟩ and ‖g_e‖² of every example.

    Parameters
    ----------
    network : Network, torch.nn.Module or sequence of Layer
        The network.
    images : tensor of float, shape (example, ...)
        All examples.
    labels : tensor of int, shape (example,)
        The labels they are trained on.
    total : sequence of mappings from str to tensor
        g by layer and parameter, the gradient of the summed loss, as `GroupGradients.total` returns it.
    at_once : int, optional
        Examples in memory at once; by default as many as suit the device and the network.

    Returns
    -------
    Contributions
        u sums to ‖g‖² over the examples and layers.
    """
    network = network_of(network, images)
    whole = network.as_direction(total)
    u, squares = [], []
    for _, _, layers in network.passes(images, labels, at_once):
        u.append(torch.stack([layer.products(of) for layer, of in zip(layers, whole, strict=True)], dim=1))
        squares.append(_squared_norms(layers))
    return Contributions(torch.cat(u).cpu().numpy(), torch.cat(squares).cpu().numpy())


def inner_products(network: NetworkLike, images: torch.Tensor, labels: torch.Tensor) -> Floats:
    """⟨g_e, g_e'⟩ of all pairs of a few examples, over all parameters.

    Parameters
    ----------
    network : Network, torch.nn.Module or sequence of Layer
        The network.
    images : tensor of float, shape (example, ...)
        The examples; the result grows with the square of their number.
    labels : tensor of int, shape (example,)
        The labels they are trained on.

    Returns
    -------
    array of float64, shape (example, example)
        The diagonal holds ‖g_e‖². Computed in float64 from the forward pass on, for the sign of pairs that
        are nearly orthogonal.
    """
    layers = network_of(network, images).double().pass_examples(images.double(), labels).layers
    return torch.stack([layer.pairs() for layer in layers]).sum(0).cpu().numpy()


@torch.no_grad()
def measure_contributions(
    snapshots: Iterable[tuple[int, NetworkLike]],
    images: torch.Tensor,
    labels: torch.Tensor,
    pristine: npt.NDArray[np.bool_],
    *,
    stiffness_examples: int,
    rng: np.random.Generator,
) -> xr.Dataset:
    """Every example against the whole gradient g, over a training run and all parameters.

    Gradients are of the examples' own losses, and g is their sum (Chatterjee 2020, section 2.4). Examples are
    grouped by whether they are pristine, and whether they are learned: classified as trained at the step.

    Parameters
    ----------
    snapshots : iterable of (int, network)
        Updates made, and the network then; at least one.
    images : tensor of float, shape (example, ...)
        All training examples.
    labels : tensor of int, shape (example,)
        The labels they are trained on.
    pristine : array of bool, shape (example,)
        Whether the label is the true one.
    stiffness_examples : int
        Examples to sample, without replacement, whose pairs give the stiffness (see `stiffness`).
    rng : numpy.random.Generator
        Samples these.

    Returns
    -------
    Dataset
        Over step, example, layer, as float32: `contribution`, ⟨g, g_e⟩, and `squared_norm`, ‖g_e‖², both in
        nats². Over step, layer and group: `gram` (group, other_group), inner products of the groups' summed
        gradients, and `energy`, Σ‖g_e‖², both in nats². Over step and group: `loss`, a sum in nats, and
        `size`. Over step, of a network with batch normalization, `training_cosine`, between the mean gradient
        of 100 of the sampled examples as it is taken here and that of a training step. Over step and pair:
        `sign_stiffness` and `cosine_stiffness`. `pristine` and `label`, as given.
        Coordinates `group_pristine` and `group_learned` say what a group consists of.

    Raises
    ------
    ValueError
        If more examples are to be sampled than there are, or a gradient is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from cgpipe.networks.dense import initial_layers
    >>> rng = np.random.default_rng(0)
    >>> layers = initial_layers([5, 4, 3], "xavier", rng)
    >>> images, labels = torch.rand(20, 5), torch.arange(20) % 3
    >>> pristine = np.arange(20) < 10
    >>> whole = measure_contributions(
    ...     [(0, layers)], images, labels, pristine, stiffness_examples=5, rng=rng
    ... )
    >>> u = whole["contribution"].sum(["example", "layer"])  # ‖g‖²
    >>> np.isclose(u, whole["gram"].sum(["layer", "group", "other_group"])).tolist()
    [True]
    >>> whole["size"].sel(group=whole["group_pristine"]).sum("group").values.tolist()
    [10]
    """
    count = len(images)
    if stiffness_examples > count:
        raise ValueError(f"{stiffness_examples} examples for stiffness of {count}: ask for at most {count}")
    pristine = mask(pristine, count)
    paired = np.sort(rng.choice(count, stiffness_examples, replace=False))
    p, c = pristine[paired], ~pristine[paired]
    pairs = {"all": (p | c, p | c), "pristine": (p, p), "corrupt": (c, c), "pristine with corrupt": (p, c)}
    first, second = np.stack(list(pairs.values()), axis=1)  # (pair, e)
    corrupt, index = (torch.from_numpy(array).to(images.device) for array in (~pristine, paired))

    def group(logits: torch.Tensor, part: slice) -> torch.Tensor:
        wrong = logits.argmax(1) != labels[part]
        return 2 * corrupt[part].long() + wrong.long()

    steps: list[int] = []
    measured: dict[str, list[npt.NDArray[Any]]] = {}
    for step, given in snapshots:
        network = network_of(given, images)
        steps.append(step)
        sums = group_gradients(network, images, labels, group, len(GROUPS))
        each = example_contributions(network, images, labels, sums.total())
        signs, cosines = stiffness(inner_products(network, images[index], labels[index]), first, second)
        values: dict[str, npt.NDArray[Any]] = {
            "contribution": each.u.astype(np.float32),
            "squared_norm": each.squared_norm.astype(np.float32),
            "gram": sums.gram(),
            # In memory as it comes from a file: sums over it are rounded by its order.
            "energy": np.ascontiguousarray(sums.energy.T),
            "loss": sums.loss,
            "size": sums.size,
            "sign_stiffness": signs,
            "cosine_stiffness": cosines,
        }
        if network.by_mode:
            few = index[:MINIBATCH]
            values["training_cosine"] = np.array(network.cosine_to_training(images[few], labels[few]))
        for name, value in values.items():
            measured.setdefault(name, []).append(value)

    is_pristine, is_learned = np.transpose(list(GROUPS.values()))
    members = {"long_name": "designation of the examples, and whether they are classified as trained"}
    return xr.Dataset(
        {
            **{
                name: (dims, np.stack(measured[name]), {"long_name": meaning, "units": "1"})
                for name, (dims, meaning) in VARIABLES.items()
                if name in measured
            },
            "pristine": (
                "example",
                pristine,
                {"long_name": "whether the class to train on is the true one"},
            ),
            "label": ("example", labels.numpy(force=True).copy(), {"long_name": "class to train on"}),
        },
        coords={
            "step": ("step", steps, {"long_name": "updates made", "units": "1"}),
            "layer": (
                "layer",
                list(network.layers),
                {"long_name": "layer that has parameters, in the order of the forward pass"},
            ),
            "group": ("group", list(GROUPS), members),
            "other_group": ("other_group", list(GROUPS), members),
            "group_pristine": (
                "group",
                is_pristine,
                {"long_name": "whether its examples are pristine"},
            ),
            "group_learned": ("group", is_learned, {"long_name": "whether its examples are learned"}),
            "pair": ("pair", list(pairs), {"long_name": "of which examples the pairs are"}),
        },
    )


def _zeros(count: int, parameter: torch.Tensor) -> torch.Tensor:
    """Where to sum the gradients of groups; those of a matrix input by input, as they come."""
    if parameter.ndim != 2:
        return torch.zeros((count, *parameter.shape), dtype=torch.float64)
    return torch.zeros((count, *parameter.T.shape), dtype=torch.float64).mT


def _gram(sums: Iterable[torch.Tensor]) -> Floats:
    flat = [rows(p.mT if p.ndim == 3 else p) for p in sums]
    return torch.stack([p @ p.T for p in flat]).sum(0).cpu().numpy()


def _squared_norms(layers: Sequence[LayerGradients]) -> torch.Tensor:
    """‖g_e‖² of each layer, shape (e, l), float64."""
    return torch.stack([layer.squared_norms() for layer in layers], dim=1)
