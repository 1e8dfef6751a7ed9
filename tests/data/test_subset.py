import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cgpipe.data.subset import balanced_subset, with_replaced

LABELS = hnp.arrays(
    st.sampled_from([np.int64, np.int32, np.uint8]), st.integers(1, 200), elements=st.integers(0, 9)
)
SEEDS = st.integers(0, 2**32 - 1)


def chosen(labels, examples, seed):
    return balanced_subset(labels, examples, rng=np.random.default_rng(seed))


def sizes(labels):
    return np.bincount(labels, minlength=10)


@given(LABELS, SEEDS, st.data())
def test_so_many_different_examples_are_chosen_in_their_order(labels, seed, data):
    examples = data.draw(st.integers(1, len(labels)))
    subset = chosen(labels, examples, seed)
    assert subset.shape == (examples,)
    assert subset.dtype == np.int64
    assert (np.diff(subset) > 0).all()
    assert 0 <= subset[0] <= subset[-1] < len(labels)


@given(LABELS, SEEDS, st.data())
def test_no_class_has_two_examples_more_than_one_that_has_any_left(labels, seed, data):
    subset = chosen(labels, data.draw(st.integers(1, len(labels))), seed)
    taken, all_there = sizes(labels[subset]), sizes(labels)
    left = taken[taken < all_there]
    assert (left.min(initial=len(labels)) + 1 >= taken).all()


@given(LABELS, SEEDS, st.data())
def test_it_is_what_taking_an_example_of_a_smallest_class_again_and_again_leaves(labels, seed, data):
    examples = data.draw(st.integers(1, len(labels)))
    there, taken = sizes(labels), np.zeros(10, int)
    for _ in range(examples):
        taken[np.where(taken < there, taken, len(labels)).argmin()] += 1
    assert sorted(sizes(labels[chosen(labels, examples, seed)])) == sorted(taken)


@given(LABELS, SEEDS, st.data())
def test_a_smaller_subset_is_part_of_a_larger_one(labels, seed, data):
    few, many = sorted(data.draw(st.tuples(*2 * [st.integers(1, len(labels))])))
    assert set(chosen(labels, few, seed)) <= set(chosen(labels, many, seed))


@given(LABELS, SEEDS)
def test_all_examples_are_all(labels, seed):
    assert np.array_equal(chosen(labels, len(labels), seed), np.arange(len(labels)))


def test_the_seed_chooses_the_examples_and_the_classes_with_one_more():
    labels = np.arange(1_000) % 10
    assert np.array_equal(chosen(labels, 205, 1), chosen(labels, 205, 1))
    many = [chosen(labels, 205, seed) for seed in range(200)]
    often = np.bincount(np.concatenate(many), minlength=1_000)
    assert often.mean() == pytest.approx(41)
    assert often.std() == pytest.approx(np.sqrt(200 * 0.205 * 0.795), rel=0.1)
    larger = np.array([sizes(labels[subset]) == 21 for subset in many])
    assert (larger.sum(1) == 5).all()
    assert (abs(larger.sum(0) - 100) < 35).all()


@pytest.mark.parametrize(
    ("labels", "examples", "error", "message"),
    [
        (np.arange(5), 6, ValueError, "6 examples of 5: ask for 1 to 5"),
        (np.arange(5), 0, ValueError, "0 examples of 5: ask for 1 to 5"),
        (np.zeros((2, 3), int), 1, ValueError, r"labels have shape \(2, 3\): give one axis"),
        (np.zeros(3), 1, TypeError, "labels are float64: give integers"),
    ],
)
def test_what_cannot_be_chosen_from_is_refused(labels, examples, error, message):
    with pytest.raises(error, match=message):
        chosen(labels, examples, 0)


def replaced(labels, subset, count, seed, pool=None):
    pool = np.arange(len(labels)) if pool is None else pool
    return with_replaced(labels, subset, count, pool=pool, rng=np.random.default_rng(seed))


@given(LABELS, SEEDS, st.data())
def test_so_many_are_replaced_by_others_of_their_class_and_fewer_are_some_of_these(labels, seed, data):
    subset = chosen(labels, data.draw(st.integers(1, len(labels))), seed)
    pool = np.sort(np.random.default_rng(seed).permutation(len(labels))[: data.draw(st.integers(1, 200))])
    left = sizes(labels[np.setdiff1d(pool, subset)])
    most = max((k for k in range(len(subset) + 1) if possible(labels, subset, k, seed, left)), default=0)
    before = subset.copy()
    for count in range(most + 1):
        now = replaced(labels, subset, count, seed, pool)
        differ = now != subset
        assert differ.sum() == count
        assert np.array_equal(labels[now], labels[subset])
        assert len(set(now)) == len(now)
        assert not set(now[differ]) & set(subset)
        assert set(now[differ]) <= set(pool)
        assert (now != before).sum() == (count > 0)
        before = now
    assert np.array_equal(subset, chosen(labels, len(subset), seed))


def possible(labels, subset, count, seed, left):
    """Whether each class has others for the places that are drawn, which come first from the stream."""
    places = np.random.default_rng(seed).permutation(len(subset))[:count]
    return (sizes(labels[subset[places]]) <= left).all()


def test_a_class_without_others_and_more_than_the_subset_are_refused():
    labels = np.array([0, 0, 0, 1, 1])
    with pytest.raises(ValueError, match="2 examples of class 1 are to be replaced, and 0 others of this"):
        replaced(labels, np.array([0, 3, 4]), 3, 0)
    with pytest.raises(ValueError, match="4 of 3 examples are to be replaced: ask for 0 to 3"):
        replaced(labels, np.array([0, 3, 4]), 4, 0)
