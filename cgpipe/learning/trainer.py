"""One update of a fully connected network by a minibatch.

Index letters: b example of the minibatch, o output unit, i input unit.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from cgpipe.learning.descent import Descent
from cgpipe.learning.finite import BEFORE, NonFiniteError, require_finite
from cgpipe.learning.rules import kernel
from cgpipe.learning.updates import UpdateRule
from cgpipe.networks.dense import Layer, forward, output_gradients
from cgpipe.networks.fully_connected import Dense
from cgpipe.networks.per_example.linear import LinearGradients


class Trainer:
    """Updates of a network on a dataset that lies on its device.

    Minibatches are indices, every step writes into the same memory, and on a GPU a step is captured once
    and replayed, as its kernels are shorter than their launches. A minibatch of the whole training set is
    taken in the order of the training set, without a copy, if its order changes no more than the last bits.

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
    rule : UpdateRule
        How the per-example gradients become one direction.
    descent : Descent, optional
        Momentum and weight decay; by default neither.
    """

    # Updates before one is captured, so that libraries have set up what they need.
    WARM_UP = 3
    # Examples of a plain step that pass at once on the CPU, so that they stay in its cache.
    AT_ONCE = 250

    def __init__(
        self,
        layers: Sequence[Layer],
        images: torch.Tensor,
        labels: torch.Tensor,
        batch_size: int,
        rule: UpdateRule,
        descent: Descent | None = None,
    ) -> None:
        self.layers, self.images, self.labels = layers, images, labels
        self.rule, self.descent = rule, descent or Descent()
        self._on_gpu = images.device.type == "cuda"
        # Kernels are compiled here, before the first step.
        made_by = kernel(rule, images.device.type) if images.dtype == torch.float32 else "torch"
        # On the CPU a whole step is one operator, if the kernel serves the rule.
        fused = rule.fused is not None and self.descent.plain and made_by not in ("torch", "reference")
        self._in_one_operator = fused and not self._on_gpu
        in_parts = self._in_one_operator and rule.fused is not None and rule.fused.c == 0
        rows = min(batch_size, self.AT_ONCE) if in_parts else batch_size
        self._whole = batch_size == len(images) and rule.fused is not None
        self._batch = torch.empty(batch_size, dtype=torch.int64, device=images.device)  # (b,)
        self._batch_images = images if self._whole else images.new_empty(rows, images.shape[1])  # (b, i)
        self._batch_labels = labels if self._whole else labels.new_empty(rows)  # (b,)
        self._outputs = [images.new_empty(rows, len(layer.bias)) for layer in layers]  # (b, o) each
        self._gradients = [torch.empty_like(output) for output in self._outputs]  # (b, o) each
        self._finite = torch.ones((), dtype=torch.bool, device=images.device)
        self._steps, self._rate = 0, math.nan  # updates so far at this rate
        self._graph: torch.cuda.CUDAGraph | None = None

    def step(self, batch: npt.NDArray[np.int64], rate: float) -> None:
        """Make one update.

        Parameters
        ----------
        batch : array of int64, shape (batch_size,)
            Indices of the minibatch.
        rate : float
            Step size, for gradients at the scale of one example.

        Raises
        ------
        NonFiniteError
            On the CPU, if an activation or a gradient is not finite; the network is left as it was. A GPU is
            not waited for: there `check` raises it.
        """
        self._batch.copy_(torch.from_numpy(batch))  # (b,)
        # The rate is part of what is captured.
        self._steps = self._steps + 1 if rate == self._rate else 0
        if self._steps == 0:
            self._graph, self._rate = None, rate
        if self._on_gpu and self._steps == self.WARM_UP and self.rule.captured:
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):
                self._update(rate)
        if self._graph is not None:
            self._graph.replay()
        else:
            self._update(rate)

    def check(self) -> None:
        """See whether the updates so far were finite.

        Raises
        ------
        NonFiniteError
            If one was not.
        """
        if not bool(self._finite):
            raise NonFiniteError(BEFORE)

    def _update(self, rate: float) -> None:
        if self._in_one_operator:
            self._update_in_one_operator(rate)
        else:
            self._update_by_parts(rate)

    def _update_in_one_operator(self, rate: float) -> None:
        assert self.rule.fused is not None
        weights, biases = [layer.weight for layer in self.layers], [layer.bias for layer in self.layers]
        finite = torch.ops.cgpipe.sgd_step_.default(
            *(weights, biases, self.images, self.labels, None if self._whole else self._batch),
            *(self._batch_images, self._batch_labels, self._outputs, self._gradients),
            *(self.rule.fused.c, rate, self.rule.fused.trimmed),
        )
        if not finite:
            batch = slice(None) if self._whole else self._batch
            raise NonFiniteError(Dense(self.layers).non_finite(self.images[batch], self.labels[batch]))

    def _update_by_parts(self, rate: float) -> None:
        images, labels = self._batch_images, self._batch_labels  # (b, i), (b,)
        if not self._whole:
            torch.index_select(self.images, 0, self._batch, out=images)
            torch.index_select(self.labels, 0, self._batch, out=labels)
        inputs, logits = forward(self.layers, images, out=self._outputs)  # (b, i) each; (b, class)
        gradients = output_gradients(self.layers, inputs, logits, labels, out=self._gradients)  # (b, o) each
        if self._on_gpu:
            sums = torch.stack([values.sum() for values in (logits, *gradients)])  # (layer + 1,)
            self._finite.logical_and_(torch.isfinite(sums).all())
        else:
            require_finite(self.layers, inputs, logits, gradients)
        layers = [
            LinearGradients(*of) for of in zip(self.layers, ((a,) for a in inputs), gradients, strict=True)
        ]
        parameters = [layer._asdict() for layer in self.layers]
        self.descent.step(parameters, lambda into, scale: self.rule.update(layers, into, scale), rate)
