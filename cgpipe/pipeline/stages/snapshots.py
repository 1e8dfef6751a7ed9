"""Snapshots of a run, as stage `train` wrote them: its parameters at `snapshot_steps`, a step at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from cgpipe.networks.dense import Layer
from cgpipe.pipeline.artifacts import Tensors, open_tensors
from cgpipe.pipeline.progress import log

Snapshots = Iterator[tuple[int, list[Layer]]]  # updates made, and the layers from the input on


@contextmanager
def open_snapshots(path: Path, device: torch.device) -> Iterator[tuple[dict[str, Any], Snapshots]]:
    """Open the snapshots of a run: yields their description, and each step with its layers on the device.

    Raises
    ------
    ArtifactError
        If the file is missing, cut short, altered, or not safetensors.
    """
    with open_tensors(path) as (description, file):
        yield description, _read(description["steps"], file, device)


def _read(steps: list[int], file: Tensors, device: torch.device) -> Snapshots:
    numbers = range(len(file.keys()) // 2)
    parameters = [[file[f"{name}.{number}"] for name in ("weight", "bias")] for number in numbers]
    for t, step in enumerate(steps):
        yield step, [Layer(*(torch.from_numpy(p[t]).to(device) for p in layer)) for layer in parameters]
        log.info("step %d, %d of %d", step, t + 1, len(steps))
