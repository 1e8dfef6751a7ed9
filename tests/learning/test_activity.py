import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cgpipe.learning import active_examples, measure_activity
from cgpipe.networks.dense import Layer, initial_layers


@given(
    st.lists(st.integers(1, 6), min_size=2, max_size=5), st.integers(0, 9), st.integers(1, 12), st.integers(0)
)
def test_counts_are_those_of_a_loop_over_the_examples(widths, examples, at_once, seed):
    rng = np.random.default_rng(seed)
    layers = initial_layers(widths, "xavier", rng)
    images = torch.from_numpy(rng.normal(size=(examples, widths[0])).astype(np.float32))
    expected = [np.zeros(width, int) for width in widths[1:-1]]
    for image in images:
        activations = image.double()
        for count, layer in zip(expected, layers[:-1], strict=True):
            activations = (layer.weight.double() @ activations + layer.bias.double()).relu()
            count += (activations > 0).numpy()
    found = active_examples(layers, images, at_once=at_once)
    assert [count.tolist() for count in found] == [count.tolist() for count in expected]


def test_a_dead_unit_is_active_for_no_example():
    layers = [
        Layer(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([0.0, -5.0])),
        Layer(torch.eye(2), torch.zeros(2)),
    ]
    counts = active_examples(layers, torch.tensor([[1.0, 1.0], [2.0, 3.0], [0.0, 4.0]]))
    assert [count.tolist() for count in counts] == [[2, 0]]


@pytest.mark.parametrize("examples", [0, 3])
def test_a_linear_classifier_has_no_hidden_units(examples):
    layers = initial_layers([4, 3], "xavier", np.random.default_rng(0))
    assert active_examples(layers, torch.zeros(examples, 4)) == []


@pytest.mark.parametrize("widths", [[4, 3], [4, 6, 5, 3]])
def test_over_a_run_shares_are_those_of_the_counts(widths):
    rng = np.random.default_rng(0)
    snapshots = [(step, initial_layers(widths, "xavier", rng)) for step in (0, 3, 10)]
    images = torch.from_numpy(rng.normal(size=(7, 4)).astype(np.float32))
    activity = measure_activity(iter(snapshots), images)
    assert activity["layer"].values.tolist() == list(range(1, len(widths) - 1))
    for step, layers in snapshots:
        for number, count in enumerate(active_examples(layers, images), start=1):
            here = activity.sel(step=step, layer=number)
            assert here["dead"] == pytest.approx((count == 0).mean())
            assert here["active"] == pytest.approx(count.sum() / count.size / 7)
