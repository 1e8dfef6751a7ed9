import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cgpipe.kernels import oracle, reference
from cgpipe.kernels.reference import (
    clipped_per_side,
    mean_linear_gradient,
    winsorized_linear_gradient,
    winsorized_mean,
)
from cgpipe.networks.dense import forward, initial_layers, output_gradients

DTYPES = (np.float32, np.float64)


@st.composite
def values_and_c(draw, max_batch=15):
    """Per-example values of any shape, with ties, zeros, both signs and outliers; and a c for them."""
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    shape = (draw(st.integers(1, max_batch)), *draw(hnp.array_shapes(min_dims=0, max_dims=2, max_side=4)))
    values = draw(hnp.arrays(dtype, shape, elements=elements(dtype)))
    return values, draw(st.integers(0, (shape[0] - 1) // 2))


@st.composite
def layer_and_c(draw):
    """What entered a layer, the gradients at its output, and a c for them."""
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    batch, into, out = draw(st.integers(1, 12)), draw(st.integers(0, 5)), draw(st.integers(0, 5))
    inputs = draw(hnp.arrays(dtype, (batch, into), elements=elements(dtype)))
    gradients = draw(hnp.arrays(dtype, (batch, out), elements=elements(dtype)))
    c = draw(st.integers(0, (batch - 1) // 2))
    return torch.from_numpy(inputs), torch.from_numpy(gradients), c


def elements(dtype):
    anything = st.floats(-(2.0**20), 2.0**20, width=8 * dtype.itemsize, allow_subnormal=False)
    return st.one_of(st.sampled_from([0.0, 0.0, -1.0, 1.0, 0.5]), anything)


def assert_is_winsorized(found, per_example, c, trimmed=False):
    """Equal to the oracle, to rounding at the scale of what is left after clipping.

    The tolerance does not grow with what is clipped away, so a total minus its extremes fails.
    """
    found, per_example = np.asarray(found), np.asarray(per_example)
    exact = oracle.winsorized_mean(per_example, c, trimmed=trimmed)
    assert found.shape == exact.shape
    ordered = np.sort(np.abs(per_example.astype(np.float64)), axis=0)
    clipped = np.sort(per_example.astype(np.float64), axis=0)[c : len(per_example) - c]
    # At c = 0 the mean of a layer's gradients is a matrix product, and nothing is clipped.
    scale = np.abs(clipped).max(0) if c else ordered[-1]
    rounding = (len(per_example) + 4) * np.finfo(found.dtype).eps
    np.testing.assert_array_less(np.abs(found - exact), rounding * scale + np.finfo(np.float32).tiny)


# --- winsorized_mean ------------------------------------------------------------------------------


@given(values_and_c(), st.booleans())
def test_the_mean_of_an_array_is_that_of_the_oracle(case, trimmed):
    values, c = case
    found = winsorized_mean(values, c, trimmed=trimmed)
    assert found.dtype == values.dtype
    assert not isinstance(found, torch.Tensor)
    assert_is_winsorized(found, values, c, trimmed)


@given(values_and_c(), st.booleans())
def test_the_mean_of_a_tensor_is_that_of_the_oracle(case, trimmed):
    values, c = case
    found = winsorized_mean(torch.from_numpy(values), c, trimmed=trimmed)
    assert isinstance(found, torch.Tensor)
    assert found.numpy().dtype == values.dtype
    assert_is_winsorized(found, values, c, trimmed)


def test_the_oracle_clips_or_leaves_out_as_by_hand():
    values = [0.0, 1.0, 3.0, 7.0, 100.0]
    for c, clipped, left in ((0, 111 / 5, 111 / 5), (1, (1 + 1 + 3 + 7 + 7) / 5, (1 + 3 + 7) / 3), (2, 3, 3)):
        assert oracle.winsorized_mean(values, c) == clipped
        assert oracle.winsorized_mean(values, c, trimmed=True) == left
    δ, a = [[-1.0], [0.0], [1.0], [2.0]], [[1.0, 2.0], [1.0, -1.0], [1.0, 0.0], [1.0, -4.0]]
    # Products for the second input: -2, 0, 0, -8.
    weight, bias = oracle.winsorized_linear_gradient(a, δ, 1)
    assert weight.tolist() == [[0.5, -1.0]]
    assert bias.tolist() == [0.5]
    weight, bias = oracle.winsorized_linear_gradient(a, δ, 1, trimmed=True)
    assert weight.tolist() == [[0.5, -1.0]]
    weight, bias = oracle.winsorized_linear_gradient([*a, [1.0, 1.0]], [*δ, [2.0]], 1, trimmed=True)
    assert weight.tolist() == [[1.0, -2 / 3]]
    assert bias.tolist() == [1.0]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("c", [0, 1, 2, 4, 8, 25, 49])
def test_with_100_examples_c_is_the_percentile_by_nearest_rank(dtype, c):
    values = np.random.default_rng(c).standard_normal((100, 30)).astype(dtype)
    values[:, 10:20] = np.round(values[:, 10:20])  # ties
    low, high = np.percentile(values, [c, 100 - c], axis=0, method="nearest")
    expected = np.clip(values, low, high).astype(np.float64).mean(0)
    np.testing.assert_allclose(winsorized_mean(values, c), expected, rtol=0, atol=20 * np.finfo(dtype).eps)


@pytest.mark.parametrize("c", [1, 2, 4, 8, 49])
def test_with_100_examples_exactly_c_on_each_side_are_clipped(c):
    values = np.random.default_rng(c).permutation(100).astype(np.float64)
    mean = winsorized_mean(values, c)
    beyond = values.copy()
    beyond[values < c] -= 1e9
    beyond[values > 99 - c] += 1e9
    assert winsorized_mean(beyond, c) == mean
    # The next value on each side is the one that all the clipped ones take.
    lower, higher = values.copy(), values.copy()
    lower[values == c] -= 0.5
    higher[values == 99 - c] += 0.5
    assert winsorized_mean(lower, c) == pytest.approx(mean - 0.5 * (c + 1) / 100, abs=1e-12)
    assert winsorized_mean(higher, c) == pytest.approx(mean + 0.5 * (c + 1) / 100, abs=1e-12)


@pytest.mark.parametrize("c", [1, 2, 4, 8, 49])
def test_trimmed_the_values_beyond_count_for_nothing(c):
    values = np.random.default_rng(c).permutation(100).astype(np.float64)
    assert winsorized_mean(values, c, trimmed=True) == 49.5
    beyond = values.copy()
    beyond[values < c] -= 1e9
    assert winsorized_mean(beyond, c, trimmed=True) == 49.5
    # The next value counts once, and not in place of those left out.
    lower = values.copy()
    lower[values == c] -= 0.5
    expected = 49.5 - 0.5 / (100 - 2 * c)
    assert winsorized_mean(lower, c, trimmed=True) == pytest.approx(expected, abs=1e-12)


@given(values_and_c(), st.booleans())
def test_no_clipping_is_the_mean(case, trimmed):
    values, _ = case
    scale = np.abs(values.astype(np.float64)).max(0)
    expected = values.astype(np.float64).mean(0)
    rounding = (len(values) + 4) * np.finfo(values.dtype).eps * scale + np.finfo(np.float32).tiny
    np.testing.assert_array_less(np.abs(winsorized_mean(values, 0, trimmed=trimmed) - expected), rounding)


@pytest.mark.parametrize("trimmed", [False, True])
@pytest.mark.parametrize("batch", [1, 2, 3, 4, 5, 99, 100])
def test_the_most_clipping_is_the_median(batch, trimmed):
    values = np.random.default_rng(batch).standard_normal((batch, 7))
    most = (batch - 1) // 2
    found = winsorized_mean(values, most, trimmed=trimmed)
    np.testing.assert_allclose(found, np.median(values, axis=0), rtol=1e-13)


@given(values_and_c(), st.booleans(), st.randoms())
def test_the_order_of_the_examples_does_not_matter(case, trimmed, random):
    values, c = case
    order = random.sample(range(len(values)), len(values))
    found = winsorized_mean(values[order], c, trimmed=trimmed)
    assert np.array_equal(found, winsorized_mean(values, c, trimmed=trimmed))


@pytest.mark.parametrize("trimmed", [False, True])
def test_a_huge_outlier_leaves_no_trace_in_float32(trimmed):
    values = np.ones((100, 2), np.float32)
    values[3, 0], values[7, 0] = 1e30, -1e30
    assert winsorized_mean(values, 1, trimmed=trimmed).tolist() == [1, 1]


@given(values_and_c())
def test_the_values_are_not_changed(case):
    values, c = case
    array, tensor = values.copy(), torch.from_numpy(values.copy())
    winsorized_mean(array, c)
    winsorized_mean(tensor, c)
    assert np.array_equal(array, values)
    assert np.array_equal(tensor.numpy(), values)


def test_the_values_may_lie_in_memory_in_any_order():
    values = np.random.default_rng(0).standard_normal((9, 4, 3))
    expected = winsorized_mean(values, 2)
    for layout in (np.asfortranarray(values), np.repeat(values, 2, axis=1)[:, ::2]):
        assert not layout.flags.c_contiguous
        assert np.array_equal(winsorized_mean(layout, 2), expected)
        assert np.array_equal(winsorized_mean(torch.from_numpy(layout), 2), expected)


def test_an_array_in_reverse_is_winsorized_too():
    values = np.arange(12.0).reshape(6, 2) ** 2
    assert np.array_equal(winsorized_mean(values[::-1], 1), winsorized_mean(values, 1))


def test_an_array_that_cannot_be_written_to_is_winsorized_too():
    values = np.arange(12.0).reshape(6, 2) ** 2
    expected = winsorized_mean(values.copy(), 1)
    values.flags.writeable = False
    torch.set_warn_always(True)  # otherwise torch warns of it once a process
    try:
        assert np.array_equal(winsorized_mean(values, 1), expected)
    finally:
        torch.set_warn_always(False)


def test_no_parameters_give_no_gradients():
    assert winsorized_mean(np.ones((5, 0, 3)), 1).shape == (0, 3)


@pytest.mark.parametrize(("batch", "c"), [(1, 1), (2, 1), (100, 50), (100, 1000), (5, -1)])
def test_clipping_everything_is_refused_with_the_c_that_are_allowed(batch, c):
    with pytest.raises(ValueError, match=rf"c = {c} .* {batch}: .* 0 to {(batch - 1) // 2}$"):
        winsorized_mean(np.ones((batch, 2)), c)
    with pytest.raises(ValueError, match=rf"c = {c} .* {batch}: "):
        winsorized_linear_gradient(torch.ones(batch, 2), torch.ones(batch, 3), c)


def test_an_empty_minibatch_is_refused():
    with pytest.raises(ValueError, match="minibatch is empty"):
        winsorized_mean(np.ones((0, 2)), 0)
    with pytest.raises(ValueError, match="minibatch is empty"):
        winsorized_linear_gradient(torch.ones(0, 2), torch.ones(0, 3), 0)


def test_a_value_without_axes_is_refused():
    with pytest.raises(ValueError, match="no axis"):
        winsorized_mean(np.float64(3), 0)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("c", [0, 1])
def test_values_that_are_not_finite_are_refused_with_their_place(value, c):
    values = np.ones((6, 2))
    values[4, 1] = values[5, 0] = value
    with pytest.raises(ValueError, match=r"values: 2 of 12 values are not finite, the first at \(4, 1\)"):
        winsorized_mean(values, c)


@pytest.mark.parametrize("dtype", [np.int64, np.bool_, np.float16, np.complex128])
def test_values_of_another_type_are_refused(dtype):
    with pytest.raises(TypeError, match="give float32 or float64"):
        winsorized_mean(np.ones((5, 2), dtype), 1)


@pytest.mark.parametrize("c", [1.0, True, np.float64(1), np.bool_(1), "1", None])
def test_a_c_that_is_no_integer_is_refused(c):
    with pytest.raises(TypeError, match="give an integer"):
        winsorized_mean(np.ones((5, 2)), c)
    with pytest.raises(TypeError, match="give an integer"):
        winsorized_linear_gradient(torch.ones(5, 2), torch.ones(5, 2), c)


def test_c_may_be_an_integer_of_numpy():
    values = np.arange(5.0) ** 2
    assert winsorized_mean(values, np.int64(1)) == winsorized_mean(values, 1) == (1 + 1 + 4 + 9 + 9) / 5


# --- clipped_per_side -----------------------------------------------------------------------------


def test_with_100_values_the_percentile_is_the_count():
    assert [clipped_per_side(p, 100) for p in range(50)] == list(range(50))


@given(st.floats(0, 50, exclude_max=True), st.integers(1, 300))
@example(percentile=49.9, batch=3)
def test_the_percentile_is_clipped_as_numpy_takes_it(percentile, batch):
    values = np.random.default_rng(0).permutation(batch)
    rank = np.percentile(values, percentile, method="nearest")
    if 2 * rank >= batch:
        with pytest.raises(ValueError, match=f"c = {rank} with a minibatch of {batch}"):
            clipped_per_side(percentile, batch)
    else:
        assert clipped_per_side(percentile, batch) == rank


@pytest.mark.parametrize("percentile", [-1, 50, 100, float("nan")])
def test_a_percentile_beyond_the_median_is_refused(percentile):
    with pytest.raises(ValueError, match="at least 0 and below 50"):
        clipped_per_side(percentile, 100)


def test_a_percentile_of_an_empty_minibatch_is_refused():
    with pytest.raises(ValueError, match="minibatch is empty"):
        clipped_per_side(5, 0)


# --- winsorized_linear_gradient -------------------------------------------------------------------


def per_example(inputs, gradients):
    """Gradients of a linear layer's weights: (batch, out, in)."""
    return gradients.numpy().astype(np.float64)[:, :, None] * inputs.numpy().astype(np.float64)[:, None, :]


def assert_is_winsorized_layer(inputs, gradients, c, trimmed=False):
    weight, bias = winsorized_linear_gradient(inputs, gradients, c, trimmed=trimmed)
    assert weight.dtype == bias.dtype == inputs.dtype
    assert weight.shape == (gradients.shape[1], inputs.shape[1])
    assert_is_winsorized(weight, per_example(inputs, gradients), c, trimmed)
    assert_is_winsorized(bias, gradients.numpy(), c, trimmed)


@given(layer_and_c(), st.booleans())
def test_the_gradient_of_a_layer_is_that_of_the_oracle(case, trimmed):
    inputs, gradients, c = case
    assert_is_winsorized_layer(inputs, gradients, c, trimmed)
    weight, bias = winsorized_linear_gradient(inputs, gradients, c, trimmed=trimmed)
    exact_weight, exact_bias = oracle.winsorized_linear_gradient(inputs, gradients, c, trimmed=trimmed)
    assert weight.shape == exact_weight.shape
    assert bias.shape == exact_bias.shape


@given(layer_and_c(), st.booleans(), st.sampled_from([1, 7, 30, 61]))
def test_layers_larger_than_one_chunk_are_winsorized_whole(case, trimmed, at_once):
    inputs, gradients, c = case
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reference, "VALUES_AT_ONCE", at_once)
        assert_is_winsorized_layer(inputs, gradients, c, trimmed)


def test_memory_is_bounded_by_the_values_at_once(monkeypatch):
    largest = 0
    original = reference._winsorized_row_mean

    def spy(rows, *others, **options):
        nonlocal largest
        largest = max(largest, rows.numel())
        return original(rows, *others, **options)

    monkeypatch.setattr(reference, "VALUES_AT_ONCE", 500)
    monkeypatch.setattr(reference, "_winsorized_row_mean", spy)
    winsorized_linear_gradient(torch.ones(10, 20), torch.ones(10, 30), 1)
    assert 300 <= largest <= 500  # 300 for the biases


def test_layers_may_lie_in_memory_in_any_order():
    rng = np.random.default_rng(0)
    inputs = torch.from_numpy(rng.standard_normal((8, 22)))[:, ::2]
    gradients = torch.from_numpy(rng.standard_normal((5, 8))).T
    assert not inputs.is_contiguous()
    assert not gradients.is_contiguous()
    for c in (0, 2):
        assert_is_winsorized_layer(inputs, gradients, c)


@given(layer_and_c())
def test_inputs_and_gradients_are_not_changed(case):
    inputs, gradients, c = case
    before = inputs.clone(), gradients.clone()
    winsorized_linear_gradient(inputs, gradients, c)
    assert torch.equal(inputs, before[0])
    assert torch.equal(gradients, before[1])


@given(layer_and_c())
def test_the_mean_gradient_is_winsorized_without_clipping(case):
    inputs, gradients, _ = case
    weight, bias = mean_linear_gradient(inputs, gradients)
    assert_is_winsorized(weight, per_example(inputs, gradients), 0)
    assert_is_winsorized(bias, gradients.numpy(), 0)


@pytest.mark.parametrize("c", [1, 2, 4])
def test_a_pixel_that_few_examples_have_moves_no_weight(c):
    rng = np.random.default_rng(c)
    inputs = torch.zeros(20, 2, dtype=torch.float64)
    inputs[rng.permutation(20)[:c], 0] = 5.0
    inputs[rng.permutation(20)[: c + 1], 1] = 5.0
    gradients = torch.from_numpy(rng.uniform(1, 2, (20, 6)))
    weight, bias = winsorized_linear_gradient(inputs, gradients, c)
    assert (weight[:, 0] == 0).all()
    assert (weight[:, 1] > 0).all()
    assert (bias > 0).all()


@pytest.mark.parametrize(
    ("inputs", "gradients", "said"),
    [
        ((5, 2), (6, 3), r"\(5, 2\) and output_gradients \(6, 3\): the number of examples"),
        ((5,), (5, 3), r"\(5,\) .* give shapes \(batch, in\) and \(batch, out\)"),
        ((5, 2), (5, 3, 1), r"\(5, 3, 1\): give shapes \(batch, in\) and \(batch, out\)"),
    ],
)
def test_shapes_that_do_not_match_are_refused(inputs, gradients, said):
    with pytest.raises(ValueError, match=said):
        winsorized_linear_gradient(torch.ones(inputs), torch.ones(gradients), 1)


@pytest.mark.parametrize(
    ("inputs", "gradients"),
    [
        (torch.float32, torch.float64),
        (torch.float64, torch.float32),
        (torch.int64, torch.float32),
        (torch.float32, torch.int64),
        (torch.float16, torch.float16),
    ],
)
def test_types_that_do_not_match_are_refused(inputs, gradients):
    with pytest.raises(TypeError, match="float"):
        winsorized_linear_gradient(torch.ones(5, 2, dtype=inputs), torch.ones(5, 3, dtype=gradients), 1)


def test_tensors_on_two_devices_are_refused():
    with pytest.raises(ValueError, match=r"inputs on meta .* on cpu: move both"):
        winsorized_linear_gradient(torch.ones(5, 2, device="meta"), torch.ones(5, 3), 1)


@pytest.mark.parametrize("c", [0, 1])
@pytest.mark.parametrize("which", ["inputs", "output_gradients"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_layer_with_values_that_are_not_finite_is_refused(which, value, c):
    tensors = {"inputs": torch.ones(5, 2), "output_gradients": torch.ones(5, 3)}
    tensors[which][3, 1] = value
    with pytest.raises(ValueError, match=rf"^{which}: 1 of .* the first at \(3, 1\)"):
        winsorized_linear_gradient(**tensors, c=c)


def test_products_that_overflow_are_refused():
    with pytest.raises(ValueError, match="the gradient of the weights: 6 of 6"):
        winsorized_linear_gradient(torch.full((5, 2), 1e30), torch.full((5, 3), 1e30), 1)


def minibatch(dataset, hidden, seed):
    """The first layer's inputs and output gradients on 100 images, at initialisation."""
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(dataset.sizes["train_example"])[:100]
    pixels = dataset["train_images"].to_numpy()[chosen].reshape(100, -1).astype(np.float32)
    images = torch.from_numpy(pixels / np.float32(dataset.attrs["pixel_max"]))
    layers = initial_layers([images.shape[1], hidden, 10], "xavier", rng)
    inputs, logits = forward(layers, images)
    labels = torch.from_numpy(dataset["train_labels"].to_numpy()[chosen])
    return inputs, output_gradients(layers, inputs, logits, labels)


@pytest.mark.parametrize("c", [0, 1, 8])
@pytest.mark.parametrize("data", ["digits", "mnist"])
def test_a_minibatch_of_images_is_winsorized_as_by_the_oracle(request, data, c):
    inputs, gradients = minibatch(request.getfixturevalue(data), 6, seed=c)
    for entered, δ in zip(inputs, gradients, strict=True):
        assert_is_winsorized_layer(entered, δ, c)


@pytest.mark.parametrize("c", [1, 2, 4, 8])
def test_rare_pixels_of_mnist_move_no_weight(mnist, c):
    inputs, gradients = minibatch(mnist, 32, seed=c)
    weight, _ = winsorized_linear_gradient(inputs[0], gradients[0], c)
    lit = (inputs[0] != 0).sum(0)
    assert 0.2 < (lit == 0).float().mean() < 0.5
    assert (lit > c).any()
    assert (weight[:, lit <= c] == 0).all()
    assert (weight[:, lit > 2 * c + 10] != 0).any()


# --- the toy of Chatterjee and Zielinski (2022): one shared feature, five of single examples --------

TOY = torch.tensor(
    [[1, 0, 0, 0, 0, 1], [0, -1, 0, 0, 0, -1], [0, 0, -1, 0, 0, -1], [0, 0, 0, 1, 0, 1]], dtype=torch.float64
)
TOY_TARGETS = torch.tensor([1, -1, -1, 1], dtype=torch.float64)
TOY_TEST = torch.tensor([0, 0, 0, 0, -1, -1], dtype=torch.float64)


def descend(rows, aggregate, steps=50):
    """Full-batch descent on ½(y - w·x)² from w = 0; returns w and the test loss after each step."""
    w = torch.zeros(6, dtype=torch.float64)
    losses = [0.5]
    for _ in range(steps):
        δ = (rows @ w - TOY_TARGETS)[:, None]  # (example, 1)
        w = w - 0.1 * aggregate(rows, δ)[0][0]
        losses.append(float(0.5 * (-1 - w @ TOY_TEST) ** 2))
    return w, losses


def test_toy_descent_moves_the_shared_weight_most_and_generalizes():
    w, losses = descend(TOY, mean_linear_gradient)
    assert (w[5] > 2 * w[:5].abs()).all()
    assert (np.diff(losses) < 0).all()


def test_toy_without_the_shared_feature_does_not_generalize():
    alone = TOY.clone()
    alone[:, 5] = 0
    w, losses = descend(alone, mean_linear_gradient)
    assert (w[:4] != 0).all()
    assert set(losses) == {0.5}


def test_toy_winsorized_moves_the_shared_weight_alone():
    w, losses = descend(TOY, lambda inputs, δ: winsorized_linear_gradient(inputs, δ, 1))
    assert w[:5].tolist() == [0, 0, 0, 0, 0]
    assert w[5] > 0.5
    assert (np.diff(losses) < 0).all()
