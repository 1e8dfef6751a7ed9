"""Tests of a few values, by scipy's own, and at their limits."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from benchmarks.verdicts import EFFECTS, REPLICATES, RULES, shares
from cgpipe.inference.small_samples import holm, mean_and_error, p_sign, p_t, p_within, page, t_interval

SAMPLES = st.lists(st.floats(-10, 10), min_size=2, max_size=12).filter(lambda x: np.std(x) > 1e-3)


@given(SAMPLES, st.floats(-1, 1))
def test_t_tests_and_intervals_are_those_of_scipy(values, bound):
    t = np.array(values)
    test = stats.ttest_1samp(t, bound, alternative="greater")
    assert p_t(t, bound) == pytest.approx(test.pvalue)
    assert t_interval(t)[0] == pytest.approx(test.confidence_interval(0.95).low)
    assert np.ravel(t_interval(t)) == pytest.approx(stats.ttest_1samp(t, 0).confidence_interval(0.9))
    below = stats.ttest_1samp(t, 0.5, alternative="less").pvalue
    above = stats.ttest_1samp(t, -0.5, alternative="greater").pvalue
    assert p_within(t, 0.5) == pytest.approx(max(below, above))


@given(st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=1, max_size=12))
def test_the_sign_test_is_that_of_scipy_and_zeros_count_against(values):
    k = sum(value > 0 for value in values)
    assert p_sign(np.array(values)) == pytest.approx(
        stats.binomtest(k, len(values), alternative="greater").pvalue
    )


@given(st.lists(SAMPLES.filter(lambda x: len(x) >= 5).map(lambda x: x[:5]), min_size=1, max_size=4))
def test_samples_are_tested_one_by_one(samples):
    each = [np.array(values) for values in samples]
    for test in (p_sign, p_t, lambda t: p_within(t, 1), *(lambda t, k=k: t_interval(t)[k] for k in (0, 1))):
        assert test(np.array(samples)) == pytest.approx([float(test(one)) for one in each])


def test_samples_of_other_sizes_and_without_spread_are_tested_one_by_one():
    rounded = [5.0, 5.0 * (1 + 2 * np.finfo(float).eps), 5.0]
    samples = np.array([[1e9, 2e9, 3e9], [1e-9, 2e-9, 3e-9], rounded])
    mean, error = mean_and_error(samples)
    assert mean.tolist() == pytest.approx([2e9, 2e-9, 5], rel=1e-12, abs=0)
    assert error.tolist() == pytest.approx([1e9 / np.sqrt(3), 1e-9 / np.sqrt(3), 0], rel=1e-12, abs=0)
    assert mean[2] == 5
    assert p_t(samples)[2] == 1 / 8


@pytest.mark.parametrize("value", [0.1, -3.7e8, 1e-300])
def test_values_without_spread_have_a_point_for_an_interval_and_the_p_value_of_their_signs(value):
    rounded = value * (1 + np.array([0, 2, 0, 1, 0]) * np.finfo(float).eps)
    for t in (np.full(5, value), rounded):
        assert mean_and_error(t) == (value, 0)
        assert t_interval(t) == (value, value)
        assert p_t(t) == (1 / 32 if value > 0 else 1)
    assert p_t(np.zeros(5)) == 1
    assert p_within(np.full(5, 0.5), 1) == 1 / 32
    assert p_within(np.full(5, 1.0), 1) == 1


def test_fewer_than_two_values_have_no_interval():
    assert np.isnan(mean_and_error(np.array([]))).all()
    mean, error = mean_and_error(np.array([3.0]))
    assert mean == 3
    assert np.isnan(error)
    for values in ([], [3.0]):
        assert np.isnan(t_interval(np.array(values))).all()
    for count, means in ((0, [np.nan, np.nan]), (1, [3.0, 4.0])):
        mean = mean_and_error(np.array([[3.0], [4.0]])[:, :count])[0]
        np.testing.assert_array_equal(mean, np.array(means), strict=True)


def test_pages_statistic_is_of_the_levels_that_the_contrasts_lead_to():
    contrasts = np.array([[1.0, 2, -1], [1, 1, 1], [0.5, -2, 3]])
    levels = [[0, 1, 3, 2], [0, 1, 2, 3], [0, 0.5, -1.5, 1.5]]
    test = stats.page_trend_test(levels)
    assert page(contrasts) == pytest.approx((test.statistic, test.pvalue))
    fewest = stats.page_trend_test([levels[0][:3], levels[2][:3]])
    assert page(contrasts[::2, :2]) == pytest.approx((fewest.statistic, fewest.pvalue))
    for too_few in (contrasts[:1], contrasts[:, :1], contrasts[:0]):
        assert np.isnan(page(too_few)).all()


def test_holms_correction_by_hand():
    p = pd.Series([0.01, 0.04, 0.03, 0.005], index=[4, 2, 9, 7])
    assert holm(p).index.equals(p.index)
    assert holm(p).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    with_unknown = holm(pd.Series([0.01, np.nan, 0.9, 0.5]))
    assert with_unknown[[0, 2, 3]].tolist() == pytest.approx([0.04, 1, 1])  # three times .5 is above 1
    assert np.isnan(with_unknown[1])
    assert holm(pd.Series([], dtype=float)).empty


@pytest.mark.parametrize("replicates", REPLICATES)
@pytest.mark.parametrize("distribution", ["normal", "t, 3 degrees of freedom"])
@pytest.mark.parametrize("rule", RULES)
def test_a_claim_at_its_bound_holds_or_is_contradicted_in_at_most_5_per_cent(rule, distribution, replicates):
    bound = RULES[rule][0]
    found = shares(rule, distribution, replicates, bound)
    assert max(found.values()) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 20_000)
    power = [
        shares(rule, distribution, replicates, effect)["holds" if rule == "above" else "contradicted"]
        for effect in EFFECTS
    ]
    assert power == sorted(power)
    assert power[-1] > 0.5
