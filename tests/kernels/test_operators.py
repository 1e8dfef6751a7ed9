import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from problems import pixels_of
from torch._subclasses.fake_tensor import FakeTensorMode

from cgpipe.kernels import build, operators, oracle, reference
from cgpipe.learning.batches import BatchOrder
from cgpipe.learning.evaluation import evaluate
from cgpipe.learning.rules import Clipped
from cgpipe.learning.trainer import Trainer
from cgpipe.networks.dense import Layer, forward, initial_layers, output_gradients
from cgpipe.networks.fully_connected import Dense

WITHIN = 5e-6
BOTH = pytest.mark.parametrize("trimmed", [False, True])


@pytest.fixture(scope="module", autouse=True)
def _compiled():
    assert operators.ready() == build.instruction_set()


def gradient(inputs, gradients, c, trimmed=False):
    return torch.ops.cgpipe.winsorized_linear_gradient(inputs, gradients, c, trimmed)


def update_(weight, bias, inputs, gradients, c, rate, trimmed=False):
    torch.ops.cgpipe.winsorized_linear_update_(weight, bias, inputs, gradients, c, rate, trimmed)


# --- what it must equal ---------------------------------------------------------------------------


def mean_of_sorted(rows, c, trimmed):
    """Mean over the last axis, and the largest magnitude that is left after clipping."""
    batch = rows.shape[-1]
    kept = rows[..., c : batch - c]
    low, high = kept[..., 0], kept[..., -1]
    mean = kept.mean(-1) if trimmed else (kept.sum(-1) + c * (low + high)) / batch
    return mean, np.maximum(np.abs(low), np.abs(high))


def by_sorting(inputs, gradients, counts, trimmed=False):
    """The definition in float64, for each c: ((weight, scale), (bias, scale)).

    Products of two float32 are exact in float64.
    """
    a, δ = (np.ascontiguousarray(factor.numpy().T.astype(np.float64)) for factor in (inputs, gradients))
    of_bias = np.sort(δ, axis=-1)
    found = {c: (np.empty((2, len(δ), len(a))), mean_of_sorted(of_bias, c, trimmed)) for c in counts}
    for unit in range(len(δ)):
        rows = np.sort(δ[unit] * a, axis=-1)  # (i, b)
        for c in counts:
            found[c][0][:, unit] = mean_of_sorted(rows, c, trimmed)
    return found


def assert_near(found, exact, scale):
    """Within the tolerance, at the scale of what is left after clipping, weight by weight."""
    assert found.dtype == torch.float32
    assert tuple(found.shape) == exact.shape
    allowed = WITHIN * scale + 4 * np.finfo(np.float32).tiny
    np.testing.assert_array_less(np.abs(found.numpy().astype(np.float64) - exact), allowed)


def assert_is_exact(inputs, gradients, c, trimmed=False):
    found = gradient(inputs, gradients, c, trimmed)
    for one, (exact, scale) in zip(found, by_sorting(inputs, gradients, [c], trimmed)[c], strict=True):
        assert_near(one, exact, scale)


FEW = st.sampled_from([0.0, 0.0, 0.0, -1.0, 1.0, 0.5, 3.0])
ELEMENTS = {
    "any": st.one_of(FEW, st.floats(-(2.0**20), 2.0**20, width=32, allow_subnormal=False)),
    "not negative": st.one_of(FEW.map(abs), st.floats(0, 2.0**20, width=32, allow_subnormal=False)),
    "few": FEW,
}


