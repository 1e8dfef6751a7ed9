"""Convolutions in one to three dimensions: g_e = Σ_t δ_et u_etᵀ over the positions of the output."""

from collections.abc import Mapping
from typing import TypeAlias

import torch
from torch import nn
from torch.func import functional_call
from torch.nn.functional import pad

from cgpipe.networks.per_example.base import dot
from cgpipe.networks.per_example.outer import ALL, OuterGradients

Convolution: TypeAlias = nn.Conv1d | nn.Conv2d | nn.Conv3d


class ConvolutionGradients(OuterGradients):
    """Of a convolution, with any stride, padding and its mode, dilation and groups."""

    module: Convolution

    @property
    def groups(self) -> int:
        """Groups of output channels, each of which sees its own input channels."""
        return self.module.groups

    def windows(self, groups: slice = ALL, channels: slice = ALL) -> torch.Tensor:
        """What the weights of some groups and input channels meet, a view of the padded inputs."""
        by_group = torch.unflatten(self.inputs[0], 1, (self.groups, -1))
        a = self._padded(by_group[:, groups, channels].flatten(1, 2))
        of_example, of_channel, *along = a.stride()
        module = self.module
        return a.as_strided(
            (*a.shape[:2], *module.kernel_size, *self.δ.shape[2:]),
            (
                of_example,
                of_channel,
                *(step * by for step, by in zip(along, module.dilation, strict=True)),
                *(step * by for step, by in zip(along, module.stride, strict=True)),
            ),
        )

    def at_positions(self) -> torch.Tensor:
        """δ as (e, output channel, t)."""
        return self.δ.flatten(2)

    def sums(self) -> dict[str, torch.Tensor]:
        """Σ_e g_e, shapes of the parameters: torch's gradient of the weights alone, with no forward pass."""
        module, none = self.module, [0 for _ in self.module.kernel_size]
        _, weight, bias = torch.ops.aten.convolution_backward(
            self.δ,
            self._padded(self.inputs[0]),
            self.parameters["weight"],
            [module.out_channels],
            module.stride,
            none,
            module.dilation,
            False,
            none,
            module.groups,
            [False, True, "bias" in self.parameters],
        )
        return dict(zip(self.parameters, (weight, bias), strict=False))

    def products(self, direction: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """⟨direction, g_e⟩, as in `LayerGradients`: the convolution with the direction, times δ."""
        along = {name: direction[name].to(self.δ.dtype) for name in self.parameters}
        return dot(functional_call(self.module, along, self.inputs), self.δ)

    def _padded(self, a: torch.Tensor) -> torch.Tensor:
        """What entered some channels, with what the layer puts around it."""
        around = self.module._reversed_padding_repeated_twice  # per side, of 'same' and 'valid' too
        mode = "constant" if self.module.padding_mode == "zeros" else self.module.padding_mode
        return pad(a, around, mode) if any(around) else a
