import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cgpipe.gradients.contributions import (
    contributions,
    fraction,
    group_sum,
    leading_steps,
    mean_cosine,
    mean_cumulative,
)
from cgpipe.learning.evaluation import snapshot_steps

VALUES = st.one_of(st.just(0.0), st.floats(-1000, 1000, width=32, allow_subnormal=False))


@st.composite
def gradients_and_group(draw):
    """Per-example gradients (step, example, weight), and some of the examples."""
    shape = draw(hnp.array_shapes(min_dims=3, max_dims=3, max_side=6))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    return draw(hnp.arrays(dtype, shape, elements=VALUES)), draw(hnp.arrays(np.bool_, shape[1]))


def rounding(g):
    """Bound of the rounding errors of sums of products of the gradients, in float64."""
    return 1e-12 * (1 + np.abs(g).sum((1, 2), dtype=np.float64)[:, None] ** 2)


@given(gradients_and_group())
def test_contributions_are_those_of_a_loop(case):
    g, _ = case
    found = contributions(g)
    assert found.shape == g.shape[:2]
    assert found.dtype == np.float64
    for t in range(g.shape[0]):
        whole = [sum(float(g[t, e, w]) for e in range(g.shape[1])) for w in range(g.shape[2])]
        for e in range(g.shape[1]):
            expected = sum(whole[w] * float(g[t, e, w]) for w in range(g.shape[2]))
            assert found[t, e] == pytest.approx(expected, rel=0, abs=rounding(g)[t, 0])


@given(gradients_and_group())
def test_contributions_add_up_to_the_squared_norm(case):
    g, _ = case
    squared_norm = (g.sum(1, dtype=np.float64) ** 2).sum(1)
    np.testing.assert_array_less(np.abs(contributions(g).sum(1) - squared_norm), rounding(g)[:, 0])


@given(gradients_and_group())
def test_a_groups_sum_is_the_product_of_its_gradient_with_the_whole(case):
    g, members = case
    exact = g.astype(np.float64)
    expected = (exact.sum(1) * exact[:, members].sum(1)).sum(1)
    found = group_sum(contributions(g), members)
    assert found.shape == (len(g),)
    np.testing.assert_array_less(np.abs(found - expected), rounding(g)[:, 0])


def test_contributions_of_float32_are_summed_in_float64():
    g = np.array([[[1e8], [1], [-1e8]]], np.float32)  # (1, 3, 1), whose sum is 1
    assert contributions(g).tolist() == [[1e8, 1, -1e8]]


def test_contributions_leave_the_gradients_as_they_are():
    g = np.random.default_rng(0).standard_normal((2, 3, 4))
    before = g.copy()
    contributions(g)
    assert np.array_equal(g, before)


def test_the_squared_norm_splits_into_self_and_cross_terms():
    g = np.random.default_rng(0).standard_normal((3, 5, 7))
    products = np.einsum("tew,tfw->tef", g, g)
    own = np.trace(products, axis1=1, axis2=2)
    cross = products.sum((1, 2)) - own
    np.testing.assert_allclose(contributions(g).sum(1), own + cross, rtol=1e-13)


@given(st.integers(0, 2**32 - 1), st.integers(2, 20), st.data())
def test_fractions_of_any_split_add_up_to_one(seed, examples, data):
    u = contributions(np.random.default_rng(seed).standard_normal((4, examples, 3)))
    members = data.draw(hnp.arrays(np.bool_, examples))
    of_all = u.sum(1)
    both = fraction(group_sum(u, members), of_all) + fraction(group_sum(u, ~members), of_all)
    # Where the whole gradient nearly vanishes, the fractions are large and cancel.
    size = np.abs(u).sum(1) / of_all
    np.testing.assert_array_less(np.abs(both - 1), 1e-14 * (1 + size) * examples)


def test_a_fraction_may_leave_the_interval_from_0_to_1():
    g = np.array([[[3.0], [-1.0]]])  # one weight; the second example opposes the whole
    u = contributions(g)
    assert fraction(group_sum(u, np.array([True, False])), u.sum(1)).tolist() == [1.5]
    assert fraction(group_sum(u, np.array([False, True])), u.sum(1)).tolist() == [-0.5]


def test_a_fraction_of_nothing_is_undefined():
    u = contributions(np.array([[[1.0], [-1.0]], [[0.0], [0.0]], [[1.0], [1.0]]]))
    found = fraction(group_sum(u, np.array([True, False])), u.sum(1))
    np.testing.assert_array_equal(found, [np.nan, np.nan, 0.5])


def test_fractions_of_many_worlds_are_those_of_each():
    rng = np.random.default_rng(0)
    worlds, of_all = rng.standard_normal((6, 4)), np.array([1.0, 2.0, 0.0, 4.0])
    found = fraction(worlds, of_all)
    assert found.shape == (6, 4)
    for world, row in zip(worlds, found, strict=True):
        np.testing.assert_array_equal(row, fraction(world, of_all))


def test_zeros_and_ones_are_no_group():
    """As places they would choose other examples."""
    u = np.array([[10.0, 1, 2, 3]])
    for take in (lambda of: group_sum(u, of), lambda of: mean_cosine(u, u, of)):
        with pytest.raises(TypeError, match="members of a group are int64: give bool"):
            take(np.array([1, 1, 0, 1]))


def test_the_sum_over_an_empty_group_is_zero():
    assert group_sum(np.ones((3, 4)), np.zeros(4, np.bool_)).tolist() == [0, 0, 0]


@pytest.mark.parametrize("members", [3, 5])
def test_a_group_of_other_examples_is_refused(members):
    with pytest.raises(ValueError, match=rf"members of shape \({members},\) for 4 examples"):
        group_sum(np.ones((2, 4)), np.ones(members, np.bool_))


@given(
    hnp.arrays(np.float64, hnp.array_shapes(min_dims=1, max_dims=2, max_side=6), elements=VALUES),
    st.integers(1, 9),
)
def test_mean_cumulative_is_that_of_a_loop(of_group, members):
    found = mean_cumulative(of_group, members)
    assert found.shape == of_group.shape
    for index in np.ndindex(*of_group.shape):
        expected = sum(of_group[(*index[:-1], t)] for t in range(index[-1] + 1)) / members
        assert found[index] == pytest.approx(expected, rel=1e-12, abs=1e-9)


def test_mean_cumulative_of_an_empty_group_is_undefined():
    found = mean_cumulative(np.ones((2, 3)), 0)
    assert found.shape == (2, 3)
    assert np.isnan(found).all()


@pytest.mark.parametrize(
    ("steps", "leading"),
    [([], 0), ([0], 1), ([1, 2], 0), ([0, 1, 2], 3), ([0, 1, 3, 4], 2), ([0, 2, 2], 1), ([0, 1, 5, 3], 2)],
)
def test_leading_steps_end_at_the_first_gap(steps, leading):
    assert leading_steps(steps) == leading


@pytest.mark.parametrize(("steps", "leading"), [(3, 4), (9, 10), (10, 11), (1000, 11), (100_000, 11)])
def test_leading_steps_of_a_run_are_its_first_updates(steps, leading):
    assert leading_steps(np.array(snapshot_steps(steps))) == leading
