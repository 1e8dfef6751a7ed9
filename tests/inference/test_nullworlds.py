import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from cgpipe.inference import nullworlds
from cgpipe.inference.nullworlds import (
    curve_p_value,
    null_band,
    null_group_sums,
    null_moments,
    p_value,
    share_above,
    smallest_lead,
)

ALTERNATIVES = ("two-sided", "greater", "less")


def world(seed, steps=5, examples=30, size=12):
    """Contributions without any difference between the groups, of other scales at other steps."""
    rng = np.random.default_rng(seed)
    common = rng.standard_normal(examples)  # the steps of a curve resemble each other
    u = (common + rng.standard_normal((steps, examples))) * 10.0 ** np.arange(steps)[:, None]
    members = np.zeros(examples, np.bool_)
    members[rng.permutation(examples)[:size]] = True
    return u, members


# --- scipy as the oracle --------------------------------------------------------------------------


def by_scipy(u, members, worlds, seed, alternative):
    return stats.permutation_test(
        (u[:, members], u[:, ~members]),
        lambda a, b, axis: a.sum(axis),
        permutation_type="independent",
        n_resamples=worlds,
        alternative=alternative,
        axis=-1,
        vectorized=True,
        rng=np.random.default_rng(seed),
    )


@pytest.mark.parametrize("alternative", ALTERNATIVES)
@pytest.mark.parametrize("shift", [-1, 0, 2])
def test_p_values_are_those_of_scipy(alternative, shift):
    # Whole numbers are summed without rounding, so every tie is the same on both sides.
    rng = np.random.default_rng(0)
    u = rng.integers(-3, 4, (6, 25)).astype(np.float64)
    members = rng.random(25) < 0.4
    u[3:, members] += shift
    expected = by_scipy(u, members, 500, 7, alternative)
    observed = u[:, members].sum(1)
    np.testing.assert_array_equal(observed, expected.statistic)
    np.testing.assert_array_equal(p_value(observed, expected.null_distribution, alternative), expected.pvalue)
    # And with worlds of our own, near it.
    null = null_group_sums(u, members, 4_000, rng=rng)
    near = by_scipy(u, members, 4_000, 8, alternative).pvalue
    np.testing.assert_allclose(p_value(observed, null, alternative), near, atol=0.05)


@pytest.mark.parametrize("size", [2, 3, 4])
def test_every_group_is_drawn_as_often_as_any_other(size):
    u = 2.0 ** np.arange(6)[None]  # each group has a sum of its own
    members = np.arange(6) < size
    groups = by_scipy(u, members, np.inf, 0, "two-sided").null_distribution.ravel()
    drawn = null_group_sums(u, members, 200 * len(groups), rng=np.random.default_rng(size))
    found, counts = np.unique(drawn, return_counts=True)
    np.testing.assert_array_equal(found, np.unique(groups))
    assert stats.chisquare(counts).pvalue > 0.001


@given(
    hnp.arrays(np.float64, st.tuples(st.integers(1, 30), st.integers(1, 4)), elements=st.integers(-3, 3)),
    st.sampled_from(ALTERNATIVES),
    st.data(),
)
def test_p_values_are_those_of_a_count(null, alternative, data):
    observed = data.draw(hnp.arrays(np.float64, null.shape[1], elements=st.integers(-4, 4)))
    found = p_value(observed, null, alternative)
    for t in range(null.shape[1]):
        at_least = (sum(v >= observed[t] for v in null[:, t]) + 1) / (len(null) + 1)
        at_most = (sum(v <= observed[t] for v in null[:, t]) + 1) / (len(null) + 1)
        expected = {"greater": at_least, "less": at_most, "two-sided": min(1, 2 * min(at_least, at_most))}
        assert found[t] == expected[alternative]


# --- null_group_sums ------------------------------------------------------------------------------


def test_every_world_is_a_group_of_the_same_size():
    # Powers of two: a sum says which examples are in it.
    u = 2.0 ** np.arange(12)[None]
    members = np.arange(12) < 5
    sums = null_group_sums(u, members, 400, rng=np.random.default_rng(0))[:, 0].astype(int)
    assert {int(s).bit_count() for s in sums} == {5}
    assert len(set(sums)) > 200
    counts = sum((sums >> e) & 1 for e in range(12))
    assert np.array_equal(counts, np.full(400, 5))
    in_group = np.array([((sums >> e) & 1).sum() for e in range(12)])
    assert np.abs(in_group - 400 * 5 / 12).max() < 5 * np.sqrt(400 * 5 / 12 * 7 / 12)


