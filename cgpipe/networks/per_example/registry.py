"""Which closed form serves a layer: by its type, after BackPACK (Dangel, Kunstner and Hennig 2020)."""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn

from cgpipe.networks.dense import Layer
from cgpipe.networks.per_example.base import AnyLayer, LayerGradients
from cgpipe.networks.per_example.convolution import ConvolutionGradients
from cgpipe.networks.per_example.embedding import EmbeddingGradients
from cgpipe.networks.per_example.linear import LinearGradients
from cgpipe.networks.per_example.norms import GroupNormGradients, LayerNormGradients

_Kind = TypeVar("_Kind", bound=type[LayerGradients])
_registered: dict[type, type[LayerGradients]] = {
    Layer: LinearGradients,
    nn.Linear: LinearGradients,
    nn.Conv1d: ConvolutionGradients,
    nn.Conv2d: ConvolutionGradients,
    nn.Conv3d: ConvolutionGradients,
    nn.GroupNorm: GroupNormGradients,
    nn.LayerNorm: LayerNormGradients,
    nn.Embedding: EmbeddingGradients,
}


def register(*kinds: type) -> Callable[[_Kind], _Kind]:
    """Let a subclass of `LayerGradients` serve layers of some types.

    Parameters
    ----------
    *kinds : type
        Types of layers; subclasses that override none of their methods but the construction included.

    Returns
    -------
    callable
        A decorator for the subclass, which overrides what it has a closed form for.

    Examples
    --------
    A layer that scales each feature has the gradient a·δ, summed over the positions. It is small, so all
    other quantities are taken from it (`SmallLayerGradients`):

    >>> import torch
    >>> from cgpipe.networks.per_example.base import LayerGradients, SmallLayerGradients
    >>> class Scale(torch.nn.Module):
    ...     def __init__(self, features):
    ...         super().__init__()
    ...         self.scale = torch.nn.Parameter(torch.ones(features))
    ...
    ...     def forward(self, a):
    ...         return self.scale * a
    >>> @register(Scale)
    ... class ScaleGradients(SmallLayerGradients):
    ...     def formed(self):
    ...         positions = (self.inputs[0] * self.δ).flatten(1, -2)  # (e, position, feature)
    ...         return {"scale": positions.sum(1)}
    >>> a, δ = torch.ones(2, 3, 4), torch.full((2, 3, 4), 0.5)
    >>> gradients = layer_gradients(Scale(4), (a,), δ)
    >>> gradients.sums()
    {'scale': tensor([3., 3., 3., 3.])}
    >>> gradients.squared_norms()
    tensor([9., 9.], dtype=torch.float64)

    Hold it to the generic way, which needs no registration:

    >>> torch.equal(LayerGradients(Scale(4), (a,), δ).squared_norms(), gradients.squared_norms())
    True
    """

    def decorate(serving: _Kind) -> _Kind:
        _registered.update(dict.fromkeys(kinds, serving))
        return serving

    return decorate


def layer_gradients(module: AnyLayer, inputs: tuple[torch.Tensor, ...], δ: torch.Tensor) -> LayerGradients:
    """Per-example gradients of a layer: by the closed form of its type, or else by torch.func.

    Parameters
    ----------
    module : torch.nn.Module or Layer
        The layer, with at least one parameter of its own.
    inputs : tuple of tensors, shapes (e, ...)
        What entered it.
    δ : tensor of float, shape (e, ...)
        Gradient of the *summed* loss at its output.

    Returns
    -------
    LayerGradients
        Of the class that is registered for the layer's type, or for the nearest base of which it overrides no
        method but the construction.

    Raises
    ------
    ValueError
        If what entered the layer does not have the examples along its first axis.
    """
    if any(value.ndim == 0 or len(value) != len(δ) for value in inputs):
        raise ValueError(
            f"{type(module).__name__} got shapes {[tuple(value.shape) for value in inputs]} and gave "
            f"{tuple(δ.shape)}: the first axis of each must be the examples"
        )
    for kind in type(module).__mro__:
        serving = _registered.get(kind)
        if serving and _inherits(type(module), kind) and serving.serves(module):
            return serving(module, inputs, δ)
    return LayerGradients(module, inputs, δ)


def _inherits(kind: type, base: type) -> bool:
    """Whether a type overrides no method of a base, but those that construct and describe a layer."""
    nearer = kind.__mro__[: kind.__mro__.index(base)]
    of_base = {name for name in vars(base) if not name.startswith("__")} - {"reset_parameters", "extra_repr"}
    return not any(of_base & vars(one).keys() for one in nearer)
