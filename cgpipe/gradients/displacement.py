"""The way of a run through a window of its updates, and what each example contributed to it.

The gradient at one step is mostly SGD's back and forth along steep directions. The displacement is free of
it: with weights ω that rise over the first half of a window and fall over the second,

    T = Σ_k ω_k Σ_{e in batch k} g_e(w_k)

is, for plain SGD of minibatches of B examples and rate η, B/η times the mean of the weights over the first
half less that over the second. An example contributes c_e = Σ_{its visits k} ω_k ⟨T, g_e(w_k)⟩, and
Σ_e c_e = ‖T‖².

Index letters: e example, k update of the window.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr

from cgpipe.gradients.contributions import Floats, mask
from cgpipe.gradients.population import example_contributions
from cgpipe.gradients.sums import GradientSum, zeros_like
from cgpipe.networks.given import NetworkLike, network_of
from cgpipe.networks.network import Parameters

# The updates of a window: the network before each, which changes with it, and the examples it is by.
Replay = Iterable[tuple[NetworkLike, npt.NDArray[np.int64]]]

VARIABLES = {
    "contribution": (
        ("step", "example"),
        "inner product of the example's weighted gradients with the displacement, nats²",
    ),
    "squared_norm_sum": (
        ("step", "example"),
        "sum over the visits of the example of its weighted gradient's squared norm, nats²",
    ),
    "visits": (("step", "example"), "minibatches of the window that the example is in"),
    "way": (("step",), "squared norm of the displacement, nats²"),
}


class Window(NamedTuple):
    """Some updates of a run."""

    start: int  # updates made before
    half: int  # updates in each half
    replay: Callable[[], Replay]  # makes them again, each time it is called


class Displacement(NamedTuple):
    """The displacement over a window, by example."""

    contribution: Floats  # (e,), c_e, nats²
    squared_norm_sum: Floats  # (e,), Σ over its visits of (ω_k ‖g_e‖)², nats²
    visits: npt.NDArray[np.int64]  # (e,)
    way: float  # ‖T‖², nats²


def starts(snapshots: Iterable[int], steps: int, epoch: int) -> list[tuple[int, int]]:
    """Which windows to take of a run, and how long they are.

    A half is an epoch: an example is visited about twice. In the first epoch it is max(10, start) updates, so
    that windows grow with the step; in a run of less than 20 updates, half of them.

    Parameters
    ----------
    snapshots : iterable of int
        Steps of the run's snapshots.
    steps : int
        Updates of the run.
    epoch : int
        Updates in an epoch.

    Returns
    -------
    list of (int, int)
        First step and half of each window that lies in the run; for the first steps, and from 10,000 on for
        every 10,000.

    Raises
    ------
    ValueError
        If the run is shorter than any window.

    Examples
    --------
    >>> starts([0, 5, 10, 20, 50, 100], steps=100, epoch=15)
    [(0, 10), (10, 10), (20, 15), (50, 15)]
    """
    if steps < 2:
        raise ValueError(f"a run of {steps} updates has no window: give one of at least 2")
    first = {0, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 3_000, 5_000, 7_000}
    halves = {
        start: min(epoch, max(10, start), steps // 2)
        for start in snapshots
        if start in first or (start and start % 10_000 == 0)
    }
    return [(start, half) for start, half in halves.items() if start + 2 * half <= steps]


def rising_and_falling(half: int) -> Floats:
    """Weights ω of the updates of a window, shape (2 · half,).

    Examples
    --------
    >>> rising_and_falling(2).tolist()
    [0.25, 0.75, 0.75, 0.25]
    """
    rising = (np.arange(half) + 0.5) / half
    return np.concatenate([rising, rising[::-1]])


def weighted_sum(
    replay: Replay, weights: Floats, images: torch.Tensor, labels: torch.Tensor
) -> list[dict[str, torch.Tensor]]:
    """T = Σ_k ω_k Σ_{e in batch k} g_e(w_k), the displacement.

    Parameters
    ----------
    replay : iterable of (network, array of int)
        The updates: the network before each, and the indices of its minibatch.
    weights : array of float, shape (update,)
        ω.
    images : tensor of float, shape (example, ...)
        All training examples.
    labels : tensor of int, shape (example,)
        The labels they are trained on.

    Returns
    -------
    list of dict from str to tensor
        By layer and parameter, in float64, at the scale of a sum over examples; summed in float32 over
        at most 1,000 examples at a time.
    """
    total: list[dict[str, torch.Tensor]] = []
    for (given, batch), ω in zip(replay, weights, strict=True):
        network = network_of(given, images)
        if not total:
            total = zeros_like(network)
            summed = GradientSum(total)
        index = torch.from_numpy(batch).to(images.device)
        for _, _, layers in network.passes(images[index], labels[index]):
            summed.add([layer.scaled(layer.δ.new_full((len(layer.δ),), ω)) for layer in layers])
            if not all(layer.lasting for layer in layers):
                summed.end()  # before the network changes
    summed.end()
    return total


@torch.no_grad()
def displacement(window: Window, images: torch.Tensor, labels: torch.Tensor) -> Displacement:
    """What each example contributed to the way of a run through a window; its updates are made twice.

    Parameters
    ----------
    window : Window
        The updates.
    images : tensor of float, shape (example, ...)
        All training examples.
    labels : tensor of int, shape (example,)
        The labels they are trained on.

    Returns
    -------
    Displacement
        At the scale of a sum; the contributions sum to ‖T‖². All is 0 of examples that are in no minibatch.

    Raises
    ------
    ValueError
        If a gradient is not finite.
    """
    weights = rising_and_falling(window.half)
    total = weighted_sum(window.replay(), weights, images, labels)
    way = sum(float(p.square().sum()) for layer in total for p in layer.values())
    if not np.isfinite(way):
        raise ValueError(
            f"gradients of the updates from step {window.start} on are not finite: the run diverged or its "
            "snapshots are damaged"
        )
    sums, squares = np.zeros((2, len(images)))  # (e,)
    found = Displacement(sums, squares, np.zeros(len(images), np.int64), way)
    whole: Sequence[Parameters] = total
    for (given, batch), ω in zip(window.replay(), weights, strict=True):
        network = network_of(given, images)
        whole = network.as_direction(whole)  # converted at the first update, and left as it is from then on
        index = torch.from_numpy(batch).to(images.device)
        each = example_contributions(network, images[index], labels[index], whole)
        found.contribution[batch] += ω * each.u.sum(1)
        found.squared_norm_sum[batch] += ω**2 * each.squared_norm.sum(1)
        found.visits[batch] += 1
    return found


@torch.no_grad()
def measure_displacement(
    windows: Iterable[Window], images: torch.Tensor, labels: torch.Tensor, pristine: npt.NDArray[np.bool_]
) -> xr.Dataset:
    """The displacement over windows of a run, by example.

    Parameters
    ----------
    windows : iterable of Window
        In ascending order of their starts.
    images : tensor of float, shape (example, ...)
        All training examples.
    labels : tensor of int, shape (example,)
        The labels they are trained on.
    pristine : array of bool, shape (example,)
        Whether the label is the true one.

    Returns
    -------
    Dataset
        Over step, the start of a window, and example: `contribution`, c_e, and `squared_norm_sum`, both as
        float32 in nats², and `visits`. Over step: `way`, ‖T‖², in nats². Coordinate `half` is the number of
        updates in each half of the window. `pristine` and `label`, as given.
    """
    pristine = mask(pristine, len(labels))
    taken, found = [], []
    for window in windows:
        taken.append(window)
        found.append(displacement(window, images, labels))
    kinds = {"contribution": np.float32, "squared_norm_sum": np.float32, "visits": np.int32}
    columns = zip(VARIABLES.items(), zip(*found, strict=True), strict=True)
    return xr.Dataset(
        {
            **{
                name: (dims, np.array(values, kinds.get(name)), {"long_name": meaning, "units": "1"})
                for (name, (dims, meaning)), values in columns
            },
            "pristine": ("example", pristine, {"long_name": "whether the class to train on is the true one"}),
            "label": ("example", labels.numpy(force=True).copy(), {"long_name": "class to train on"}),
        },
        coords={
            "step": (
                "step",
                [window.start for window in taken],
                {"long_name": "updates made before the window", "units": "1"},
            ),
            "half": (
                "step",
                [window.half for window in taken],
                {"long_name": "updates in each half of the window", "units": "1"},
            ),
        },
    )