def test_a_world_is_one_permutation_for_all_steps():
    u = np.random.default_rng(0).standard_normal((1, 20))
    sums = null_group_sums(np.vstack([u, 3 * u, -u]), np.arange(20) < 8, 50, rng=np.random.default_rng(0))
    assert sums.shape == (50, 3)
    np.testing.assert_allclose(sums[:, 1], 3 * sums[:, 0], rtol=0, atol=1e-12)
    np.testing.assert_allclose(sums[:, 2], -sums[:, 0], rtol=0, atol=1e-12)
    assert np.unique(sums[:, 0]).size > 45


@pytest.mark.parametrize("worlds_at_once", [1, 3, 39, 40, 1_000])
def test_worlds_do_not_depend_on_the_number_of_threads(monkeypatch, worlds_at_once):
    u, members = world(3)
    whole = null_group_sums(u, members, 40, rng=np.random.default_rng(1))
    monkeypatch.setattr(nullworlds, "MASKS_AT_ONCE", 30 * worlds_at_once)
    one, *more = (
        null_group_sums(u, members, 40, rng=np.random.default_rng(1), threads=threads)
        for threads in (1, 2, 3, 50)
    )
    for other in more:
        assert np.array_equal(other, one)
    # The first are those of the generator itself, and no block repeats another.
    np.testing.assert_allclose(one[:worlds_at_once], whole[:worlds_at_once], rtol=1e-12, atol=1e-12)
    assert len(np.unique(one.round(9), axis=0)) == 40


def test_two_calls_with_one_generator_draw_different_worlds(monkeypatch):
    monkeypatch.setattr(nullworlds, "MASKS_AT_ONCE", 30 * 7)
    u, members = world(3)
    rng = np.random.default_rng(1)
    both = [null_group_sums(u, members, 40, rng=rng) for _ in range(2)]
    assert len(np.unique(np.concatenate(both).round(9), axis=0)) == 80


@pytest.mark.parametrize("everyone", [True, False])
def test_a_group_of_all_or_none_is_the_same_in_every_world(everyone):
    u, _ = world(3)
    sums = null_group_sums(u, np.full(30, everyone), 7, rng=np.random.default_rng(1))
    np.testing.assert_allclose(sums, np.tile(u.sum(1) * everyone, (7, 1)), rtol=1e-12)


def test_contributions_are_not_changed():
    u, members = world(3)
    before = u.copy(), members.copy()
    null_group_sums(u, members, 7, rng=np.random.default_rng(1))
    assert np.array_equal(u, before[0])
    assert np.array_equal(members, before[1])


@pytest.mark.parametrize("members", [29, 31])
def test_members_that_are_not_the_examples_are_refused(members):
    u, _ = world(0)
    with pytest.raises(ValueError, match=f"{members} members for 30 examples"):
        null_group_sums(u, np.ones(members, np.bool_), 5, rng=np.random.default_rng(0))


@pytest.mark.parametrize("worlds", [0, -3])
def test_no_worlds_are_refused(worlds):
    with pytest.raises(ValueError, match=f"{worlds} null worlds: give at least 1"):
        null_group_sums(*world(0), worlds, rng=np.random.default_rng(0))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_contributions_that_are_not_finite_are_refused(value):
    u, members = world(0)
    u[2, 3] = value
    with pytest.raises(ValueError, match="not finite"):
        null_group_sums(u, members, 5, rng=np.random.default_rng(0))


# --- the closed form ------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 24, 59, 60])
def test_null_worlds_have_the_mean_and_variance_of_the_closed_form(size):
    rng = np.random.default_rng(3)
    u = rng.standard_exponential((8, 60))
    mean, variance = null_moments(u, size)
    drawn = null_group_sums(u, np.arange(60) < size, 20_000, rng=rng)
    assert (np.abs(drawn.mean(0) - mean) <= 5 * np.sqrt(variance / 20_000) + 1e-9).all()
    np.testing.assert_allclose(drawn.var(0), variance, rtol=0.06, atol=1e-20)


