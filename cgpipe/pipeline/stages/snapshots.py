"""Snapshots of a run, as stage `train` wrote them: its parameters at the logged steps, a step at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from cgpipe.networks.dense import Layer
from cgpipe.pipeline.artifacts import open_tensors
from cgpipe.pipeline.progress import log


@dataclass(frozen=True)
class Snapshots:
    """The snapshots of one run; iterating gives the layers at each step, from the input on."""

    description: dict[str, Any]
    weights: list[Any]  # one a layer, (step, out, in) on disk
    biases: list[Any]  # one a layer, (step, out)
    device: torch.device

    @property
    def steps(self) -> npt.NDArray[np.int64]:
        """Updates made, shape (step,)."""
        return np.array(self.description["steps"])

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """Outputs and inputs of each layer."""
        return [(outputs, inputs) for _, outputs, inputs in (weight.get_shape() for weight in self.weights)]

    def __iter__(self) -> Iterator[list[Layer]]:
        for t, step in enumerate(self.steps):
            yield [
                Layer(torch.from_numpy(weight[t]).to(self.device), torch.from_numpy(bias[t]).to(self.device))
                for weight, bias in zip(self.weights, self.biases, strict=True)
            ]
            log.info("step %d, %d of %d", step, t + 1, len(self.steps))


@contextmanager
def open_snapshots(path: Path, device: torch.device) -> Iterator[Snapshots]:
    """Open the snapshots of a run; their layers are put on the device.

    Raises
    ------
    ArtifactError
        If the file is missing, cut short, altered, or not safetensors.
    """
    with open_tensors(path) as (description, file):
        numbers = range(len(file.keys()) // 2)
        weights, biases = (
            [file.get_slice(f"{name}.{number}") for number in numbers] for name in ("weight", "bias")
        )
        yield Snapshots(description, weights, biases, device)
