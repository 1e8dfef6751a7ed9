"""From statistics to the tidy table and from it to verdicts, by value."""

import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgpipe.inference.verdicts import (
    CLAIMS,
    NO_RUN,
    TIDY,
    TOO_FEW,
    VERDICTS,
    Observed,
    Part,
    claim_verdicts,
    judge,
    met_by,
    parts_that_hold,
    tidy,
    verdicts,
)

NEAR = [1.0, 1.1, 0.9, 1.05, 0.95]


def part(values, rule="above", bound=0.0, name="a", claim="C1", **more):
    """A part whose statistic has these values in replicates 0, 1, ...; a text is a reason."""
    observed = {
        k: Observed(np.nan, value) if isinstance(value, str) else Observed(value)
        for k, value in enumerate(values)
    }
    return Part(part=name, statistic="s", rule=rule, bound=bound, observed=observed, claim=claim, **more)


def verdict(*args, **kwargs):
    """Verdict on one part, and why."""
    (row,) = verdicts(tidy([part(*args, **kwargs)])).to_dict("records")
    return row["verdict"], row["why"]


# --- the verdict on a part --------------------------------------------------------------------------


def test_four_replicates_are_no_verdict_and_five_are():
    assert verdict(NEAR[:4]) == ("undecided", TOO_FEW)
    assert verdict([1, -1, 2]) == ("undecided", TOO_FEW)
    assert verdict(NEAR[:1], "within", 2) == ("undecided", TOO_FEW)
    assert verdict(NEAR[:4], "within", 2)[0] == judge(np.zeros(4), "within", 1) == "undecided"
    assert verdict(NEAR) == ("holds", "")
    assert verdict([-value for value in NEAR]) == ("contradicted", "")
    assert verdict(NEAR, "below") == ("contradicted", "")
    assert verdict(NEAR, "below", 2) == ("holds", "")
    assert verdict(NEAR, "above", 2) == ("contradicted", "")


def test_of_five_all_must_meet_it_and_of_ten_nine():
    assert verdict([10, 11, 12, 13, -0.001])[0] == "undecided"
    # The interval of the mean lies above 0 in all of these.
    assert verdict([10, 11] * 4 + [10, -1])[0] == "holds"
    assert verdict([10, 11] * 4 + [-1, -1])[0] == "undecided"
    assert verdict([-10, -11] * 4 + [-10, 1])[0] == "contradicted"
    assert verdict([-10, -11] * 4 + [1, 1]) == (
        "undecided",
        "90 % interval of the mean of T: -11 to -5.4",
    )


def test_a_value_on_the_bound_does_not_meet_it():
    assert verdict([1, 1, 1.1, 1, 0])[0] == "undecided"
    assert verdict([1, 1, 1.1, 1, 1], bound=1)[0] == "undecided"
    assert verdict([0.5] * 5, bound=0.5) == ("undecided", "90 % interval of the mean of T: 0 to 0")


def test_signs_alone_decide_nothing_where_the_mean_is_not_clear():
    outlier = [0.1, 0.1, 0.1, 0.1, 10]
    assert verdict(outlier) == ("undecided", "90 % interval of the mean of T: -2.1 to 6.3")
    assert verdict([-value for value in outlier])[0] == "undecided"
    assert verdict([-value / 10 for value in outlier])[0] == "undecided"


def of_interval(low, high):
    """Five values of which the 90 % t interval of the mean is this."""
    shape = np.array([-2.0, -1, 0, 1, 2])
    half = 2.1318467863266495 * shape.std(ddof=1) / np.sqrt(5)  # t of 4 degrees of freedom at 95 %
    return (low + high) / 2 + shape / half * (high - low) / 2


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (-0.099, 0.099, "holds"),
        (-0.05, 0.101, "undecided"),
        (-0.101, 0.05, "undecided"),
        (0.099, 0.3, "undecided"),
        (0.101, 0.3, "contradicted"),
        (-0.3, -0.101, "contradicted"),
        (-0.3, -0.099, "undecided"),
        (-0.3, 0.3, "undecided"),
    ],
)
def test_alike_is_decided_by_where_the_interval_lies(low, high, expected):
    (row,) = verdicts(tidy([part(of_interval(low, high), "within", 0.1)])).to_dict("records")
    assert row["verdict"] == expected
    assert (row["low"], row["high"]) == (pytest.approx(low), pytest.approx(high))
    assert (row["p_t"] < 0.05) == (expected == "holds")
    assert np.isnan(row["p_sign"])
    assert row["met"] == (abs(of_interval(low, high)) < 0.1).sum()


@pytest.mark.parametrize("value", [0.1, -0.1])
def test_an_interval_that_ends_on_the_bound_decides_nothing(value):
    why = f"90 % interval of the mean of T: {value} to {value}"
    assert verdict([value] * 5, "within", 0.1) == ("undecided", why)


