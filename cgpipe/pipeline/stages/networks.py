"""Networks as the settings of a training name them."""

from collections.abc import Mapping
from typing import Any

import torch
import xarray as xr

from cgpipe.networks.build import build
from cgpipe.networks.dense import initial_layers
from cgpipe.networks.fully_connected import Dense
from cgpipe.networks.module import ModuleNetwork
from cgpipe.networks.network import Network
from cgpipe.networks.registry import source_hash
from cgpipe.pipeline.streams import stream


def is_dense(settings: Mapping[str, Any]) -> bool:
    """Whether the network takes flat images."""
    return "dense" in settings["network"]


def network_of_settings(settings: Mapping[str, Any], images: xr.Dataset, device: torch.device) -> Network:
    """A network with its initial weights.

    Parameters
    ----------
    settings : mapping from str
        As stage `train` reads them: `network`, `init`, `seed` and `replicate`.
    images : Dataset
        The dataset: how many classes there are, and the shape of an image.
    device : torch.device
        Where it goes; the weights are drawn on the CPU.

    Raises
    ------
    ValueError
        If the network does not fit the images, or has no per-example gradients; or if the source of one's own
        is not that of when the job was planned.
    """
    rng = stream(settings["seed"], "initialisation", settings["replicate"])
    classes = int(images["train_labels"].max()) + 1
    rows, columns, *colours = images["train_images"].shape[1:]
    channels = colours[0] if colours else 1
    (kind, given), *others = settings["network"].items()
    if kind == "dense":
        widths = [rows * columns * channels, *given, classes]
        return Dense(initial_layers(widths, settings["init"], rng, device))
    shape, seed = (channels, rows, columns), int(rng.integers(2**63))
    if kind == "module":
        known = dict(others)
        if (found := source_hash(given)) != known["source"]:
            raise ValueError(
                f"module: {given} has changed since this job was planned (SHA-256 {found}, not "
                f"{known['source']}): start snakemake again"
            )
        module = build(given, shape, classes, seed=seed, args=known["args"])
    else:
        module = build(kind, shape, classes, seed=seed, args=given)
    return ModuleNetwork(module, shape, classes, device=device)
