"""What an update rule is: a way from the per-example gradients of a minibatch to a change of the network.

Index letters: b example, o output unit, i input unit.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch

from cgpipe.learning.aggregation import operators
from cgpipe.networks.dense import Layer

Gradient = tuple[torch.Tensor, torch.Tensor]  # of a layer's weight (o, i), and of its bias (o,)


class Fused(NamedTuple):
    """What the fused kernels need to know to make a rule's update."""

    c: int
    trimmed: bool


class UpdateRule:
    """One way to update: a rule defines `update_layer`, or `update` and the rest if it keeps a state."""

    fused: Fused | None = None  # None: the fused kernels do not make the whole of this rule's step
    captured = True  # whether a GPU may replay the kernels of one update for the next

    def update(
        self,
        layers: Sequence[Layer],
        inputs: Sequence[torch.Tensor],
        output_gradients: Sequence[torch.Tensor],
        rate: float,
    ) -> None:
        """Change the network, in place.

        Parameters
        ----------
        layers : sequence of Layer
            The network.
        inputs : sequence of tensors, shapes (batch, in)
            What entered each layer.
        output_gradients : sequence of tensors, shapes (batch, out)
            Gradient of the summed loss at the output of each layer.
        rate : float
            Step size.
        """
        for layer, a, δ in zip(layers, inputs, output_gradients, strict=True):
            self.update_layer(layer, a, δ, rate)

    def update_layer(self, layer: Layer, a: torch.Tensor, δ: torch.Tensor, rate: float) -> None:
        """Change one layer, in place; `a`, shape (b, i), entered it, and δ, (b, o), is the gradient there."""
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


def subtract(layer: Layer, weight_gradient: torch.Tensor, bias_gradient: torch.Tensor, rate: float) -> None:
    """Subtract the rate times a gradient from the parameters of a layer, in place."""
    layer.weight.sub_(weight_gradient, alpha=rate)
    layer.bias.sub_(bias_gradient, alpha=rate)
