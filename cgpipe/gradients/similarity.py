"""How alike the gradients of single examples are, pair by pair, along training.

Chatterjee (2020, section 5) asks whether the similarity of examples can be read from the state of the
network. Two examples are alike to it as far as their gradients agree; their images, as far as they are near.
"""

from collections.abc import Iterable

import numpy as np
import torch
import xarray as xr

from cgpipe.gradients.contributions import Floats
from cgpipe.gradients.population import inner_products
from cgpipe.networks.given import NetworkLike


@torch.no_grad()
def measure_similarity(
    bursts: Iterable[tuple[int, int, NetworkLike]], images: torch.Tensor, labels: torch.Tensor
) -> xr.Dataset:
    """Inner products of the gradients of all pairs of some examples, at some steps of a run.

    Parameters
    ----------
    bursts : iterable of (int, int, network)
        Step of the snapshot that a burst begins with, updates made, and the network then; in ascending order.
    images : tensor of float, shape (example, ...)
        The examples, as the network sees them. The result grows with the square of their number.
    labels : tensor of int, shape (example,)
        The labels they are trained on.

    Returns
    -------
    Dataset
        Over all parameters: `product` (burst_step, example, other_example), ⟨g_e, g_e'⟩ of the examples' own
        losses in nats², float64, in which also those of fitted examples are not 0; the diagonal holds ‖g_e‖².
        Of the images:
        `pixel_distance` (example, other_example), Euclidean, float32. Coordinate `snapshot` (burst_step) says
        where a burst begins.

    Raises
    ------
    ValueError
        If a gradient is not finite.
    """
    snapshots, steps, products = [], [], []
    for snapshot, step, network in bursts:
        of_step = inner_products(network, images, labels)
        if not np.isfinite(of_step).all():
            raise ValueError(
                f"step {step}: gradients are not finite: the run diverged or its snapshots are damaged"
            )
        snapshots.append(snapshot)
        steps.append(step)
        products.append(of_step)
    pairs = ("example", "other_example")
    return xr.Dataset(
        {
            "product": (
                ("burst_step", *pairs),
                np.stack(products),
                {"long_name": "inner product of the gradients of two examples, nats²", "units": "1"},
            ),
            "pixel_distance": (
                pairs,
                pixel_distances(images).astype(np.float32),
                {"long_name": "Euclidean distance between the images as trained on", "units": "1"},
            ),
        },
        coords={
            "burst_step": ("burst_step", steps, {"long_name": "updates made", "units": "1"}),
            "snapshot": (
                "burst_step",
                snapshots,
                {"long_name": "step of the snapshot that the burst begins with", "units": "1"},
            ),
        },
    )


def pixel_distances(images: torch.Tensor) -> Floats:
    """Euclidean distances between images, all numbers of an image alike.

    Parameters
    ----------
    images : tensor of float, shape (example, ...)
        The images.

    Returns
    -------
    array of float64, shape (example, example)
        Exactly 0 between an image and its copy.

    Examples
    --------
    >>> pixel_distances(torch.tensor([[0.0, 0.0], [3.0, 4.0]])).tolist()
    [[0.0, 5.0], [5.0, 0.0]]
    """
    flat = images.flatten(1).double()
    # Not by ‖x‖² + ‖y‖² - 2⟨x, y⟩, which leaves rounding where two images are the same.
    return torch.cdist(flat, flat, compute_mode="donot_use_mm_for_euclid_dist").cpu().numpy()
