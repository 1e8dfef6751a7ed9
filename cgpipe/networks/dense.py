"""Fully connected ReLU networks with a softmax cross-entropy loss, forward and backward by hand.

Winsorization needs, for each layer, what entered it and the gradient at its output, example by
example; autograd does not hand these out, and for linear layers the backward pass is three lines.

Index letters: b example, o output unit, i input unit.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch.nn.functional import logsigmoid

from cgpipe.names import Init


class Layer(NamedTuple):
    """One linear layer."""

    weight: torch.Tensor  # (o, i)
    bias: torch.Tensor  # (o,)


def initial_layers(
    widths: Sequence[int], init: Init, rng: np.random.Generator, device: torch.device | str = "cpu"
) -> list[Layer]:
    """Draw the initial parameters; biases are 0.

    Parameters
    ----------
    widths : sequence of int
        Units of the input, of each hidden layer, and of the output.
    init : {"xavier", "official"}
        Standard deviation of the normal weights: Glorot's √(2/(fan_in+fan_out)), as the paper says,
        or 2/√(fan_in+fan_out), as in its released code.
    rng : numpy.random.Generator
        Drawn from on the CPU, so that every device starts from the same parameters.
    device : torch.device or str
        Where the parameters go.

    Returns
    -------
    list of Layer
        float32 parameters, input to output.
    """
    layers: list[Layer] = []
    for fan_in, fan_out in pairwise(widths):
        numerator = {"xavier": 2**0.5, "official": 2.0}[init]
        std = numerator / (fan_in + fan_out) ** 0.5
        drawn = rng.standard_normal((fan_out, fan_in), dtype=np.float32) * np.float32(std)
        weight = torch.from_numpy(drawn)
        if not layers:
            # Input by input in memory: the winsorized gradient of sparse images comes so, and the matrix
            # products do not mind.
            weight = weight.T.contiguous().T
        layers.append(Layer(weight.to(device), torch.zeros(fan_out, device=device)))
    return layers


def forward(
    layers: Sequence[Layer], images: torch.Tensor, out: Sequence[torch.Tensor] | None = None
) -> tuple[list[torch.Tensor], torch.Tensor]:
    """What enters each layer, and the logits.

    Parameters
    ----------
    layers : sequence of Layer
        The network.
    images : tensor of float, shape (batch, features)
        Flattened images.
    out : sequence of tensors, shapes (batch, out), optional
        Where to write what leaves each layer, instead of into new memory.

    Returns
    -------
    inputs : list of tensors, shapes (batch, in)
        What entered each layer; the first are the images.
    logits : tensor, shape (batch, classes)
        What left the last.
    """
    passed = [images]
    for number, layer in enumerate(layers):
        left = torch.addmm(layer.bias, passed[-1], layer.weight.T, out=out[number] if out else None)
        passed.append(left.relu_() if number < len(layers) - 1 else left)  # (b, o)
    return passed[:-1], passed[-1]


def losses(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Softmax cross-entropy of each example, log(1 + Σ of the others' odds), which keeps small ones.

    Parameters
    ----------
    logits : tensor of float, shape (batch, classes)
        As `forward` returned them.
    labels : tensor of int, shape (batch,)
        The classes to learn.

    Returns
    -------
    tensor of float, shape (batch,)
        In nats; relative rounding errors only, however well an example is fitted.
    """
    label = labels[:, None]
    odds = logits - logits.gather(1, label)  # in logarithms, against the label
    odds.scatter_add_(1, label, odds.new_full((), -torch.inf).expand(len(odds), 1))
    return -logsigmoid(-odds.logsumexp(1))


def logit_gradients(
    logits: torch.Tensor, labels: torch.Tensor, out: torch.Tensor | None = None
) -> torch.Tensor:
    """Gradient of the *summed* softmax cross-entropy at the logits, of any network.

    Parameters
    ----------
    logits : tensor of float, shape (batch, classes)
        What left the last layer.
    labels : tensor of int, shape (batch,)
        The classes to learn.
    out : tensor, shape (batch, classes), optional
        Where to write it, instead of into new memory.

    Returns
    -------
    tensor of float, shape (batch, classes)
        Relative rounding errors only, however well an example is fitted.
    """
    δ = torch.softmax(logits, 1, out=out)  # (b, class)
    # At the label p - 1, as the other p with a minus: p is rounded to 1 where an example is fitted.
    label = labels[:, None]
    δ.scatter_add_(1, label, -δ.gather(1, label))  # 0 at the label, and NaN stays
    δ.scatter_add_(1, label, -δ.sum(1, keepdim=True))
    return δ


def output_gradients(
    layers: Sequence[Layer],
    inputs: Sequence[torch.Tensor],
    logits: torch.Tensor,
    labels: torch.Tensor,
    out: Sequence[torch.Tensor] | None = None,
) -> list[torch.Tensor]:
    """Gradient of the *summed* softmax cross-entropy at the output of each layer.

    Row b of each is the gradient of example b's own loss, whatever the batch size.

    Parameters
    ----------
    layers : sequence of Layer
        The network.
    inputs, logits
        As `forward` returned them.
    labels : tensor of int, shape (batch,)
        The classes to learn.
    out : sequence of tensors, shapes (batch, out), optional
        Where to write them, instead of into new memory.

    Returns
    -------
    list of tensors, shapes (batch, out)
        One a layer, input to output.
    """
    δ = logit_gradients(logits, labels, out=out[-1] if out else None)
    gradients = [δ]
    for number in range(len(layers) - 1, 0, -1):
        δ = torch.mm(δ, layers[number].weight, out=out[number - 1] if out else None)
        # The backward pass of a ReLU, in place: 0 where nothing came through.
        torch.ops.aten.threshold_backward.grad_input(δ, inputs[number], 0, grad_input=δ)
        gradients.append(δ)  # (b, o of the layer below)
    return gradients[::-1]


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
