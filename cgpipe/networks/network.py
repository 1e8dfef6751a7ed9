"""What the rest of the package knows of a network: parameters by layer, logits, and per-example gradients.

Index letters: e example.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt
import torch

from cgpipe.networks.per_example.base import LayerGradients

Parameters = Mapping[str, torch.Tensor]  # of one layer, by name, such as weight and bias

# Examples that pass at once on a CPU, so that they stay in its cache, and those of an evaluation.
AT_ONCE, EVALUATED_AT_ONCE = 500, 2_000
# Activations of the widest layer in memory at once, of all examples that pass together. A GPU wants few and
# large operations.
ACTIVATIONS, GPU_ACTIVATIONS, GPU_EVALUATED = 2**22, 2**26, 2**28


class Pass(NamedTuple):
    """Some examples, forward and backward."""

    part: slice  # which
    logits: torch.Tensor  # (e, class)
    layers: list[LayerGradients]  # of the layers that have parameters, in the order of the forward pass


class Network(ABC):
    """A network that classifies images.

    Attributes
    ----------
    layers : tuple of str
        Names of the layers that have parameters, in the order of the forward pass.
    activations : tuple of str
        Names of the layers whose units are active or not: the ReLUs.
    classes : int
        Units of the output.
    width : int
        Numbers that an example has where it has most: as an image, or at the output of a layer.
    by_mode : sequence of str
        What gives something else in training mode, as batch normalization does. With some, the gradient
        there is another than here.
    """

    layers: tuple[str, ...]
    activations: tuple[str, ...]
    classes: int
    width: int
    by_mode: Sequence[str] = ()

    @abstractmethod
    def parameters(self) -> list[dict[str, torch.Tensor]]:
        """The live parameters of each layer, by name."""

    def state(self) -> dict[str, torch.Tensor]:
        """All that the logits depend on, live: of each layer `name.parameter`, and buffers."""
        layers = zip(self.layers, self.parameters(), strict=True)
        return {f"{layer}.{name}": p for layer, of in layers for name, p in of.items()}

    def load(self, state: Mapping[str, torch.Tensor]) -> Self:
        """Set what `state` returns to these values, in place.

        Raises
        ------
        ValueError
            If names or shapes are not those of this network.
        """
        own = self.state()
        shapes = {name: tuple(values.shape) for name, values in own.items()}
        given = {name: tuple(values.shape) for name, values in state.items()}
        if shapes != given:
            raise ValueError(
                f"values of shapes {given} for a network of {shapes}: give those of this network"
            )
        with torch.no_grad():
            for name, values in own.items():
                values.copy_(state[name])
        return self

    @abstractmethod
    def copy(self) -> "Network":
        """A copy, laid out in memory as a network is trained."""

    @abstractmethod
    def double(self) -> "Network":
        """A copy in float64."""

    @abstractmethod
    def logits(self, images: torch.Tensor) -> torch.Tensor:
        """What the network makes of some images, shape (e, class); without gradients."""

    @abstractmethod
    def active(self, images: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """The logits, and at each of `activations` how many of the examples activate each unit, int64."""

    @abstractmethod
    def pass_examples(self, images: torch.Tensor, labels: torch.Tensor, part: slice = slice(None)) -> Pass:
        """Take some examples forward and backward together.

        Parameters
        ----------
        images : tensor of float, shape (e, ...)
            The examples.
        labels : tensor of int, shape (e,)
            The labels they are trained on.
        part : slice
            Which of all examples they are, for the result.

        Returns
        -------
        Pass
            Of each example's own loss.
        """

    @abstractmethod
    def non_finite(self, images: torch.Tensor, labels: torch.Tensor) -> str:
        """Where the first value is that is not finite, forward and then backward, as a sentence."""

    def cosine_to_training(self, images: torch.Tensor, labels: torch.Tensor) -> float:
        """Cosine between the gradient of a minibatch as it is taken here and that in training mode."""
        return 1.0

    def as_direction(self, direction: Sequence[Parameters]) -> Sequence[Parameters]:
        """Values for each parameter in the type of the parameters, for many products with them."""
        return [
            {name: values.to(own[name].dtype) for name, values in of.items()}
            for of, own in zip(direction, self.parameters(), strict=True)
        ]

    def passes(
        self, images: torch.Tensor, labels: torch.Tensor, at_once: int | None = None
    ) -> Iterator[Pass]:
        """Take all examples forward and backward, some at a time.

        Parameters
        ----------
        images, labels
            All examples, as of `pass_examples`.
        at_once : int, optional
            Examples in memory at once; by default as many as suit the device and the network.
        """
        if at_once is None:
            at_once = self.at_once(images, AT_ONCE, GPU_ACTIVATIONS)
        for start in range(0, len(images), at_once):
            part = slice(start, min(start + at_once, len(images)))
            yield self.pass_examples(images[part], labels[part], part)

    def all_logits(self, images: torch.Tensor) -> torch.Tensor:
        """What the network makes of all images, some at a time."""
        at_once = self.at_once(images, AT_ONCE, GPU_ACTIVATIONS)
        return torch.cat([self.logits(some) for some in torch.split(images, at_once)])

    def named(self, which: npt.NDArray[np.int64]) -> str:
        """Some of the layers, by their numbers, for a message."""
        names = [self.layers[number] for number in which]
        return f"layers {', '.join(names)}" if len(names) > 1 else f"layer {names[0]}"

    def at_once(self, images: torch.Tensor, on_cpu: int, on_gpu: int) -> int:
        """Examples to take at once: at most so many on a CPU, or so many activations on a GPU."""
        activations, most = (on_gpu, len(images)) if images.is_cuda else (ACTIVATIONS, on_cpu)
        return max(1, min(most, activations // self.width))
