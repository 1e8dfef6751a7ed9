"""Fully connected ReLU networks, with passes by hand and by the kernels that leave out zeros.

Index letters: e example, o output unit, i input unit.
"""

from collections.abc import Iterator, Mapping, Sequence

import torch

from cgpipe.kernels import operators
from cgpipe.kernels.products import linear, outer_sum
from cgpipe.networks.dense import (
    Layer,
    forward,
    non_finite_output,
    non_finite_place,
    output_gradients,
)
from cgpipe.networks.network import Network, Parameters, Pass
from cgpipe.networks.per_example.base import dot
from cgpipe.networks.per_example.linear import LinearGradients


class Dense(Network):
    """A stack of linear layers with ReLUs between them.

    Parameters
    ----------
    stack : sequence of Layer
        From the input on; kept, not copied.
    """

    def __init__(self, stack: Sequence[Layer]) -> None:
        self.stack = list(stack)
        self.layers = tuple(str(number) for number in range(len(self.stack)))
        self.activations = tuple(str(number) for number in range(1, len(self.stack)))  # behind these layers
        self.classes = len(self.stack[-1].bias)
        self.width = max(max(layer.weight.shape) for layer in self.stack)

    def parameters(self) -> list[dict[str, torch.Tensor]]:
        """The live parameters of each layer."""
        return [layer._asdict() for layer in self.stack]

    def copy(self) -> "Dense":
        """A copy, the weights of the first layer input by input in memory, as `initial_layers` has them."""
        first, *others = (Layer(*(p.clone() for p in layer)) for layer in self.stack)
        return Dense([_by_input(first), *others])

    def double(self) -> "Dense":
        """A copy in float64."""
        return Dense([Layer(*(p.double() for p in layer)) for layer in self.stack])

    def forward(self, images: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
        """What enters each layer, and the logits, as of `dense.forward`.

        In float32 on the CPU the first layer leaves out the zeros of the images, if most pixels are 0.
        """
        stack = self.stack
        if images.device.type != "cpu" or images.dtype != torch.float32 or operators.missing("cpu"):
            return forward(stack, images)
        left = torch.ops.cgpipe.first_layer(images, *stack[0], len(stack) > 1)  # (e, o)
        if len(stack) == 1:
            return [images], left
        inputs, logits = forward(stack[1:], left)
        return [images, *inputs], logits

    def logits(self, images: torch.Tensor) -> torch.Tensor:
        """What the network makes of some images."""
        return self.forward(images)[1]

    def active(self, images: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """The logits, and how many of the examples activate each hidden unit."""
        inputs, logits = self.forward(images)
        # The sign of what leaves a ReLU is 0 or 1; faster than a comparison, and exact in float32.
        return logits, [activations.sign_().sum(0).to(torch.int64) for activations in inputs[1:]]

    def pass_examples(self, images: torch.Tensor, labels: torch.Tensor, part: slice = slice(None)) -> Pass:
        """Take some examples forward and backward together."""
        inputs, logits = self.forward(images)
        gradients = output_gradients(self.stack, inputs, logits, labels)
        kinds = [FirstGradients, *[DenseGradients] * (len(self.stack) - 1)]
        layers = zip(kinds, self.stack, inputs, gradients, strict=True)
        return Pass(part, logits, [kind(layer, (a,), δ) for kind, layer, a, δ in layers])

    def non_finite(self, images: torch.Tensor, labels: torch.Tensor) -> str:
        """Where the first value is that is not finite, as a sentence."""
        inputs, logits = forward(self.stack, images)
        gradients = output_gradients(self.stack, inputs, logits, labels)
        # An output of -inf is 0 after its ReLU, and not to be seen in what follows.
        return non_finite_place(self.stack, inputs, logits, gradients) or non_finite_output(
            self.stack, inputs
        )

    def passes(
        self, images: torch.Tensor, labels: torch.Tensor, at_once: int | None = None
    ) -> Iterator[Pass]:
        """Take all examples forward and backward, some at a time."""
        first, *others = self.stack
        # For the products that leave out zeros.
        by_input = Dense([_by_input(first), *others])
        yield from Network.passes(by_input, images, labels, at_once)

    def as_direction(self, direction: Sequence[Parameters]) -> Sequence[Parameters]:
        """Values for each parameter in its type, those of the first layer input by input in memory."""
        of_layers = super().as_direction(direction)
        first = _by_input(Layer(**of_layers[0]))
        return [first._asdict(), *of_layers[1:]]


class DenseGradients(LinearGradients):
    """Per-example gradients of a layer of such a network; products leave out zeros."""

    def products(self, direction: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """⟨direction, g_e⟩."""
        along = linear(self.inputs[0], direction["weight"], direction["bias"])
        return dot(along, self.δ)


class FirstGradients(DenseGradients):
    """Those of the first layer; sums leave out zeros, too."""

    def sums(self) -> dict[str, torch.Tensor]:
        """Σ_e g_e."""
        return {"weight": outer_sum(self.inputs[0], self.δ).T, "bias": self.δ.sum(0)}


def _by_input(layer: Layer) -> Layer:
    return Layer(layer.weight.T.contiguous().T, layer.bias)
