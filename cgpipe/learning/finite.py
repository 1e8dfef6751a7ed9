"""Where a run diverged: the layer at which the first value is infinite or not a number."""

import math
from collections.abc import Sequence

import torch

from cgpipe.networks.dense import Layer, non_finite_place

BEFORE = (
    "an activation or a gradient was not finite at one of the updates before; device: cpu tells at which, "
    "and in which layer"
)


class NonFiniteError(ArithmeticError):
    """The run diverged: a value is infinite or not a number."""


def require_finite(
    layers: Sequence[Layer],
    inputs: Sequence[torch.Tensor],
    logits: torch.Tensor,
    gradients: Sequence[torch.Tensor],
) -> None:
    """Raise NonFiniteError if an activation or a gradient of a minibatch is not finite.

    Parameters
    ----------
    layers : sequence of Layer
        The network.
    inputs : sequence of tensors, shapes (batch, in)
        What entered each layer.
    logits : tensor of float, shape (batch, classes)
        What left the last.
    gradients : sequence of tensors, shapes (batch, out)
        Gradient of the summed loss at the output of each layer.
    """
    # A sum is not finite if a value is not. What is not finite at an output reaches the logits on the way
    # forward, and the first layer on the way back.
    if math.isfinite(logits.sum()) and math.isfinite(gradients[0].sum()):
        return
    if place := non_finite_place(layers, inputs, logits, gradients):
        raise NonFiniteError(place)
