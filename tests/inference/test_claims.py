"""Every claim on runs made up so that it holds, and on runs made up so that it fails."""

from functools import cache, partial

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from cgpipe.inference.claims.claim import CG, Runs
from cgpipe.inference.claims.registry import all_claims, findings, summary_table
from cgpipe.inference.claims.statistics import classes_of, joined
from cgpipe.inference.claims.winsorization import overfit_growth
from cgpipe.inference.verdicts import COLUMNS, table
from cgpipe.runs import Run, overfit

STEPS = np.array([*range(10), *range(10, 100, 10), *range(100, 1000, 100), *range(1000, 10_001, 1000)])
NOISE = (0, 0.25, 0.5, 0.75, 1)
CLIPPED = (0, 1, 2, 4, 8)
EXAMPLES = 1000


def curve(middle, last=1.0, first=0.1):
    """Rises from `first` to `last` around a step."""
    return first + (last - first) / (1 + (middle / np.maximum(STEPS, 0.1)) ** 2)


def history(
    noise, seed, *, pristine=20.0, corrupt=400.0, slower=0.5, top=1.0, memorized=1.0, test=0.97, test_end=None
):
    """Pristine and corrupt examples learned around a step each, and more and more of them right."""
    rng = np.random.default_rng(seed)
    is_pristine = np.arange(EXAMPLES) >= round(0.9 * noise * EXAMPLES)
    since = rng.permutation(EXAMPLES) / EXAMPLES
    share = np.where(
        is_pristine[None],
        curve(pristine * (1 + slower * noise), top)[:, None],
        curve(corrupt * (1 + slower * noise), memorized, first=0)[:, None],
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
            "pristine": ("example", is_pristine),
        },
        coords={"step": STEPS},
        attrs={"classes": 10},
    )


def coherence(noise):
    squared = np.exp(-noise) * np.linspace(2, 1, len(STEPS))
    return xr.Dataset(
        {"squared_norm": (("step", "group", "part"), squared[:, None, None])},
        coords={"step": STEPS, "group": ["all"], "part": ["network"]},
    )