def test_the_mean_is_clear_if_its_one_sided_95_per_cent_bound_is_above_0():
    # Of four values 1 and one 1 + d the mean is 1 + d/5 and its standard error d/5.
    touching = 5 / (2.1318467863266495 - 1)
    assert verdict([1, 1, 1, 1, 1 + touching * 0.999])[0] == "holds"
    assert verdict([1, 1, 1, 1, 1 + touching * 1.001])[0] == "undecided"


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=12), st.sampled_from(["above", "within"]))
def test_the_mirror_image_has_the_mirrored_verdict(values, rule):
    t = np.array(values)
    mirrored = {"above": {"holds": "contradicted", "contradicted": "holds"}, "within": {}}[rule]
    one, other = (str(judge(sign * t, rule, 1)) for sign in (1, -1))
    assert other == mirrored.get(one, one)
    assert len(t) >= 5 or one == "undecided"


def test_replicates_without_spread():
    rows = verdicts(
        tidy([part([0.3] * 5), part([0.3] * 5, "within", 0.5, name="b"), part([0] * 5, name="c")])
    )
    assert list(rows["verdict"]) == ["holds", "holds", "undecided"]
    assert rows[["mean", "low", "high"]].values.tolist() == [[0.3] * 3, [0.3] * 3, [0] * 3]
    assert list(rows["p_t"]) == [1 / 32, 1 / 32, 1]
    assert rows["p_sign"].tolist() == pytest.approx([1 / 32, np.nan, 1], nan_ok=True)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_replicate_without_a_number_leaves_the_part_undecided(value):
    rows = verdicts(tidy([part([*NEAR, value])]))
    assert rows[["n", "met", "verdict", "why"]].values.tolist() == [
        [5, 5, "undecided", "in 1 of 6 replicates: undefined"]
    ]
    assert rows["mean"][0] == pytest.approx(1)
    assert rows[["p_sign", "p_t"]].isna().all(axis=None)
    nameless = tidy([part([*NEAR, value])]).assign(reason="")
    assert verdicts(nameless)["why"].tolist() == rows["why"].tolist()


def test_a_replicate_that_cannot_say_is_told_of_and_not_averaged():
    observed = {k: Observed(value) for k, value in enumerate(NEAR)} | {7: Observed(-100.0, "too short")}
    made = Part(part="a", statistic="s", rule="above", bound=0, observed=observed, claim="C1")
    table = tidy([made])
    assert table["excess"].tolist() == [*NEAR, -100]
    (row,) = verdicts(table).to_dict("records")
    assert (row["n"], row["mean"]) == (5, pytest.approx(1))
    assert row["why"] == "in 1 of 6 replicates: too short"


def test_what_is_only_shown_has_an_interval_and_no_verdict():
    rows = verdicts(tidy([part(NEAR, "shown", np.nan), part(["too short"], "shown", name="b")]))
    assert rows[["verdict", "why", "met"]].values.tolist() == 2 * [["shown", "", 0]]
    assert np.isnan(rows["bound"][0])
    assert rows["mean"][0] == pytest.approx(1)
    assert rows[["p_sign", "p_t"]].isna().all(axis=None)
    assert claim_verdicts(tidy([part(NEAR, "shown")])).empty


def test_replicates_that_were_seen_are_shown_and_not_counted():
    table = tidy([part([-100, *NEAR])], seen=[0, 9])
    assert table["counted"].tolist() == [False] + 5 * [True]
    assert verdicts(table)[["n", "verdict"]].values.tolist() == [[5, "holds"]]
    assert verdicts(tidy([part(NEAR)], seen=range(5)))["why"].tolist() == [NO_RUN]


# --- scales -----------------------------------------------------------------------------------------


def test_the_excess_is_oriented_on_the_scale():
    assert part([], "above", 2).excess(3) == 1
    assert part([], "below", 2).excess(3) == -1
    assert part([], "within", 2).excess(-3) == -3
    assert part([], "shown", scale="log").excess(np.e) == 1
    assert part([], "above", 2, scale="log").excess(2 * np.e) == pytest.approx(1)
    assert part([], "above", 0.5, scale="logit").excess(0.9) == pytest.approx(np.log(9))
    assert part([], "below", 0.5, scale="logit").excess(0.9) == pytest.approx(-np.log(9))


def test_shares_of_none_and_of_all_have_an_empirical_logit():
    of_99 = part([], bound=0.5, scale="logit", n_of=99)
    assert of_99.excess(0) == pytest.approx(np.log(0.5 / 99.5))
    assert of_99.excess(1) == pytest.approx(np.log(99.5 / 0.5))
    assert part([], bound=1, scale="logit", n_of=99).excess(1) == 0
    # On the bound is on the bound, however many cases there are.
    for of in (10, 10_000):
        assert part([], "below", 0.05, scale="logit", n_of=of).excess(0.05) == 0


