"""Stochastic gradient descent: the order of the batches, one step, and the evaluation of a network."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from cgpipe.learning.networks import Layer, forward, output_gradients

Aggregate = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


class NonFiniteError(ArithmeticError):
    """The run diverged: a value is infinite or not a number."""


def logged_steps(steps: int) -> list[int]:
    """Steps at which a run is evaluated: 0-9, 10-90 by 10, and so on by decades, and the last.

    From 10,000 on by 10,000 (Chatterjee 2020, figures 1 to 4). "Step t" is after t updates.

    Parameters
    ----------
    steps : int
        Updates of the whole run.

    Returns
    -------
    list of int
        Increasing, from 0 to `steps`.

    Examples
    --------
    >>> logged_steps(25)
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 20, 25]
    """
    decades = [10**k * d for k in range(4) for d in range(1, 10)]
    later = range(10_000, steps + 1, 10_000)
    return sorted({0, steps, *(t for t in decades if t <= steps), *later})


class BatchOrder:
    """Minibatches without replacement: a fresh permutation of the examples for each epoch.

    Examples left over at the end of an epoch, fewer than a minibatch, wait for the next one.

    Parameters
    ----------
    examples : int
        Size of the training set.
    batch_size : int
        Examples a minibatch.
    rng : numpy.random.Generator
        Where the permutations come from.
    """

    def __init__(self, examples: int, batch_size: int, rng: np.random.Generator) -> None:
        if not 0 < batch_size <= examples:
            raise ValueError(
                f"batch size {batch_size} with {examples} training examples: "
                f"give a batch size of 1 to {examples}"
            )
        self.examples, self.batch_size, self._rng = examples, batch_size, rng
        self._permutation: npt.NDArray[np.int64] = rng.permutation(examples)
        self._used = 0

    def next(self) -> npt.NDArray[np.int64]:
        """Indices of the next minibatch, shape (batch_size,)."""
        if self._used + self.batch_size > self.examples:
            self._permutation, self._used = self._rng.permutation(self.examples), 0
        self._used += self.batch_size
        return self._permutation[self._used - self.batch_size : self._used]

    def state(self) -> dict[str, Any]:
        """All that is needed to go on from here, in plain numbers and one array."""
        return {
            "permutation": self._permutation,
            "used": self._used,
            "rng": self._rng.bit_generator.state,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from where `state` was taken."""
        self._permutation, self._used = state["permutation"], state["used"]
        self._rng.bit_generator.state = state["rng"]


def sgd_step(
    layers: Sequence[Layer],
    images: torch.Tensor,
    labels: torch.Tensor,
    learning_rate: float,
    aggregate: Aggregate,
) -> None:
    """One update, in place: w ← w - rate · aggregate of the per-example gradients.

    Parameters
    ----------
    layers : sequence of Layer
        The network; changed.
    images : tensor of float, shape (batch, features)
        The minibatch.
    labels : tensor of int, shape (batch,)
        Its labels.
    learning_rate : float
        Step size, for gradients at the scale of one example.
    aggregate : callable
        From what entered a layer and the gradients at its output, (batch, in) and (batch, out), to
        the layer's weight and bias gradient: `mean_linear_gradient` for SGD, or
        `winsorized_linear_gradient` at some c.

    Raises
    ------
    NonFiniteError
        If an activation or a gradient is not finite; the network is left as it was.
    """
    inputs, logits = forward(layers, images)
    if not bool(torch.isfinite(logits).all()):
        raise NonFiniteError(_first_non_finite(layers, inputs))
    gradients = output_gradients(layers, inputs, logits, labels)
    for number, δ in enumerate(gradients, start=1):
        if not bool(torch.isfinite(δ).all()):
            raise NonFiniteError(f"the gradient at the output of {_layer(layers, number)} is not finite")
    for layer, entered, δ in zip(layers, inputs, gradients, strict=True):
        weight_gradient, bias_gradient = aggregate(entered, δ)
        layer.weight.sub_(weight_gradient, alpha=learning_rate)
        layer.bias.sub_(bias_gradient, alpha=learning_rate)


@dataclass(frozen=True)
class Evaluation:
    """A network on a whole set of examples."""

    loss: float  # mean cross-entropy, in nats
    accuracy: float  # share of examples classified as their label
    correct: npt.NDArray[np.bool_]  # (example,)


def evaluate(
    layers: Sequence[Layer], images: torch.Tensor, labels: torch.Tensor, *, at_once: int = 5_000
) -> Evaluation:
    """Mean loss, accuracy, and which examples are classified as their label.

    Parameters
    ----------
    layers : sequence of Layer
        The network.
    images : tensor of float, shape (example, features)
        All examples.
    labels : tensor of int, shape (example,)
        Their labels, which may be the corrupt ones.
    at_once : int
        Examples in memory at once.

    Returns
    -------
    Evaluation
        At the scale of the mean over the examples.

    Raises
    ------
    NonFiniteError
        If the loss is not finite.
    """
    loss = 0.0
    correct = np.empty(len(images), dtype=np.bool_)
    for start in range(0, len(images), at_once):
        part = slice(start, start + at_once)
        inputs, logits = forward(layers, images[part])
        of_part = torch.nn.functional.cross_entropy(logits, labels[part], reduction="sum")
        if not bool(torch.isfinite(of_part)):
            raise NonFiniteError(_first_non_finite(layers, inputs))
        loss += float(of_part)
        correct[part] = (logits.argmax(1) == labels[part]).cpu().numpy()
    return Evaluation(loss / len(images), float(correct.mean()), correct)


def learned_steps(
    steps: npt.NDArray[np.integer], correct: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """When each example was learned, as far as the logged steps tell.

    Parameters
    ----------
    steps : array of int, shape (step,)
        Logged steps, increasing.
    correct : array of bool, shape (step, example)
        Whether the example is classified as its label.

    Returns
    -------
    first : array of int64, shape (example,)
        First step at which it is right; -1 for never.
    last : array of int64, shape (example,)
        Step since which it has stayed right to the end; -1 if it is wrong at the end.
    """
    first = np.where(correct.any(0), steps[correct.argmax(0)], -1)
    right_to_the_end = np.logical_and.accumulate(correct[::-1])[::-1]  # (step, example)
    last = np.where(correct[-1], steps[right_to_the_end.argmax(0)], -1)
    return first, last


def _first_non_finite(layers: Sequence[Layer], inputs: Sequence[torch.Tensor]) -> str:
    """Name the first layer, from the input on, whose output is not finite."""
    for number, (layer, entered) in enumerate(zip(layers, inputs, strict=True), start=1):
        # Before the ReLU, which makes 0 of -inf.
        left = torch.addmm(layer.bias, entered, layer.weight.T)
        if not bool(torch.isfinite(left).all()):
            return f"the output of {_layer(layers, number)} is not finite"
    return "the loss is not finite, though the output of every layer is"


def _layer(layers: Sequence[Layer], number: int) -> str:
    shape = "x".join(str(n) for n in layers[number - 1].weight.shape)
    return f"layer {number} of {len(layers)} (weights {shape})"
