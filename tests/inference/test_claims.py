"""The claims on runs made up to fulfil them, and to break them one by one."""

from itertools import permutations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from cgpipe.inference.claims import Cell, Runs, findings
from cgpipe.inference.verdicts import COLUMNS, Criterion, Finding, Observed, table, trend

STEPS = np.array([*range(10), *range(10, 100, 10), *range(100, 1000, 100), *range(1000, 10_001, 1000)])
NOISE = (0, 0.25, 0.5, 0.75, 1)
CLIPPED = (0, 1, 2, 4, 8)
EXAMPLES = 1000


def curve(middle, last=1.0, first=0.1):
    """Rises from `first` to `last` around a step."""
    return first + (last - first) / (1 + (middle / np.maximum(STEPS, 0.1)) ** 2)


def history(noise, seed, *, pristine=20.0, corrupt=400.0, top=1.0, memorized=1.0, test=0.97, test_end=None):
    """Pristine and corrupt examples learned around a step each, and more and more of them right."""
    rng = np.random.default_rng(seed)
    of_pristine = np.arange(EXAMPLES) >= round(0.9 * noise * EXAMPLES)
    since = rng.permutation(EXAMPLES) / EXAMPLES
    share = np.where(
        of_pristine[None],
        curve(pristine * (1 + noise / 2), top)[:, None],
        curve(corrupt * (1 + noise / 2), memorized, first=0)[:, None],
    )
    correct = since[None] < share
    place = np.where(correct[-1], correct.argmax(0), -1)
    last = np.where(place >= 0, STEPS[place], -1)
    accuracy_test = curve(pristine, test)
    if test_end is not None:
        accuracy_test[-1] = test_end
    return xr.Dataset(
        {
            "accuracy_training": ("step", correct.mean(1)),
            "accuracy_test": ("step", accuracy_test),
            "correct": (("step", "example"), correct),
            "learned_last": ("example", last),
            "pristine": ("example", of_pristine),
        },
        coords={"step": STEPS},
    )


def coherence(noise):
    squared = np.exp(-noise) * np.linspace(2, 1, len(STEPS))
    return xr.Dataset(
        {"squared_norm": (("step", "group", "part"), squared[:, None, None])},
        coords={"step": STEPS, "group": ["all"], "part": ["network"]},
    )


