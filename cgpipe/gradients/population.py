"""What every example of a population contributes to the gradient, exactly and over all parameters.

Nothing of the size examples × parameters is ever formed: a linear layer's per-example gradient is the
outer product of what entered it and the gradient at its output, so inner products and norms follow from
these two (Chatterjee 2020, section 2.4, which samples instead).

Index letters: e example, k group, o output unit, i input unit, l layer.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch.func import grad, jvp, vmap

from cgpipe.networks.dense import Layer, forward, losses, output_gradients

Floats = npt.NDArray[np.float64]

# Examples in memory at once.
AT_ONCE = 2_000


class GroupGradients(NamedTuple):
    """Sums of the per-example gradients over groups, at the scale of a sum."""

    layers: list[Layer]  # one for each layer, with weight (k, o, i) and bias (k, o), float64
    energy: Floats  # (k, l), Σ_e ‖g_e‖² over the group
    loss: Floats  # (k,), summed over the group
    size: npt.NDArray[np.int64]  # (k,), examples in the group

    def gram(self) -> Floats:
        """Inner products of the groups' gradients, layer by layer, shape (l, k, k)."""
        flat = [
            torch.cat([layer.weight.flatten(1), layer.bias], dim=1).cpu().numpy() for layer in self.layers
        ]
        return np.stack([sums @ sums.T for sums in flat])

    def total(self) -> list[Layer]:
        """Sum over all groups, as one layer each: weight (o, i) and bias (o,)."""
        return [Layer(layer.weight.sum(0), layer.bias.sum(0)) for layer in self.layers]


class Contributions(NamedTuple):
    """Each example against the whole, layer by layer; sums over the layers are those of the network."""

    u: Floats  # (e, l), ⟨g, g_e⟩
    squared_norm: Floats  # (e, l), ‖g_e‖²


def group_gradients(
    layers: Sequence[Layer],
    images: torch.Tensor,
    labels: torch.Tensor,
    groups: Callable[[torch.Tensor, slice], torch.Tensor],
    count: int,
    *,
    at_once: int = AT_ONCE,
) -> GroupGradients:
    """Sum the gradients of the examples' own losses over each group.

    Parameters
    ----------
    layers : sequence of Layer
        The network.
    images : tensor of float, shape (example, features)
        All examples.
    labels : tensor of int, shape (example,)
        The labels they are trained on.
    groups : callable
        Takes the logits of some examples, shape (example, class), and which examples they are, a slice,
        and returns the group of each, from 0 to count - 1.
    count : int
        How many groups there are.
    at_once : int
        Examples in memory at once.

    Returns
    -------
    GroupGradients
        Over weights and biases alike; accumulated in float64. Zero for an empty group.

    Raises
    ------
    ValueError
        If a gradient is not finite.
    """
    sums = [
        Layer(
            weight=torch.zeros((count, *layer.weight.shape), dtype=torch.float64, device=images.device),
            bias=torch.zeros((count, *layer.bias.shape), dtype=torch.float64, device=images.device),
        )
        for layer in layers
    ]
    energy = np.zeros((count, len(layers)))
    loss = np.zeros(count)
    size = np.zeros(count, np.int64)
    for part, inputs, logits, gradients in _passes(layers, images, labels, at_once):
        group = groups(logits, part)
        squares = _squared_norms(inputs, gradients).cpu().numpy()  # (e, l)
        of_examples = losses(logits, labels[part]).cpu().numpy()  # (e,)
        for k in range(count):
            members = torch.nonzero(group == k).squeeze(1)
            size[k] += len(members)
            which = members.cpu().numpy()
            energy[k] += squares[which].sum(0)
            loss[k] += of_examples[which].sum(dtype=np.float64)
            for of_layer, a, δ in zip(sums, inputs, gradients, strict=True):
                of_members = δ[members]  # (e, o)
                of_layer.weight[k] += of_members.T @ a[members]
                of_layer.bias[k] += of_members.double().sum(0)
    if not np.isfinite(energy).all():
        raise ValueError(
            f"the gradients of layers {np.flatnonzero(~np.isfinite(energy).all(0)).tolist()} are not finite, "
            "counted from 0 at the input: the run diverged or its snapshots are damaged"
        )
    return GroupGradients(sums, energy, loss, size)


def example_contributions(
    layers: Sequence[Layer],
    images: torch.Tensor,
    labels: torch.Tensor,
    total: Sequence[Layer],
    *,
    at_once: int = AT_ONCE,
) -> Contributions:
    """u_e = ⟨g, g_e⟩ and ‖g_e‖² of every example: δ_eᵀ(G_W a_e + G_b), and ‖δ_e‖²(‖a_e‖² + 1).

    Parameters
    ----------
    layers : sequence of Layer
        The network.
    images : tensor of float, shape (example, features)
        All examples.
    labels : tensor of int, shape (example,)
        The labels they are trained on.
    total : sequence of Layer
        g, the gradient of the summed loss, as `GroupGradients.total` returns it.
    at_once : int
        Examples in memory at once.

    Returns
    -------
    Contributions
        u sums to ‖g‖² over the examples and layers.
    """
    whole = [Layer(*(p.to(images.dtype) for p in layer)) for layer in total]
    u, squares = [], []
    for _, inputs, _, gradients in _passes(layers, images, labels, at_once):
        per_layer = [
            (torch.addmm(of.bias, a, of.weight.T) * δ).sum(1, dtype=torch.float64)
            for of, a, δ in zip(whole, inputs, gradients, strict=True)
        ]
        u.append(torch.stack(per_layer, dim=1).cpu().numpy())
        squares.append(_squared_norms(inputs, gradients).cpu().numpy())
    return Contributions(np.concatenate(u), np.concatenate(squares))


