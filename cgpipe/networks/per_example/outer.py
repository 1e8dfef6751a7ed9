"""Layers whose weight gradients are sums of outer products over positions: linear layers and convolutions.

At position t, u enters a group of output units, and g_e = Σ_t δ_et u_etᵀ. A linear layer has one group, and
one position unless its inputs have more axes; for a convolution u is the window that the kernel meets.

Index letters: e example, g group, o output unit of the group, c input channel of the group, k number in the
window of u (input channels × taps of the kernel), t position.
"""

from abc import abstractmethod
from collections.abc import Iterator
from math import prod

import torch

from cgpipe.networks.per_example.base import (
    LayerGradients,
    Tile,
    blocks,
    dot,
    has_weight_and_bias,
    rows,
    values_at_once,
)

ALL = slice(None)


class OuterGradients(LayerGradients):
    """Sums of outer products over positions, of which at most some examples' are formed."""

    serves = staticmethod(has_weight_and_bias)
    lasting = True

    @property
    @abstractmethod
    def groups(self) -> int:
        """Groups of output units, each of which sees its own input channels."""

    @abstractmethod
    def windows(self, groups: slice = ALL, channels: slice = ALL) -> torch.Tensor:
        """What the weights of some groups and input channels meet, shape (e, channel, *kernel, *position)."""

    @abstractmethod
    def at_positions(self) -> torch.Tensor:
        """δ as (e, output unit, t)."""

    def formed(self) -> dict[str, torch.Tensor]:
        """Every example's gradient, as in `LayerGradients`."""
        δ = self.at_positions()
        weight = self._by_group(δ) @ self._unfolded().mT  # (e, g, o, k)
        formed = {"weight": weight.reshape(-1, *self.parameters["weight"].shape), "bias": δ.sum(2)}
        return {name: formed[name] for name in self.parameters}

    def tiles(self, values: int) -> Iterator[Tile]:
        """Gradients of all examples, as in `LayerGradients`; a tile holds one kernel at least.

        For a tile, some examples at a time are unfolded, in a quarter as many numbers.
        """
        outputs, channels, *kernel = self.parameters["weight"].shape
        examples, positions = len(self.δ), self.at_positions().shape[2]
        of_group = outputs // self.groups
        whole = tuple(slice(0, length) for length in kernel)
        taps = prod(kernel)
        for some in _spans(self.groups, values // (examples * of_group * channels * taps)):
            count = some.stop - some.start
            each = count * taps * max(examples * of_group, positions)
            for block in _spans(channels, values // each):
                width = (block.stop - block.start) * taps
                for o in _spans(of_group, values // (examples * count * width)):
                    # Of several groups it is all output units.
                    units = slice(some.start * of_group + o.start, (some.stop - 1) * of_group + o.stop)
                    shape = examples * count, o.stop - o.start, width
                    gradients = self.δ.new_empty(shape)  # (e and g, o, k)
                    for part in _spans(examples, values // (4 * count * width * positions)):
                        of = type(self)(self.module, (self.inputs[0][part],), self.δ[part])
                        u = of._unfolded(some, block).flatten(0, 1)  # (e and g, k, t)
                        δ = of._by_group(of.at_positions())[:, some, o].flatten(0, 1)  # (e and g, o, t)
                        here = slice(part.start * count, part.stop * count)
                        torch.bmm(δ, u.mT, out=gradients[here])
                    by_unit = gradients.view(examples, -1, block.stop - block.start, *kernel)
                    yield Tile("weight", (units, block, *whole), by_unit)
        if "bias" in self.parameters:
            total = self.at_positions().sum(2)
            for index in blocks((outputs,), values // examples):
                yield Tile("bias", index, total[:, *index])

    def sampled(self, name: str, index: torch.Tensor) -> torch.Tensor:
        """Gradients of some parameters, as in `LayerGradients`."""
        δ = self.at_positions()
        if name == "bias":
            return δ[:, index].sum(2)
        outputs, channels = self.parameters["weight"].shape[:2]
        windows = self.windows()
        found = []
        for part in torch.split(index, max(1, values_at_once(δ) // δ[:, 0].numel())):
            unit, channel, *tap = torch.unravel_index(part, self.parameters["weight"].shape)
            channel = channel + unit // (outputs // self.groups) * channels
            u = windows[:, channel, *tap].flatten(2)  # type: ignore[index]  # (e, n, t)
            found.append(torch.linalg.vecdot(u, δ[:, unit]))
        return torch.cat(found, 1)

    def _squared_norms(self) -> torch.Tensor:
        """‖g_e‖²: of the formed gradients, or Σ_st (u_s·u_t)(δ_s·δ_t), whichever takes fewer operations.

        The second rounds at the scale of its terms.
        """
        weight = self.parameters["weight"]
        o, k, t = len(weight) // self.groups, weight[0].numel(), self.at_positions().shape[2]
        pairs = t * (k + o) < k * o
        found = []
        for part in self.parts(self.groups * (t * k + min(k * o, 2 * t * t))):
            u, δ = part._unfolded(), part._by_group(part.at_positions())
            if pairs:
                squares = dot(u.mT @ u, δ.mT @ δ).clamp_(min=0)
            else:
                g = δ @ u.mT  # (e, g, o, k)
                squares = dot(g, g)
            if "bias" in self.parameters:
                total = rows(δ.sum(3))
                squares += dot(total, total)
            found.append(squares)
        return torch.cat(found)

    def _unfolded(self, groups: slice = ALL, channels: slice = ALL) -> torch.Tensor:
        """U of some groups and input channels, shape (e, g, k, t)."""
        windows = self.windows(groups, channels)
        positions = windows.flatten(self.parameters["weight"].ndim)  # (e, g and c, *kernel, t)
        some = len(range(self.groups)[groups])
        return torch.unflatten(positions, 1, (some, -1)).flatten(2, -2)

    def _by_group(self, δ: torch.Tensor) -> torch.Tensor:
        """δ (e, output unit, t) as (e, g, o, t)."""
        return torch.unflatten(δ, 1, (self.groups, -1))


def _spans(length: int, most: int) -> Iterator[slice]:
    """Slices that cover a length, of at most so many and at least one."""
    return (span for (span,) in blocks((length,), most))
