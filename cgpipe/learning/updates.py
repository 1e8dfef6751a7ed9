"""What an update rule is: a way from the per-example gradients of a minibatch to a change of the network.

Index letters: b example.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch

from cgpipe.kernels import operators
from cgpipe.networks.network import Parameters
from cgpipe.networks.per_example.base import LayerGradients, rows, values_at_once
from cgpipe.networks.per_example.linear import LinearGradients

# From the values of some parameters, shape (b, n), to one of each, shape (n,).
Combine = Callable[[torch.Tensor], torch.Tensor]

# Per-example gradients in memory at once, of layers that no kernel serves: 8 MiB in float32; on a GPU more.
VALUES_AT_ONCE = 2**21


class Fused(NamedTuple):
    """What the fused kernels need to know to make a rule's update."""

    c: int
    trimmed: bool


class UpdateRule:
    """One way to update: a rule defines `direction`, or `update` and the rest with a state."""

    fused: Fused | None = None  # None: the fused kernels do not make the whole of this rule's step
    captured = True  # whether a GPU may replay the kernels of one update for the next
    updates = 0  # made so far, of a rule that draws random numbers

    def update(self, layers: Sequence[LayerGradients], into: Sequence[Parameters], rate: float) -> None:
        """Subtract rate · direction, in place.

        Parameters
        ----------
        layers : sequence of LayerGradients
            Those of the minibatch, by layer.
        into : sequence of mappings from str to tensor
            What to subtract it from, by layer and parameter: the network's parameters, or velocities.
        rate : float
            Step size.
        """
        for layer, parameters in zip(layers, into, strict=True):
            self.update_layer(layer, parameters, rate)

    def update_layer(self, layer: LayerGradients, into: Parameters, rate: float) -> None:
        """Subtract rate · direction of one layer, in place."""
        subtract(into, self.direction(layer), rate)

    def direction(self, layer: LayerGradients) -> dict[str, torch.Tensor]:
        """The direction of one layer, by parameter, at the scale of one example's gradient."""
        raise NotImplementedError

    def served(self, device: str) -> bool:
        """Whether a fused kernel is made for the rule's updates, or a part of them, on `cpu` or `cuda`."""
        return self.fused is not None and operators.serves(self.fused.c, device)

    def state(self) -> dict[str, torch.Tensor]:
        """What the next update depends on in addition to the minibatch; live tensors, by name."""
        return {}

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Go on from where `state` was taken.

        Raises
        ------
        ValueError
            If this rule has no such state.
        """
        if state:
            raise ValueError(f"{type(self).__name__} keeps no state, and was given {sorted(state)}")


class RandomRule(UpdateRule):
    """A rule that draws random numbers: for each update from a seed of its own.

    Parameters
    ----------
    rng : numpy.random.Generator
        The rule's seed is sampled from it.
    """

    captured = False  # each step is sampled anew

    def __init__(self, rng: np.random.Generator) -> None:
        self._seed = int(rng.integers(2**63))

    def next_generator(self) -> np.random.Generator:
        """What the next update is drawn from."""
        rng = np.random.Generator(np.random.PCG64([self._seed, self.updates]))
        self.updates += 1
        return rng

    def state(self) -> dict[str, torch.Tensor]:
        """The seed, and how many updates were drawn from it."""
        return {"seed": torch.tensor(self._seed), "updates": torch.tensor(self.updates)}

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Go on from where `state` was taken."""
        if "seed" not in state:
            raise ValueError("the state of a random rule was not given: restore takes what state returned")
        self._seed, self.updates = int(state["seed"]), int(state["updates"])


def subtract(into: Parameters, gradient: Parameters, rate: float) -> None:
    """Subtract the rate times a gradient from the parameters of a layer, in place."""
    for name, values in gradient.items():
        into[name].sub_(values, alpha=rate)


def mean(layer: LayerGradients) -> dict[str, torch.Tensor]:
    """Mean of the per-example gradients of a layer: the direction of plain SGD."""
    return {name: sums / len(layer.δ) for name, sums in layer.sums().items()}


def norm(gradients: Sequence[Mapping[str, torch.Tensor]]) -> float:
    """Norm of the gradient of a network, by layer and parameter."""
    norms = [torch.linalg.vector_norm(p, dtype=torch.float64) for of in gradients for p in of.values()]
    return float(torch.stack(norms).square().sum().sqrt())


def is_matrix(layer: LayerGradients) -> bool:
    """Whether per-example gradients are δ aᵀ and δ, as the kernels of linear layers take them."""
    return isinstance(layer, LinearGradients) and layer.inputs[0].ndim == 2


def by_parameter(layer: LayerGradients, combine: Combine) -> dict[str, torch.Tensor]:
    """A function of the values of each parameter on its own, some parameters at a time."""
    found = {name: torch.empty_like(p) for name, p in layer.parameters.items()}
    for name, index, values in layer.tiles(max(VALUES_AT_ONCE, values_at_once(layer.δ))):
        found[name][index] = combine(rows(values)).view(values.shape[1:])
    return found
