"""Sums of per-example gradients in float64, few at a time in float32."""

from collections.abc import Sequence

import numpy as np
import torch

from cgpipe.gradients.contributions import Floats
from cgpipe.networks.network import Network, Parameters
from cgpipe.networks.per_example.base import LayerGradients

SUMMED = 1_000  # examples whose gradients are summed in float32
NUMBERS = 2**23  # of what entered and left the layers of these


def zeros_like(network: Network) -> list[dict[str, torch.Tensor]]:
    """Where to sum the gradients of a network, by layer and parameter, laid out in memory as these are."""
    return [
        {name: torch.zeros_like(p, dtype=torch.float64) for name, p in of.items()}
        for of in network.parameters()
    ]


def check_finite(network: Network, energy: Floats) -> None:
    """Raise ValueError if a sum of squared norms, shape (..., layer), is not finite, and name the layers."""
    finite = np.isfinite(energy).reshape(-1, len(network.layers)).all(0)
    if not finite.all():
        raise ValueError(
            f"the gradients of {network.named(np.flatnonzero(~finite))} are not finite: the run diverged or "
            "its snapshots are damaged"
        )


class GradientSum:
    """A sum of the gradients of examples, in float64; few examples at a time are summed in float32.

    Parameters
    ----------
    sums : sequence of mappings from str to tensor
        Where to add those of each layer, by parameter; float64.
    """

    def __init__(self, sums: Sequence[Parameters]) -> None:
        self._sums = sums
        self._waiting: list[Sequence[LayerGradients]] = []
        self._examples = 0

    def add(self, layers: Sequence[LayerGradients]) -> None:
        """Add the gradients of some examples; `end` adds the last."""
        count = len(layers[0].δ)
        if not count:
            return
        of_one = sum(values[0].numel() for layer in layers for values in (*layer.inputs, layer.δ))
        if self._examples + count > min(SUMMED, NUMBERS // of_one):
            self.end()
        self._waiting.append(layers)
        self._examples += count

    def end(self) -> None:
        """Add what waits for more examples."""
        if not self._waiting:
            return
        for sums, parts in zip(self._sums, zip(*self._waiting, strict=True), strict=True):
            columns = zip(*((*part.inputs, part.δ) for part in parts), strict=True)
            whole = [torch.split(torch.cat(rows) if len(rows) > 1 else rows[0], SUMMED) for rows in columns]
            for *inputs, δ in zip(*whole, strict=True):
                for name, values in type(parts[0])(parts[0].module, tuple(inputs), δ).sums().items():
                    sums[name].add_(values)
        self._waiting.clear()
        self._examples = 0