def test_moments_of_one_example_and_of_a_group_that_is_too_large():
    mean, variance = null_moments(np.array([[3.0]]), 1)
    assert (mean.tolist(), variance.tolist()) == ([3.0], [0.0])
    with pytest.raises(ValueError, match="give 0 to 1"):
        null_moments(np.array([[3.0]]), 2)


# --- level and power ------------------------------------------------------------------------------


def p_values(seeds, planted=0.0, worlds=99):
    """p at each step, and of the curve, for many data sets."""
    at_steps, of_curves = [], []
    for seed in seeds:
        u, members = world(seed)
        u += planted * members * 10.0 ** np.arange(len(u))[:, None]
        null = null_group_sums(u, members, worlds, rng=np.random.default_rng(seed + 10**6))
        observed = u[:, members].sum(1)
        at_steps.append(p_value(observed, null))
        of_curves.append(curve_p_value(observed, null))
    return np.array(at_steps), np.array(of_curves)


@pytest.fixture(scope="module")
def under_the_null():
    return p_values(range(600))


@pytest.mark.parametrize("level", [0.05, 0.2, 0.5])
def test_p_values_hold_their_level_under_the_null(under_the_null, level):
    at_steps, of_curves = under_the_null
    low, high = stats.binom.ppf([1e-4, 1 - 1e-4], 600, level)
    assert low <= np.count_nonzero(of_curves <= level + 1e-9) <= high
    # Two-sided p-values are twice a one-sided one: multiples of 2/100.
    low, high = stats.binom.ppf([1e-4, 1 - 1e-4], 600, 2 * np.floor(100 * level / 2) / 100)
    for at_step in at_steps.T:
        assert low <= np.count_nonzero(at_step <= level + 1e-9) <= high


def test_looking_at_many_steps_without_paying_exceeds_the_level(under_the_null):
    at_steps, of_curves = under_the_null
    at_any_step = np.count_nonzero(at_steps.min(1) <= 0.1)
    assert at_any_step > stats.binom.ppf(1 - 1e-4, 600, 0.1)
    assert np.count_nonzero(of_curves <= 0.1) < at_any_step


@pytest.mark.parametrize("planted", [2.5, -2.5])
def test_a_planted_difference_is_found(planted):
    at_steps, of_curves = p_values(range(50), planted)
    assert (of_curves <= 0.05).mean() > 0.9
    assert ((at_steps <= 0.05).mean(0) > 0.9).all()


def test_a_difference_at_one_step_alone_is_found_in_the_curve():
    found = []
    for seed in range(50):
        u, members = world(seed)
        u[1] += 4 * members * 10.0
        null = null_group_sums(u, members, 99, rng=np.random.default_rng(seed))
        found.append(curve_p_value(u[:, members].sum(1), null))
    assert (np.array(found) <= 0.05).mean() > 0.9


# --- p_value --------------------------------------------------------------------------------------


def test_p_values_are_never_zero_and_at_most_one():
    null = np.random.default_rng(0).standard_normal((99, 1))
    for far, greater, less in ((10.0, 0.01, 1.0), (-10.0, 1.0, 0.01)):
        observed = np.array([far])
        assert p_value(observed, null, "greater").tolist() == [greater]
        assert p_value(observed, null, "less").tolist() == [less]
        assert p_value(observed, null, "two-sided").tolist() == [0.02]
    assert p_value(np.array([1.0]), np.ones((99, 1))).tolist() == [1.0]


def test_worlds_within_rounding_of_the_data_count_as_ties():
    observed = np.array([0.3, -0.3])
    null = np.array([[0.3 - 1e-16, -0.3 + 1e-16], [0.3 * (1 - 1e-13), -0.3 * (1 - 1e-13)]])
    assert p_value(observed, null, "greater").tolist() == [2 / 3, 1.0]
    assert p_value(observed, null, "less").tolist() == [1.0, 2 / 3]


def test_an_undefined_statistic_has_no_p_value():
    null = np.random.default_rng(0).standard_normal((9, 3))
    found = p_value(np.array([0.0, np.nan, 100.0]), null)
    assert np.isnan(found).tolist() == [False, True, False]
    assert found[2] == 0.2


