"""Linear layers: g_e = δ_e a_eᵀ, summed over the positions, if the inputs have any.

Index letters: e example, o output unit, i input unit, t position.
"""

from collections.abc import Mapping

import torch
from torch.linalg import vector_norm
from torch.nn.functional import linear

from cgpipe.networks.per_example.base import dot
from cgpipe.networks.per_example.outer import ALL, OuterGradients


class LinearGradients(OuterGradients):
    """Of a linear layer; `inputs[0]` has shape (e, i) or (e, ..., i), and `δ` (e, o) or (e, ..., o)."""

    groups = 1

    def windows(self, groups: slice = ALL, channels: slice = ALL) -> torch.Tensor:
        """What entered some input units, shape (e, i, t)."""
        return _positions(self.inputs[0][..., channels])

    def at_positions(self) -> torch.Tensor:
        """δ as (e, o, t)."""
        return _positions(self.δ)

    def sums(self) -> dict[str, torch.Tensor]:
        """Σ_e g_e, shapes of the parameters."""
        δ = self.δ.flatten(0, -2)
        sums = {"weight": δ.T @ self.inputs[0].flatten(0, -2), "bias": δ.sum(0)}
        return {name: sums[name] for name in self.parameters}

    def squared_norms(self) -> torch.Tensor:
        """‖g_e‖², as in `LayerGradients`; with one position ‖δ_e‖²(‖a_e‖² + 1)."""
        if self.δ.ndim > 2:
            return super().squared_norms()
        a = self.inputs[0]
        # In float64, as the square of a small gradient comes to nothing in float32.
        of_δ: torch.Tensor = vector_norm(self.δ, dim=1, dtype=torch.float64).square()
        return of_δ * (dot(a, a) + ("bias" in self.parameters))

    def products(self, direction: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """⟨direction, g_e⟩, as in `LayerGradients`: δ_eᵀ(D_W a_e + D_b)."""
        along = [direction[name].to(self.δ.dtype) for name in self.parameters]
        return dot(linear(self.inputs[0], *along), self.δ)

    def pairs(self) -> torch.Tensor:
        """⟨g_e, g_e'⟩, as in `LayerGradients`; with one position (δ_e·δ_e')(a_e·a_e' + 1)."""
        if self.δ.ndim > 2:
            return super().pairs()
        a, δ = self.inputs[0].double(), self.δ.double()
        return (δ @ δ.T) * (a @ a.T + ("bias" in self.parameters))


def _positions(values: torch.Tensor) -> torch.Tensor:
    """Values (e, n) or (e, ..., n) as (e, n, t)."""
    return values.flatten(1, -2).mT if values.ndim > 2 else values[:, :, None]
