import copy
import json
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cgpipe.learning.aggregation import oracle
from cgpipe.learning.aggregation.reference import mean_linear_gradient, winsorized_linear_gradient
from cgpipe.learning.networks import Layer, forward, initial_layers, output_gradients
from cgpipe.learning.training import (
    BatchOrder,
    NonFiniteError,
    evaluate,
    learned_steps,
    logged_steps,
    sgd_step,
)


def problem(widths, batch, dtype=torch.float64):
    rng = np.random.default_rng(0)
    layers = [Layer(*(p.to(dtype) for p in layer)) for layer in initial_layers(widths, "xavier", rng)]
    images = torch.from_numpy(rng.uniform(size=(batch, widths[0]))).to(dtype)
    labels = torch.from_numpy(rng.integers(0, widths[-1], batch))
    return layers, images, labels


def copy_of(layers):
    return [Layer(layer.weight.clone(), layer.bias.clone()) for layer in layers]


# --- logged_steps ---------------------------------------------------------------------------------

UP_TO_10000 = [*range(10), *range(10, 100, 10), *range(100, 1000, 100), *range(1000, 10_000, 1000), 10_000]


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (0, [0]),
        (1, [0, 1]),
        (9, list(range(10))),
        (10, list(range(11))),
        (11, list(range(12))),
        (95, [*range(10), *range(10, 100, 10), 95]),
        (999, [*range(10), *range(10, 100, 10), *range(100, 1000, 100), 999]),
        (10_001, [*UP_TO_10000, 10_001]),
        (60_000, [*UP_TO_10000, 20_000, 30_000, 40_000, 50_000, 60_000]),
        (100_000, [*UP_TO_10000, *range(20_000, 100_001, 10_000)]),
    ],
)
def test_logged_steps_are_those_of_the_paper(steps, expected):
    assert logged_steps(steps) == expected


@given(st.integers(0, 300_000))
def test_logged_steps_increase_from_zero_to_the_last(steps):
    logged = logged_steps(steps)
    assert logged[0] == 0
    assert logged[-1] == steps
    assert all(a < b for a, b in pairwise(logged))
    assert all(len(str(t).rstrip("0")) <= 1 if t < 10_000 else t % 10_000 == 0 for t in logged if t != steps)


# --- BatchOrder -----------------------------------------------------------------------------------


