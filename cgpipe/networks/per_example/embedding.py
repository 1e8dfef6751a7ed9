"""Embeddings: the gradient of a row is the sum of δ over the positions at which the example looks it up.

Index letters: e example, t position, r row, d number in a row.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import nn

from cgpipe.networks.per_example.base import (
    AnyLayer,
    LayerGradients,
    Tile,
    blocks,
    dot,
    has_weight_and_bias,
    values_at_once,
)


class EmbeddingGradients(LayerGradients):
    """Of an Embedding; the gradient of its padding row is 0."""

    module: nn.Embedding
    lasting = True

    @staticmethod
    def serves(module: AnyLayer) -> bool:
        """Whether it has its rows as parameters; with options that mix the examples it is an error."""
        given = [name for name in ("max_norm", "scale_grad_by_freq") if getattr(module, name)]
        if given:
            raise ValueError(
                f"an Embedding with {' and '.join(given)}: an example's gradient then depends on the others; "
                "make it without"
            )
        return has_weight_and_bias(module)

    def formed(self) -> dict[str, torch.Tensor]:
        """Every example's gradient, as in `LayerGradients`."""
        length, width = self.parameters["weight"].shape
        return {"weight": self._block(slice(0, length), slice(0, width))}

    def sums(self) -> dict[str, torch.Tensor]:
        """Σ_e g_e, shapes of the parameters."""
        _, row, δ = self._looked_up()
        return {"weight": torch.zeros_like(self.parameters["weight"]).index_add_(0, row, δ)}

    def products(self, direction: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """⟨direction, g_e⟩, as in `LayerGradients`."""
        example, row, δ = self._looked_up()
        products = dot(direction["weight"].to(δ.dtype)[row], δ)
        return products.new_zeros(len(self.δ)).index_add_(0, example, products)

    def tiles(self, values: int) -> Iterator[Tile]:
        """Gradients of all examples, as in `LayerGradients`."""
        for index in blocks(self.parameters["weight"].shape, values // len(self.δ)):
            yield Tile("weight", index, self._block(*index))

    def sampled(self, name: str, index: torch.Tensor) -> torch.Tensor:
        """Gradients of some parameters, as in `LayerGradients`."""
        found = []
        example, looked_up, δ = self._looked_up()
        for part in torch.split(index, max(1, values_at_once(δ) // max(1, len(δ)))):
            row, place = torch.unravel_index(part, self.parameters["weight"].shape)
            here = torch.where(looked_up[:, None] == row, δ[:, place], 0)  # (e and t, n)
            found.append(here.new_zeros(len(self.δ), len(part)).index_add_(0, example, here))
        return torch.cat(found, 1)

    def _squared_norms(self) -> torch.Tensor:
        """‖g_e‖², of the rows that the example looks up."""
        example, row, δ = self._looked_up()
        length = len(self.parameters["weight"])
        pairs, of_pair = torch.unique(example * length + row, return_inverse=True)
        gradients = δ.new_zeros(len(pairs), δ.shape[1]).index_add_(0, of_pair, δ)
        squares = dot(gradients, gradients)
        return squares.new_zeros(len(self.δ)).index_add_(0, pairs // length, squares)

    def _looked_up(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Example, row and δ of each position of each example, the padding left out."""
        looked_up = self.inputs[0]
        example = torch.arange(len(looked_up), device=looked_up.device)
        example = example.repeat_interleave(looked_up[:1].numel())
        row, δ = looked_up.flatten(), self.δ.flatten(0, -2)
        if self.module.padding_idx is None:
            return example, row, δ
        kept = row != self.module.padding_idx
        return example[kept], row[kept], δ[kept]

    def _block(self, rows: slice, places: slice) -> torch.Tensor:
        """Gradients of a block of the rows, shape (e, r, d)."""
        example, row, δ = self._looked_up()
        here = (row >= rows.start) & (row < rows.stop)
        count = rows.stop - rows.start
        block = δ.new_zeros(len(self.δ) * count, places.stop - places.start)
        block.index_add_(0, example[here] * count + row[here] - rows.start, δ[here][:, places])
        return block.view(len(self.δ), count, -1)
