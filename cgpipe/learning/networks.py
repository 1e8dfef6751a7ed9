"""Fully connected ReLU networks with a softmax cross-entropy loss, forward and backward by hand.

Winsorization needs, for each layer, what entered it and the gradient at its output, example by
example; autograd does not hand these out, and for linear layers the backward pass is three lines.

Index letters: b example, o output unit, i input unit.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
import torch

Init = Literal["xavier", "official"]


class Layer(NamedTuple):
    """One linear layer."""

    weight: torch.Tensor  # (o, i)
    bias: torch.Tensor  # (o,)


def initial_layers(
    widths: Sequence[int],
    init: Init,
    rng: np.random.Generator,
    device: torch.device | str = "cpu",
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
    layers = []
    for fan_in, fan_out in pairwise(widths):
        numerator = {"xavier": 2**0.5, "official": 2.0}[init]
        std = numerator / (fan_in + fan_out) ** 0.5
        weight = rng.standard_normal((fan_out, fan_in), dtype=np.float32) * np.float32(std)
        layers.append(Layer(torch.from_numpy(weight).to(device), torch.zeros(fan_out, device=device)))
    return layers


def forward(layers: Sequence[Layer], images: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
    """What enters each layer, and the logits.

    Parameters
    ----------
    layers : sequence of Layer
        The network.
    images : tensor of float, shape (batch, features)
        Flattened images.

    Returns
    -------
    inputs : list of tensors, shapes (batch, in)
        What entered each layer; the first are the images.
    logits : tensor, shape (batch, classes)
        What left the last.
    """
    inputs = [images]
    for layer in layers[:-1]:
        inputs.append(torch.addmm(layer.bias, inputs[-1], layer.weight.T).relu_())  # (b, o)
    return inputs, torch.addmm(layers[-1].bias, inputs[-1], layers[-1].weight.T)


def output_gradients(
    layers: Sequence[Layer], inputs: Sequence[torch.Tensor], logits: torch.Tensor, labels: torch.Tensor
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

    Returns
    -------
    list of tensors, shapes (batch, out)
        One a layer, input to output.
    """
    δ = logits.softmax(1)  # (b, class)
    δ[torch.arange(len(labels), device=labels.device), labels] -= 1
    gradients = [δ]
    for layer, entered in zip(layers[:0:-1], inputs[:0:-1], strict=True):
        δ = (δ @ layer.weight) * (entered > 0)  # (b, o of the layer below)
        gradients.append(δ)
    return gradients[::-1]
