import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cgpipe.data.corruption import corrupt_labels, corruption

SELECTIONS = ("exact", "bernoulli")
LABELS = hnp.arrays(
    st.sampled_from([np.int64, np.int32, np.uint8]), st.integers(0, 200), elements=st.integers(0, 9)
)
NOISE = st.floats(0, 1)
SEEDS = st.integers(0, 2**32 - 1)


def at(seed):
    return np.random.default_rng(seed)


def moved(permutation):
    return np.flatnonzero(permutation != np.arange(len(permutation)))


@given(LABELS, NOISE, st.sampled_from(SELECTIONS), SEEDS)
def test_labels_are_permuted_and_the_mask_says_which_are_unchanged(labels, noise, selection, seed):
    label_train, pristine, permutation = corruption(labels, noise, rng=at(seed), selection=selection)
    assert np.array_equal(np.sort(permutation), np.arange(len(labels)))
    assert np.array_equal(label_train, labels[permutation])
    assert np.array_equal(np.bincount(label_train, minlength=10), np.bincount(labels, minlength=10))
    assert pristine.dtype == np.bool_
    assert np.array_equal(pristine, label_train == labels)
    assert label_train.dtype == labels.dtype


@given(LABELS, NOISE, st.sampled_from(SELECTIONS), SEEDS)
def test_the_given_labels_are_not_changed_and_not_shared(labels, noise, selection, seed):
    before = labels.copy()
    labels.flags.writeable = False
    label_train = corruption(labels, noise, rng=at(seed), selection=selection).label_train
    label_train[:] = 0
    assert np.array_equal(labels, before)


@given(LABELS, NOISE, st.sampled_from(SELECTIONS), SEEDS)
def test_corrupt_labels_is_corruption_as_a_dataset(labels, noise, selection, seed):
    made = corrupt_labels(labels, noise, rng=at(seed), selection=selection)
    expected = corruption(labels, noise, rng=at(seed), selection=selection)
    assert list(made) == ["label_true", *expected._fields]
    assert np.array_equal(made["label_true"], labels)
    for name, values in expected._asdict().items():
        assert made[name].dtype == values.dtype
        assert np.array_equal(made[name], values)
    assert not np.shares_memory(made["label_true"].values, labels)


def test_the_default_selection_is_exact():
    labels = np.arange(500) % 10
    by_default = corruption(labels, 0.3, rng=at(5)).permutation
    assert np.array_equal(by_default, corruption(labels, 0.3, rng=at(5), selection="exact").permutation)
    assert not np.array_equal(
        by_default, corruption(labels, 0.3, rng=at(5), selection="bernoulli").permutation
    )


@pytest.mark.parametrize("selection", SELECTIONS)
def test_no_noise_changes_nothing(selection):
    labels = np.arange(100) % 10
    label_train, pristine, permutation = corruption(labels, 0, rng=at(0), selection=selection)
    assert np.array_equal(label_train, labels)
    assert pristine.all()
    assert np.array_equal(permutation, np.arange(100))


@pytest.mark.parametrize("selection", SELECTIONS)
def test_full_noise_permutes_all_labels(selection):
    permutation = corruption(np.arange(1000) % 10, 1, rng=at(0), selection=selection).permutation
    assert len(moved(permutation)) > 980  # a permutation has one fixed point on average


@pytest.mark.parametrize(("m", "noise", "count"), [(10, 0.5, 5), (7, 0.25, 2), (12, 0.75, 9), (8, 1.0, 8)])
def test_exact_chooses_exactly_the_rounded_count(m, noise, count):
    labels = np.arange(m)
    worlds = 3_000
    sizes = [len(moved(corruption(labels, noise, rng=at(seed)).permutation)) for seed in range(worlds)]
    assert max(sizes) == count
    # The number of fixed points of a permutation has mean 1 and variance 1.
    assert np.mean(sizes) == pytest.approx(count - 1, abs=5 / np.sqrt(worlds))