@pytest.mark.parametrize(
    ("scale", "value", "why"),
    [
        ("log", 0.0, "0 is not on the log scale"),
        ("log", -2.0, "-2 is not on the log scale"),
        ("logit", 0.0, "0 is not on the logit scale"),
        ("logit", 1.0, "1 is not on the logit scale"),
        ("logit", 1.5, "1.5 is not on the logit scale"),
        ("log", np.inf, "undefined"),
    ],
)
def test_a_value_that_is_not_on_the_scale_is_no_number(scale, value, why):
    table = tidy([part([value, 0.5], bound=0.5, scale=scale)])
    assert table["reason"].tolist() == [why, ""]
    assert np.isnan(table["excess"][0])
    assert table["excess"][1] == 0


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"bound": np.nan}, "a: the bound nan is not on the plain scale"),
        ({"bound": 0, "scale": "log"}, "a: the bound 0 is not on the log scale"),
        ({"bound": 1, "scale": "logit"}, "a: the bound 1 is not on the logit scale"),
        ({"rule": "within", "bound": 2, "scale": "log"}, "judged on the plain scale, not on the log scale"),
    ],
)
def test_a_bound_that_is_not_on_the_scale_is_refused(changed, why):
    with pytest.raises(ValueError, match=why):
        part([], **changed)


def test_criteria_are_told_in_a_few_words():
    assert part([], "above", 0.99, scale="logit").criterion == "> 0.99 (logit)"
    assert part([], "below", 0.5).criterion == "< 0.5"
    assert part([], "within", 0.1).criterion == "within ± 0.1"
    assert part([], "shown").criterion == "shown, not judged"


# --- the table --------------------------------------------------------------------------------------


def test_tables_of_replicates_that_were_made_apart_are_put_together():
    parts = [part(NEAR), part([*NEAR[:3], "too short", 1.0], name="b"), part([], name="c", claim="C2")]

    def of(replicates):
        chosen = [
            Part(**{**vars(one), "observed": {k: one.observed[k] for k in replicates if k in one.observed}})
            for one in parts
        ]
        return pd.read_csv(io.StringIO(tidy(chosen).to_csv(index=False)))

    whole, apart = tidy(parts), pd.concat([of([0, 1]), of([2, 3, 4])])
    assert list(whole.columns) == list(TIDY)
    assert whole.loc[whole["replicate"] == -1, "reason"].tolist() == [NO_RUN]
    for judged, columns in ((verdicts, VERDICTS), (claim_verdicts, CLAIMS)):
        pd.testing.assert_frame_equal(judged(apart), judged(whole))
        assert list(judged(whole).columns) == list(columns)
        assert list(judged(whole.iloc[:0]).columns) == list(columns)
    alike = pd.concat([tidy([part([1.0])]), tidy([part(["too short"])]).assign(replicate=1)])
    assert verdicts(alike)["why"].tolist() == ["in 1 of 2 replicates: too short"]


def test_a_table_that_contradicts_itself_is_refused():
    table = tidy([part(NEAR)])
    with pytest.raises(ValueError, match="C1, a: replicate 0 is there twice; give each replicate once"):
        verdicts(pd.concat([table, table]))
    other = tidy([part(NEAR, bound=0.5)]).assign(replicate=lambda rows: rows["replicate"] + 5)
    with pytest.raises(ValueError, match="C1, a: its rows have different criteria"):
        claim_verdicts(pd.concat([table, other]))


# --- claims -----------------------------------------------------------------------------------------


def claims(*parts):
    """The lines of claims, by claim and estimator."""
    rows = claim_verdicts(tidy(parts))
    return {(row["claim"], row["estimator"]): row for row in rows.to_dict("records")}


def test_a_claim_holds_if_its_parts_do_and_fails_with_one_of_them():
    good, poor, bad = NEAR, [1, 1, 1, 1, -1], [-value for value in NEAR]
    (line,) = claims(part(good), part(good, name="b"), part(bad, "shown", name="c")).values()
    assert (line["verdict"], line["why"], line["parts"], line["hold"]) == ("holds", "", 2, 2)
    (line,) = claims(part(good), part(poor, name="b")).values()
    assert (line["verdict"], line["why"], line["parts"], line["hold"]) == (
        "undecided",
        "undecided: b",
        2,
        1,
    )
    assert (line["met"], line["n"], line["parts_met"]) == (4, 5, 1)
    (line,) = claims(part([0.1]), part(["too short"], name="b"), part([0.2], name="c")).values()
    assert (line["met"], line["n"], line["parts_met"]) == (0, 0, 2)
    (line,) = claims(part(good), part([*good, "too short"], name="b")).values()
    assert np.isnan(line["p"])
    (line,) = claims(part(good), part(poor, name="b"), part(bad, name="c"), part(bad, name="d")).values()
    assert (line["verdict"], line["why"]) == ("contradicted", "contradicted: c, d; undecided: b")
    (line,) = claims(part(good), part(bad, name="b")).values()
    assert (line["verdict"], line["why"]) == ("contradicted", "contradicted: b")
    (line,) = claims(part(bad), part(bad, name="b")).values()
    assert line["why"] == "contradicted: a, b"


