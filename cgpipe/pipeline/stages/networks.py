"""Networks as the settings of a training name them."""

import warnings
from collections.abc import Mapping
from functools import cache
from typing import Any

import torch
import xarray as xr

from cgpipe.networks.build import build
from cgpipe.networks.dense import initial_layers
from cgpipe.networks.fully_connected import Dense
from cgpipe.networks.module import ModuleNetwork
from cgpipe.networks.network import Network
from cgpipe.networks.registry import source_hash
from cgpipe.pipeline.progress import log
from cgpipe.pipeline.streams import stream


def is_dense(settings: Mapping[str, Any]) -> bool:
    """Whether the network takes flat images."""
    return "dense" in settings["network"]


def named(network: Mapping[str, Any]) -> tuple[str, Any]:
    """Name of a network or reference to one's own, and its arguments."""
    if "module" in network:
        return network["module"], network["args"]
    ((name, arguments),) = network.items()
    return name, arguments


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
    name, arguments = named(settings["network"])
    if is_dense(settings):
        widths = [rows * columns * channels, *arguments, classes]
        return Dense(initial_layers(widths, settings["init"], rng, device))
    planned = settings["network"].get("source")
    if planned and (found := source_hash(name)) != planned:
        raise ValueError(
            f"module: {name} has changed since this job was planned (SHA-256 {found}, not {planned}): start "
            "snakemake again"
        )
    shape, seed = (channels, rows, columns), int(rng.integers(2**63))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        module = build(name, shape, classes, seed=seed, args=arguments)
        network = ModuleNetwork(module, shape, classes, device=device)
    for warning in caught:
        _warn(str(warning.message))
    return network


@cache
def _warn(message: str) -> None:
    """Say it once in a job, which may have many runs and snapshots."""
    log.warning("%s", message)
