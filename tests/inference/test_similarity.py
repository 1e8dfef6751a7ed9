"""What is read from inner products of gradients, against loops over the pairs of examples."""

import itertools
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from cgpipe.gradients.coherence import pair_coherence
from cgpipe.inference.similarity import (
    cosines,
    group_pair_coherence,
    rank_correlation,
    same_class_neighbours,
    within_and_between,
)

SEEDS = st.integers(0, 2**32 - 1)


def case(seed, *, examples=9, steps=3, zeros=2):
    """Gradients of two parameters each (ties among cosines, as directions are few), and classes."""
    rng = np.random.default_rng(seed)
    gradients = rng.integers(-2, 3, (steps, examples, 2)).astype(np.float64)
    gradients[:, rng.choice(examples, zeros, replace=False)] = 0
    label = rng.integers(0, 3, examples)
    return gradients, gradients @ gradients.transpose(0, 2, 1), label


def has_direction(g):
    return g.any()


def cosine_of(g, h):
    return g @ h / np.linalg.norm(g) / np.linalg.norm(h)


@given(SEEDS)
def test_cosines_are_those_of_the_pairs(seed):
    gradients, product, _ = case(seed)
    found = cosines(product)
    for t, e, other in np.ndindex(found.shape):
        g, h = gradients[t, e], gradients[t, other]
        if has_direction(g) and has_direction(h):
            assert found[t, e, other] == pytest.approx(cosine_of(g, h))
        else:
            assert np.isnan(found[t, e, other])


@given(SEEDS, st.integers(2, 9))
def test_means_within_and_between_classes_are_those_of_a_loop(seed, examples):
    gradients, product, label = case(seed, examples=examples)
    found = within_and_between(cosines(product), label)
    for t, of_step in enumerate(gradients):
        pairs = {True: [], False: []}
        for e, other in itertools.combinations(range(examples), 2):
            if has_direction(of_step[e]) and has_direction(of_step[other]):
                pairs[label[e] == label[other]].append(cosine_of(of_step[e], of_step[other]))
        for means, of_pairs in zip(found, (pairs[True], pairs[False]), strict=True):
            expected = np.mean(of_pairs) if of_pairs else np.nan
            assert means[t] == pytest.approx(expected, abs=1e-12, nan_ok=True)


@given(SEEDS, st.integers(2, 9))
def test_neighbours_of_the_same_class_are_those_of_a_loop(seed, examples):
    _, product, label = case(seed, examples=examples)
    similarity = cosines(product)
    found = same_class_neighbours(similarity, label)
    for t, of_step in enumerate(similarity):
        same = []
        for e in range(examples):
            others = [other for other in range(examples) if other != e and not np.isnan(of_step[e, other])]
            if others:
                nearest = max(others, key=lambda other: of_step[e, other])
                same.append(label[nearest] == label[e])
        assert found[t] == pytest.approx(np.mean(same) if same else np.nan, nan_ok=True)


@given(SEEDS)
def test_nearest_in_pixels_is_the_least_distance(seed):
    rng = np.random.default_rng(seed)
    distance, label = rng.random((6, 6)), rng.integers(0, 2, 6)
    np.fill_diagonal(distance, 0)
    nearest = [min({*range(6)} - {e}, key=lambda other: distance[e, other]) for e in range(6)]
    assert same_class_neighbours(-distance, label) == pytest.approx(np.mean(label[nearest] == label))


@given(SEEDS, st.integers(0, 7))
def test_pair_coherence_of_a_group_is_that_of_its_sums(seed, size):
    gradients, product, _ = case(seed)
    members = np.arange(9) % 7 < size
    chosen = gradients[:, members]
    found = group_pair_coherence(product, members)
    squared_sum, energy = (chosen.sum(1) ** 2).sum(1), (chosen**2).sum((1, 2))
    np.testing.assert_allclose(found, pair_coherence(squared_sum, energy, members.sum()), atol=1e-12)
    for t, of_step in enumerate(chosen):
        if members.sum() > 1 and energy[t]:
            pairs = [g @ h for g, h in itertools.permutations(of_step, 2)]
            assert found[t] == pytest.approx(np.mean(pairs) / np.mean([g @ g for g in of_step]), abs=1e-12)
        else:
            assert np.isnan(found[t])


@given(SEEDS, st.integers(2, 9))
def test_rank_correlation_is_spearmans_over_the_pairs(seed, examples):
    rng = np.random.default_rng(seed)
    _, product, _ = case(seed, examples=examples, zeros=min(2, examples - 1))
    closeness = rng.integers(1, 4, (examples, examples)).astype(np.float64)
    closeness += closeness.T
    similarity = cosines(product)
    found = rank_correlation(similarity, closeness)
    for t, of_step in enumerate(similarity):
        pairs = [
            (of_step[e, other], closeness[e, other])
            for e, other in itertools.combinations(range(examples), 2)
            if not np.isnan(of_step[e, other])
        ]
        with warnings.catch_warnings():  # of values that are all the same
            warnings.simplefilter("ignore")
            expected = spearmanr(pairs).statistic if len(pairs) > 1 else np.nan
        assert found[t] == pytest.approx(expected, abs=1e-9, nan_ok=True)
        assert rank_correlation(of_step, closeness) == pytest.approx(found[t], nan_ok=True)


def test_everything_is_undefined_where_all_gradients_are_zero():
    zeros, label, distance = np.zeros((2, 4, 4)), np.array([0, 0, 1, 1]), np.ones((4, 4))
    cosine = cosines(zeros)
    found = [
        *within_and_between(cosine, label),
        same_class_neighbours(cosine, label),
        group_pair_coherence(zeros, label == 0),
        rank_correlation(cosine, distance),
    ]
    for values in found:
        assert values.shape == (2,)
        assert np.isnan(values).all()
