"""Which hidden units a network uses."""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr

from cgpipe.networks.dense import Layer, forward


def active_examples(
    layers: Sequence[Layer], images: torch.Tensor, *, at_once: int = 10_000
) -> list[npt.NDArray[np.int64]]:
    """For how many examples each hidden unit lets something through its ReLU.

    A unit that is active for none is dead: its weights have no gradient from any example, and no update moves
    them until the layers below have changed enough to wake it.

    Parameters
    ----------
    layers : sequence of Layer
        The network.
    images : tensor of float, shape (example, feature)
        Flattened images.
    at_once : int
        Examples in memory at a time.

    Returns
    -------
    list of array of int, shapes (unit,)
        Counts, one array a hidden layer, input to output; none for a linear classifier.
    """
    counts = [np.zeros(len(layer.bias), np.int64) for layer in layers[:-1]]
    for start in range(0, len(images), at_once):
        inputs, _ = forward(layers, images[start : start + at_once])
        for count, activations in zip(counts, inputs[1:], strict=True):
            count += (activations > 0).sum(0).cpu().numpy()
    return counts


@torch.no_grad()
def measure_activity(snapshots: Iterable[tuple[int, Sequence[Layer]]], images: torch.Tensor) -> xr.Dataset:
    """Shares of the hidden units that are dead, and that an example activates, over a training run.

    Parameters
    ----------
    snapshots : iterable of (int, sequence of Layer)
        Updates made, and the network then; at least one.
    images : tensor of float, shape (example, feature)
        All training examples.

    Returns
    -------
    Dataset
        `dead` and `active`, in [0, 1], over step and layer: hidden layers from 1 at the input.

    Examples
    --------
    >>> from cgpipe.networks.dense import Layer
    >>> layers = [
    ...     Layer(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([0.0, -5.0])),
    ...     Layer(torch.eye(2), torch.zeros(2)),
    ... ]
    >>> activity = measure_activity([(0, layers)], torch.ones(3, 2))
    >>> activity["dead"].values.tolist(), activity["active"].values.tolist()
    ([[0.5]], [[0.5]])
    """
    steps, dead, active = [], [], []
    for step, layers in snapshots:
        counts = active_examples(layers, images)
        steps.append(step)
        dead.append([np.mean(count == 0) for count in counts])
        active.append([np.mean(count) / len(images) for count in counts])
    described = {
        "dead": (dead, "share of the units that no training example activates"),
        "active": (active, "share of the units that a training example activates, mean"),
    }
    return xr.Dataset(
        {
            name: (("step", "layer"), np.array(shares), {"long_name": meaning, "units": "1"})
            for name, (shares, meaning) in described.items()
        },
        coords={
            "step": ("step", steps, {"long_name": "updates made", "units": "1"}),
            "layer": (
                "layer",
                np.arange(1, len(dead[0]) + 1),
                {"long_name": "hidden layer, from 1 at the input"},
            ),
        },
    )
