"""A network on a whole set of examples, and the steps of a run at which it is evaluated."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from cgpipe.learning.finite import NonFiniteError
from cgpipe.networks.dense import losses
from cgpipe.networks.given import NetworkLike, network_of
from cgpipe.networks.network import EVALUATED_AT_ONCE, GPU_EVALUATED


def logged_steps(steps: int) -> list[int]:
    """Steps at which a run is evaluated: 0-9, 10-90 by 10, and so on by decades, and the last.

    From 1,000 on by 1,000, as what is memorized changes fast after step 10,000. "Step t" is after t updates.

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
    return _by_decades(steps, 1_000)


def snapshot_steps(steps: int) -> list[int]:
    """Those logged steps at which a run keeps its parameters: from 10,000 on every 10,000, and the last.

    They are the steps of Chatterjee 2020, figures 1 to 4.

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
    >>> snapshot_steps(21_500)[-3:], logged_steps(21_500)[-3:]
    ([10000, 20000, 21500], [20000, 21000, 21500])
    """
    return _by_decades(steps, 10_000)


def _by_decades(steps: int, later: int) -> list[int]:
    decades = [10**k * d for k in range(4) for d in range(1, 10)]
    return sorted({0, steps, *(t for t in decades if t <= steps), *range(10_000, steps + 1, later)})


@dataclass(frozen=True)
class Evaluation:
    """A network on a whole set of examples."""

    loss: float  # mean cross-entropy, in nats
    accuracy: float  # share of examples classified as their label
    correct: npt.NDArray[np.bool_]  # (example,)
    dead: Sequence[float]  # (ReLU,), share of the units that no example activates
    active: Sequence[float]  # (ReLU,), share of the units that an example activates, mean


def evaluate(
    network: NetworkLike, images: torch.Tensor, labels: torch.Tensor, *, at_once: int | None = None
) -> Evaluation:
    """Mean loss, accuracy, which examples are classified as their label, and which hidden units are used.

    Parameters
    ----------
    network : Network, torch.nn.Module or sequence of Layer
        The network.
    images : tensor of float, shape (example, ...)
        All examples.
    labels : tensor of int, shape (example,)
        Their labels, which may be the corrupt ones.
    at_once : int, optional
        Examples in memory at once; by default 2,000 at most, and on a GPU as many as fit into 1 GiB.

    Returns
    -------
    Evaluation
        At the scale of the mean over the examples.

    Raises
    ------
    NonFiniteError
        If the loss is not finite.

    Examples
    --------
    >>> import torch
    >>> from cgpipe.networks.dense import Layer
    >>> layers = [Layer(weight=torch.eye(2), bias=torch.zeros(2))]
    >>> result = evaluate(layers, images=torch.eye(2), labels=torch.tensor([0, 0]))
    >>> result.accuracy, result.correct.tolist(), round(result.loss, 4)
    (0.5, [True, False], 0.8133)
    """
    network = network_of(network, images)
    at_once = at_once or network.at_once(images, EVALUATED_AT_ONCE, GPU_EVALUATED)
    sums, correct = [], torch.empty(len(images), dtype=torch.bool, device=images.device)  # (example,)
    counts: list[torch.Tensor] = []  # of each ReLU, the examples that activate a unit
    for start in range(0, len(images), at_once):
        part = slice(start, start + at_once)
        logits, activated = network.active(images[part])  # (part, class)
        sums.append(losses(logits, labels[part]).sum(dtype=torch.float64))
        torch.eq(logits.argmax(1), labels[part], out=correct[part])
        counts = (
            [count + more for count, more in zip(counts, activated, strict=True)] if counts else activated
        )
    loss = float(torch.stack(sums).sum())
    if not math.isfinite(loss):
        raise NonFiniteError(network.non_finite(images, labels))
    right = correct.cpu().numpy()
    used = [count.cpu().numpy() for count in counts]
    dead = [float(np.mean(count == 0)) for count in used]
    active = [float(np.mean(count)) / len(images) for count in used]
    return Evaluation(loss / len(images), float(right.mean()), right, dead, active)


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

    Examples
    --------
    >>> import numpy as np
    >>> correct = np.array([[True, False], [False, False], [True, False]])
    >>> first, last = learned_steps(np.array([0, 1, 10]), correct)
    >>> first.tolist(), last.tolist()
    ([0, -1], [10, -1])
    """
    first = np.where(correct.any(0), steps[correct.argmax(0)], -1)
    right_to_the_end = np.logical_and.accumulate(correct[::-1])[::-1]  # (step, example)
    last = np.where(correct[-1], steps[right_to_the_end.argmax(0)], -1)
    return first, last