def inner_products(layers: Sequence[Layer], images: torch.Tensor, labels: torch.Tensor) -> Floats:
    """⟨g_e, g_e'⟩ of all pairs of a few examples, over all parameters: Σ_l (δ_e·δ_e')(a_e·a_e' + 1).

    Parameters
    ----------
    layers : sequence of Layer
        The network.
    images : tensor of float, shape (example, features)
        The examples; the result grows with the square of their number.
    labels : tensor of int, shape (example,)
        The labels they are trained on.

    Returns
    -------
    array of float64, shape (example, example)
        The diagonal holds ‖g_e‖². Computed in float64 from the forward pass on, for the sign of pairs that
        are nearly orthogonal.
    """
    exact = [Layer(*(p.double() for p in layer)) for layer in layers]
    inputs, logits = forward(exact, images.double())
    gradients = output_gradients(exact, inputs, logits, labels)
    total = images.new_zeros((len(images), len(images)), dtype=torch.float64)
    for a, δ in zip(inputs, gradients, strict=True):
        total += (δ @ δ.T) * (a @ a.T + 1)
    return total.cpu().numpy()


def example_contributions_by_autodiff(
    loss: Callable[[Mapping[str, torch.Tensor], torch.Tensor, torch.Tensor], torch.Tensor],
    parameters: Mapping[str, torch.Tensor],
    images: torch.Tensor,
    labels: torch.Tensor,
    *,
    at_once: int = 100,
) -> tuple[Floats, Floats]:
    """The same for any network, by torch.func: u_e is the loss's derivative along g, a forward-mode product.

    The reference of the closed form, and the way for layers that have none. Per-example gradients of
    `at_once` examples are in memory at a time.

    Parameters
    ----------
    loss : callable
        Takes parameters, images and labels, and returns the loss of each example, shape (example,).
    parameters : mapping from str to tensor
        Of the network; in float64 for reference.
    images : tensor of float, shape (example, ...)
        All examples.
    labels : tensor of int, shape (example,)
        The labels they are trained on.
    at_once : int
        Examples in memory at once.

    Returns
    -------
    u, squared_norm : arrays of float64, shape (example,)
        Over all parameters.
    """
    parts = [slice(start, start + at_once) for start in range(0, len(images), at_once)]

    def of_one(p: Mapping[str, torch.Tensor], x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return loss(p, x[None], y[None])[0]

    total = {name: torch.zeros_like(p) for name, p in parameters.items()}
    squares = []
    for part in parts:
        each = vmap(grad(of_one), in_dims=(None, 0, 0))(parameters, images[part], labels[part])
        squares.append(sum(g.flatten(1).double().square().sum(1) for g in each.values()))
        for name, g in each.items():
            total[name] += g.sum(0)
    with warnings.catch_warnings():
        # Torch's own rules of forward mode are scripted, which it warns of when they are first used.
        warnings.filterwarnings("ignore", r".*torch\.jit\.script", FutureWarning)
        u = [
            jvp(lambda p, part=part: loss(p, images[part], labels[part]), (dict(parameters),), (total,))[1]
            for part in parts
        ]
    return torch.cat(u).double().cpu().numpy(), torch.cat(squares).cpu().numpy()


def _passes(
    layers: Sequence[Layer], images: torch.Tensor, labels: torch.Tensor, at_once: int
) -> Iterator[tuple[slice, list[torch.Tensor], torch.Tensor, list[torch.Tensor]]]:
    """Forward and backward, some examples at a time: which, what entered each layer, logits, gradients."""
    for start in range(0, len(images), at_once):
        part = slice(start, min(start + at_once, len(images)))
        inputs, logits = forward(layers, images[part])
        yield part, inputs, logits, output_gradients(layers, inputs, logits, labels[part])


def _squared_norms(inputs: Sequence[torch.Tensor], gradients: Sequence[torch.Tensor]) -> torch.Tensor:
    """‖g_e‖² of each layer, shape (e, l): ‖δ_e‖²(‖a_e‖² + 1)."""

    def squared(rows: torch.Tensor) -> torch.Tensor:
        # In float64: in float32 a square comes to nothing below 1e-45, the gradient itself does not.
        norms: torch.Tensor = torch.linalg.vector_norm(rows, dim=1, dtype=torch.float64)
        return norms.square()

    return torch.stack([squared(δ) * (squared(a) + 1) for a, δ in zip(inputs, gradients, strict=True)], dim=1)
