"""Controls: updates that do one thing that winsorization does, and not the others.

At the same c they tell whether memorization is suppressed by the smaller norm of the update (`ScaledMean`),
by leaving values out, whichever (`RandomDrop`, `InlierClip`), or by scaling the gradients of whole examples
down (`NormClip`). They are not in the papers. c is at least 1 here: in the settings, c = 0 is plain SGD.

Index letters: b example, o output unit, i input unit of a linear layer.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from cgpipe.kernels import operators, reference
from cgpipe.learning.updates import (
    VALUES_AT_ONCE,
    RandomRule,
    UpdateRule,
    by_parameter,
    is_matrix,
    mean,
    norm,
    subtract,
)
from cgpipe.names import MOST_PAIRED
from cgpipe.networks.network import Parameters
from cgpipe.networks.per_example.base import LayerGradients

Floats = npt.NDArray[np.float64]


class OfWinsorizedNorm(UpdateRule):
    """A rule whose direction has the norm of the winsorized gradient of the whole network.

    Parameters
    ----------
    c : int
        As of winsorization, at least 1.
    """

    captured = False  # norms are read

    def __init__(self, c: int) -> None:
        self.c = c

    def served(self, device: str) -> bool:
        """The winsorized gradient is the fused kernel's."""
        return operators.serves(self.c, device)

    def norm(self, layers: Sequence[LayerGradients]) -> float:
        """Norm of the winsorized mean gradient."""
        return norm([self._winsorized(layer) for layer in layers])

    def _winsorized(self, layer: LayerGradients) -> dict[str, torch.Tensor]:
        if not is_matrix(layer):
            return by_parameter(layer, lambda values: operators.winsorized_values(values, self.c))
        a, δ = layer.inputs[0], layer.δ
        if a.dtype != torch.float32:
            gradient = reference.sorted_linear_gradient(a, δ, self.c, False)
        else:
            if operators.serves(self.c, a.device.type):
                operators.ready(a.device.type)
            gradient = torch.ops.cgpipe.winsorized_linear_gradient.default(a, δ, self.c)
        return dict(zip(layer.parameters, gradient, strict=False))


class ScaledMean(OfWinsorizedNorm):
    """The mean gradient, scaled to the norm of the winsorized one; 0 where the mean is 0."""

    def update(self, layers: Sequence[LayerGradients], into: Sequence[Parameters], rate: float) -> None:
        """Subtract it."""
        means = [mean(layer) for layer in layers]
        own = norm(means)
        scale = self.norm(layers) / own if own else 0.0
        for parameters, of_layer in zip(into, means, strict=True):
            subtract(parameters, of_layer, rate * scale)


class NormClip(OfWinsorizedNorm):
    """The mean of per-example gradients that are scaled down to a common norm τ where they exceed it.

    τ is the least at which this mean has the norm of the winsorized one. Where that is 0, τ is 0 and nothing
    changes; an example whose gradient is 0 counts as 0 at any τ. If there is no such τ, as the mean of the
    gradients, clipped or not, has always a smaller norm, none is clipped.

    Parameters
    ----------
    c : int
        As of winsorization, at least 1.
    batch_size : int
        Examples in a minibatch.
    """

    def __init__(self, c: int, batch_size: int) -> None:
        if batch_size > MOST_PAIRED:
            raise ValueError(
                f"norm_clip with a minibatch of {batch_size}: give at most {MOST_PAIRED} examples, as it "
                "takes the products of all pairs of gradients"
            )
        super().__init__(c)

    def update(self, layers: Sequence[LayerGradients], into: Sequence[Parameters], rate: float) -> None:
        """Subtract it."""
        products = torch.stack([layer.pairs() for layer in layers]).sum(0)  # (b, b)
        target = len(products) * self.norm(layers)
        shares = torch.from_numpy(norm_shares(products.numpy(force=True), target)).to(layers[0].δ)  # (b,)
        for layer, parameters in zip(layers, into, strict=True):
            subtract(parameters, mean(layer.scaled(shares)), rate)


def norm_shares(products: Floats, target: float) -> Floats:
    """By how much to scale vectors down to a common norm, for their sum to have a norm.

    Parameters
    ----------
    products : array of float64, shape (b, b)
        Inner products of the vectors.
    target : float
        Norm that their sum is to have.

    Returns
    -------
    array of float64, shape (b,)
        min(1, τ/norm) of each vector, for the least τ at which the sum has that norm; 1 if there is none.
    """
    norms = np.sqrt(np.maximum(products.diagonal(), 0))  # (b,)
    if target == 0:
        return np.zeros_like(norms)

    def shares(τ: Floats) -> Floats:
        return np.minimum(1, τ[:, None] / np.where(norms > 0, norms, 1))  # (τ, b)

    def reached(τ: Floats) -> npt.NDArray[np.bool_]:
        s = shares(τ)
        return np.asarray((s @ products * s).sum(1) >= target**2)  # (τ,)

    # Between two of the norms the squared norm of the sum is a convex parabola in τ. So the target is reached
    # first between the first norm at which it is exceeded and the one before, and there once.
    bounds = np.sort(norms)
    exceeded = reached(bounds)
    if not exceeded.any():
        return np.ones_like(norms)
    at = int(exceeded.argmax())
    low, high = bounds[at - 1] if at else 0.0, bounds[at]
    while low < (middle := (low + high) / 2) < high:
        low, high = (low, middle) if reached(np.array([middle])) else (middle, high)
    scaled: Floats = shares(np.array([high]))[0]
    return scaled


