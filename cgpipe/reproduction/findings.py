"""What the sentences on the paper's page say was found: each condition must hold in every replicate.

Bounds and ranges are those of all replicates, and all other numbers means of them.
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from cgpipe.inference.claims.statistics import MIXED
from cgpipe.reproduction.pages import (
    Conclusion,
    all_hold,
    at_least,
    at_most,
    fixed,
    how_many,
    of_a_verdict,
    says,
)
from cgpipe.reproduction.paper import END_WINSORIZED, learning
from cgpipe.reproduction.tables import Tables

CLIPPED = (1, 2, 4, 8)  # levels of winsorization
WAY = "figure2_displacement"


def replicates(tables: Tables) -> Conclusion:
    """How many there are of those that a verdict takes."""
    return of_a_verdict(tables.rows("claims")["replicate"].nunique())


def took(tables: Tables) -> Conclusion:
    """Hours of CPU time of all jobs of a replicate together."""
    hours = tables.rows("costs").groupby(["stage", "experiment"])["cpu_hours"].mean()
    return says(True, fixed(hours.sum(), 1))


# --- What is learned when -------------------------------------------------------------------------


def learned_first(tables: Tables) -> Conclusion:
    """Pristine examples long before corrupt ones."""
    early = [learning(tables, "d", noise, 3000, "pristine") for noise in MIXED]
    wrong, late = ([learning(tables, "d", e, step, "corrupt") for e in MIXED] for step in (3000, 60_000))
    return says(
        all_hold(*(some > 0.9 for some in early), *(some < 0.05 for some in wrong))
        and all_hold(*(some > 0.9 for some in late)),
        at_least(*early),
        at_most(*early),
        at_most(*wrong),
        at_least(*late),
    )


def lost_again(tables: Tables) -> Conclusion:
    """Pristine examples at 75 % noise, while the corrupt ones are learned."""
    before, while_memorizing = (learning(tables, "d", 0.75, step, "pristine") for step in (3000, 20_000))
    last = _claimed(tables, "C3", "pristine, last learned, 75% noise", "")
    holds = all_hold(while_memorizing < before - 0.02, last < 0)
    return says(holds, fixed(before.mean()), fixed(while_memorizing.mean()))


# --- Whose gradient it is -------------------------------------------------------------------------


def first_way(tables: Tables) -> Conclusion:
    """Of the displacement, pristine examples make up most at first, each more than a corrupt one."""
    found = [_claimed(tables, *of, "displacement") for of in _of_levels("start")]
    each = [_claimed(tables, "C8", f"the first window, {e:.0%} noise", "displacement") for e in MIXED]
    return says(all_hold(*(some > 0.5 for some in found), *(some > 0 for some in each)), *_two_digits(found))


def taken_over(tables: Tables) -> Conclusion:
    """Then corrupt ones, at each level of noise, before and while they are learned."""
    found = [_claimed(tables, *of, "displacement") for of in _of_levels("memorizing")]
    rows = tables.rows(WAY, row="data", group="pristine")
    later = rows[rows["step"] >= 10_600]
    return says(all_hold(*(some < 0.5 for some in found), later["value"] < 0.5), *_two_digits(found))


def larger_gradients(tables: Tables) -> Conclusion:
    """Pristine examples contribute more than others of the same class and size of gradient, and late less.

    Also without this corrupt ones would take over where they are not most of the examples, at 25 and 50 %
    noise: the share in null worlds within strata is below one half.
    """
    keys = ["noise", "step", "replicate"]
    shares, low, high = (
        tables.rows(WAY, row=row, group="pristine").set_index(keys)["value"]
        for row in ("data", "stratified low", "stratified high")
    )
    steps, noise = (shares.index.get_level_values(level) for level in ("step", "noise"))
    taken_over = (high < 0.5)[(steps == 10_600) & (noise < MIXED[-1])]
    return says(all_hold((shares > high)[steps <= 10_600], (shares < low)[steps == 60_600], taken_over))


def crossing_at_75(tables: Tables) -> Conclusion:
    """At 75 % noise they cross by the displacement and among all examples, and not in samples."""
    start, memorizing = (
        {of: _claimed(tables, "C6", f"{window}, 75% noise", of) for of in ("displacement", "sample", "all")}
        for window in ("start", "memorizing")
    )
    crosses = [start[of] > 0.5 for of in ("displacement", "all")]
    crosses += [memorizing[of] < 0.5 for of in ("displacement", "all")]
    holds = all_hold(*crosses, start["sample"] < 0.5, memorizing["sample"] < 0.5)
    return says(holds, *_two_digits(start[of] for of in ("sample", "all", "displacement")))


def apart(tables: Tables) -> Conclusion:
    """At the end they do not meet, whoever looks, and the same group is ahead in all replicates.

    In how many they do meet at 50 % noise, by all examples.
    """
    found = {
        (of, noise): _claimed(tables, "C5", f"meet, {noise} noise", of)
        for of in ("displacement", "all", "sample")
        for noise in ("25%", "50%")
    }
    ahead = {of: some * np.sign(some.mean()) for of, some in found.items()}
    some = ahead.pop(("all", "50%"))
    meet = some.abs() <= 0.1
    apart = all_hold(*(one > 0.1 for one in ahead.values()), some[~meet] > 0)
    return says(apart, how_many(meet), *_two_digits(found.values()))


def null_worlds(tables: Tables) -> Conclusion:
    """None crosses by the displacement; in samples some do."""
    shares = {
        estimator: [_claimed(tables, "C7", f"{noise:.0%} noise", estimator) for noise in MIXED]
        for estimator in ("displacement", "sample")
    }
    crossed = [100 * some for some in shares["sample"]]
    holds = all_hold(*(some == 0 for some in shares["displacement"]))
    return says(holds, f"{at_most(*crossed, digits=0)} %")


def single_steps(tables: Tables) -> Conclusion:
    """At 25 % noise, gradients of single steps do not cross among all examples; samples do."""
    found = {of: _claimed(tables, "C5", "memorizing, 25% noise", of) for of in ("all", "sample")}
    return says(all_hold(found["all"] > 0.5, found["sample"] < 0.5), *_two_digits(found.values()))


def wrong_sign(tables: Tables) -> Conclusion:
    """The loss of the corrupt examples rises in the first ten steps, and should fall to first order."""
    predicted, actual = (
        [
            tables.at("descent", steps="first ten", quantity=quantity, group="corrupt", noise=noise)
            for noise in MIXED
        ]
        for quantity in ("predicted", "actual")
    )
    full = tables.rows("descent", steps="full-batch", quantity="actual", group="corrupt", rate=0.1)
    full = full[(full["step"] <= 9) & full["noise"].isin([0.5, 0.75])]
    full_batch = full.groupby(["noise", "replicate"])["value"].sum()
    return says(
        all_hold(*(some > 0 for some in predicted), *(some < 0 for some in actual), full_batch > 0),
        *_two_digits([*predicted, *(-some for some in actual)]),
    )


# --- Winsorized SGD -------------------------------------------------------------------------------


def delayed(tables: Tables) -> Conclusion:
    """With c = 1, fewer than 20 % of the corrupt examples are learned; the pristine ones as early.

    At 50 % noise, training accuracy ends lower than that of plain SGD, and test accuracy higher.
    """
    at = [{"noise": noise, "winsor": 1} for noise in (0.25, 0.5)]
    corrupt = [tables.rows("matched", quantity="corrupt slowdown", **of) for of in at]
    pristine = [tables.at("matched", quantity="pristine slowdown", **of) for of in at]
    training, test = ([_final(tables, c, curve) for c in (0, 1)] for curve in ("training", "test"))
    return says(
        all_hold(*(of["bound"] == ">=" for of in corrupt), *(of["value"] > 2 for of in corrupt))
        and all_hold(*(of < 1.2 for of in pristine), training[1] < training[0], test[1] > test[0]),
        at_least(*(of["value"] for of in corrupt), digits=1),
        at_least(*pristine, digits=2),
        at_most(*pristine, digits=2),
        *_two_digits([*training, *test]),
    )


def no_better(tables: Tables) -> Conclusion:
    """Test accuracy of winsorized SGD: the best, and under noise at the training accuracy of plain SGD.

    The latter is lower at 50 and 75 % noise, and at 25 % at most 0.001 higher.
    """
    levels = [(noise, c) for noise in (0, *MIXED) for c in CLIPPED]
    best = {
        (noise, c): tables.at("matched", quantity="best test accuracy", noise=noise, winsor=c)
        for noise, c in [*levels, *((noise, 0) for noise in (0, *MIXED))]
    }
    matched = {
        (noise, c): tables.at("matched", quantity="test accuracy, mean", noise=noise, winsor=c)
        for noise, c in levels
        if noise
    }
    at_half = [-some for (noise, _), some in matched.items() if noise == 0.5]
    return says(
        all_hold(
            *(best[noise, c] < best[noise, 0] for noise, c in levels),
            *(some < (0.001 if noise == 0.25 else 0) for (noise, _), some in matched.items()),
        ),
        *(fixed(best[0.5, c].mean()) for c in (1, 0)),
        at_least(*at_half),
        at_most(*at_half),
    )


def no_fewer_memorized(tables: Tables) -> Conclusion:
    """Corrupt examples that are right at the same share of pristine ones."""
    found = [
        tables.at("matched", quantity="corrupt right, mean", noise=noise, winsor=c)
        for noise in MIXED
        for c in CLIPPED
    ]
    return says(all_hold(*(some > -0.002 for some in found)), at_most(*found))


def collapse(tables: Tables) -> Conclusion:
    """With c = 8, test accuracy does not last, but without noise."""
    best, end = _final(tables, 8, "best test"), _final(tables, 8, "test")
    clean = [_claimed(tables, "C11", f"{of}, c = 8, 0% noise", "") for of in ("training", "test")]
    holds = all_hold(end < best - 0.1, *(some < 0.02 for some in clean))
    return says(holds, fixed(best.mean(), 2), fixed(end.mean(), 2))


def worse_at_25(tables: Tables) -> Conclusion:
    """At 25 % noise, c = 1 ends with a lower test accuracy than plain SGD."""
    plain, clipped = (_final(tables, c, "test", 0.25) for c in (0, 1))
    return says(all_hold(clipped < plain), fixed(clipped.mean(), 2), fixed(plain.mean(), 2))


def pure_noise(tables: Tables) -> Conclusion:
    """With c = 2 and 4, some of pure noise is memorized."""
    found = [_claimed(tables, "C9", f"c = {c}, 100% noise", "") for c in (2, 4)]
    ends = [tables.at("figure4", curve="training accuracy", noise=1, winsor=c, step=60_000) for c in (2, 4)]
    return says(all_hold(*(some > 0 for some in found)), *_two_digits(ends))


def full_batch(tables: Tables) -> Conclusion:
    """Differences of full-batch descent from SGD, at equal training accuracy."""
    found = tables.rows("claims", claim="C12")
    alike = found["value"].abs() < 0.02
    differ = ~alike.groupby(found["replicate"]).all()
    return says(all_hold(differ), how_many(alike), at_most(found["value"].abs(), digits=2))


# --- Parts of the above ---------------------------------------------------------------------------


def _claimed(tables: Tables, claim: str, part: str, estimator: str) -> pd.Series:
    return tables.at("claims", claim=claim, part=part, estimator=estimator)


def _of_levels(window: str) -> list[tuple[str, str]]:
    """Claim and part, at 25, 50 and 75 % noise."""
    return [("C6" if noise == MIXED[-1] else "C5", f"{window}, {noise:.0%} noise") for noise in MIXED]


def _final(tables: Tables, c: int, curve: str, noise: float = 0.5) -> pd.Series:
    """An accuracy of winsorized SGD at the end."""
    at = {"noise": noise, "winsor": c, "step": END_WINSORIZED}
    return tables.at("figure4", curve=f"{curve} accuracy", **at)


def _two_digits(found: Iterable[pd.Series]) -> list[str]:
    return [fixed(some.mean(), 2) for some in found]