def test_estimators_are_lines_of_their_own():
    found = claims(
        part(NEAR, estimator="all"), part(NEAR[:3], estimator="sample"), part(["too short"], claim="C2")
    )
    assert {key: line["verdict"] for key, line in found.items()} == {
        ("C1", "all"): "holds",
        ("C1", "sample"): "undecided",
        ("C2", ""): "undecided",
    }
    assert found["C1", "sample"]["why"] == TOO_FEW
    assert found["C2", ""]["why"] == "in 1 of 1 replicates: too short"


def test_claims_and_their_lines_stand_in_the_order_of_the_table():
    lines = [("C2", "sample"), ("C2", "all"), ("C12", ""), ("C1", "")]
    assert list(claims(*(part(NEAR, claim=claim, estimator=line) for claim, line in lines))) == lines


def test_few_replicates_of_several_parts_are_counted_together():
    (line,) = claims(part([1, 1, -1]), part([-1, 1, -1], name="b")).values()
    assert (line["why"], line["met"], line["n"], line["cannot"]) == (TOO_FEW, 1, 3, 0)
    (line,) = claims(part([1, "too short"]), part([1, 1], name="b")).values()
    assert (line["why"], line["n"], line["cannot"]) == ("undecided: a, b", 1, 1)


def test_replicates_that_cannot_decide_a_part_are_counted_apart():
    bad = [-value for value in NEAR]
    (line,) = claims(part(bad), part([1.0, "too short", 1.0, "too long", "too short"], name="b")).values()
    assert (line["verdict"], line["n"], line["met"], line["cannot"]) == ("contradicted", 2, 0, 3)
    assert (line["parts_met"], line["hold"]) == (0, 0)
    assert met_by(line) == "0 of 2 (3 cannot decide)"
    assert parts_that_hold(line) == "0 of 2"
    (line,) = claims(part(NEAR[:4])).values()
    assert (met_by(line), parts_that_hold(line)) == ("4 of 4", "")


def test_all_reasons_are_told():
    (row,) = verdicts(tidy([part([1.0, "too short", "too long", "too short"])])).to_dict("records")
    assert row["why"] == "in 3 of 4 replicates: too short; too long"


def test_the_p_value_of_a_claim_is_its_parts_largest_and_corrected_over_the_twelve():
    spread = [1.0, 2, 3, 4, 0.1]
    found = claims(
        part(NEAR),
        part(spread, name="b"),
        part(NEAR, claim="C2"),
        part(NEAR, claim="C12", estimator="all"),
        part(NEAR[:2], claim="C3"),
        part(NEAR, claim="C13"),
    )
    of_parts = verdicts(tidy([part(NEAR), part(spread, name="b")]))["p_t"]
    assert found["C1", ""]["p"] == of_parts.max() == of_parts[1]
    small, large = of_parts[0], of_parts[1]
    corrected = {key: line["p_holm"] for key, line in found.items()}
    assert corrected["C2", ""] == corrected["C12", "all"] == pytest.approx(4 * small)
    assert corrected["C1", ""] == pytest.approx(2 * large)
    assert np.isnan([corrected["C3", ""], corrected["C13", ""]]).all()
    assert found["C13", ""]["p"] == small


def test_a_trend_has_pages_statistic_beside_its_contrasts():
    steps = np.array([[1.0, 2, -1], [1, 1, 1], [0.5, -2, 3], [1, 1, 1], [2, 1, 1]])
    parts = [part(values, name=f"step {k}", trend="noise") for k, values in enumerate(steps.T)]
    others = [part(NEAR, name="other"), part(NEAR, name="another")]
    rows = verdicts(tidy([*parts, *others]))
    assert rows["page_l"].tolist()[:3] == 3 * [29 + 30 + 27 + 30 + 30]
    assert rows["page_l"].isna().tolist() == [False] * 3 + [True] * 2
    assert (rows["page_p"][:3] < 0.001).all()
    more = np.vstack([steps, [1, np.nan, 1]])
    longer = [part(values, name=f"step {k}", trend="noise") for k, values in enumerate(more.T)]
    assert verdicts(tidy(longer))[["page_l", "page_p"]].equals(rows[["page_l", "page_p"]][:3])
    few = [part(values, name=f"step {k}", trend="noise") for k, values in enumerate(steps.T[:, :4])]
    assert verdicts(tidy(few))["page_l"].isna().all()
