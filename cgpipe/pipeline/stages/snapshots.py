"""Snapshots of a run, as stage `train` wrote them: its parameters at `snapshot_steps`, a step at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from cgpipe.networks.dense import Layer
from cgpipe.pipeline.artifacts import Tensors, open_tensors
from cgpipe.pipeline.progress import log


class Snapshots:
    """The layers of a network from the input on, at each step that was kept, on a device.

    Parameters
    ----------
    steps : list of int
        Updates made.
    file : Tensors
        Arrays along the steps.
    device : torch.device
        Where the layers go.
    """

    def __init__(self, steps: list[int], file: Tensors, device: torch.device) -> None:
        self.steps, self._file, self._device = steps, file, device

    def __getitem__(self, step: int) -> list[Layer]:
        t = self.steps.index(step)
        parameters = (
            [self._file[f"{name}.{number}"][t] for name in ("weight", "bias")]
            for number in range(len(self._file) // 2)
        )
        return [Layer(*(torch.from_numpy(p).to(self._device) for p in layer)) for layer in parameters]

    def __iter__(self) -> Iterator[tuple[int, list[Layer]]]:
        for t, step in enumerate(self.steps):
            yield step, self[step]
            log.info("step %d, %d of %d", step, t + 1, len(self.steps))


@contextmanager
def open_snapshots(path: Path, device: torch.device) -> Iterator[tuple[dict[str, Any], Snapshots]]:
    """Open the snapshots of a run: yields their description, and each step with its layers on the device.

    Raises
    ------
    ArtifactError
        If the file is missing, cut short, altered, or not safetensors.
    """
    with open_tensors(path) as (description, file):
        yield description, Snapshots(description["steps"], file, device)
