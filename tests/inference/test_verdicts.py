"""One rule from statistics to verdicts, the criteria, and the p-values of trends."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import stats

from cgpipe.inference.verdicts import COLUMNS, COMPARISONS, Criterion, Finding, Observed, table, trend

SIDES = st.sampled_from(list(COMPARISONS))
OBSERVED = st.tuples(st.floats(-2, 2), st.none() | st.floats(0.001, 1)).map(lambda values: Observed(*values))


@given(st.lists(OBSERVED, max_size=4), SIDES, st.floats(-1, 1))
def test_a_claim_never_both_holds_and_fails(observed, side, bound):
    opposite = {">": "≤", "≥": "<", "<": "≥", "≤": ">"}[side]
    one = Finding("", Criterion(side, bound), observed).verdict()[0]
    other = Finding("", Criterion(opposite, bound), observed).verdict()[0]
    if one == "holds":
        assert other == "does not hold"
        assert all(seen.p is None or seen.p <= 0.05 for seen in observed)
    if not observed:
        assert one == "inconclusive"


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_undefined_decides_nothing(value):
    verdict, why = Finding("", Criterion(">", 0), [Observed(value)]).verdict()
    assert (verdict, why) == ("inconclusive", "undefined")


def test_an_undefined_p_value_decides_nothing():
    assert Finding("", Criterion(">", 0), [Observed(1.0, np.nan)]).verdict()[0] == "inconclusive"


def test_a_criterion_includes_its_bound_or_not():
    assert [Criterion(side, 1.0).met(1.0) for side in (">", "≥", "<", "≤")] == [False, True, False, True]
    assert [str(Criterion("≤", bound)) for bound in (0, 0.0, 0.01)] == ["≤ 0", "≤ 0", "≤ 0.01"]


@given(SIDES, st.floats(allow_nan=False))
def test_a_criterion_is_read_as_it_was_printed(side, bound):
    assert Criterion.parse(str(Criterion(side, bound))) == Criterion(side, bound)


@pytest.mark.parametrize("text", ["", "0.5", "= 0.5", ">0.5", "> half", ">"])
def test_what_is_not_a_criterion_is_refused(text):
    with pytest.raises(
        ValueError, match=r"could not convert|is not a criterion: give >, ≥, < or ≤ and a number"
    ):
        Criterion.parse(text)


def test_the_table_has_its_columns_also_without_rows():
    assert list(table([]).columns) == list(COLUMNS) == list(Finding("", Criterion(">", 0)).row())


def test_where_a_replicate_is_undefined_the_others_are_shown_without_a_p_value():
    seen = [Observed(0.5, 0.01), Observed(np.nan, cannot_decide="too few"), Observed(0.7, 0.02)]
    row = Finding("", Criterion(">", 0), seen).row()
    assert [row[column] for column in ("estimate", "low", "high", "n")] == pytest.approx([0.6, 0.5, 0.7, 2])
    assert np.isnan(row["p"])
    assert (row["verdict"], row["why"]) == ("inconclusive", "too few")
    row = Finding("", Criterion(">", 0), seen[1:2]).row()
    assert np.isnan(row["estimate"])
    assert row["n"] == 0


def test_the_p_value_of_a_trend_is_that_of_all_orders():
    seen = trend([0, 1, 2, 3], [4.0, 5.0, 6.0, 7.0], "grows")
    assert (seen.value, seen.p) == (pytest.approx(1), pytest.approx(1 / 24))
    assert trend([0, 1, 2, 3], [4.0, 5.0, 6.0, 7.0], "falls").p == pytest.approx(1)
    assert trend([0, 1, 2], [1.0, 2.0, 3.0], "grows").cannot_decide
    assert np.isnan(trend([0, 1, 2, 3], [1.0, np.nan, 2.0, 3.0], "grows").value)
    assert trend([0, 1, 2, 3], [5.0, 5.0, 5.0, 5.0], "falls")[:2] == (0, 1)


@example([0, 1, 1, 2, 3, 3])  # 720 orders, 180 of them different
@given(st.lists(st.integers(0, 3), min_size=4, max_size=5))
def test_with_ties_too_the_p_value_of_a_trend_is_that_of_all_orders(values):
    levels = list(range(len(values)))
    seen = trend(levels, values, "falls")
    if len(set(values)) == 1:
        assert seen.p == 1
        return
    orders = [stats.kendalltau(levels, order).statistic for order in set(permutations(values))]
    assert seen.value == pytest.approx(stats.kendalltau(levels, values).statistic)
    assert seen.p == pytest.approx(np.mean(np.array(orders) <= seen.value + 1e-12))