def worlds(noise, *, crosses=True, i=0.3, above=1.0):
    """f^p above f^c, below it, and together at the end; at 75 % noise below it and falling."""
    n = len(STEPS)
    if noise < 0.75:
        pristine = np.interp(np.arange(n), [0, 9, n // 2, n - 1], [0.9, 0.8, 0.3 if crosses else 0.6, 0.52])
    else:
        pristine = np.linspace(0.4, 0.3, n)
    upper = np.linspace(1, 10, 10)
    return xr.Dataset(
        {
            "f": (("group", "step"), np.stack([pristine, 1 - pristine])),
            "i": (("group", "early_step"), np.stack([upper * (1 + i), upper])),
            "i_lead": ((), i / (2 + i)),
            "i_lead_p": ((), 1e-4),
            "f_null_pristine_above": ((), above if noise < 0.75 else 0.0),
            "f_null_corrupt_above": ((), above if noise >= 0.75 else 0.0),
        },
        coords={"group": ["pristine", "corrupt"], "step": STEPS, "early_step": STEPS[:10]},
    )


def runs(replicates=2, *, early=None, null=None, noisy=None, clipped=None, full=None):
    """Runs that fulfil every claim, but for what is given."""
    label_noise, winsorization, full_batch = [], [], []
    for replicate in range(replicates):
        for k, noise in enumerate(NOISE):
            seed = 10 * replicate + k
            made = history(noise, seed, **(noisy or {}))
            found = worlds(noise, **(null or {})) if 0 < noise < 1 else None
            label_noise.append(Cell(noise, 0, replicate, made, (early or coherence)(noise), found))
            for c in CLIPPED:
                settings = {
                    "memorized": 1.0 if c == 0 else 0.2 if c == 1 else 0.005,
                    "top": 1.0 - 0.01 * c,
                    "test": 0.97,
                } | ((clipped(c)) if clipped else {})
                of_level = history(noise, seed, **settings)
                growth = np.clip(0.1 - 0.011 * c, 0, 1) * np.log10(np.maximum(STEPS, 1)) / 4
                va = of_level["accuracy_test"].values
                if not clipped:
                    explained = (of_level["accuracy_training"].values - growth - noise / 10) / max(
                        1 - noise, 0.2
                    )
                    of_level["accuracy_test"] = ("step", explained)
                    if c == 8:
                        for name in ("accuracy_training", "accuracy_test"):
                            values = of_level[name].values.copy()
                            values[-1] = values[-2] - 0.05
                            of_level[name] = ("step", values)
                else:
                    of_level["accuracy_test"] = ("step", va)
                winsorization.append(Cell(noise, c, replicate, of_level))
        for noise in (0, 0.5):
            plain = next(
                cell
                for cell in winsorization
                if (cell.noise, cell.winsor, cell.replicate) == (noise, 0, replicate)
            )
            full_batch.append(Cell(noise, 0, replicate, full(plain.history) if full else plain.history))
    return Runs(label_noise, winsorization, full_batch)


def verdicts(of):
    """Verdicts by claim."""
    found = {}
    for row in table(findings(of)).to_dict("records"):
        found.setdefault(row["claim"], []).append(row["verdict"])
    return found


def test_runs_that_are_as_the_paper_says_fulfil_every_claim():
    found = table(findings(runs()))
    assert list(found.columns) == COLUMNS
    assert set(found["claim"]) == {f"C{k}" for k in range(1, 13)}
    wrong = found[found["verdict"] != "holds"]
    assert wrong.empty, wrong.to_string()
    assert (found["n"] == 2).all()
    assert ((found["low"] <= found["estimate"]) & (found["estimate"] <= found["high"])).all()


def test_without_runs_nothing_is_decided():
    found = table(findings(Runs([], [], [])))
    assert set(found["claim"]) == {f"C{k}" for k in range(1, 13)}
    assert set(found["verdict"]) == {"inconclusive"}
    assert (found["n"] == 0).all()
    assert found["estimate"].isna().all()


def cut(of, length):
    """The same runs, stopped early."""

    def shorter(cell):
        null = cell.nullworlds.isel(step=slice(length)) if cell.nullworlds is not None else None
        if null is not None and length < 10:
            null = null.isel(early_step=slice(length))
        small = cell.history.isel(step=slice(length))
        place = np.where(small["correct"].values[-1], small["correct"].values.argmax(0), -1)
        small["learned_last"] = ("example", np.where(place >= 0, STEPS[place], -1))
        early = cell.coherence.isel(step=slice(length)) if cell.coherence is not None else None
        return cell._replace(history=small, nullworlds=null, coherence=early)

    return Runs(*([shorter(cell) for cell in cells] for cells in of))


def test_runs_that_are_too_short_say_nothing_of_where_they_end():
    found = verdicts(cut(runs(), 6))
    assert {claim for claim, of in found.items() if set(of) == {"inconclusive"}} == set(found)
    # After 90 steps that which is of the beginning can be said, and no more.
    found = verdicts(cut(runs(), 19))
    assert found["C4"] == ["holds"]
    assert found["C5"] == 2 * ["holds", "inconclusive", "inconclusive"]
    assert found["C8"] == 3 * ["holds"]
    for claim in ("C1", "C2", "C6", "C7", "C9", "C10", "C11"):
        assert set(found[claim]) == {"inconclusive"}, claim


@pytest.mark.parametrize(
    ("claim", "broken"),
    [
        ("C1", {"noisy": {"memorized": 0.7}}),
        ("C3", {"noisy": {"pristine": 200.0, "corrupt": 20.0}}),
        ("C4", {"early": lambda noise: coherence(-noise)}),
        ("C5", {"null": {"crosses": False}}),
        ("C7", {"null": {"above": 0.5}}),
        ("C8", {"null": {"i": -0.3}}),
        ("C9", {"clipped": lambda c: {"memorized": 1.0}}),
        ("C10", {"clipped": lambda c: {"memorized": 0.4 + 0.05 * c if c else 1.0}}),
        ("C11", {"clipped": lambda c: {"memorized": 0.4 + 0.05 * c if c else 1.0}}),
        ("C12", {"full": lambda history: history.assign(accuracy_test=history["accuracy_test"] - 0.2)}),
    ],
)
def test_a_claim_that_the_runs_break_does_not_hold(claim, broken):
    assert "does not hold" in verdicts(runs(**broken))[claim]


def test_where_f_ends_is_not_left_to_the_last_step_alone():
    def met_at_last(cell):
        if cell.nullworlds is None:
            return cell
        f = cell.nullworlds["f"].copy()
        f[:, -10:] = [[0.2], [0.8]]
        f[:, -1] = 0.5
        return cell._replace(nullworlds=cell.nullworlds.assign(f=f))

    found = table(findings(Runs([met_at_last(cell) for cell in runs().label_noise], [], [])))
    ends = found[found["statistic"].str.contains("last decade") & (found["claim"] == "C5")]
    assert set(ends["verdict"]) == {"does not hold"}
    np.testing.assert_allclose(ends["estimate"], 0.54)  # nine steps at 0.6, one at 0


def test_replicates_that_disagree_decide_nothing():
    mixed = runs(null={"i": 0.3}).label_noise[:5] + runs(null={"i": -0.3}).label_noise[5:]
    assert set(verdicts(Runs(mixed, [], []))["C8"]) == {"inconclusive"}


def test_two_levels_show_no_trend():
    few = [cell for cell in runs().label_noise if cell.noise in (0, 0.5)]
    found = table(findings(Runs(few, [], []))).set_index("claim").loc["C2"]
    assert set(found["verdict"]) == {"inconclusive"}
    assert found["why"].str.contains("at least 4").any()


def test_a_claim_of_all_noise_levels_needs_all_of_them():
    few = [cell for cell in runs().label_noise if cell.noise > 0]
    found = table(findings(Runs(few, [], []))).set_index("claim").loc["C1"]
    assert (found["verdict"], found["why"]) == ("inconclusive", "no runs at 0% noise")


@pytest.mark.filterwarnings("error")
def test_a_noise_level_without_corrupt_examples_decides_nothing_and_hides_no_other():
    whole = runs()
    empty = [
        Cell(0.0004, 0, k, history(0, k), coherence(0), worlds(0.25) * np.nan) for k in (0, 1)
    ]  # as if not a label had changed
    assert all(cell.history["pristine"].all() for cell in empty)
    more = whole._replace(label_noise=[*whole.label_noise, *empty])
    before, after = (table(findings(of)).set_index("statistic") for of in (whole, more))
    groups = before[before["claim"].isin(["C3", "C5", "C6", "C7", "C8"])].index
    groups = groups[~groups.str.contains("Kendall")]
    assert after.loc[groups].equals(before.loc[groups])
    alone = whole._replace(label_noise=[cell._replace(noise=0.25) for cell in empty])
    found = table(findings(alone)).set_index("claim").loc[["C3", "C5", "C7", "C8"]]
    assert set(found["verdict"]) == {"inconclusive"}


def test_without_pristine_examples_nothing_is_said_of_how_they_are_learned():
    """Of very few examples all may be corrupt by chance."""
    whole = runs()
    none = Cell(
        0.9, 0, 0, history(0.9, 0).assign(pristine=("example", np.zeros(EXAMPLES, bool))), coherence(0.9)
    )
    more = whole._replace(label_noise=[*whole.label_noise, none])
    before, after = (table(findings(of)).query("claim == 'C3'") for of in (whole, more))
    assert after["estimate"].equals(before["estimate"])


def test_a_run_of_full_batch_without_one_beside_it_is_left_out():
    of = runs()
    alone = [cell for cell in of.winsorization if cell.replicate == 0]
    found = table(findings(Runs([], alone, of.full_batch))).set_index("claim").loc["C12"]
    assert (found["n"], found["verdict"]) == (1, "holds")


# --- verdicts -------------------------------------------------------------------------------------


OBSERVED = st.tuples(st.floats(-2, 2), st.none() | st.floats(0.001, 1)).map(lambda of: Observed(*of))


@given(st.lists(OBSERVED, max_size=4), st.sampled_from([">", "≥", "<", "≤"]), st.floats(-1, 1))
def test_a_claim_never_both_holds_and_fails(observed, side, bound):
    opposite = {">": "≤", "≥": "<", "<": "≥", "≤": ">"}[side]
    one = Finding("C1", "", Criterion(side, bound), observed).verdict()[0]
    other = Finding("C1", "", Criterion(opposite, bound), observed).verdict()[0]
    if one == "holds":
        assert other == "does not hold"
        assert all(seen.p is None or seen.p <= 0.05 for seen in observed)
    if not observed:
        assert one == "inconclusive"


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_undefined_decides_nothing(value):
    verdict, why = Finding("C1", "", Criterion(">", 0), [Observed(value)]).verdict()
    assert (verdict, why) == ("inconclusive", "undefined")


def test_an_undefined_p_value_decides_nothing():
    assert Finding("C1", "", Criterion(">", 0), [Observed(1.0, np.nan)]).verdict()[0] == "inconclusive"


def test_a_criterion_includes_its_bound_or_not():
    assert [Criterion(side, 1.0).met(1.0) for side in (">", "≥", "<", "≤")] == [False, True, False, True]
    assert str(Criterion("≤", 0.01)) == "≤ 0.01"


def test_where_a_replicate_is_undefined_the_others_are_shown_without_a_p_value():
    seen = [Observed(0.5, 0.01), Observed(np.nan, cannot_say="too few"), Observed(0.7, 0.02)]
    row = Finding("C2", "", Criterion(">", 0), seen).row()
    assert [row[of] for of in ("estimate", "low", "high", "n")] == pytest.approx([0.6, 0.5, 0.7, 2])
    assert np.isnan(row["p"])
    assert (row["verdict"], row["why"]) == ("inconclusive", "too few")
    row = Finding("C2", "", Criterion(">", 0), seen[1:2]).row()
    assert np.isnan(row["estimate"])
    assert row["n"] == 0


def test_the_p_value_of_a_trend_is_that_of_all_orders():
    seen = trend([0, 1, 2, 3], [4.0, 5.0, 6.0, 7.0], "grows")
    assert (seen.value, seen.p) == (pytest.approx(1), pytest.approx(1 / 24))
    assert trend([0, 1, 2, 3], [4.0, 5.0, 6.0, 7.0], "falls").p == pytest.approx(1)
    assert trend([0, 1, 2], [1.0, 2.0, 3.0], "grows").cannot_say
    assert np.isnan(trend([0, 1, 2, 3], [1.0, np.nan, 2.0, 3.0], "grows").value)
    assert trend([0, 1, 2, 3], [5.0, 5.0, 5.0, 5.0], "falls")[:2] == (0, 1)


@given(st.lists(st.integers(0, 3), min_size=4, max_size=6))
def test_with_ties_too_the_p_value_of_a_trend_is_that_of_all_orders(values):
    levels = list(range(len(values)))
    seen = trend(levels, values, "falls")
    if len(set(values)) == 1:
        assert seen.p == 1
        return
    orders = [stats.kendalltau(levels, order).statistic for order in set(permutations(values))]
    assert seen.value == pytest.approx(stats.kendalltau(levels, values).statistic)
    assert seen.p == pytest.approx(np.mean(np.array(orders) <= seen.value + 1e-12))