def worlds(noise, *, crosses=True, i=0.3, above=1.0, last=0.3):
    """f^p above f^c, below it, and together at the end; at 75 % noise below it, ending at `last`."""
    n = len(STEPS)
    if noise < 0.75:
        pristine = np.interp(np.arange(n), [0, 9, n // 2, n - 1], [0.9, 0.8, 0.3 if crosses else 0.6, 0.52])
    else:
        pristine = np.linspace(0.4, last, n)
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


def winsorized(noise, c, seed, change):
    """Less memorized, slower overfit and a fall at the end, the more is clipped."""
    settings = {"memorized": {0: 1.0, 1: 0.2}.get(c, 0.005), "top": 1.0 - 0.01 * c, "test": 0.97}
    made = history(noise, seed, **(settings | (change(c) if change else {})))
    if change:
        return made
    growth = np.clip(0.1 - 0.011 * c, 0, 1) * np.log10(np.maximum(STEPS, 1)) / 4
    explained = (made["accuracy_training"].values - growth - noise / 10) / max(1 - noise, 0.2)
    made["accuracy_test"] = ("step", explained)
    for name in ("accuracy_training", "accuracy_test") if c == 8 else ():
        made[name][-1] = made[name][-2] - 0.05
    return made


def runs(replicates=2, *, early=coherence, null=None, noisy=None, clipped=None, full=lambda plain: plain):
    """Runs on which every claim holds, but for what is given."""
    made = Runs([], [], [], [], [])
    for replicate in range(replicates):
        for k, noise in enumerate(NOISE):
            seed = 10 * replicate + k
            run = partial(Run, noise, 0, replicate)
            made.label_noise.append(run(history(noise, seed, **(noisy or {}))))
            made.coherence.append(run(early(noise)))
            if 0 < noise < 1:
                made.nullworlds.append(run(worlds(noise, **(null or {}))))
            for c in CLIPPED:
                made.winsorization.append(Run(noise, c, replicate, winsorized(noise, c, seed, clipped)))
            if noise in (0, 0.5):
                made.full_batch.append(run(full(made.winsorization[-len(CLIPPED)].data)))
    return made


@cache
def good():
    """Runs on which every claim holds; not to be changed."""
    return runs()


HOLDS, FAILS = ["holds"], ["does not hold"]
UNDECIDED = ["inconclusive"]
BACKWARDS = {"noisy": {"pristine": 400.0, "corrupt": 300.0, "slower": -0.9}}
MORE_WITH_C = {"clipped": lambda c: {"memorized": 0.4 + 0.05 * c if c else 1.0}}
# Paper, claim, how the runs differ from those on which all claims hold, verdicts on the claim's statistics.
ROWS = [
    (CG, "C1", {}, HOLDS),
    (CG, "C1", {"noisy": {"memorized": 0.7}}, FAILS),
    (CG, "C2", {}, 3 * HOLDS),
    (CG, "C2", BACKWARDS, 3 * FAILS),
    (CG, "C3", {}, 4 * HOLDS),
    (CG, "C3", BACKWARDS, 4 * FAILS),
    (CG, "C4", {}, HOLDS),
    (CG, "C4", {"early": lambda noise: coherence(-noise)}, FAILS),
    (CG, "C5", {}, 6 * HOLDS),
    (CG, "C5", {"null": {"crosses": False}}, 2 * [*HOLDS, *FAILS, *HOLDS]),
    (CG, "C6", {}, 2 * HOLDS),
    (CG, "C6", {"null": {"last": 0.8}}, 2 * FAILS),
    (CG, "C7", {}, 3 * HOLDS),
    (CG, "C7", {"null": {"above": 0.5}}, 3 * FAILS),
    (CG, "C8", {}, 3 * HOLDS),
    (CG, "C8", {"null": {"i": -0.3}}, 3 * FAILS),
    (CG, "C9", {}, 3 * HOLDS),
    (CG, "C9", {"clipped": lambda c: {"memorized": 1.0}}, 3 * FAILS),
    (CG, "C10", {}, HOLDS),
    (CG, "C10", MORE_WITH_C, FAILS),
    (CG, "C11", {}, 2 * HOLDS),
    (CG, "C11", MORE_WITH_C, 2 * FAILS),
    (CG, "C12", {}, HOLDS),
    (CG, "C12", {"full": lambda plain: plain.assign(accuracy_test=plain["accuracy_test"] - 0.2)}, FAILS),
]


def rows_of(made, *names):
    """Rows of the table that are about the claims with these names."""
    claims = [claim for claim in all_claims(CG) if claim.name in names]
    return table([finding for claim in claims for finding in claim.findings(made)])


def verdicts(made):
    """Verdicts by claim."""
    rows = table(findings(made))
    return {name: list(parts) for name, parts in rows.groupby("claim")["verdict"]}


@pytest.mark.parametrize(("paper", "name", "change", "expected"), ROWS)
def test_a_claim_holds_or_fails(paper, name, change, expected):
    (claim,) = (one for one in all_claims(paper) if one.name == name)
    rows = table(claim.findings(runs(**change) if change else good()))
    assert list(rows["verdict"]) == expected, rows.to_string()


def test_every_claim_has_a_row_on_which_it_holds_and_one_on_which_it_fails():
    names = [(claim.paper, claim.name) for claim in all_claims()]
    assert len(set(names)) == len(names), "two claims have the same name"
    rows = [(row[:2], set(row[-1])) for row in ROWS]
    assert {name for name, verdicts in rows if verdicts == set(HOLDS)} == set(names)
    assert {name for name, verdicts in rows if set(FAILS) <= verdicts} == set(names)


def test_the_table_has_a_row_for_each_statistic_and_the_summary_one_for_each_claim():
    rows = table(findings(good()))
    names = [claim.name for claim in all_claims(CG)]
    assert list(rows.columns) == list(COLUMNS)
    assert list(rows["claim"].unique()) == names
    assert (rows["n"] == 2).all()
    assert ((rows["low"] <= rows["estimate"]) & (rows["estimate"] <= rows["high"])).all()
    lines = [line.split(" | ")[:3] for line in summary_table(rows).splitlines()[2:]]
    assert lines == [[f"| {one.name}", one.sentence, "2"] for one in all_claims(CG)]


def test_parts_with_different_verdicts_are_counted_in_the_summary():
    rows = rows_of(runs(null={"crosses": False}), "C5", "C6")
    counted = [line.split(" | ")[-1] for line in summary_table(rows).splitlines()[2:]]
    assert counted == ["of 6 parts: holds 4, does not hold 2 |", "holds |"]
    assert "of 4 parts: holds 3, inconclusive 1" in summary_table(
        pd.DataFrame({"claim": "C3", "verdict": 3 * HOLDS + UNDECIDED, "n": [1, 1, 1, 0]})
    )


def test_a_summary_of_a_claim_that_is_not_registered_is_refused():
    with pytest.raises(ValueError, match=r"^C0: not among the claims of CG 2020, C1, C2"):
        summary_table(pd.DataFrame({"claim": ["C1", "C0"], "verdict": 2 * HOLDS, "n": 1}))


def test_without_runs_nothing_is_decided():
    rows = table(findings(Runs()))
    assert set(rows["claim"]) == {claim.name for claim in all_claims()}
    assert set(rows["verdict"]) == {"inconclusive"}
    assert (rows["n"] == 0).all()
    assert rows["estimate"].isna().all()


def cut(made, length):
    """The same runs, stopped early."""

    def shorter(run):
        data = run.data.isel(step=slice(length))
        if "early_step" in data.dims:
            data = data.isel(early_step=slice(length))
        if "correct" in data:
            correct = data["correct"].values
            data["learned_last"] = ("example", np.where(correct[-1], STEPS[correct.argmax(0)], -1))
        return run._replace(data=data)

    return Runs(*([shorter(run) for run in part] for part in made))


def test_runs_that_are_too_short_say_nothing_of_where_they_end():
    assert all(set(parts) == {"inconclusive"} for parts in verdicts(cut(good(), 6)).values())
    # After 90 steps the claims about the beginning are decided, and no others.
    after_90 = verdicts(cut(good(), 19))
    assert after_90["C4"] == HOLDS
    assert after_90["C5"] == 2 * [*HOLDS, *UNDECIDED, *UNDECIDED]
    assert after_90["C8"] == 3 * HOLDS
    for claim in ("C1", "C2", "C6", "C7", "C9", "C10", "C11"):
        assert set(after_90[claim]) == {"inconclusive"}, claim


def test_where_f_ends_is_not_left_to_the_last_step_alone():
    def met_at_last(run):
        f = run.data["f"].copy()
        f[:, -10:] = [[0.2], [0.8]]
        f[:, -1] = 0.5
        return run._replace(data=run.data.assign(f=f))

    made = Runs(good().label_noise, nullworlds=[met_at_last(run) for run in good().nullworlds])
    rows = rows_of(made, "C5")
    ends = rows[rows["statistic"].str.contains("last decade")]
    assert set(ends["verdict"]) == {"does not hold"}
    np.testing.assert_allclose(ends["estimate"], 0.54)  # nine steps at 0.6, one at 0


def test_replicates_that_disagree_decide_nothing():
    of_null = [runs(null={"i": i}).nullworlds for i in (0.3, -0.3)]
    both = [*of_null[0][:3], *of_null[1][3:]]
    assert list(rows_of(Runs(good().label_noise, nullworlds=both), "C8")["verdict"]) == 3 * UNDECIDED


def test_two_levels_show_no_trend():
    few = [run for run in good().label_noise if run.noise in (0, 0.5)]
    rows = rows_of(Runs(few), "C2")
    assert set(rows["verdict"]) == {"inconclusive"}
    assert rows["why"].str.contains("at least 4").any()


def test_a_claim_of_all_noise_levels_needs_all_of_them():
    few = [run for run in good().label_noise if run.noise > 0]
    rows = rows_of(Runs(few), "C1")
    assert rows[["verdict", "why"]].values.tolist() == [["inconclusive", "no runs at 0% noise"]]


@pytest.mark.filterwarnings("error")
def test_a_noise_level_without_corrupt_examples_decides_nothing_and_hides_no_other():
    def without_corrupt(noise):
        levels = [(noise, 0, replicate) for replicate in (0, 1)]
        histories = [Run(*level, history(0, level[-1])) for level in levels]  # as if not a label had changed
        assert all(run.data["pristine"].all() for run in histories)
        return Runs(
            histories,
            coherence=[Run(*level, coherence(0)) for level in levels],
            nullworlds=[Run(*level, worlds(0.25) * np.nan) for level in levels],
        )

    more = Runs(*([*part, *added] for part, added in zip(good(), without_corrupt(0.0004), strict=True)))
    before, after = (rows_of(made, "C3", "C5", "C6", "C7", "C8") for made in (good(), more))
    groups = ~before["statistic"].str.contains("Kendall")
    assert after[groups].equals(before[groups])
    alone = rows_of(without_corrupt(0.25), "C3", "C5", "C7", "C8")
    assert set(alone["verdict"]) == {"inconclusive"}


def test_without_pristine_examples_nothing_is_said_of_how_they_are_learned():
    """Of very few examples all may be corrupt by chance."""
    none = history(0.9, 0).assign(pristine=("example", np.zeros(EXAMPLES, bool)))
    more = good()._replace(label_noise=[*good().label_noise, Run(0.9, 0, 0, none)])
    assert rows_of(more, "C3")["estimate"].equals(rows_of(good(), "C3")["estimate"])


def test_a_run_of_full_batch_without_plain_sgd_to_compare_with_is_left_out():
    alone = [run for run in good().winsorization if run.replicate == 0]
    rows = rows_of(Runs(winsorization=alone, full_batch=good().full_batch), "C12")
    assert rows[["n", "verdict"]].values.tolist() == [[1, "holds"]]


# --- statistics -----------------------------------------------------------------------------------


def test_runs_are_joined_by_noise_and_replicate():
    levels = [(0.5, 0), (0.25, 0), (0.5, 1)]
    one, other = ([Run(noise, c, k, xr.Dataset()) for noise, k in levels] for c in (0, 2))
    assert joined(one, other[::-1]) == list(zip(one, other, strict=True))
    assert joined(one, other[1:]) == list(zip(one[1:], other[1:], strict=True))
    assert joined(one, []) == []


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_overfit_grows_by_the_number_of_classes_of_the_data(classes):
    data = history(0.5, 0).assign_attrs(classes=classes)
    later = slice(1, None)
    excess = overfit(data["accuracy_training"], data["accuracy_test"], 0.5, classes).values
    slope = np.polyfit(np.log10(STEPS[later]), excess[later], 1)[0]
    assert overfit_growth(Run(0.5, 0, 0, data)) == pytest.approx(slope)


def test_a_history_without_the_number_of_classes_is_refused():
    data = history(0.5, 0)
    del data.attrs["classes"]
    with pytest.raises(
        ValueError, match=r"at noise 0\.5, winsor 2, replicate 1, lacks the attribute `classes`"
    ):
        classes_of(Run(0.5, 2, 1, data))
