"""Networks as the settings of a training name them."""

from collections.abc import Mapping
from typing import Any

import torch
import xarray as xr

from cgpipe.networks.dense import initial_layers
from cgpipe.networks.fully_connected import Dense
from cgpipe.networks.network import Network
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
    """
    rng = stream(settings["seed"], "initialisation", settings["replicate"])
    classes = int(images["train_labels"].max()) + 1
    network = settings["network"]
    if is_dense(settings):
        features = images["train_images"][0].size
        return Dense(initial_layers([features, *network["dense"], classes], settings["init"], rng, device))
    raise NotImplementedError
