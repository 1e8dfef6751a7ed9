"""Stochastic gradient descent: the order of the batches, the steps, and the evaluation of a network."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from cgpipe.learning.aggregation import operators
from cgpipe.learning.aggregation.rules import UpdateRule
from cgpipe.networks.dense import Layer, forward, losses, output_gradients


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


class Trainer:
    """Updates of a network on a dataset that lies on its device.

    Minibatches are indices, every step writes into the same memory, and on a GPU a step is captured once
    and replayed, as its kernels are shorter than their launches.

    Parameters
    ----------
    layers : sequence of Layer
        The network; changed in place.
    images : tensor of float, shape (example, features)
        The training set.
    labels : tensor of int, shape (example,)
        Its labels.
    batch_size : int
        Examples in a minibatch.
    learning_rate : float
        Step size, for gradients at the scale of one example.
    rule : UpdateRule
        How the per-example gradients become one update.
    """

    # Done step by step before one is captured, so that libraries have set up what they need.
    WARM_UP = 3

    def __init__(
        self,
        layers: Sequence[Layer],
        images: torch.Tensor,
        labels: torch.Tensor,
        batch_size: int,
        learning_rate: float,
        rule: UpdateRule,
    ) -> None:
        self.layers, self.images, self.labels = layers, images, labels
        self.learning_rate, self.rule = learning_rate, rule
        self._batch = torch.empty(batch_size, dtype=torch.int64, device=images.device)
        self._entered = images.new_empty(batch_size, images.shape[1])
        self._classes = labels.new_empty(batch_size)
        self._left = [images.new_empty(batch_size, len(layer.bias)) for layer in layers]
        self._gradients = [torch.empty_like(left) for left in self._left]
        self._on_gpu = images.device.type == "cuda"
        # Compiled before the first step. On the CPU a whole step is one operator, if this rule's can be.
        fused = (
            rule.fused is not None
            and images.dtype == torch.float32
            and operators.serves(rule.fused.c, images.device.type)
            and operators.ready(images.device.type) != "reference"
        )
        self._whole = fused and not self._on_gpu
        self._finite = torch.ones((), dtype=torch.bool, device=images.device)
        self._steps = 0
        self._graph: torch.cuda.CUDAGraph | None = None

    def step(self, batch: npt.NDArray[np.int64]) -> None:
        """Make one update.

        Parameters
        ----------
        batch : array of int64, shape (batch_size,)
            Indices of the minibatch.

        Raises
        ------
        NonFiniteError
            On the CPU, if an activation or a gradient is not finite; the network is left as it was. On a
            GPU, which is not waited for, `check` tells.
        """
        self._batch.copy_(torch.from_numpy(batch))
        if self._graph is None and self._on_gpu and self._steps == self.WARM_UP:
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):
                self._update()
        if self._graph is not None:
            self._graph.replay()
        else:
            self._update()
        self._steps += 1

    def check(self) -> None:
        """See whether the updates so far were finite.

        Raises
        ------
        NonFiniteError
            If one was not.
        """
        if not bool(self._finite):
            raise NonFiniteError(
                "an activation or a gradient was not finite at one of the updates before; device: cpu "
                "tells at which, and in which layer"
            )

    def _update(self) -> None:
        if self._whole:
            self._update_at_once()
        else:
            self._update_by_parts()

    def _update_at_once(self) -> None:
        assert self.rule.fused is not None
        weights, biases = [layer.weight for layer in self.layers], [layer.bias for layer in self.layers]
        finite = torch.ops.cgpipe.sgd_step_.default(
            *(weights, biases, self.images, self.labels, self._batch),
            *(self._entered, self._classes, self._left, self._gradients),
            *(self.rule.fused.c, self.learning_rate, self.rule.fused.trimmed),
        )
        if not finite:
            inputs = [self._entered, *self._left[:-1]]
            raise NonFiniteError(_name_non_finite(self.layers, inputs, self._left[-1], self._gradients))

    def _update_by_parts(self) -> None:
        images = torch.index_select(self.images, 0, self._batch, out=self._entered)
        labels = torch.index_select(self.labels, 0, self._batch, out=self._classes)
        inputs, logits = forward(self.layers, images, out=self._left)
        gradients = output_gradients(self.layers, inputs, logits, labels, out=self._gradients)
        if self._on_gpu:
            sums = torch.stack([values.sum() for values in (logits, *gradients)])
            self._finite.logical_and_(torch.isfinite(sums).all())
        else:
            _require_finite(self.layers, inputs, logits, gradients)
        self.rule.update(self.layers, inputs, gradients, self.learning_rate)


@dataclass(frozen=True)
class Evaluation:
    """A network on a whole set of examples."""

    loss: float  # mean cross-entropy, in nats
    accuracy: float  # share of examples classified as their label
    correct: npt.NDArray[np.bool_]  # (example,)


def evaluate(
    layers: Sequence[Layer], images: torch.Tensor, labels: torch.Tensor, *, at_once: int = 2_000
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
    of_parts, correct = [], torch.empty(len(images), dtype=torch.bool, device=images.device)
    for start in range(0, len(images), at_once):
        part = slice(start, start + at_once)
        logits = forward(layers, images[part])[1]
        of_parts.append(losses(logits, labels[part]).sum(dtype=torch.float64))
        torch.eq(logits.argmax(1), labels[part], out=correct[part])
    loss = float(torch.stack(of_parts).sum())
    if not math.isfinite(loss):
        raise NonFiniteError(_first_non_finite(layers, forward(layers, images)[0]))
    right = correct.cpu().numpy()
    return Evaluation(loss / len(images), float(right.mean()), right)


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


def _require_finite(
    layers: Sequence[Layer],
    inputs: Sequence[torch.Tensor],
    logits: torch.Tensor,
    gradients: Sequence[torch.Tensor],
) -> None:
    # A sum is not finite if a value is not. What is not finite at an output reaches the logits on the way
    # forward, and the first layer on the way back.
    if math.isfinite(logits.sum()) and math.isfinite(gradients[0].sum()):
        return
    if name := _name_non_finite(layers, inputs, logits, gradients):
        raise NonFiniteError(name)


def _name_non_finite(
    layers: Sequence[Layer],
    inputs: Sequence[torch.Tensor],
    logits: torch.Tensor,
    gradients: Sequence[torch.Tensor],
) -> str:
    """Say where the first value is that is not finite; empty if all are."""
    if not bool(torch.isfinite(logits).all()):
        return _first_non_finite(layers, inputs)
    for number, δ in reversed(list(enumerate(gradients, start=1))):
        if not bool(torch.isfinite(δ).all()):
            return f"the gradient at the output of {_layer(layers, number)} is not finite"
    return ""


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
