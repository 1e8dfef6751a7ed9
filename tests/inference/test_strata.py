"""Null worlds within strata: the closed form against permutations, scipy and loops."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from cgpipe.inference.nullworlds import null_moments
from cgpipe.inference.strata import normal_p_value, strata, stratified_moments


def problem(examples, seed):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(3, examples)), rng.random(examples) < 0.4, rng


@given(st.integers(1, 30), st.integers(1, 6), st.integers(0, 10))
def test_moments_are_those_of_the_permutations_within_each_stratum(examples, count, seed):
    u, members, rng = problem(examples, seed)
    within = rng.integers(0, count, (3, examples))
    mean, variance = stratified_moments(u, members, within)
    for step in range(3):
        expected = np.zeros(2)
        for stratum in range(count):
            here = within[step] == stratum
            if here.any():
                of_stratum = null_moments(u[step : step + 1, here], int(members[here].sum()))
                expected += np.ravel(of_stratum)
        np.testing.assert_allclose([mean[step], variance[step]], expected, atol=1e-12)


def test_moments_are_those_of_worlds_that_are_drawn():
    u, members, rng = problem(40, 1)
    within = np.tile(np.arange(40) // 10, (3, 1))
    mean, variance = stratified_moments(u, members, within)
    sums = np.empty((4_000, 3))
    for world in range(len(sums)):
        permuted = np.concatenate(
            [rng.permutation(members[first : first + 10]) for first in range(0, 40, 10)]
        )
        sums[world] = u[:, permuted].sum(1)
    np.testing.assert_allclose(mean, sums.mean(0), atol=5 * np.sqrt(variance.max() / len(sums)))
    np.testing.assert_allclose(variance, sums.var(0), rtol=5 * np.sqrt(2 / len(sums)))


def test_counts_within_a_stratum_are_hypergeometric():
    """The sum of ones and zeros over a group is a count, of which scipy knows the distribution."""
    u = (np.arange(12) < 5).astype(float)[None]
    members = np.arange(12) % 3 == 0
    mean, variance = stratified_moments(u, members, np.zeros((1, 12), int))
    drawn = stats.hypergeom(12, 5, members.sum())
    assert [mean[0], variance[0]] == pytest.approx([drawn.mean(), drawn.var()])


@given(st.integers(1, 3), st.integers(0, 10))
def test_a_stratum_is_a_class_and_a_tenth_of_the_gradients_that_are_not_zero(classes, seed):
    rng = np.random.default_rng(seed)
    labels, sizes = rng.integers(0, classes, 100), 1.0 + rng.permutation(100)[None]
    sizes[0, rng.random(100) < 0.3] = 0
    (found,) = strata(labels, sizes)
    some = sizes[0] > 0
    rank = np.empty(some.sum(), int)
    rank[np.argsort(sizes[0, some])] = np.arange(some.sum())
    for label in set(labels):
        assert len({*found[labels == label]} & {*found[labels != label]}) == 0
        assert len({*found[(labels == label) & ~some]}) <= 1
    # Of one class the strata are in the order of the sizes, and as large as each other.
    (of_one,) = strata(np.zeros(100, int), sizes)
    assert (of_one[~some] == 0).all()
    assert (np.diff(of_one[some][np.argsort(rank)]) >= 0).all()
    counts = Counter(of_one[some].tolist())
    assert set(counts) == set(range(1, 11))
    assert max(counts.values()) - min(counts.values()) <= 1
    # Together with a class, a stratum is what both say.
    pairs = set(zip(labels.tolist(), of_one.tolist(), strict=True))
    assert len(set(found.tolist())) == len(pairs)


def test_zero_gradients_alone_make_strata_of_classes():
    found = strata(np.array([3, 5, 3]), np.zeros((1, 3)))
    assert found.tolist() == [[0, 11, 0]]
    assert found.dtype == np.int64


def test_a_gradient_at_the_edge_of_two_deciles_is_of_the_upper():
    sizes = np.arange(1.0, 12)  # of which the deciles are 2, 3, ..., 10
    assert strata(np.zeros(11, int), sizes[None]).tolist() == [[*range(1, 11), 10]]


def test_a_p_value_is_that_of_the_normal_distribution_or_undefined():
    observed, mean, variance = np.array([1.0, -2.0, 3.0]), np.zeros(3), np.array([1.0, 4.0, 1e-33])
    p = normal_p_value(observed, mean, variance, np.ones(3))
    np.testing.assert_allclose(p[:2], 2 * stats.norm.sf([1, 1]))
    assert np.isnan(p[2])
    none, rounding = np.zeros(2), np.full(2, 1e-18)
    assert np.isnan(normal_p_value(np.array([0.0, 1.0]), none, none, np.ones(2))).all()
    assert np.isnan(normal_p_value(np.ones(2), none, rounding, np.full(2, 1e6))).all()