def test_bernoulli_chooses_each_example_with_the_probability_of_the_noise():
    m, noise, worlds = 40, 0.3, 3_000
    labels = np.arange(m)
    sizes = [
        len(moved(corruption(labels, noise, rng=at(seed), selection="bernoulli").permutation))
        for seed in range(worlds)
    ]
    variance = m * noise * (1 - noise) + 1  # of those chosen, and of the fixed points among them
    expected = m * noise - (1 - (1 - noise) ** m)
    assert np.mean(sizes) == pytest.approx(expected, abs=5 * np.sqrt(variance / worlds))
    assert np.var(sizes) == pytest.approx(variance, rel=0.2)


@pytest.mark.parametrize("selection", SELECTIONS)
def test_every_example_is_chosen_equally_often(selection):
    m, noise, worlds = 20, 0.5, 3_000
    counts = np.zeros(m)
    for seed in range(worlds):
        counts[moved(corruption(np.arange(m), noise, rng=at(seed), selection=selection).permutation)] += 1
    expected = counts.mean()
    assert np.abs(counts - expected).max() < 5 * np.sqrt(worlds / 4)


@given(SEEDS, st.floats(0, 1), st.floats(0, 1))
def test_what_exact_chooses_at_a_level_it_chooses_at_a_higher_one(seed, a, b):
    low, high = sorted((a, b))
    labels = np.arange(400)
    at_low = moved(corruption(labels, low, rng=at(seed)).permutation)
    at_high = moved(corruption(labels, high, rng=at(seed)).permutation)
    # Only a fixed point of the permutation at the higher level hides that an example is chosen.
    assert len(np.setdiff1d(at_low, at_high)) <= 9
    order = at(seed).permutation(400)
    assert set(at_low) <= set(order[: round(low * 400)])
    assert set(at_high) <= set(order[: round(high * 400)])


@pytest.mark.parametrize("selection", SELECTIONS)
@pytest.mark.parametrize("noise", [0.25, 0.5, 0.75, 1.0])
def test_proper_accuracy_on_the_digits(digits, noise, selection):
    labels = digits["train_labels"].to_numpy()
    pristine = corrupt_labels(labels, noise, rng=at(1), selection=selection)["pristine"].values
    deviation = np.sqrt(0.1 * noise * len(labels)) / len(labels)
    if selection == "bernoulli":
        deviation += 0.9 * np.sqrt(noise * (1 - noise) / len(labels))
    assert pristine.mean() == pytest.approx(1 - noise + noise / 10, abs=5 * deviation)


@pytest.mark.parametrize("noise", [0.25, 0.5, 0.75, 1.0])
def test_proper_accuracy_on_mnist(mnist, noise):
    labels = mnist["train_labels"].to_numpy()
    pristine = corrupt_labels(labels, noise, rng=at(1))["pristine"].values
    assert pristine.mean() == pytest.approx(1 - noise + noise / 10, abs=0.006)


@pytest.mark.parametrize("noise", [1.5, -0.1, float("nan"), float("inf")])
def test_a_noise_level_that_is_no_share_is_refused(noise):
    with pytest.raises(ValueError, match="give a share of the examples, 0 to 1"):
        corrupt_labels(np.arange(10), noise, rng=at(0))


def test_labels_may_be_a_list_and_the_generator_a_seed():
    found = corrupt_labels([0, 1, 2, 0, 1, 2], 0.5, rng=1)
    assert found.equals(corrupt_labels(np.array([0, 1, 2, 0, 1, 2]), 0.5, rng=at(1)))


def test_an_unknown_selection_is_refused_by_name():
    with pytest.raises(ValueError, match="'random': give 'exact' or 'bernoulli'"):
        corrupt_labels(np.arange(10), 0.5, rng=at(0), selection="random")


@pytest.mark.parametrize("dtype", [np.float64, np.bool_, np.str_])
def test_labels_that_are_not_integers_are_refused(dtype):
    with pytest.raises(TypeError, match="give integers"):
        corrupt_labels(np.arange(10).astype(dtype), 0.5, rng=at(0))


@pytest.mark.parametrize("shape", [(), (5, 2)])
def test_labels_of_more_or_less_than_one_axis_are_refused(shape):
    with pytest.raises(ValueError, match="give one axis"):
        corrupt_labels(np.zeros(shape, np.int64), 0.5, rng=at(0))
