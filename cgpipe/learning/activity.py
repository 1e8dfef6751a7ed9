"""Which hidden units a network uses."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

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