@given(st.integers(1, 40), st.data())
def test_no_example_comes_twice_in_an_epoch_and_each_epoch_is_fresh(examples, data):
    size = data.draw(st.integers(1, examples))
    order = BatchOrder(examples, size, np.random.default_rng(data.draw(st.integers(0, 1000))))
    epochs = []
    for _ in range(3):
        batches = [order.next() for _ in range(examples // size)]
        assert all(batch.shape == (size,) for batch in batches)
        seen = np.concatenate(batches)
        assert len(np.unique(seen)) == len(seen)
        assert set(seen) <= set(range(examples))
        epochs.append(seen)
    if examples >= 20:
        assert not np.array_equal(epochs[0], epochs[1])
        assert not np.array_equal(epochs[1], epochs[2])


def test_an_epoch_takes_every_example_where_the_batches_fit():
    order = BatchOrder(60, 20, np.random.default_rng(0))
    for _ in range(4):
        assert sorted(np.concatenate([order.next() for _ in range(3)])) == list(range(60))


def test_examples_left_over_come_in_later_epochs():
    order = BatchOrder(10, 4, np.random.default_rng(0))
    counts = np.bincount(np.concatenate([order.next() for _ in range(2 * 1000)]), minlength=10)
    # 8 of 10 in each of 1,000 epochs, left out at random.
    assert counts.sum() == 8000
    assert np.abs(counts - 800).max() < 5 * np.sqrt(1000 * 0.8 * 0.2)


@given(st.integers(1, 30), st.integers(0, 20), st.data())
def test_a_restored_order_goes_on_bit_by_bit(examples, before, data):
    size = data.draw(st.integers(1, examples))
    order = BatchOrder(examples, size, np.random.default_rng(1))
    for _ in range(before):
        order.next()
    state = order.state()
    kept = copy.deepcopy(state)
    expected = [order.next().copy() for _ in range(20)]
    assert np.array_equal(state["permutation"], kept["permutation"])
    assert state["used"] == kept["used"]
    assert state["rng"] == kept["rng"]

    # As a checkpoint keeps it: one array, and the rest as JSON.
    permutation = state.pop("permutation")
    other = BatchOrder(examples, size, np.random.default_rng(2))
    other.restore({**json.loads(json.dumps(state)), "permutation": permutation})
    assert all(np.array_equal(other.next(), batch) for batch in expected)


@pytest.mark.parametrize("size", [0, -1, 11])
def test_a_batch_that_no_epoch_can_fill_is_refused(size):
    with pytest.raises(ValueError, match=f"batch size {size} with 10 .* of 1 to 10"):
        BatchOrder(10, size, np.random.default_rng(0))


# --- sgd_step -------------------------------------------------------------------------------------


@pytest.mark.parametrize("widths", [[6, 4], [6, 5, 4], [6, 7, 5, 4]])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("winsorized", [False, True])
def test_a_step_without_clipping_is_that_of_torch(widths, dtype, winsorized):
    layers, images, labels = problem(widths, 12, dtype)
    with torch.enable_grad():
        tracked = [Layer(*(p.clone().requires_grad_() for p in layer)) for layer in layers]
        optimizer = torch.optim.SGD([p for layer in tracked for p in layer], lr=0.3)
        x = images
        for layer in tracked[:-1]:
            x = torch.nn.functional.linear(x, *layer).relu()
        logits = torch.nn.functional.linear(x, *tracked[-1])
        torch.nn.functional.cross_entropy(logits, labels).backward()
        optimizer.step()
    before = copy_of(layers)
    aggregate = partial(winsorized_linear_gradient, c=0) if winsorized else mean_linear_gradient
    sgd_step(layers, images, labels, 0.3, aggregate)
    for layer, expected, old in zip(layers, tracked, before, strict=True):
        for found, wanted, start in zip(layer, expected, old, strict=True):
            torch.testing.assert_close(found, wanted.detach(), rtol=0, atol=20 * torch.finfo(dtype).eps)
            assert not torch.equal(found, start)


@pytest.mark.parametrize("c", [1, 3])
def test_a_winsorized_step_is_that_of_the_oracle(c):
    layers, images, labels = problem([6, 5, 4], 11)
    before = copy_of(layers)
    inputs, logits = forward(layers, images)
    δ = output_gradients(layers, inputs, logits, labels)
    sgd_step(layers, images, labels, 0.5, partial(winsorized_linear_gradient, c=c))
    for number, (layer, old) in enumerate(zip(layers, before, strict=True)):
        weight, bias = oracle.winsorized_linear_gradient(inputs[number], δ[number], c)
        np.testing.assert_allclose(layer.weight, old.weight.numpy() - 0.5 * weight, rtol=0, atol=1e-14)
        np.testing.assert_allclose(layer.bias, old.bias.numpy() - 0.5 * bias, rtol=0, atol=1e-14)


def test_a_step_changes_neither_images_nor_labels():
    layers, images, labels = problem([6, 5, 4], 11)
    before = images.clone(), labels.clone()
    sgd_step(layers, images, labels, 0.5, mean_linear_gradient)
    assert torch.equal(images, before[0])
    assert torch.equal(labels, before[1])


@pytest.mark.parametrize("damaged", [0, 1, 2])
@pytest.mark.parametrize("aggregate", [mean_linear_gradient, partial(winsorized_linear_gradient, c=1)])
def test_a_step_names_the_layer_that_diverged_and_leaves_the_network(damaged, aggregate):
    layers, images, labels = problem([6, 5, 4, 3], 11, torch.float32)
    for layer in layers:
        layer.weight.abs_()  # so that something positive reaches every layer
    layers[damaged].weight.fill_(3e38)
    layers[damaged].bias.fill_(3e38)
    before = copy_of(layers)
    shape = ["5x6", "4x5", "3x4"][damaged]
    with pytest.raises(NonFiniteError, match=rf"layer {damaged + 1} of 3 \(weights {shape}\) is not finite"):
        sgd_step(layers, images, labels, 0.1, aggregate)
    for layer, old in zip(layers, before, strict=True):
        assert torch.equal(layer.weight, old.weight)
        assert torch.equal(layer.bias, old.bias)


# --- evaluate -------------------------------------------------------------------------------------


def test_evaluation_is_that_of_a_loop_over_the_examples():
    layers, images, labels = problem([6, 5, 4], 50)
    losses, right = [], []
    for image, label in zip(images.numpy(), labels.numpy(), strict=True):
        hidden = np.maximum(layers[0].weight.numpy() @ image + layers[0].bias.numpy(), 0)
        logits = layers[1].weight.numpy() @ hidden + layers[1].bias.numpy()
        losses.append(np.log(np.exp(logits).sum()) - logits[label])
        right.append(logits.argmax() == label)
    found = evaluate(layers, images, labels)
    assert found.loss == pytest.approx(np.mean(losses), rel=1e-12)
    assert found.accuracy == np.mean(right)
    assert found.correct.tolist() == right
    assert 0 < found.accuracy < 1


@pytest.mark.parametrize("at_once", [1, 7, 49, 50, 51])
def test_evaluation_does_not_depend_on_how_many_examples_are_taken_at_once(at_once):
    layers, images, labels = problem([6, 5, 4], 50)
    whole = evaluate(layers, images, labels)
    parts = evaluate(layers, images, labels, at_once=at_once)
    assert parts.loss == pytest.approx(whole.loss, rel=1e-12)
    assert parts.accuracy == whole.accuracy
    assert np.array_equal(parts.correct, whole.correct)


def test_evaluation_counts_each_example_once():
    layers = [Layer(torch.eye(3), torch.zeros(3))]
    images = torch.eye(3)[[0, 1, 2, 0, 1]]
    found = evaluate(layers, images, torch.tensor([0, 1, 0, 0, 2]), at_once=2)
    assert found.correct.tolist() == [True, True, False, True, False]
    assert found.correct.dtype == np.bool_
    assert found.accuracy == 0.6


def test_evaluation_names_the_layer_that_diverged():
    layers, images, labels = problem([6, 5, 4, 3], 30)
    layers[1].bias[2] = float("nan")
    with pytest.raises(NonFiniteError, match=r"output of layer 2 of 3 \(weights 4x5\)"):
        evaluate(layers, images, labels, at_once=7)


# --- learned_steps --------------------------------------------------------------------------------


@given(hnp.arrays(np.bool_, st.tuples(st.integers(1, 8), st.integers(1, 6))), st.data())
def test_learned_steps_are_those_of_a_loop(correct, data):
    gaps = data.draw(st.lists(st.integers(1, 50), min_size=len(correct), max_size=len(correct)))
    steps = np.cumsum(gaps) - gaps[0]
    first, last = learned_steps(steps, correct)
    for example in range(correct.shape[1]):
        right = correct[:, example].tolist()
        wanted_first = next((int(s) for s, r in zip(steps, right, strict=True) if r), -1)
        wanted_last = -1
        for step, is_right in zip(steps[::-1], right[::-1], strict=True):
            if not is_right:
                break
            wanted_last = int(step)
        assert first[example] == wanted_first
        assert last[example] == wanted_last
    assert first.dtype == last.dtype == np.int64
