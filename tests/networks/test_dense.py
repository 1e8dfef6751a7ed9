from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from cgpipe.networks.dense import Layer, forward, initial_layers, losses, output_gradients

WIDTHS = ([5, 3], [5, 4, 3], [7, 6, 5, 4])
DTYPES = (torch.float64, torch.float32)
EACH_NETWORK = [pytest.param(w, d, id=f"{w}-{d}") for w in WIDTHS for d in DTYPES]


def problem(widths, dtype, batch=9):
    """A network whose biases are not 0, and a minibatch."""
    rng = np.random.default_rng(0)
    layers = [
        Layer(
            torch.from_numpy(rng.standard_normal((out, into))).to(dtype),
            torch.from_numpy(rng.standard_normal(out)).to(dtype),
        )
        for into, out in pairwise(widths)
    ]
    images = torch.from_numpy(rng.standard_normal((batch, widths[0]))).to(dtype)
    labels = torch.from_numpy(rng.integers(0, widths[-1], batch))
    return layers, images, labels


def by_autograd(layers, images):
    """What enters each layer, what leaves it, and the logits, with torch's own functions."""
    entering, leaving, x = [], [], images
    for number, layer in enumerate(layers):
        entering.append(x)
        x = torch.nn.functional.linear(x, layer.weight, layer.bias)
        leaving.append(x)
        if number < len(layers) - 1:
            x = x.relu()
    return entering, leaving, x


def tolerance(dtype):
    return {"rtol": 0, "atol": 200 * torch.finfo(dtype).eps}


@pytest.mark.parametrize(("widths", "dtype"), EACH_NETWORK)
def test_forward_is_that_of_torch(widths, dtype):
    layers, images, _ = problem(widths, dtype)
    before = images.clone()
    inputs, logits = forward(layers, images)
    entering, _, expected = by_autograd(layers, images)
    assert len(inputs) == len(layers)
    for found, entered in zip([*inputs, logits], [*entering, expected], strict=True):
        torch.testing.assert_close(found, entered, **tolerance(dtype))
    assert torch.equal(images, before)


@pytest.mark.parametrize(("widths", "dtype"), EACH_NETWORK)
def test_output_gradients_are_those_of_the_summed_loss(widths, dtype):
    layers, images, labels = problem(widths, dtype)
    with torch.enable_grad():
        tracked = [Layer(*(parameter.clone().requires_grad_() for parameter in layer)) for layer in layers]
        _, leaving, logits = by_autograd(tracked, images)
        loss = torch.nn.functional.cross_entropy(logits, labels, reduction="sum")
        expected = torch.autograd.grad(loss, leaving)
    found = output_gradients(layers, *forward(layers, images), labels)
    assert len(found) == len(layers)
    for δ, gradient in zip(found, expected, strict=True):
        torch.testing.assert_close(δ, gradient, **tolerance(dtype))


@pytest.mark.parametrize(("widths", "dtype"), EACH_NETWORK)
def test_each_row_is_the_gradient_of_the_examples_own_loss(widths, dtype):
    layers, images, labels = problem(widths, dtype)
    inputs, logits = forward(layers, images)
    δ = output_gradients(layers, inputs, logits, labels)
    for example in range(len(images)):
        with torch.enable_grad():
            tracked = [Layer(*(p.clone().requires_grad_() for p in layer)) for layer in layers]
            _, _, own = by_autograd(tracked, images[example : example + 1])
            torch.nn.functional.cross_entropy(own, labels[example : example + 1]).backward()
        for number, layer in enumerate(tracked):
            outer = torch.outer(δ[number][example], inputs[number][example])
            torch.testing.assert_close(outer, layer.weight.grad, **tolerance(dtype))
            torch.testing.assert_close(δ[number][example], layer.bias.grad, **tolerance(dtype))


def test_output_gradients_change_nothing_that_they_are_given():
    layers, images, labels = problem([5, 4, 3], torch.float64)
    inputs, logits = forward(layers, images)
    before = [*(x.clone() for x in inputs), logits.clone()]
    output_gradients(layers, inputs, logits, labels)
    assert all(torch.equal(a, b) for a, b in zip(before, [*inputs, logits], strict=True))


def test_a_unit_that_is_off_passes_no_gradient():
    layers, images, labels = problem([5, 4, 3], torch.float64)
    layers[0].bias[1] = -1e6
    δ = output_gradients(layers, *forward(layers, images), labels)
    assert (δ[0][:, 1] == 0).all()
    assert (δ[0] != 0).any()


