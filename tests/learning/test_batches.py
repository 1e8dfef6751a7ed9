import copy
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgpipe.learning.batches import BatchOrder


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
