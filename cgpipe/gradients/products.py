"""Products with what enters a layer, and sums of them, without its zeros: of MNIST, four of five pixels.

Index letters: e example, o output unit, i input unit.
"""

from collections.abc import Sequence

import torch

from cgpipe.learning.aggregation import operators
from cgpipe.networks.dense import Layer

SUMMED = 1_000  # examples whose gradients are summed in float32


def linear(a: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """What a linear layer makes of each example, a Wᵀ + b.

    Zeros are left out in float32 on the CPU, if most values are 0 and the weights lie input by input.

    Parameters
    ----------
    a : tensor of float, shape (e, i)
        What enters the layer.
    weight : tensor of float, shape (o, i)
        W.
    bias : tensor of float, shape (o,)
        b.

    Returns
    -------
    tensor of float, shape (e, o)
        What leaves it, before a ReLU.
    """
    if a.device.type != "cpu" or a.dtype != torch.float32 or operators.missing("cpu"):
        return torch.addmm(bias, a, weight.T)
    left: torch.Tensor = torch.ops.cgpipe.first_layer(a, weight, bias, False)
    return left


def outer_sum(a: torch.Tensor, δ: torch.Tensor) -> torch.Tensor:
    """Σ_e a_e δ_eᵀ, the summed gradient of a layer's weights, input by input.

    Parameters
    ----------
    a : tensor of float, shape (e, i)
        What entered the layer.
    δ : tensor of float, shape (e, o)
        Gradients at its output.

    Returns
    -------
    tensor of float, shape (i, o)
        At the scale of a sum.
    """
    return linear(a.T.contiguous(), δ.T, δ.new_zeros(δ.shape[1]))


class GradientSum:
    """A sum of per-example gradients in float64; few examples at a time are summed in float32.

    Parameters
    ----------
    layers : sequence of Layer
        Where to add them; float64.
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._layers = layers
        self._waiting: list[tuple[Sequence[torch.Tensor], Sequence[torch.Tensor]]] = []
        self._examples = 0

    def add(self, inputs: Sequence[torch.Tensor], gradients: Sequence[torch.Tensor]) -> None:
        """Add the gradients of some examples; `end` adds the last."""
        count = len(gradients[0])
        if self._examples + count > SUMMED:
            self.end()
        if count:
            self._waiting.append((inputs, gradients))
            self._examples += count

    def end(self) -> None:
        """Add what waits for more examples."""
        if not self._waiting:
            return
        waiting = zip(*(zip(*part, strict=True) for part in self._waiting), strict=True)
        for number, (sums, parts) in enumerate(zip(self._layers, waiting, strict=True)):
            whole = (torch.split(torch.cat(rows), SUMMED) for rows in zip(*parts, strict=True))
            for a, δ in zip(*whole, strict=True):
                sums.weight.add_(δ.T @ a if number else outer_sum(a, δ).T)
                sums.bias.add_(δ.sum(0))
        self._waiting.clear()
        self._examples = 0