@pytest.mark.parametrize(("init", "numerator"), [("xavier", 2.0), ("official", 4.0)])
def test_initial_weights_are_normal_with_the_variance_of_the_paper(init, numerator):
    layers = initial_layers([784, 500, 300, 10], init, np.random.default_rng(0))
    for (into, out), layer in zip(pairwise([784, 500, 300, 10]), layers, strict=True):
        assert layer.weight.shape == (out, into)
        assert layer.bias.shape == (out,)
        assert layer.weight.dtype == layer.bias.dtype == torch.float32
        assert (layer.bias == 0).all()
        weight = layer.weight.numpy().astype(np.float64).ravel()
        std = np.sqrt(numerator / (into + out))
        assert weight.std() == pytest.approx(std, rel=5 / np.sqrt(2 * weight.size))
        assert weight.mean() == pytest.approx(0, abs=5 * std / np.sqrt(weight.size))
        assert stats.kstest(weight / std, "norm").pvalue > 1e-4


def test_initial_layers_come_from_the_generator_alone():
    widths = [20, 10, 5]
    a, b = (initial_layers(widths, "xavier", np.random.default_rng(3)) for _ in range(2))
    other = initial_layers(widths, "xavier", np.random.default_rng(4))
    assert all(torch.equal(x.weight, y.weight) for x, y in zip(a, b, strict=True))
    assert not any(torch.equal(x.weight, y.weight) for x, y in zip(a, other, strict=True))
    assert not torch.equal(a[0].weight.ravel()[:50], a[1].weight.ravel())


def test_the_network_of_the_paper_has_its_number_of_parameters():
    layers = initial_layers([784, 2048, 10], "xavier", np.random.default_rng(0))
    assert sum(p.numel() for layer in layers for p in layer) == 1_628_170
    layers = initial_layers([784, 256, 256, 256, 10], "xavier", np.random.default_rng(0))
    assert sum(p.numel() for layer in layers for p in layer) == 335_114


# --- examples that are fitted ---------------------------------------------------------------------


def exactly(logits, label):
    """Gradient at the logits and loss of one example, in the platform's longest floating point."""
    z = np.asarray(logits, np.longdouble)
    odds = np.exp(z - z[label])
    odds[label] = 0
    others = odds.sum()
    gradient = odds / (1 + others)
    gradient[label] = -others / (1 + others)
    return gradient.astype(np.float64), float(np.log1p(others))


def at_logits(logits, labels):
    """The gradient at the logits of a network without hidden layers."""
    return output_gradients([Layer(logits, logits)], [logits], logits, labels)[0]


@st.composite
def logits_and_labels(draw):
    shape = draw(st.tuples(st.integers(1, 6), st.integers(1, 12)))
    logits = draw(hnp.arrays(np.float32, shape, elements=st.floats(-40, 40, width=32)))
    return logits, draw(hnp.arrays(np.int64, shape[0], elements=st.integers(0, shape[1] - 1)))


@given(logits_and_labels(), st.sampled_from(DTYPES))
def test_gradients_and_losses_lose_no_digits_however_well_an_example_is_fitted(case, dtype):
    logits, labels = torch.from_numpy(case[0]).to(dtype), torch.from_numpy(case[1])
    δ, loss = at_logits(logits, labels), losses(logits, labels)
    assert δ.dtype == loss.dtype == dtype
    # exp(x) takes |x| times the rounding error of x.
    tolerance = {"rtol": 200 * torch.finfo(dtype).eps, "atol": 0}
    for row, own, z, label in zip(δ, loss, logits, labels, strict=True):
        gradient, expected = exactly(z, label)
        np.testing.assert_allclose(row, gradient, **tolerance)
        np.testing.assert_allclose(own, expected, **tolerance)


@pytest.mark.parametrize("dtype", DTYPES)
def test_losses_are_those_of_torch(dtype):
    logits = torch.from_numpy(np.random.default_rng(0).standard_normal((50, 10))).to(dtype)
    labels = torch.arange(50) % 10
    expected = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    torch.testing.assert_close(losses(logits, labels), expected, **tolerance(dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_fitted_to_the_last_bit_and_what_is_all_wrong(dtype):
    logits, labels = torch.tensor([[1e4, 0.0], [0.0, 1e4]], dtype=dtype), torch.tensor([0, 0])
    assert at_logits(logits, labels).tolist() == [[0, 0], [-1, 1]]
    assert losses(logits, labels).tolist() == [0, 1e4]


@pytest.mark.parametrize("dtype", DTYPES)
def test_of_one_class_nothing_is_to_be_learned(dtype):
    logits, labels = torch.tensor([[3.0], [-2.0]], dtype=dtype), torch.tensor([0, 0])
    assert at_logits(logits, labels).tolist() == [[0], [0]]
    assert losses(logits, labels).tolist() == [0, 0]


@pytest.mark.parametrize("classes", [1, 2, 5])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_logit_that_is_not_finite_is_not_covered_up(value, classes):
    for place in range(classes):
        logits = torch.zeros(1, classes)
        logits[0, place] = value
        assert at_logits(logits, torch.tensor([0])).isnan().all()
        assert not losses(logits, torch.tensor([0])).isfinite().any()
