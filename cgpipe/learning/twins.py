"""How far two runs of one beginning are apart, one of which trains on some other examples.

Chatterjee and Zielinski (2022, arXiv 2203.10036) bound by coherence how much of a difference in the training
set training can make. Twins measure it: the same initial weights and order of minibatches, a few examples
replaced.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr

from cgpipe.networks.given import NetworkLike, network_of
from cgpipe.networks.network import Network

VARIABLES = {
    "distance": (("step", "layer"), "norm of the difference between the parameters of the twins"),
    "travelled": (("step", "layer"), "norm of the way of the original's parameters since step 0"),
    "disagreement": (("step",), "share of the test images that the twins classify differently"),
    "variation": (
        ("step",),
        "total variation distance between the twins' class probabilities, mean over the test images",
    ),
}


@torch.no_grad()
def measure_twins(
    pairs: Iterable[tuple[int, NetworkLike, NetworkLike]], start: NetworkLike, images: torch.Tensor
) -> xr.Dataset:
    """Distances between a run and its twin, of parameters and of predictions.

    Parameters
    ----------
    pairs : iterable of (int, network, network)
        Updates made, the original and its twin then; in ascending order.
    start : network
        The original before its first update.
    images : tensor of float, shape (example, ...)
        Test images.

    Returns
    -------
    Dataset
        Over step and layer, of all parameters of the layer: `distance`, ‖w - w'‖ with w of the twin and w' of
        the original, and `travelled`, ‖w' - w'_0‖. Over step: `disagreement`, the share of the images given
        another class, and `variation`, the mean over the images of ½ Σ_k |p_k - p'_k| over the classes k. All
        in float64; the squares of norms add up over the layers.

    Raises
    ------
    ValueError
        If there is no step, or a network is not finite.
    """
    measured: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in VARIABLES}
    steps = []
    begun = network_of(start, images)
    for step, *given in pairs:
        original, twin = (network_of(one, images) for one in given)
        logits, others = (one.all_logits(images).double() for one in (original, twin))  # (e, class)
        values = {
            "distance": distances(twin, original),
            "travelled": distances(original, begun),
            "disagreement": (logits.argmax(1) != others.argmax(1)).double().mean().cpu().numpy(),
            "variation": (logits.softmax(1) - others.softmax(1)).abs().sum(1).mean().cpu().numpy() / 2,
        }
        if not all(np.isfinite(value).all() for value in values.values()):
            raise ValueError(f"step {step}: a run of the two diverged, or its snapshots are damaged")
        steps.append(step)
        for name, value in values.items():
            measured[name].append(value)
    if not steps:
        raise ValueError("the twins have no step in common: give two runs with snapshots of the same steps")
    return xr.Dataset(
        {
            name: (dims, np.stack(measured[name]), {"long_name": meaning, "units": "1"})
            for name, (dims, meaning) in VARIABLES.items()
        },
        coords={
            "step": ("step", steps, {"long_name": "updates made", "units": "1"}),
            "layer": (
                "layer",
                list(begun.layers),
                {"long_name": "layer that has parameters, in the order of the forward pass"},
            ),
        },
    )


def distances(one: Network, other: Network) -> npt.NDArray[np.float64]:
    """‖w - w'‖ of each layer, over its weights and biases, shape (layer,)."""
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    squares = [
        sum((p.double() - q[name].double()).square().sum() for name, p in of.items()) for of, q in pairs
    ]
    return np.sqrt([float(square) for square in squares])
