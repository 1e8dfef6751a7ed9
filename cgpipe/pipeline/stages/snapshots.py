"""Snapshots of a run, as stage `train` wrote them: its network at `snapshot_steps`, a step at a time."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import xarray as xr

from cgpipe.networks.network import Network
from cgpipe.pipeline.artifacts import Tensors, open_tensors
from cgpipe.pipeline.progress import log
from cgpipe.pipeline.stages.networks import network_of_settings


class Snapshots:
    """The network of a run at each step that was kept.

    Parameters
    ----------
    steps : list of int
        Updates made.
    marks : mapping from str to int
        Those of them at which the training loss had first fallen to a mark, by the mark in nats.
    file : Tensors
        What the network depends on, along the steps.
    network : Network
        One of the same kind, on the device where they go.
    """

    def __init__(self, steps: list[int], marks: Mapping[str, int], file: Tensors, network: Network) -> None:
        self.steps, self.marks, self._file, self._network = steps, marks, file, network

    def __getitem__(self, step: int) -> Network:
        t = self.steps.index(step)
        return self._network.copy().load({name: torch.from_numpy(of[t]) for name, of in self._file.items()})

    def __iter__(self) -> Iterator[tuple[int, Network]]:
        for t, step in enumerate(self.steps):
            yield step, self[step]
            log.info("step %d, %d of %d", step, t + 1, len(self.steps))


@contextmanager
def open_snapshots(
    path: Path, images: xr.Dataset, device: torch.device
) -> Iterator[tuple[dict[str, Any], dict[str, Any], Snapshots]]:
    """Open the snapshots of a run on a dataset: yields their description, the run's settings, and they.

    Raises
    ------
    ArtifactError
        If the file is missing, cut short, altered, or not safetensors.
    """
    with open_tensors(path) as (description, file):
        settings = json.loads(description["spec"])
        network = network_of_settings(settings, images, device)
        yield (
            description,
            settings,
            Snapshots(description["steps"], description.get("marks", {}), file, network),
        )