@st.composite
def small_layers(draw):
    """A small layer in every detail, and a c for it."""
    batch, into, out = draw(st.integers(1, 12)), draw(st.integers(0, 4)), draw(st.integers(0, 4))
    elements = [ELEMENTS[draw(st.sampled_from(sorted(ELEMENTS)))] for _ in range(2)]
    inputs = draw(hnp.arrays(np.float32, (batch, into), elements=elements[0]))
    gradients = draw(hnp.arrays(np.float32, (batch, out), elements=elements[1]))
    c = draw(st.integers(0, (batch - 1) // 2))
    return torch.from_numpy(inputs), torch.from_numpy(gradients), c


@given(small_layers(), st.booleans())
def test_sorting_in_float64_is_the_oracle(case, trimmed):
    inputs, gradients, c = case
    found = by_sorting(inputs, gradients, [c], trimmed)[c]
    exact = oracle.winsorized_linear_gradient(inputs, gradients, c, trimmed=trimmed)
    for (mean, scale), wanted in zip(found, exact, strict=True):
        assert mean.shape == wanted.shape
        np.testing.assert_array_less(np.abs(mean - wanted), 1e-14 * scale + 1e-300)


@settings(max_examples=300)
@given(small_layers(), st.booleans())
def test_a_small_layer_is_that_of_the_oracle(case, trimmed):
    inputs, gradients, c = case
    found = gradient(inputs, gradients, c, trimmed)
    exact = oracle.winsorized_linear_gradient(inputs, gradients, c, trimmed=trimmed)
    scales = by_sorting(inputs, gradients, [c], trimmed)[c]
    for one, wanted, (_, scale) in zip(found, exact, scales, strict=True):
        assert_near(one, wanted, scale)


# What enters a layer, and the gradients at its output: float32 of shape (batch, width).


def normal(rng, batch, width):
    return rng.standard_normal((batch, width), dtype=np.float32)


def sparse(share):
    def values(rng, batch, width):
        return abs(normal(rng, batch, width)) * (rng.random((batch, width)) < share)

    return values


def late(rng, batch, width):
    """One unit in a hundred is active, and not for all examples."""
    return sparse(0.3)(rng, batch, width) * (rng.random(width) < 0.01)


def late_both_signs(rng, batch, width):
    return late(rng, batch, width) * np.sign(normal(rng, batch, width))


def tied(rng, batch, width):
    return rng.integers(-2, 3, (batch, width))


def tied_not_negative(rng, batch, width):
    return rng.integers(0, 3, (batch, width))


def scales(rng, batch, width):
    """Of any size, examples and units alike."""
    return normal(rng, batch, width) * 10.0 ** rng.uniform(-5, 5, (batch, width))


def nearly_of_one_sign(sign):
    """All but a few of a unit, and of some units all."""

    def values(rng, batch, width):
        others = rng.random((batch, width)) < rng.uniform(0, 8 / batch, width)
        return sign * np.where(others, -1, 1) * abs(normal(rng, batch, width))

    return values


def softmax(rng, batch, width):
    """Probabilities less the label: one negative a row."""
    p = np.exp(normal(rng, batch, width))
    p /= p.sum(1, keepdims=True)
    p[np.arange(batch), rng.integers(0, max(1, width), batch)] -= 1
    return p


INPUTS = {
    "normal": normal,
    "after a ReLU": sparse(0.5),
    "pixels": sparse(0.19),
    "positive": lambda *of: abs(normal(*of)),
    "negative": lambda *of: -abs(normal(*of)),
    "late": late,
    "tied": tied,
    "tied, not negative": tied_not_negative,
    "one": lambda rng, batch, width: np.ones((batch, width)),
    "scales": scales,
}
GRADIENTS = {
    "normal": normal,
    "half zeros": lambda rng, *shape: normal(rng, *shape) * (rng.random(shape) < 0.5),
    "nearly positive": nearly_of_one_sign(1),
    "nearly negative": nearly_of_one_sign(-1),
    "positive": lambda *of: abs(normal(*of)),
    "negative": lambda *of: -abs(normal(*of)),
    "softmax": softmax,
    "late": late_both_signs,
    "tied": tied,
    "zero": lambda rng, batch, width: np.zeros((batch, width)),
    "scales": scales,
}
WIDTHS = (1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 64, 65, 100)


def layer(inputs, gradients, batch, into, out, seed):
    """A layer of these kinds and sizes."""
    rng = np.random.default_rng(seed)
    kinds = (INPUTS[inputs], into), (GRADIENTS[gradients], out)
    return tuple(torch.from_numpy(kind(rng, batch, w).astype(np.float32)) for kind, w in kinds)


@st.composite
def layers(draw):
    """A layer of any kind and size, and a c for it, often small, or the most."""
    batch = draw(st.one_of(st.integers(1, 40), st.sampled_from([64, 99, 100, 101, 128, 200])))
    kinds = draw(st.sampled_from(sorted(INPUTS))), draw(st.sampled_from(sorted(GRADIENTS)))
    widths = draw(st.sampled_from(WIDTHS)), draw(st.sampled_from(WIDTHS))
    most = (batch - 1) // 2
    c = draw(st.one_of(st.integers(0, min(4, most)), st.integers(0, min(18, most)), st.integers(0, most)))
    return *layer(*kinds, batch, *widths, draw(st.integers(0, 2**16))), c


@settings(max_examples=400)
@given(layers(), st.booleans())
def test_a_layer_is_that_of_sorting_in_float64(case, trimmed):
    assert_is_exact(*case, trimmed)


@BOTH
@pytest.mark.parametrize("gradients", sorted(GRADIENTS))
@pytest.mark.parametrize("inputs", sorted(INPUTS))
def test_every_kind_of_layer_is_exact_for_every_small_c(inputs, gradients, trimmed):
    a, δ = layer(inputs, gradients, 47, 20, 19, seed=1)
    exact = by_sorting(a, δ, range(24), trimmed)
    for c in range(24):
        for one, (wanted, scale) in zip(gradient(a, δ, c, trimmed), exact[c], strict=True):
            assert_near(one, wanted, scale)


@BOTH
@pytest.mark.parametrize("batch", [20, 400])
@pytest.mark.parametrize("inputs", ["after a ReLU", "normal", "pixels"])
def test_small_and_large_minibatches_are_exact(inputs, batch, trimmed):
    a, δ = layer(inputs, "half zeros", batch, 40, 33, seed=batch)
    counts = [c for c in (0, 1, 2, 4, 8, 9, 16, 17, 50, 199) if 2 * c < batch]
    exact = by_sorting(a, δ, counts, trimmed)
    for c in counts:
        for one, (wanted, scale) in zip(gradient(a, δ, c, trimmed), exact[c], strict=True):
            assert_near(one, wanted, scale)


@BOTH
def test_of_one_example_it_is_its_gradient(trimmed):
    a, δ = layer("normal", "normal", 1, 33, 17, seed=0)
    weight, bias = gradient(a, δ, 0, trimmed)
    assert torch.equal(weight, δ.T * a)
    assert torch.equal(bias, δ[0])


@BOTH
@pytest.mark.parametrize("batch", [3, 5, 17, 31, 33, 35, 61])
@pytest.mark.parametrize("inputs", ["normal", "positive", "after a ReLU", "tied"])
def test_the_most_clipping_of_an_odd_minibatch_is_the_median(inputs, batch, trimmed):
    a, δ = layer(inputs, "normal", batch, 19, 18, seed=batch)
    products = δ[:, :, None] * a[:, None, :]
    weight, bias = gradient(a, δ, batch // 2, trimmed)
    rounding = {"rtol": 0 if trimmed else 1e-6, "atol": 0}
    torch.testing.assert_close(weight, products.median(0).values, **rounding)
    torch.testing.assert_close(bias, δ.median(0).values, **rounding)


@pytest.mark.parametrize("inputs", sorted(INPUTS))
def test_no_clipping_is_the_mean(inputs):
    a, δ = layer(inputs, "normal", 100, 40, 33, seed=3)
    weight, bias = gradient(a, δ, 0)
    products = np.abs(δ.numpy()).max(0)[:, None] * np.abs(a.numpy()).max(0)
    assert_near(weight, (δ.double().T @ a.double() / 100).numpy(), products)
    assert_near(bias, δ.double().mean(0).numpy(), np.abs(δ.numpy()).max(0))


@pytest.mark.parametrize("c", [1, 2, 4, 8, 16, 17, 49])
@pytest.mark.parametrize("inputs", ["after a ReLU", "normal"])
def test_ten_examples_ten_times_each_are_exact(inputs, c):
    a, δ = (factor.repeat(10, 1) for factor in layer(inputs, "softmax", 10, 33, 20, seed=c))
    assert_is_exact(a, δ, c)
    assert_is_exact(a, δ, c, trimmed=True)


@BOTH
@pytest.mark.parametrize("c", [0, 1, 2, 4, 8, 16, 17, 49])
@pytest.mark.parametrize("inputs", ["after a ReLU", "normal"])
def test_one_example_a_hundred_times_gives_its_own_gradient(inputs, c, trimmed):
    one = layer(inputs, "softmax", 1, 33, 20, seed=c)
    a, δ = (factor.repeat(100, 1) for factor in one)
    weight, bias = gradient(a, δ, c, trimmed)
    torch.testing.assert_close(weight, one[1].T * one[0], rtol=WITHIN, atol=0)
    torch.testing.assert_close(bias, one[1][0], rtol=WITHIN, atol=0)


@pytest.mark.parametrize("c", [1, 2, 4, 8])
def test_a_late_network_is_exact(c):
    a, δ = layer("late", "late", 100, 256, 256, seed=c)
    assert 0 < (a != 0).any(0).float().mean() < 0.05
    assert 0 < (δ != 0).any(0).float().mean() < 0.05
    assert_is_exact(a, δ, c)


@pytest.mark.parametrize("widths", [(1, 1), (1, 100), (100, 1), (15, 17), (31, 33), (784, 10), (10, 784)])
@pytest.mark.parametrize("c", [0, 2, 5, 17])
def test_layers_of_any_width_are_exact(widths, c):
    assert_is_exact(*layer("pixels", "half zeros", 50, *widths, seed=c), c)


@pytest.mark.parametrize("widths", [(0, 3), (3, 0), (0, 0)])
def test_no_weights_have_no_gradients(widths):
    a, δ = layer("normal", "normal", 5, *widths, seed=0)
    weight, bias = gradient(a, δ, 1)
    assert weight.shape == widths[::-1]
    assert_near(bias, *by_sorting(a, δ, [1])[1][1])


@BOTH
@pytest.mark.parametrize("outlier", [1e30, -1e30, 3e38])
@pytest.mark.parametrize("c", [1, 2, 5, 16, 17])
@pytest.mark.parametrize("inputs", ["normal", "positive", "after a ReLU", "tied, not negative"])
def test_a_huge_outlier_leaves_no_trace(inputs, c, outlier, trimmed):
    # 3e38 times an input is infinite, and clipped like any other.
    a, δ = layer(inputs, "normal", 60, 33, 20, seed=c)
    δ[7, 3] = np.sign(outlier) * 1e3
    large = gradient(a, δ, c, trimmed)
    δ[7, 3] = outlier
    huge = gradient(a, δ, c, trimmed)
    assert all(torch.equal(x, y) for x, y in zip(large, huge, strict=True))
    assert all(one.abs().max() < 20 for one in huge)


@BOTH
@pytest.mark.parametrize("c", [1, 2, 4, 16, 17])
@pytest.mark.parametrize("gradients", ["normal", "positive"])
def test_a_pixel_that_at_most_c_examples_have_moves_no_weight(gradients, c, trimmed):
    a, δ = layer("pixels", gradients, 60, 100, 20, seed=c)
    a[: c + 1, 7] = a[:, 8] = a[:, 9] = 0
    a[c : 2 * c, 8] = 1e30
    a[c : 2 * c + 1, 9] = 1
    weight, _ = gradient(a, δ, c, trimmed)
    rare = (a != 0).sum(0) <= c
    assert rare[8]
    assert not rare[9]
    assert (weight[:, rare] == 0).all()
    if gradients == "positive":
        assert (weight[:, ~rare] > 0).all()


# --- real minibatches -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def networks(mnist):
    """What enters each layer of a 3x256 network, and the gradients at its output: as drawn, and trained.

    The labels are half random.
    """
    rng = np.random.default_rng(0)
    pixels = mnist["train_images"].to_numpy()[:10_000].reshape(10_000, -1).astype(np.float32)
    images = torch.from_numpy(pixels / np.float32(mnist.attrs["pixel_max"]))
    labels = torch.from_numpy(mnist["train_labels"].to_numpy()[:10_000])
    corrupt = torch.from_numpy(rng.random(10_000) < 0.5)
    labels = torch.where(corrupt, torch.from_numpy(rng.integers(0, 10, 10_000)), labels)
    layers = initial_layers([784, 256, 256, 256, 10], "xavier", rng)
    order = BatchOrder(10_000, 100, rng)

    def minibatch():
        batch = order.next()
        inputs, logits = forward(layers, images[batch])
        return inputs, output_gradients(layers, inputs, logits, labels[batch])

    drawn = minibatch()
    trainer = Trainer(layers, images, labels, 100, Clipped(2))
    for _ in range(400):
        trainer.step(order.next(), 0.1)
    assert evaluate(layers, images, labels).accuracy > 0.4  # of 0.55 by the digits alone
    return {"as drawn": drawn, "trained": minibatch()}


@BOTH
@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("network", ["as drawn", "trained"])
def test_gradients_of_mnist_are_exact(networks, network, number, trimmed):
    inputs, gradients = (factors[number] for factors in networks[network])
    exact = by_sorting(inputs, gradients, (1, 2, 4, 8), trimmed)
    for c in (1, 2, 4, 8):
        for found, (wanted, _) in zip(gradient(inputs, gradients, c, trimmed), exact[c], strict=True):
            largest = np.abs(wanted).max()
            assert largest > 0
            assert np.abs(found.numpy() - wanted).max() <= WITHIN * largest


# --- where the tensors lie ------------------------------------------------------------------------


def layouts(tensor):
    """The same values, elsewhere in memory."""
    rows, columns = tensor.shape
    yield tensor.T.contiguous().T
    yield torch.full((2 * rows, 3 * columns), torch.nan)[::2, ::3].copy_(tensor)
    yield torch.full((3 * columns, 2 * rows), torch.nan)[1::3, 1::2].T.copy_(tensor)


@pytest.mark.parametrize("c", [0, 2, 17])
def test_inputs_and_gradients_may_lie_in_memory_in_any_order(c):
    a, δ = layer("after a ReLU", "half zeros", 50, 37, 21, seed=c)
    expected = gradient(a, δ, c)
    for inputs, gradients in zip(layouts(a), layouts(δ), strict=True):
        assert not inputs.is_contiguous()
        assert not gradients.is_contiguous()
        for given_a, given_δ in ((inputs, δ), (a, gradients), (inputs, gradients)):
            found = gradient(given_a, given_δ, c)
            assert all(torch.equal(x, y) for x, y in zip(found, expected, strict=True))


def test_one_row_may_stand_for_all():
    a, δ = layer("normal", "normal", 1, 37, 21, seed=0)
    found = gradient(a.expand(20, -1), δ.expand(20, -1), 2)
    expected = gradient(a.repeat(20, 1), δ.repeat(20, 1), 2)
    assert all(torch.equal(x, y) for x, y in zip(found, expected, strict=True))


@pytest.mark.parametrize("inputs", sorted(INPUTS))
def test_inputs_and_gradients_are_not_changed(inputs):
    a, δ = layer(inputs, "normal", 50, 37, 21, seed=0)
    before = a.clone(), δ.clone()
    gradient(a, δ, 2)
    update_(torch.ones(21, 37), torch.ones(21), a, δ, 2, 0.1)
    assert torch.equal(a, before[0])
    assert torch.equal(δ, before[1])


@BOTH
@pytest.mark.parametrize("c", [0, 1, 3, 17])
@pytest.mark.parametrize("inputs", ["pixels", "positive", "normal"])  # both ways round
@pytest.mark.parametrize("rate", [0.1, 1.0, -3.0])
def test_an_update_subtracts_the_gradient_whatever_the_strides(inputs, c, rate, trimmed):
    a, δ = layer(inputs, "softmax", 50, 70, 33, seed=c)
    start, start_bias = layer("normal", "normal", 33, 70, 1, seed=c)
    start_bias = start_bias[:, 0].contiguous()
    gradients = gradient(a, δ, c, trimmed)
    expected = start.clone(), start_bias.clone()
    update_(*expected, a, δ, c, rate, trimmed)
    for found, was, by in zip(expected, (start, start_bias), gradients, strict=True):
        exact = was.double() - rate * by.double()
        rounding = 2 * torch.finfo(torch.float32).eps * (was.abs() + abs(rate) * by.abs())
        assert ((found.double() - exact).abs() <= rounding).all()
    assert not torch.equal(expected[1], start_bias)
    for weight in layouts(start):
        bias = torch.empty(33, 4)[:, 1].copy_(start_bias)
        update_(weight, bias, a, δ, c, rate, trimmed)
        assert torch.equal(weight, expected[0])
        assert torch.equal(bias, expected[1])


def test_an_update_touches_nothing_between_strided_weights():
    a, δ = layer("pixels", "normal", 50, 40, 33, seed=0)
    around, around_bias = torch.full((66, 120), 7.0), torch.full((99,), 7.0)
    update_(around[::2, 1::3], around_bias[2::3], a, δ, 2, 0.1)
    assert (around[::2, 1::3] != 7).any()
    assert (around_bias[2::3] != 7).all()
    around[::2, 1::3] = around_bias[2::3] = 7
    assert (around == 7).all()
    assert (around_bias == 7).all()


def test_an_update_at_rate_0_changes_nothing():
    a, δ = layer("normal", "normal", 50, 40, 33, seed=0)
    weight, bias = torch.randn(33, 40), torch.randn(33)
    before = weight.clone(), bias.clone()
    update_(weight, bias, a, δ, 2, 0.0)
    assert torch.equal(weight, before[0])
    assert torch.equal(bias, before[1])


# --- the same bits --------------------------------------------------------------------------------


def cases():
    """Layers of all kinds and of sizes at which every choice that the kernel makes falls both ways."""
    rng = np.random.default_rng(0)
    for inputs in sorted(INPUTS):
        for gradients in sorted(GRADIENTS):
            for _ in range(3):
                batch, into, out = (int(n) for n in rng.integers(1, (120, 80, 80)))
                largest = (batch - 1) // 2 if rng.random() < 0.3 else min(8, (batch - 1) // 2)
                c = int(rng.integers(0, largest + 1))
                kinds = inputs, gradients, batch, into, out
                yield (*kinds, c), (*layer(*kinds, seed=c), c)


def digests():
    """For each of the cases, what its results are bit by bit."""
    found = {}
    for name, case in cases():
        weight, bias = gradient(*case)
        trimmed, _ = gradient(*case, True)
        update_(weight_after := torch.ones_like(weight).T.contiguous().T, torch.ones_like(bias), *case, 0.1)
        results = weight, bias, trimmed, weight_after
        found[str(name)] = [hashlib.sha256(x.contiguous().numpy().tobytes()).hexdigest() for x in results]
    return found


@pytest.fixture
def _threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("_threads")
def test_the_number_of_threads_changes_no_bit():
    by_threads = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        by_threads.append(digests())
    assert by_threads[1] == by_threads[0]
    assert by_threads[2] == by_threads[0]


def in_a_process(code, folder=None, **environment):
    """What a fresh interpreter prints, as JSON; its warnings are errors."""
    if folder:
        environment["TORCH_EXTENSIONS_DIR"] = str(folder)
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


DIGESTS = f"""
import json, sys
sys.path[:0] = {[str(folder) for folder in Path(__file__).parents[:2]]!r}
import test_operators
print(json.dumps([test_operators.operators.ready(), test_operators.digests()]))
"""


@pytest.mark.slow  # two more to compile
@pytest.mark.parametrize("capability", ["avx2", "default"])
def test_the_instruction_set_changes_no_bit(capability):
    ready, found = in_a_process(DIGESTS, ATEN_CPU_CAPABILITY=capability)
    best = torch.backends.cpu.get_cpu_capability()
    assert ready == (capability.upper() if best.startswith("AVX") else "DEFAULT")
    assert found == digests()


# --- the forward pass -----------------------------------------------------------------------------


@pytest.mark.parametrize("widths", [[50, 3], [150, 70, 3]])
@pytest.mark.parametrize("share", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_forward_pass_by_sparse_or_dense_images_is_that_of_the_network(widths, share, dtype):
    rng = np.random.default_rng(0)
    images = pixels_of(rng, 300, widths[0], share, True).to(dtype)
    layers = [Layer(*(p.to(dtype) for p in layer)) for layer in initial_layers(widths, "xavier", rng)]
    inputs, logits = Dense(layers).forward(images)
    exact = [Layer(*(p.double() for p in layer)) for layer in layers]
    exact_inputs, exact_logits = forward(exact, images.double())
    for found, wanted in zip((*inputs, logits), (*exact_inputs, exact_logits), strict=True):
        assert found.dtype == dtype
        torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_the_forward_pass_by_sparse_images_shows_a_weight_that_is_not_finite(value):
    layers, images = initial_layers([50, 20, 3], "xavier", np.random.default_rng(0)), torch.zeros(11, 50)
    images[8, 7] = 1
    layers[0].weight[4, 7] = value
    logits = Dense(layers).forward(images)[1]
    assert torch.equal(logits.isfinite(), forward(layers, images)[1].isfinite())
    assert not logits.isfinite().all()


# --- what is refused ------------------------------------------------------------------------------

ONE, OTHER = torch.ones(5, 2), torch.ones(5, 3)


def with_value(tensor, place, value):
    changed = tensor.clone()
    changed[place] = value
    return changed


REFUSED = {
    "2c is the batch": (torch.ones(6, 2), torch.ones(6, 3), 3),
    "2c is more": (ONE, OTHER, 3),
    "c is large": (ONE, OTHER, 1000),
    "c is so large that 2c is negative": (ONE, OTHER, 2**62),
    "c is negative": (ONE, OTHER, -1),
    "one example, c = 1": (torch.ones(1, 2), torch.ones(1, 3), 1),
    "other examples": (ONE, torch.ones(6, 3), 1),
    "one axis": (ONE[:, 0], OTHER, 1),
    "one axis at the output": (ONE, OTHER[:, 0], 1),
    "three axes": (ONE[None], OTHER, 1),
    "no axis": (torch.tensor(1.0), OTHER, 1),
    "empty": (ONE[:0], OTHER[:0], 0),
    "nan enters": (with_value(ONE, (3, 1), torch.nan), OTHER, 1),
    "inf enters": (with_value(ONE, (0, 0), torch.inf), OTHER, 0),
    "-inf enters": (with_value(ONE, (4, 1), -torch.inf), OTHER, 2),
    "nan at the output": (ONE, with_value(OTHER, (2, 2), torch.nan), 1),
    "inf at the output": (ONE, with_value(OTHER, (4, 0), torch.inf), 1),
    "-inf at the output": (ONE, with_value(OTHER, (0, 1), -torch.inf), 1),
    "several": (ONE, with_value(with_value(OTHER, (1, 2), torch.nan), (3, 0), torch.inf), 1),
    "transposed": (ONE, with_value(OTHER, (3, 0), torch.nan).T.contiguous().T, 1),
    "inf in a unit that is clipped": (ONE, with_value(OTHER * 0, (3, 0), torch.inf), 1),
    "nan in a large layer": (with_value(torch.ones(100, 784), (77, 300), torch.nan), torch.ones(100, 3), 1),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_is_in_the_words_of_the_reference_and_leaves_the_weights(name):
    inputs, gradients, c = REFUSED[name]
    with pytest.raises(ValueError, match=r".") as by_reference:
        reference.winsorized_linear_gradient(inputs, gradients, c)
    words = str(by_reference.value)
    for function in (gradient, operators.winsorized_linear_gradient):
        with pytest.raises(ValueError, match=r".") as refused:
            function(inputs, gradients, c)
        assert str(refused.value) == words
    weight, bias = torch.ones(gradients.shape[-1], inputs.shape[-1] if inputs.ndim else 1), torch.ones(3)
    with pytest.raises(ValueError, match=r".") as refused:
        update_(weight, bias, inputs, gradients, c, 0.1)
    assert str(refused.value) == words
    assert (weight == 1).all()
    assert (bias == 1).all()


def test_a_refusal_counts_and_places_what_is_not_finite():
    inputs, gradients, c = REFUSED["several"]
    with pytest.raises(ValueError, match=r"^output_gradients: 2 of 15 .* not finite, the first at \(1, 2\)$"):
        gradient(inputs, gradients, c)


@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float16, torch.bfloat16, torch.int32, torch.complex64]
)
@pytest.mark.parametrize("which", ["weight", "bias", "inputs", "output_gradients"])
def test_another_type_is_refused_by_name(which, dtype):
    tensors = {"weight": torch.ones(3, 2), "bias": torch.ones(3), "inputs": ONE, "output_gradients": OTHER}
    tensors[which] = tensors[which].to(dtype)
    with pytest.raises(TypeError, match=rf"^{which} is .*: give float32"):
        update_(*tensors.values(), 1, 0.1)
    assert (tensors["weight"] == 1).all()
    assert (tensors["bias"] == 1).all()
    if which in ("inputs", "output_gradients"):
        with pytest.raises(TypeError, match=rf"^{which} is .*: give float32"):
            gradient(tensors["inputs"], tensors["output_gradients"], 1)


@pytest.mark.parametrize("which", ["weight", "bias", "inputs", "output_gradients"])
def test_tensors_on_two_devices_are_refused(which):
    tensors = {"weight": torch.ones(3, 2), "bias": torch.ones(3), "inputs": ONE, "output_gradients": OTHER}
    tensors[which] = tensors[which].to("meta")
    with pytest.raises((ValueError, RuntimeError), match=r"device|meta"):
        update_(*tensors.values(), 1, 0.1)
    if which in ("inputs", "output_gradients"):
        with pytest.raises((ValueError, RuntimeError), match=r"device|meta"):
            gradient(tensors["inputs"], tensors["output_gradients"], 1)


@pytest.mark.parametrize(
    ("weight", "bias"),
    [
        ((2, 3), (3,)),
        ((3, 3), (3,)),
        ((3, 2), (2,)),
        ((3, 2), (1,)),
        ((3, 2), (3, 1)),
        ((6,), (3,)),
        ((1, 3, 2), (3,)),
    ],
)
def test_weights_of_another_layer_are_refused_and_left(weight, bias):
    tensors = torch.ones(weight), torch.ones(bias)
    said = r"a layer from 2 to 3 has weight \(3, 2\) and bias \(3,\)$"
    with pytest.raises(ValueError, match=said):
        update_(*tensors, ONE, OTHER, 1, 0.1)
    assert all((tensor == 1).all() for tensor in tensors)


@pytest.mark.parametrize(("shape", "strides"), [((3, 2), (0, 1)), ((3, 2), (1, 0)), ((3, 2), (0, 0))])
def test_weights_that_share_memory_are_refused_and_left(shape, strides):
    weight = torch.ones(3).as_strided(shape, strides)
    with pytest.raises((ValueError, RuntimeError), match="memory"):
        update_(weight, torch.ones(3), ONE, OTHER, 1, 0.1)
    assert (weight == 1).all()


# --- the public function --------------------------------------------------------------------------


@given(layers(), st.booleans())
def test_float32_takes_the_operator(case, trimmed):
    found = operators.winsorized_linear_gradient(*case, trimmed=trimmed)
    expected = gradient(*case, trimmed)
    assert all(torch.equal(x, y) for x, y in zip(found, expected, strict=True))


@given(layers(), st.booleans())
def test_float64_takes_the_reference(case, trimmed):
    a, δ, c = case
    found = operators.winsorized_linear_gradient(a.double(), δ.double(), c, trimmed=trimmed)
    expected = reference.winsorized_linear_gradient(a.double(), δ.double(), c, trimmed=trimmed)
    for one, wanted in zip(found, expected, strict=True):
        assert one.dtype == torch.float64
        assert torch.equal(one, wanted)


@pytest.mark.parametrize("dtype", [torch.float16, torch.int64, torch.float64])
def test_types_that_do_not_match_are_refused(dtype):
    with pytest.raises(TypeError, match="float"):
        operators.winsorized_linear_gradient(ONE.to(dtype), OTHER, 1)
    with pytest.raises(TypeError, match="float"):
        operators.winsorized_linear_gradient(ONE, OTHER.to(dtype), 1)


@pytest.mark.parametrize("c", [1.0, True, np.float64(1), "1", None])
def test_a_c_that_is_no_integer_is_refused(c):
    with pytest.raises(TypeError, match="give an integer"):
        operators.winsorized_linear_gradient(ONE, OTHER, c)


def test_c_may_be_an_integer_of_numpy():
    a, δ = layer("normal", "normal", 20, 9, 7, seed=0)
    found = operators.winsorized_linear_gradient(a, δ, np.int64(3))
    assert all(torch.equal(x, y) for x, y in zip(found, gradient(a, δ, 3), strict=True))


@pytest.mark.parametrize("c", [0, 1, 2])
def test_products_that_overflow_are_refused(c):
    with pytest.raises(ValueError, match="the gradient of the weights: 6 of 6"):
        operators.winsorized_linear_gradient(torch.full((5, 2), 1e30), torch.full((5, 3), 1e30), c)


# --- gradients that were formed -------------------------------------------------------------------

EVERY_C = [0, 1, 2, 3, 5, 8, 9, 17, 20]  # in lists, and from 9 on sorted


FORMED = {
    "ties": lambda rng, shape: rng.integers(-1, 2, shape),
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "one outlier": lambda rng, shape: np.where(np.arange(shape[0])[:, None] == 0, 1e30, rng.random(shape)),
    "tiny": lambda rng, shape: 1e-40 * rng.standard_normal(shape),
    "equal": lambda rng, shape: np.full(shape, 3.0),
}


@BOTH
@pytest.mark.parametrize("kind", FORMED)
@given(st.integers(0, 2**16), st.integers(1, 42), st.integers(0, 140), st.sampled_from(EVERY_C))
def test_the_mean_of_formed_values_is_that_of_the_oracle(kind, trimmed, seed, batch, parameters, c):
    c = min(c, (batch - 1) // 2)
    values = FORMED[kind](np.random.default_rng(seed), (batch, parameters)).astype(np.float32)
    exact = oracle.winsorized_mean(values, c, trimmed=trimmed)
    scale = mean_of_sorted(np.sort(values.astype(np.float64), axis=0).T, c, trimmed)[1]
    assert_near(operators.winsorized_values(torch.from_numpy(values), c, trimmed=trimmed), exact, scale)
    double = operators.winsorized_values(torch.from_numpy(values).double(), c, trimmed=trimmed)
    np.testing.assert_allclose(double, exact, rtol=0, atol=1e-14 * float(scale.max(initial=0)))


@pytest.mark.parametrize("c", EVERY_C)
def test_neither_strides_nor_threads_change_the_mean_of_formed_values(c):
    values = torch.randn(41, 5_003, generator=torch.Generator().manual_seed(c))
    expected = operators.winsorized_values(values, c)
    assert torch.equal(operators.winsorized_values(values.T.contiguous().T, c), expected)
    assert torch.equal(operators.winsorized_values(values.repeat(1, 2)[:, :5_003], c), expected)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert torch.equal(operators.winsorized_values(values, c), expected)
    finally:
        torch.set_num_threads(before)


@BOTH
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("c", EVERY_C)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_formed_value_that_is_not_finite_is_not_clipped_away(c, value, dtype, trimmed):
    values = torch.randn(41, 70, dtype=dtype)
    values[3, 5] = values[40, 69] = value
    mean = operators.winsorized_values(values, c, trimmed=trimmed)
    assert torch.isnan(mean).nonzero().flatten().tolist() == [5, 69]


@pytest.mark.parametrize(
    ("values", "c", "error", "message"),
    [
        (torch.ones(5), 1, ValueError, r"values \(5,\): give shape \(batch, parameters\)"),
        (torch.ones(0, 3), 0, ValueError, "the minibatch is empty"),
        (torch.ones(4, 3), 2, ValueError, "c = 2 with a minibatch of 4: .* 0 to 1"),
        (torch.ones(4, 3), -1, ValueError, "c = -1 with a minibatch of 4"),
        (torch.ones(4, 3, dtype=torch.float16), 1, TypeError, "values is Half: give float32"),
    ],
)
def test_formed_values_that_do_not_fit_are_refused(values, c, error, message):
    with pytest.raises(error, match=message):
        torch.ops.cgpipe.winsorized_values(values, c)


# --- as operators of torch ------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("c", [0, 2, 17])
def test_torch_finds_the_operators_in_order(c):
    a, δ = layer("after a ReLU", "softmax", 40, 9, 7, seed=c)
    weight, bias = torch.randn(7, 9), torch.randn(7)
    torch.library.opcheck(torch.ops.cgpipe.winsorized_linear_gradient, (a, δ, c))
    torch.library.opcheck(torch.ops.cgpipe.winsorized_linear_gradient, (a, δ, c, True))
    torch.library.opcheck(torch.ops.cgpipe.winsorized_linear_update_, (weight, bias, a, δ, c, 0.1))
    torch.library.opcheck(torch.ops.cgpipe.winsorized_linear_update_, (weight, bias, a, δ, c, 0.1, True))


def test_fake_tensors_have_the_shapes_of_the_real():
    a, δ = layer("normal", "normal", 40, 9, 7, seed=0)
    δ = δ.T.contiguous().T
    with FakeTensorMode() as mode:
        fake_a, fake_δ = mode.from_tensor(a), mode.from_tensor(δ)
        fakes = gradient(fake_a, fake_δ, 2)
        assert update_(torch.empty(7, 9), torch.empty(7), fake_a, fake_δ, 2, 0.1) is None
    for fake, real in zip(fakes, gradient(a, δ, 2), strict=True):
        assert fake.shape == real.shape
        assert fake.dtype == real.dtype
        assert fake.device == real.device
        assert fake.stride() == real.stride()


@pytest.mark.parametrize("name", ["other examples", "one axis", "one axis at the output", "three axes"])
def test_a_fake_layer_of_other_shapes_is_refused_too(name):
    inputs, gradients, c = REFUSED[name]
    with FakeTensorMode() as mode, pytest.raises(ValueError, match=r"inputs .* and output_gradients"):
        gradient(mode.from_tensor(inputs), mode.from_tensor(gradients), c)


# --- the build ------------------------------------------------------------------------------------

# Compares what the operators do where the kernel could not be compiled; prints JSON.
WITHOUT_KERNEL = """
import json, warnings
import torch
from cgpipe.kernels import operators, reference

with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    a, δ = torch.randn(30, 7).relu(), torch.randn(30, 5)
    found = operators.winsorized_linear_gradient(a, δ, 3)
    ready = [operators.ready(), operators.ready()]
    weight, bias = torch.ones(5, 7), torch.ones(5)
    torch.ops.cgpipe.winsorized_linear_update_(weight, bias, a, δ, 3, 0.5)
    trimmed = torch.ops.cgpipe.winsorized_linear_gradient(a, δ, 3, True)

def same(found, expected):
    return all(torch.equal(x, y) for x, y in zip(found, expected, strict=True))

expected = reference.winsorized_linear_gradient(a, δ, 3)
print(json.dumps({
    "ready": ready,
    "said": [[w.category.__name__, str(w.message)] for w in said],
    "gradient": same(found, expected),
    "trimmed": same(trimmed, reference.winsorized_linear_gradient(a, δ, 3, trimmed=True)),
    "update": same((weight, bias), (1 - 0.5 * expected[0], 1 - 0.5 * expected[1])),
}))
"""


def assert_is_without_kernel(found, *reasons):
    assert found["ready"] == ["reference"] * 2
    ((category, message),) = found["said"]
    assert category == "RuntimeWarning"
    for words in ("could not be compiled", "some 30 times the time", *reasons):
        assert words in message
    # Only where there is none.
    assert ("nstall a C++20 compiler" in message) == ("not found" in message)
    for name in ("gradient", "trimmed", "update"):
        assert found[name] is True, name


def test_without_a_compiler_the_reference_stands_in_and_this_is_said_once(tmp_path):
    found = in_a_process(WITHOUT_KERNEL, tmp_path, CXX="/nonexistent")
    assert_is_without_kernel(found, "/nonexistent: not found", "apt install g++", "Unset CXX")
    assert not list(tmp_path.rglob("*.so"))


def test_with_a_compiler_that_fails_its_words_are_told(tmp_path):
    compiler = tmp_path / "g++"
    compiler.write_text(
        '#!/bin/sh\ncase "$*" in *-dump*) echo 13.2.0;; *) echo no room left; exit 1;; esac\n'
    )
    compiler.chmod(0o755)
    assert_is_without_kernel(in_a_process(WITHOUT_KERNEL, tmp_path, CXX=str(compiler)), "no room left")


def test_without_a_folder_to_write_to_the_reference_stands_in_and_this_is_said_once(tmp_path):
    (tmp_path / "file").touch()
    found = in_a_process(WITHOUT_KERNEL, tmp_path / "file" / "below", CXX="/nonexistent")
    assert_is_without_kernel(found, "Not a directory", "TORCH_EXTENSIONS_DIR")


@pytest.mark.parametrize("damage", ["cut", "zeros", "empty", "a bit"])
def test_a_damaged_library_is_not_loaded_and_no_process_dies_of_it(tmp_path, damage):
    library = build.load()
    content = bytearray(library.read_bytes())
    half = len(content) // 2
    if damage == "cut":
        del content[half:]
    elif damage == "zeros":
        content[half : half + 20_000] = bytes(20_000)
    elif damage == "empty":
        content.clear()
    else:
        content[half] ^= 1
    (tmp_path / "cgpipe").mkdir()
    (tmp_path / "cgpipe" / library.name).write_bytes(content)
    found = in_a_process(WITHOUT_KERNEL, tmp_path, CXX="/nonexistent")
    assert_is_without_kernel(found, "/nonexistent: not found")


@pytest.mark.slow  # compiles the whole kernel
def test_a_damaged_library_is_made_again_in_a_path_with_a_space(tmp_path):
    folder = tmp_path / "a 'b' $c é"
    (folder / "cgpipe").mkdir(parents=True)
    library = folder / "cgpipe" / build.load().name
    library.write_bytes(build.load().read_bytes()[:100_000])
    assert in_a_process(READY, folder) == [build.instruction_set(), str(library)]


def test_a_kernel_that_computes_something_else_is_not_used(monkeypatch):
    def off(a, δ, c):
        weight, bias = reference.winsorized_linear_gradient(a, δ, c)
        return weight, bias * 1.01

    operators._try(reference.winsorized_linear_gradient, "cpu")
    operators._try(torch.ops.cgpipe.winsorized_linear_gradient, "cpu")
    with pytest.raises(ArithmeticError, match=r"it is off by .*use another compiler"):
        operators._try(off, "cpu")


REFUSED_WITHOUT_KERNEL = """
import json, warnings
import torch
from cgpipe.kernels import operators

warnings.simplefilter("ignore")
operators.ready()

def left(weight, bias, *of):
    try:
        torch.ops.cgpipe.winsorized_linear_update_(weight, bias, *of, 0.5)
        said = "nothing"
    except Exception as error:
        said = str(error)
    return [said, bool((weight == 1).all() and (bias == 1).all())]

one = torch.ones
nan = torch.full((30, 7), torch.nan)
print(json.dumps({
    "c = 15 with a minibatch of 30": left(one(5, 7), one(5), one(30, 7), one(30, 5), 15),
    "the number of examples": left(one(5, 7), one(5), one(30, 7), one(31, 5), 3),
    "inputs: 210 of 210 values are not finite": left(one(5, 7), one(5), nan, one(30, 5), 3),
    "weight (2, 5, 7) and bias (5,)": left(one(2, 5, 7), one(5), one(30, 7), one(30, 5), 3),
    "weight (5, 7) and bias (6,)": left(one(5, 7), one(6), one(30, 7), one(30, 5), 3),
}))
"""


def test_without_a_compiler_the_same_is_refused_and_leaves_the_weights(tmp_path):
    found = in_a_process(REFUSED_WITHOUT_KERNEL, tmp_path, CXX="/nonexistent")
    assert len(found) == 5
    for words, (said, unchanged) in found.items():
        assert words in said
        assert unchanged, words


READY = """
import json
from cgpipe.kernels import build, operators

print(json.dumps([operators.ready(), str(build.load())]))
"""


def test_what_was_compiled_is_kept_for_the_next_process():
    library = build.load()
    assert library.suffix == ".so"
    before = library.stat()
    ready, loaded = in_a_process(READY, library.parent.parent, CXX="/nonexistent")
    assert ready == build.instruction_set()
    assert loaded == str(library)
    assert library.stat().st_mtime_ns == before.st_mtime_ns


@pytest.mark.parametrize("variable", ["sources", "flags"])
def test_what_was_compiled_of_something_else_is_not_taken(tmp_path, monkeypatch, variable):
    before = build.load()
    if variable == "flags":
        monkeypatch.setattr(build, "COMPILER", [*build.COMPILER, "-O1"])
    else:
        for name in build.SOURCES:
            (tmp_path / name).write_text((Path(build.__file__).parent / name).read_text("utf-8"), "utf-8")
        (tmp_path / "lanes.h").write_text("// other\n", "utf-8")
        monkeypatch.setattr(build, "__file__", str(tmp_path / "build.py"))
    monkeypatch.setenv("CXX", "/nonexistent")
    with pytest.raises(build.BuildError, match="not found"):
        build.load()
    assert before.exists()


# A compiler that writes half a library, says what process it is and then waits.
HANGING = """#!/bin/sh
case "$*" in *-dump*) echo 13.2.0; exit;; esac
while [ "$1" != -o ]; do shift; done
echo half > "$2"
case "$2" in *.so) echo $$ > "{linking}.new"; mv "{linking}.new" "{linking}"; exec sleep 1000;; esac
"""


def test_a_build_killed_midway_leaves_nothing_that_is_loaded_later(tmp_path):
    compiler, linking, cache = tmp_path / "g++", tmp_path / "linking", tmp_path / "cache"
    compiler.write_text(HANGING.format(linking=linking))
    compiler.chmod(0o755)
    building = subprocess.Popen(
        [sys.executable, "-c", READY],
        env={**os.environ, "CXX": str(compiler), "TORCH_EXTENSIONS_DIR": str(cache)},
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        while not linking.exists():
            assert building.poll() is None
            time.sleep(0.05)
    finally:
        os.killpg(building.pid, signal.SIGKILL)
        building.wait()
    os.kill(int(linking.read_text()), signal.SIGKILL)  # it has a process group of its own
    (half,) = cache.rglob("*.so")
    assert half.read_text() == "half\n"
    assert not list((cache / "cgpipe").glob("*.so"))
    found = in_a_process(WITHOUT_KERNEL, cache, CXX="/nonexistent")
    assert_is_without_kernel(found, "/nonexistent: not found")
