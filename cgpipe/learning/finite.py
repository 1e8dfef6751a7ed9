"""Where a run diverged: the layer at which the first value is infinite or not a number."""

import math
from collections.abc import Sequence

import torch

from cgpipe.networks.dense import Layer


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


def non_finite_place(
    layers: Sequence[Layer],
    inputs: Sequence[torch.Tensor],
    logits: torch.Tensor,
    gradients: Sequence[torch.Tensor],
) -> str:
    """Where the first value is that is not finite, as a sentence; empty if all are finite."""
    if not bool(torch.isfinite(logits).all()):
        return non_finite_output(layers, inputs)
    for number, δ in reversed(list(enumerate(gradients, start=1))):
        if not bool(torch.isfinite(δ).all()):
            return f"the gradient at the output of {_layer(layers, number)} is not finite"
    return ""


def non_finite_output(layers: Sequence[Layer], inputs: Sequence[torch.Tensor]) -> str:
    """The first layer, from the input on, whose output is not finite, as a sentence."""
    for number, (layer, entered) in enumerate(zip(layers, inputs, strict=True), start=1):
        # Before the ReLU, which makes 0 of -inf.
        output = torch.addmm(layer.bias, entered, layer.weight.T)  # (b, o)
        if not bool(torch.isfinite(output).all()):
            return f"the output of {_layer(layers, number)} is not finite"
    return "the loss is not finite, though the output of every layer is"


def _layer(layers: Sequence[Layer], number: int) -> str:
    shape = "x".join(str(n) for n in layers[number - 1].weight.shape)
    return f"layer {number} of {len(layers)} (weights {shape})"
