"""The closed forms of torch's layers, and the generic way on the same layers."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from layer_loop import by_loop, check, check_all, problem
from torch import nn

from cgpipe.networks.dense import Layer
from cgpipe.networks.per_example.base import LayerGradients
from cgpipe.networks.per_example.convolution import ConvolutionGradients
from cgpipe.networks.per_example.embedding import EmbeddingGradients
from cgpipe.networks.per_example.linear import LinearGradients
from cgpipe.networks.per_example.norms import GroupNormGradients, LayerNormGradients
from cgpipe.networks.per_example.registry import layer_gradients

examples = st.integers(1, 4)
few = st.integers(1, 5)
values = st.sampled_from([1, 7, 40, 200])
seeds = st.integers(0, 2**16)
KINDS = st.sampled_from([True, False])  # the closed form, or the generic way


def drawn(seed, *shape):
    """With zeros, as after a ReLU."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).relu()


@given(examples, st.lists(st.integers(1, 4), max_size=2), few, few, st.booleans(), seeds, values, KINDS)
def test_linear(e, positions, into, out, bias, seed, most, closed):
    module = nn.Linear(into, out, bias=bias)
    kind = LinearGradients if closed else LayerGradients
    check_all(module, (drawn(seed, e, *positions, into),), kind, seed=seed, values=most)


@given(examples, few, few, seeds, values)
def test_a_layer_of_a_dense_network(e, into, out, seed, most):
    layer = Layer(drawn(seed, out, into).double(), drawn(seed + 1, out).double())
    _, inputs, δ = problem(layer, (drawn(seed, e, into),), seed)
    check(LinearGradients(layer, inputs, δ), by_loop(layer, inputs, δ), seed, most)


@st.composite
def convolutions(draw):
    """A convolution of any setting, and shapes that fit it."""
    dimensions = draw(st.sampled_from([1, 2, 2, 3]))

    def some(low, high):
        return tuple(draw(st.integers(low, high)) for _ in range(dimensions))

    kernel, dilation = some(1, 3), some(1, 2)
    padding = draw(st.one_of(st.sampled_from(["same", "valid"]), st.builds(lambda: some(0, 2))))
    stride = 1 if padding == "same" else some(1, 3)
    groups = draw(st.integers(1, 3))
    settings = {
        "in_channels": groups * draw(st.integers(1, 3)),
        "out_channels": groups * draw(st.integers(1, 3)),
        "kernel_size": kernel,
        "stride": stride,
        "padding": padding,
        "padding_mode": draw(st.sampled_from(["zeros", "reflect", "replicate", "circular"])),
        "dilation": dilation,
        "groups": groups,
        "bias": draw(st.booleans()),
    }
    # At least the window without padding, and more than the padding, which reflects.
    size = tuple((k - 1) * d + 1 + draw(st.integers(0, 3)) for k, d in zip(kernel, dilation, strict=True))
    size = tuple(max(length, 3) for length in size)
    return getattr(nn, f"Conv{dimensions}d")(**settings), size


@pytest.mark.filterwarnings("ignore:Using padding='same':UserWarning")
@given(convolutions(), examples, seeds, values, KINDS)
def test_convolution(layer, e, seed, most, closed):
    module, size = layer
    inputs = (drawn(seed, e, module.in_channels, *size),)
    if closed:
        least = math.prod(module.kernel_size)
        check_all(module, inputs, ConvolutionGradients, seed=seed, values=most, least=least)
    else:
        check_all(module, inputs, LayerGradients, seed=seed, values=most)


@given(
    examples,
    st.integers(1, 3),
    st.integers(1, 3),
    st.lists(st.integers(1, 4), max_size=2),
    st.booleans(),
    seeds,
    values,
    KINDS,
)
def test_group_norm(e, groups, each, positions, bias, seed, most, closed):
    positions = positions or [2]
    if each * math.prod(positions) == 1:
        positions = [2]  # torch refuses to norm a single value
    module = nn.GroupNorm(groups, groups * each, eps=0.1, bias=bias)
    kind = GroupNormGradients if closed else LayerGradients
    check_all(module, (drawn(seed, e, groups * each, *positions),), kind, seed=seed, values=most)


@given(
    examples,
    st.lists(st.integers(1, 4), max_size=2),
    st.lists(st.integers(1, 4), min_size=1, max_size=2),
    st.booleans(),
    seeds,
    values,
    KINDS,
)
def test_layer_norm(e, positions, shape, bias, seed, most, closed):
    module = nn.LayerNorm(shape, eps=0.1, bias=bias)
    kind = LayerNormGradients if closed else LayerGradients
    check_all(module, (drawn(seed, e, *positions, *shape),), kind, seed=seed, values=most)


@given(
    examples,
    st.lists(st.integers(1, 4), max_size=2),
    few,
    few,
    st.sampled_from([None, 0, -1]),
    seeds,
    values,
    KINDS,
)
def test_embedding(e, positions, length, width, padding, seed, most, closed):
    module = nn.Embedding(length, width, padding_idx=padding)
    generator = torch.Generator().manual_seed(seed)
    inputs = (torch.randint(length, (e, *positions), generator=generator),)
    kind = EmbeddingGradients if closed else LayerGradients
    check_all(module, inputs, kind, seed=seed, values=most)


OF_EACH = {
    "linear": lambda: (nn.Linear(3, 2), drawn(1, 4, 3)),
    "linear with positions": lambda: (nn.Linear(3, 2), drawn(1, 4, 5, 3)),
    "convolution": lambda: (nn.Conv2d(2, 3, 3, padding=1, stride=2), drawn(1, 4, 2, 5, 5)),
    "convolution at few positions": lambda: (nn.Conv2d(4, 3, 3), drawn(1, 4, 4, 3, 3)),
    "group norm": lambda: (nn.GroupNorm(2, 4), drawn(1, 4, 4, 3)),
    "layer norm": lambda: (nn.LayerNorm(4), drawn(1, 4, 3, 4)),
    "embedding": lambda: (nn.Embedding(3, 2), torch.tensor([[0, 1], [0, 0], [2, 2], [1, 2]])),
}


@pytest.mark.parametrize("name", OF_EACH)
def test_gradients_whose_square_is_not_a_float32_have_a_norm(name):
    module, a = OF_EACH[name]()
    module, inputs, δ = problem(module, (a,), dtype=torch.float32)
    δ[0], δ[1], δ[2] = 0, δ[1] * 1e-30, δ[2] * 1e30
    expected = sum(g.flatten(1).square().sum(1) for g in by_loop(module, inputs, δ).values())
    found = layer_gradients(module, inputs, δ).squared_norms()
    assert found[0] == 0
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=0)


@pytest.mark.parametrize("name", OF_EACH)
def test_what_is_not_finite_stays_so(name):
    module, a = OF_EACH[name]()
    module, inputs, δ = problem(module, (a,), dtype=torch.float32)
    δ[1].view(-1)[1], δ[2].view(-1)[0] = torch.nan, torch.inf
    found = layer_gradients(module, inputs, δ).squared_norms()
    assert found.isfinite().tolist() == [True, False, False, True]


@pytest.mark.gpu
@pytest.mark.parametrize("name", OF_EACH)
def test_a_gpu_gives_the_same(name):
    module, a = OF_EACH[name]()
    module, inputs, δ = problem(module, (a,))
    expected = by_loop(module, inputs, δ)
    moved = module.cuda(), tuple(value.cuda() for value in inputs), δ.cuda()
    for gradients in (layer_gradients(*moved), LayerGradients(*moved)):
        check(gradients, expected, least=9)
