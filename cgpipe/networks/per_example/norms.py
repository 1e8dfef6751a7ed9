"""The affine parameters of GroupNorm and LayerNorm: of the weights Σ_t δ_et â_et, and of the biases Σ_t δ_et.

â is what entered the layer, brought to mean 0 and variance 1.

Index letters: e example, t position.
"""

import torch
from torch import nn
from torch.nn.functional import group_norm, layer_norm

from cgpipe.networks.per_example.base import SmallLayerGradients, has_weight_and_bias, rows


class GroupNormGradients(SmallLayerGradients):
    """Of a GroupNorm, which has a weight for each channel."""

    module: nn.GroupNorm
    lasting = True
    serves = staticmethod(has_weight_and_bias)

    def formed(self) -> dict[str, torch.Tensor]:
        """Every example's gradient, as in `LayerGradients`."""
        level = group_norm(self.inputs[0], self.module.num_groups, eps=self.module.eps)
        level, δ = (rows(values.flatten(0, 1)) for values in (level, self.δ))  # (e and channel, t)
        formed = {"weight": torch.linalg.vecdot(level, δ), "bias": δ.sum(1)}
        return {name: formed[name].view(self.δ.shape[:2]) for name in self.parameters}


class LayerNormGradients(SmallLayerGradients):
    """Of a LayerNorm, which has a weight for each place in what it normalizes."""

    module: nn.LayerNorm
    lasting = True
    serves = staticmethod(has_weight_and_bias)

    def formed(self) -> dict[str, torch.Tensor]:
        """Every example's gradient, as in `LayerGradients`."""
        shape = self.module.normalized_shape
        level = layer_norm(self.inputs[0], shape, eps=self.module.eps)
        formed = {"weight": level * self.δ, "bias": self.δ}  # (e, ..., *shape)
        return {name: formed[name][:, None].flatten(1, -len(shape) - 1).sum(1) for name in self.parameters}
