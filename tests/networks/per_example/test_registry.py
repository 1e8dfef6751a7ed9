"""Which class serves a layer."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from cgpipe.networks.dense import Layer
from cgpipe.networks.per_example import registry
from cgpipe.networks.per_example.base import LayerGradients
from cgpipe.networks.per_example.convolution import ConvolutionGradients
from cgpipe.networks.per_example.embedding import EmbeddingGradients
from cgpipe.networks.per_example.linear import LinearGradients
from cgpipe.networks.per_example.norms import GroupNormGradients, LayerNormGradients
from cgpipe.networks.per_example.registry import layer_gradients, register


class Constructed(nn.Linear):
    """A linear layer, made and described in another way."""

    def __init__(self, features):
        super().__init__(features, features)

    def extra_repr(self):
        return "square"


class Standardized(nn.Conv2d):
    """Not its weights enter the convolution."""

    def _conv_forward(self, input, weight, bias):  # noqa: A002
        return super()._conv_forward(input, weight - weight.mean(), bias)


class Doubled(nn.Linear):
    def forward(self, a):
        return 2 * super().forward(a)


class Filled(nn.Embedding):
    """One method of its own, which no pass uses."""

    def filled(self):
        return self.weight


@pytest.mark.parametrize(
    ("module", "kind"),
    [
        (Layer(torch.ones(2, 2), torch.ones(2)), LinearGradients),
        (nn.Linear(2, 2), LinearGradients),
        (nn.Conv1d(2, 2, 1), ConvolutionGradients),
        (nn.Conv2d(2, 2, 1), ConvolutionGradients),
        (nn.Conv3d(2, 2, 1), ConvolutionGradients),
        (nn.GroupNorm(1, 2), GroupNormGradients),
        (nn.LayerNorm(2), LayerNormGradients),
        (nn.Embedding(2, 2), EmbeddingGradients),
        (nn.Embedding(2, 2, sparse=True), EmbeddingGradients),
        (Constructed(2), LinearGradients),
        (Filled(2, 2), EmbeddingGradients),
        (Doubled(2, 2), LayerGradients),
        (Standardized(2, 2, 1), LayerGradients),
        (nn.ConvTranspose2d(2, 2, 1), LayerGradients),
        (parametrizations.weight_norm(nn.Linear(2, 2)), LayerGradients),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, type) else value.__name__,
)
def test_a_closed_form_serves_what_computes_as_its_type(module, kind):
    a = torch.ones(3, 2)
    assert type(layer_gradients(module, (a,), a)) is kind


def test_the_nearest_registered_base_serves_a_layer(monkeypatch):
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))

    @register(Doubled)
    class DoubledGradients(LinearGradients):
        """Of Doubled."""

    class Below(Doubled):
        """Computes as Doubled."""

    a = torch.ones(3, 2)
    assert type(layer_gradients(Below(2, 2), (a,), a)) is DoubledGradients
    assert type(layer_gradients(nn.Linear(2, 2), (a,), a)) is LinearGradients


@pytest.mark.parametrize("option", [{"max_norm": 1.0}, {"scale_grad_by_freq": True}])
def test_an_embedding_that_mixes_the_examples_is_an_error(option):
    (name,) = option
    with pytest.raises(ValueError, match=rf"Embedding with {name}.*make it without"):
        layer_gradients(nn.Embedding(3, 2, **option), (torch.tensor([0]),), torch.ones(1, 2))


@pytest.mark.parametrize("entered", [torch.ones(2, 3), torch.ones(())])
def test_inputs_without_the_examples_along_their_first_axis_are_an_error(entered):
    with pytest.raises(ValueError, match=r"Linear got shapes .* first axis of each must be the examples"):
        layer_gradients(nn.Linear(3, 3), (torch.ones(4, 3), entered), torch.ones(4, 3))