class InlierClip(UpdateRule):
    """Mean with the 2c values nearest to the median moved onto it, for each parameter on its own.

    The median of an even number is the mean of the middle two; of values as near, the lower come first.

    Parameters
    ----------
    c : int
        As of winsorization, at least 1.
    """

    def __init__(self, c: int) -> None:
        self.c = c

    def served(self, device: str) -> bool:
        """Whether there is a kernel: on the CPU."""
        return device == "cpu"

    def direction(self, layer: LayerGradients) -> dict[str, torch.Tensor]:
        """The mean."""
        if not is_matrix(layer):
            return by_parameter(layer, lambda values: reference.inlier_clipped_mean(values, self.c))
        a, δ = layer.inputs[0], layer.δ
        by_kernel = a.dtype == torch.float32 and a.device.type == "cpu" and operators.ready() != "reference"
        if by_kernel:
            gradient = torch.ops.cgpipe.inlier_clipped_linear_gradient.default(a, δ, self.c)
        else:
            gradient = reference.inlier_clipped_linear_gradient(a, δ, self.c)
        return dict(zip(layer.parameters, gradient, strict=False))


class RandomDrop(RandomRule):
    """Mean without 2c random examples, others for each parameter.

    At each step the minibatch is permuted, and a parameter leaves out 2c neighbours, from a place of its own
    on; behind the last comes the first. So all subsets of 2c are as likely. Sampled on the CPU.

    Parameters
    ----------
    c : int
        As of winsorization, at least 1.
    rng : numpy.random.Generator
        The rule's seed is sampled from it.
    """

    def __init__(self, c: int, rng: np.random.Generator) -> None:
        super().__init__(rng)
        self.c = c

    def update(self, layers: Sequence[LayerGradients], into: Sequence[Parameters], rate: float) -> None:
        """Subtract it."""
        rng = self.next_generator()
        batch = len(layers[0].δ)
        order = torch.from_numpy(rng.permutation(batch)).to(layers[0].δ.device)
        around = torch.cat([order, order[: 2 * self.c - 1]])  # (b + 2c - 1,)
        for layer, parameters in zip(layers, into, strict=True):
            drop = self._dropped_of_matrix if is_matrix(layer) else self._dropped
            dropped = drop(layer, around, rng)
            for name, total in layer.sums().items():
                parameters[name].sub_(total.sub_(dropped[name]), alpha=rate / (batch - 2 * self.c))

    def _dropped(
        self, layer: LayerGradients, around: torch.Tensor, rng: np.random.Generator
    ) -> dict[str, torch.Tensor]:
        """Of each parameter's gradients, the sum of 2c neighbours."""
        first = {
            name: torch.from_numpy(rng.integers(len(layer.δ), size=tuple(p.shape))).to(p.device)
            for name, p in layer.parameters.items()
        }
        found = {name: torch.zeros_like(p) for name, p in layer.parameters.items()}
        for name, index, values in layer.tiles(VALUES_AT_ONCE):
            places = first[name][index]
            found[name][index] = sum(values.gather(0, around[places + k][None])[0] for k in range(2 * self.c))
        return found

    def _dropped_of_matrix(
        self, layer: LayerGradients, around: torch.Tensor, rng: np.random.Generator
    ) -> dict[str, torch.Tensor]:
        """The same of a linear layer, without forming the gradients."""
        batch, a, δ = len(layer.δ), layer.inputs[0][around], layer.δ[around]
        units, width = δ.shape[1], a.shape[1]
        drawn = rng.integers(batch, size=(units, width + 1))  # (o, i + 1), the last of the bias
        first = torch.from_numpy(drawn).to(δ.device)
        # Where the first stands in memory; its neighbours stand a row further on.
        of_δ = first * units + torch.arange(units, device=first.device)[:, None]  # (o, i + 1)
        of_a = (first[:, :-1] * width + torch.arange(width, device=first.device)).flatten()  # (o · i,)
        weight, bias = δ.new_zeros(units * width), δ.new_zeros(units)
        at_weight, at_bias = of_δ[:, :-1].flatten(), of_δ[:, -1]
        for δ_later, a_later in ((δ[k:].flatten(), a[k:].flatten()) for k in range(2 * self.c)):
            weight.addcmul_(δ_later.index_select(0, at_weight), a_later.index_select(0, of_a))
            bias.add_(δ_later.index_select(0, at_bias))
        return {"weight": weight.view(units, width), "bias": bias}
