from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from problems import fitted, problem

from cgpipe.learning.evaluation import evaluate, learned_steps, logged_steps, snapshot_steps
from cgpipe.learning.finite import NonFiniteError
from cgpipe.networks.dense import Layer, initial_layers

# --- logged_steps, snapshot_steps -----------------------------------------------------------------

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
    ],
)
def test_to_step_10000_the_steps_are_those_of_the_paper(steps, expected):
    assert logged_steps(steps) == snapshot_steps(steps) == expected


@pytest.mark.parametrize("last", [60_000, 100_000])
def test_from_step_10000_on_every_thousandth_is_logged_and_every_tenth_of_them_kept(last):
    assert logged_steps(last) == [*UP_TO_10000, *range(11_000, last + 1, 1_000)]
    assert snapshot_steps(last) == [*UP_TO_10000, *range(20_000, last + 1, 10_000)]
    assert snapshot_steps(last - 1) == [*snapshot_steps(last)[:-1], last - 1]


@given(st.integers(0, 300_000))
def test_logged_steps_increase_from_zero_to_the_last(steps):
    assert set(snapshot_steps(steps)) <= set(logged_steps(steps))
    for grid, later in ((logged_steps, 1_000), (snapshot_steps, 10_000)):
        logged = grid(steps)
        assert logged[0] == 0
        assert logged[-1] == steps
        assert all(a < b for a, b in pairwise(logged))
        assert all(len(str(t).rstrip("0")) <= 1 for t in logged if t < min(10_000, steps))
        assert all(t % later == 0 for t in logged if 10_000 <= t < steps)


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


@given(
    st.lists(st.integers(1, 6), min_size=2, max_size=5), st.integers(1, 9), st.integers(1, 12), st.integers(0)
)
def test_units_in_use_are_those_of_a_loop_over_the_examples(widths, examples, at_once, seed):
    rng = np.random.default_rng(seed)
    layers = [Layer(*(p.double() for p in layer)) for layer in initial_layers(widths, "xavier", rng)]
    images = torch.from_numpy(rng.normal(size=(examples, widths[0])))
    counts = [np.zeros(width, int) for width in widths[1:-1]]
    for image in images:
        activations = image
        for count, layer in zip(counts, layers[:-1], strict=True):
            activations = (layer.weight @ activations + layer.bias).relu()
            count += (activations > 0).numpy()
    found = evaluate(layers, images, torch.zeros(examples, dtype=torch.int64), at_once=at_once)
    assert list(found.dead) == [np.mean(count == 0) for count in counts]
    assert found.active == pytest.approx([count.mean() / examples for count in counts], rel=1e-12)


def test_a_dead_unit_is_active_for_no_example():
    layers = [
        Layer(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([0.0, -5.0])),
        Layer(torch.eye(2), torch.zeros(2)),
    ]
    images = torch.tensor([[1.0, 1.0], [2.0, 3.0], [0.0, 4.0], [3.0, 0.0]])
    found = evaluate(layers, images, torch.zeros(4, dtype=torch.int64))
    assert (found.dead, found.active) == ([0.5], [3 / 8])


def test_small_losses_keep_their_digits():
    layers, images, labels = fitted(10, torch.float32, 2_500)
    exact, of_exact, _ = fitted(10, torch.float64, 2_500)
    expected = evaluate(exact, of_exact, labels).loss
    assert 0 < expected < 1e-4
    assert evaluate(layers, images, labels).loss == pytest.approx(expected, rel=1e-6)


def test_an_infinite_logit_is_no_perfect_fit():
    layers = [Layer(torch.zeros(3, 2), torch.tensor([np.inf, 0.0, 0.0]))]
    with pytest.raises(NonFiniteError, match="layer 1 of 1"):
        evaluate(layers, torch.ones(4, 2), torch.zeros(4, dtype=torch.int64))


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
