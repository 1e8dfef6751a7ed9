"""Coherence: its bounds, its identities, and the toy of arXiv 2203.10036."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cgpipe.gradients.coherence import (
    alpha,
    alpha_from_minibatches,
    alpha_of_layers,
    cosine_between,
    gradient_diversity,
    m_coherence,
    noise_scale,
    pair_coherence,
    stiffness,
)

GRADIENTS = hnp.arrays(
    np.float64,
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=8),
    elements=st.floats(-100, 100).filter(lambda x: x == 0 or abs(x) > 1e-3),
)


def sums(gradients):
    """‖Σ g_e‖², Σ‖g_e‖², m."""
    return np.square(gradients.sum(0)).sum(), np.square(gradients).sum(), len(gradients)


def test_identical_gradients_help_each_other_orthogonal_ones_do_not():
    same = np.tile([1.0, -2.0, 3.0], (7, 1))
    assert m_coherence(*sums(same)[:2]) == pytest.approx(7)
    assert alpha(*sums(same)) == pytest.approx(1)
    assert pair_coherence(*sums(same)) == pytest.approx(1)
    assert noise_scale(*sums(same)) == pytest.approx(0)
    orthogonal = np.diag([3.0, -3.0, 3.0])
    assert m_coherence(*sums(orthogonal)[:2]) == pytest.approx(1)
    assert pair_coherence(*sums(orthogonal)) == pytest.approx(0)
    opposed = np.array([[1.0, 2.0], [-1.0, -2.0]])
    assert m_coherence(*sums(opposed)[:2]) == 0
    assert pair_coherence(*sums(opposed)) == pytest.approx(-1)
    assert gradient_diversity(*sums(opposed)[:2]) == np.inf


@given(GRADIENTS)
def test_alpha_is_a_share_and_its_companions_follow(gradients):
    squared, energy, m = sums(gradients)
    if energy == 0:
        assert np.isnan(alpha(squared, energy, m))
        return
    assert -1e-12 <= alpha(squared, energy, m) <= 1 + 1e-12
    pairs = gradients @ gradients.T
    off_diagonal = pairs.sum() - np.trace(pairs)
    expected = off_diagonal / (m * (m - 1)) / (energy / m)
    assert pair_coherence(squared, energy, m) == pytest.approx(expected, abs=1e-9)


@given(GRADIENTS, st.integers(1, 5))
def test_a_share_of_zero_gradients_multiplies_alpha(gradients, zeros):
    squared, energy, m = sums(gradients)
    padded = np.concatenate([gradients, np.zeros((zeros, gradients.shape[1]))])
    if energy:
        assert alpha(*sums(padded)) == pytest.approx(alpha(squared, energy, m) * m / (m + zeros))


@given(GRADIENTS, st.data())
def test_alpha_of_the_network_is_the_energy_weighted_mean_of_its_layers(gradients, data):
    cut = data.draw(st.integers(1, gradients.shape[1] - 1))
    layers = [gradients[:, :cut], gradients[:, cut:]]
    of_layer = [alpha(*sums(layer)) for layer in layers]
    energy = [np.square(layer).sum() for layer in layers]
    if sum(energy):
        assert alpha_of_layers(of_layer, energy) == pytest.approx(float(alpha(*sums(gradients))), abs=1e-9)


def test_where_there_is_nothing_it_is_undefined_and_not_an_error():
    assert np.isnan(alpha(0.0, 0.0, 0))
    assert np.isnan(m_coherence(0.0, 0.0))
    assert np.isnan(pair_coherence(4.0, 4.0, 1))
    assert np.isnan(alpha_of_layers([np.nan, np.nan], [0.0, 0.0]))
    with pytest.raises(ValueError, match="negative"):
        m_coherence(1.0, -1.0)


def test_minibatches_estimate_alpha():
    rng = np.random.default_rng(0)
    gradients = rng.normal(size=(400, 30)) + 0.3
    squared, energy, m = sums(gradients)
    exact = float(alpha(squared, energy, m))
    k = 8
    batches = rng.integers(0, m, (20_000, k))  # independent draws
    norms = np.square(gradients[batches].mean(1)).sum(1)
    estimate = alpha_from_minibatches(norms, squared / m**2, k)
    assert estimate == pytest.approx(exact, rel=0.02)
    ones = np.square(gradients).sum(1)
    assert alpha_from_minibatches(ones, squared / m**2, 1) == pytest.approx(exact)
    assert np.isnan(alpha_from_minibatches([0.0, 0.0], 0.0, 3))
    with pytest.raises(ValueError, match="at least one"):
        alpha_from_minibatches([], 1.0, 3)


@given(hnp.arrays(np.float64, st.tuples(st.integers(2, 9), st.integers(1, 6)), elements=st.integers(-3, 3)))
def test_stiffness_is_the_mean_over_the_pairs(gradients):
    even = np.arange(len(gradients)) % 2 == 0
    firsts, seconds = np.array([even, even, even | True]), np.array([~even, even, ~even])
    signs, cosines = stiffness(gradients @ gradients.T, firsts, seconds)
    for first, second, sign, cosine in zip(firsts, seconds, signs, cosines, strict=True):
        pairs = [
            (a, b)
            for j, a in enumerate(gradients)
            for k, b in enumerate(gradients)
            if j != k and first[j] and second[k] and a.any() and b.any()
        ]
        if not pairs:
            assert np.isnan(sign)
            assert np.isnan(cosine)
            continue
        assert sign == pytest.approx(np.mean([np.sign(a @ b) for a, b in pairs]))
        each = [(a @ b) / (np.linalg.norm(a) * np.linalg.norm(b)) for a, b in pairs]
        assert cosine == pytest.approx(np.mean(each), abs=1e-12)


# --- two groups -----------------------------------------------------------------------------------


def squared(*gradients):
    return [float(np.square(g).sum()) for g in gradients]


@given(st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_the_cosine_is_that_of_the_sums(dimensions, seed):
    one, other = np.random.default_rng(seed).standard_normal((2, dimensions))
    expected = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
    assert cosine_between(one @ other, *squared(one, other)) == pytest.approx(expected, abs=1e-9)


def test_opposed_gradients_have_the_cosine_of_minus_one_and_an_empty_group_none():
    g = np.array([3.0, 4.0])
    cosines = cosine_between(
        *np.transpose([(g @ other, *squared(g, other)) for other in (-2 * g, 0 * g, g)]),
    )
    np.testing.assert_allclose(cosines, [-1, np.nan, 1])


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_a_group_far_smaller_than_the_other_has_the_same_cosine(scale):
    one, other = np.array([3.0, 4.0]), scale * np.array([1.0, 0.0])
    assert cosine_between(one @ other, *squared(one, other)) == pytest.approx(0.6, rel=1e-14)


@pytest.mark.parametrize("norms", [([1.0, -1.0], [1.0, 1.0]), ([1.0, 1.0], [1.0, -1.0])])
def test_a_negative_squared_norm_is_refused(norms):
    with pytest.raises(ValueError, match="a squared norm is negative"):
        cosine_between([1.0, 1.0], *norms)


# --- the toys of arXiv 2203.10036 -----------------------------------------------------------------

# Rows of two kinds: one feature of its own each, and a sixth that all have in common, or not.
OWN = np.array([[1, 0, 0, 0, 0], [0, -1, 0, 0, 0], [0, 0, -1, 0, 0], [0, 0, 0, 1, 0]], np.float64)
Y = np.array([1.0, -1.0, -1.0, 1.0])


def descend(common, rate=0.1, steps=200):
    """Full-batch descent of ½(y - w·x)² from w = 0: weights, test losses, per-example gradients at 0."""
    x = np.column_stack([OWN, common * Y])
    test, target = np.array([0, 0, 0, 0, -1, -common], np.float64), -1.0
    w, losses, first = np.zeros(6), [], None
    for _ in range(steps):
        each = -(Y - x @ w)[:, None] * x  # (example, weight)
        first = each if first is None else first
        losses.append(0.5 * (target - test @ w) ** 2)
        w = w - rate * each.sum(0)
    return w, np.array(losses), first


def test_what_examples_have_in_common_is_learned_first_and_generalizes():
    w, losses, each = descend(common=1.0)
    assert np.abs(w).argmax() == 5
    assert losses[-1] < 0.25 * losses[0]
    assert (np.diff(losses) <= 0).all()
    # Each gradient has a half of its own and a half in common with the three others.
    assert m_coherence(*sums(each)[:2]) == pytest.approx(2.5)
    assert pair_coherence(*sums(each)) == pytest.approx(0.5)
    assert m_coherence(*sums(each[:, 5:])[:2]) == pytest.approx(4)
    assert m_coherence(*sums(each[:, :5])[:2]) == pytest.approx(1)


def test_examples_with_nothing_in_common_are_memorized_and_nothing_generalizes():
    w, losses, each = descend(common=0.0)
    np.testing.assert_allclose(np.abs(w[:4]), 1, atol=1e-6)  # every row is fitted
    assert (losses == losses[0]).all()
    assert m_coherence(*sums(each)[:2]) == pytest.approx(1)