@pytest.mark.parametrize("alternative", ALTERNATIVES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("worlds", [[3], slice(None)])
def test_worlds_that_are_not_finite_have_no_p_value(alternative, value, worlds):
    null = np.random.default_rng(0).standard_normal((99, 3))
    expected = p_value(np.zeros(3), null, alternative)
    null[worlds, 1] = value
    found = p_value(np.zeros(3), null, alternative)
    np.testing.assert_array_equal(found, [expected[0], np.nan, expected[2]])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_data_that_are_not_finite_have_no_p_value(value):
    null = np.random.default_rng(0).standard_normal((99, 2))
    assert np.isnan(p_value(np.array([0.0, value]), null)).tolist() == [False, True]


def test_one_statistic_is_a_curve_without_steps():
    null = np.arange(99.0)
    assert float(p_value(np.float64(200), null, "greater")) == 0.01


@pytest.mark.parametrize("test", [p_value, curve_p_value])
def test_a_test_without_worlds_or_with_other_steps_is_refused(test):
    with pytest.raises(ValueError, match=r"null worlds of shape \(0, 3\): give at least one"):
        test(np.zeros(3), np.zeros((0, 3)))
    with pytest.raises(ValueError, match=r"null worlds of shape \(\): give at least one"):
        test(np.zeros(3), np.float64(1))
    for shape in ((9, 1), (9, 4), (9,), (3, 9), (9, 1, 3)):
        with pytest.raises(ValueError, match="give both the same steps"):
            test(np.zeros(3), np.zeros(shape))


def test_an_unknown_alternative_is_refused():
    with pytest.raises(ValueError, match="'both': give 'two-sided', 'greater' or 'less'"):
        p_value(np.zeros(1), np.zeros((2, 1)), "both")


# --- curve_p_value --------------------------------------------------------------------------------


@given(
    hnp.arrays(
        np.float64, st.tuples(st.integers(2, 9), st.integers(1, 4)), elements=st.integers(-3, 3).map(float)
    )
)
def test_the_curves_p_value_is_that_of_a_loop(curves):
    # Whole numbers, so that there are ties: the first curve is the data, the others null worlds.
    steps = [t for t in range(curves.shape[1]) if len(set(curves[:, t])) > 1]
    found = curve_p_value(curves[0], curves[1:])
    if not steps:
        assert np.isnan(found)
        return
    mean = {t: sum(curves[:, t]) / len(curves) for t in steps}
    std = {t: (sum((v - mean[t]) ** 2 for v in curves[:, t]) / len(curves)) ** 0.5 for t in steps}
    extreme = [max(abs(curve[t] - mean[t]) / std[t] for t in steps) for curve in curves]
    assert found == sum(e >= extreme[0] - 1e-9 for e in extreme) / len(curves)


def test_the_curves_p_value_does_not_depend_on_the_scale_of_a_step():
    rng = np.random.default_rng(0)
    null, observed = rng.standard_normal((60, 4)), np.array([0.5, -1.9, 1.0, 0.2])
    scale = np.array([1e-6, 1.0, 1e3, -1e9])
    assert curve_p_value(observed * scale, null * scale) == curve_p_value(observed, null)


def test_steps_that_say_nothing_are_left_out_of_the_curve():
    rng = np.random.default_rng(0)
    null, observed = rng.standard_normal((60, 2)), np.array([0.5, -1.9])
    undefined, constant = np.full((61, 1), np.nan), np.full((61, 1), 1 / 3)
    constant[0, 0] += 1e-15  # rounding
    curves = np.hstack([undefined, constant, np.vstack([observed, null])])
    assert curve_p_value(curves[0], curves[1:]) == curve_p_value(observed, null)


@pytest.mark.parametrize("value", [np.nan, 2.0])
def test_a_curve_that_says_nothing_has_no_p_value(value):
    assert np.isnan(curve_p_value(np.full(3, value), np.full((20, 3), value)))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("worlds", [[0], [7], slice(None)])  # the first are the data
def test_steps_at_which_a_world_is_not_finite_are_left_out_of_the_curve(value, worlds):
    curves = np.random.default_rng(0).standard_normal((61, 3))
    expected = curve_p_value(curves[0, :2], curves[1:, :2])
    curves[worlds, 2] = value
    assert curve_p_value(curves[0], curves[1:]) == expected
    assert np.isnan(curve_p_value(curves[0, 2:], curves[1:, 2:]))


def test_a_curve_beyond_all_worlds_has_the_smallest_p_value():
    null = np.random.default_rng(0).standard_normal((99, 4))
    assert curve_p_value(np.array([0.0, 0.0, -50.0, 0.0]), null) == 0.01


# --- null_band ------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95])
def test_the_band_holds_its_share_of_the_worlds(level):
    rng = np.random.default_rng(0)
    null = rng.standard_normal((2_000, 5)) * 10.0 ** np.arange(5)
    low, high = null_band(null, level)
    assert low.shape == high.shape == (5,)
    inside = ((null >= low) & (null <= high)).mean(0)
    assert np.abs(inside - level).max() <= 2 / 2_000
    assert np.abs((null < low).mean(0) - (1 - level) / 2).max() <= 1 / 2_000
    fresh = rng.standard_normal((2_000, 5)) * 10.0 ** np.arange(5)
    inside = ((fresh >= low) & (fresh <= high)).mean(0)
    assert np.abs(inside - level).max() < 5 * np.sqrt(2 * level * (1 - level) / 2_000)


def test_the_default_band_holds_95_percent():
    null = np.random.default_rng(0).standard_normal((1_000, 1))
    assert np.array_equal(null_band(null), null_band(null, 0.95))


def test_the_band_is_undefined_where_the_worlds_are():
    null = np.random.default_rng(0).standard_normal((50, 3))
    null[:, 1] = np.nan
    low, high = null_band(null)
    assert np.isnan(low).tolist() == np.isnan(high).tolist() == [False, True, False]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_the_band_is_undefined_where_one_world_is_not_finite(value):
    null = np.random.default_rng(0).standard_normal((50, 3))
    null[7, 1] = value
    for end in null_band(null):
        assert np.isnan(end).tolist() == [False, True, False]


def test_what_is_given_in_float32_is_compared_in_float64():
    given = np.random.default_rng(0).standard_normal((50, 3)).astype(np.float32)
    for result in (null_band, lambda x: smallest_lead(x[:25], x[25:])):
        np.testing.assert_array_equal(result(given), result(given.astype(np.float64)))


def test_without_worlds_there_is_no_band_and_no_share():
    with pytest.raises(ValueError, match=r"null worlds of shape \(0, 2\)"):
        null_band(np.zeros((0, 2)))
    with pytest.raises(ValueError, match=r"null worlds of shape \(0, 2\)"):
        share_above(np.zeros((0, 2)), np.zeros((0, 2)))


@pytest.mark.parametrize("compare", [share_above, smallest_lead])
@pytest.mark.parametrize("shape", [(4, 1), (4, 3), (1, 2), (2,), (2, 4)])
def test_curves_of_other_shapes_are_not_compared(compare, shape):
    with pytest.raises(ValueError, match="give both the same steps"):
        compare(np.ones((4, 2)), np.ones(shape))


@pytest.mark.parametrize("shape", [(), (0,), (3, 0)])
def test_a_curve_without_steps_has_no_lead(shape):
    with pytest.raises(ValueError, match="give at least one step"):
        smallest_lead(np.ones(shape), np.ones(shape))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_lead_of_what_is_not_finite_is_undefined(value):
    assert np.isnan(smallest_lead(np.array([1.0, value]), np.array([0.0, 1.0])))
    assert np.isnan(smallest_lead(np.array([1.0, 1.0]), np.array([0.0, value])))


@pytest.mark.parametrize("level", [0, 1, -0.5, 95, float("nan")])
def test_a_level_that_is_no_share_is_refused(level):
    with pytest.raises(ValueError, match="give a share between 0 and 1"):
        null_band(np.zeros((5, 2)), level)


def test_the_share_of_worlds_above_counts_those_that_are_so_at_every_defined_step():
    upper = np.array([[0.6, 0.7, np.nan], [0.6, 0.5, 0.9], [0.4, 0.9, 0.9], [0.9, 0.8, 0.9]])
    assert share_above(upper, 1 - upper) == 0.5  # the second has a tie, the third crosses
    assert share_above(1 - upper, upper) == 0
    assert np.isnan(share_above(upper * np.nan, upper))


def test_the_smallest_lead_is_that_of_the_worst_step_and_has_no_unit():
    ahead, behind = (
        np.array([[2.0, 3.0], [1.0, 0.0], [4.0, 0.0]]),
        np.array([[1.0, -1.0], [0.0, 0.0], [1.0, 1.0]]),
    )
    found = smallest_lead(ahead, behind)
    np.testing.assert_allclose(found, [1 / 3, np.nan, -1])
    np.testing.assert_allclose(smallest_lead(7 * ahead, 7 * behind), found)
