"""What the sentences on the paper's page say was found: each condition must hold in every replicate."""

from collections.abc import Iterable

import pandas as pd

from cgpipe.inference.claims.statistics import MIXED
from cgpipe.inference.verdicts import FEWEST
from cgpipe.reproduction.pages import Conclusion, fixed, percent, says
from cgpipe.reproduction.paper import END_WINSORIZED, learning
from cgpipe.reproduction.tables import Tables

CLIPPED = (1, 2, 4, 8)  # levels of winsorization


def replicates(tables: Tables) -> Conclusion:
    """How many there are of those that a verdict takes."""
    made = tables.rows("claims")["replicate"].nunique()
    return says(made, f"{made} of {FEWEST}" if made < FEWEST else f"{made}")


def learned_first(tables: Tables) -> Conclusion:
    """Pristine examples long before corrupt ones."""
    early = [learning(tables, "d", noise, 3000, "pristine") for noise in MIXED]
    wrong, late = ([learning(tables, "d", e, step, "corrupt") for e in MIXED] for step in (3000, 60_000))
    return says(
        _all(
            *(some > 0.9 for some in early), *(some < 0.05 for some in wrong), *(some > 0.9 for some in late)
        ),
        fixed(min(_means(early))),
        fixed(max(_means(early))),
        fixed(max(_means(wrong))),
        fixed(min(_means(late))),
    )


def first_way(tables: Tables) -> Conclusion:
    """Of the displacement, pristine examples make up most at first."""
    found = [_claimed(tables, *of, "displacement") for of in _of_levels("start")]
    return says(_all(*(some > 0.5 for some in found)), *_two_digits(found))


def crossing(tables: Tables) -> Conclusion:
    """Then corrupt ones, at each level of noise."""
    found = [_claimed(tables, *of, "displacement") for of in _of_levels("memorizing")]
    return says(_all(*(some < 0.5 for some in found)), *_two_digits(found))


def crossing_at_75(tables: Tables) -> Conclusion:
    """By the displacement the curves cross at 75 % noise, and in the paper's sample they do not."""
    start, memorizing = (
        {of: _claimed(tables, "C6", f"{window}, 75% noise", of) for of in ("displacement", "sample")}
        for window in ("start", "memorizing")
    )
    crosses = start["displacement"] > 0.5, memorizing["displacement"] < 0.5
    return says(_all(*crosses, start["sample"] < 0.5, memorizing["sample"] < 0.5))


def apart(tables: Tables) -> Conclusion:
    """At the end corrupt ones still make up more."""
    found = [_claimed(tables, "C5", f"meet, {noise} noise", "displacement") for noise in ("25%", "50%")]
    return says(_all(*(some < -0.1 for some in found)), *_two_digits(-some for some in found))


def null_worlds(tables: Tables) -> Conclusion:
    """None crosses by the displacement; in the paper's sample some do."""
    shares = {
        estimator: [_claimed(tables, "C7", f"{noise:.0%} noise", estimator) for noise in MIXED]
        for estimator in ("displacement", "sample")
    }
    largest = max(_means(shares["sample"]))
    return says(_all(*(some == 0 for some in shares["displacement"])) and largest > 0.01, percent(largest, 0))


def estimators(tables: Tables) -> Conclusion:
    """Gradients of single steps: the paper's sample and all examples differ."""
    found = {
        (part, estimator): _claimed(tables, claim, part, estimator)
        for claim, part in (("C5", "memorizing, 25% noise"), ("C6", "start, 75% noise"))
        for estimator in ("sample", "all")
    }
    differ = _all(*((some < 0.5) == (estimator == "sample") for (_, estimator), some in found.items()))
    return says(differ, *_two_digits(found.values()))


def wrong_sign(tables: Tables) -> Conclusion:
    """The loss of the corrupt examples rises in the first ten steps, and should fall to first order."""
    predicted, actual = (
        [
            tables.at("descent", steps="first ten", quantity=quantity, group="corrupt", noise=noise)
            for noise in MIXED
        ]
        for quantity in ("predicted", "actual")
    )
    return says(
        _all(*(some > 0 for some in predicted), *(some < 0 for some in actual)),
        *_two_digits([*predicted, *(-some for some in actual)]),
    )


def delayed(tables: Tables) -> Conclusion:
    """At 50 % noise c = 1 delays memorization alone."""
    at = {"noise": 0.5, "winsor": 1}
    corrupt, pristine = (
        tables.at("matched", quantity=f"{group} slowdown", **at) for group in ("corrupt", "pristine")
    )
    return says(
        _all(corrupt > 2, pristine < 1.2),
        fixed(corrupt.min(), 1),
        fixed(pristine.mean(), 2),
        *(fixed(_final(tables, c, curve).mean(), 2) for curve in ("training", "test") for c in (0, 1)),
    )


def no_better(tables: Tables) -> Conclusion:
    """Test accuracy of winsorized SGD: the best, and at the training accuracy of plain SGD."""
    levels = [(noise, c) for noise in (0, *MIXED) for c in CLIPPED]
    best = {
        (noise, c): tables.at("matched", quantity="best test accuracy", noise=noise, winsor=c)
        for noise, c in [*levels, *((noise, 0) for noise in (0, *MIXED))]
    }
    matched = [
        tables.at("matched", quantity="test accuracy, mean", noise=noise, winsor=c)
        for noise, c in levels
        if noise
    ]
    return says(
        _all(*(best[noise, c] < best[noise, 0] for noise, c in levels), *(some < 0 for some in matched)),
        *(fixed(best[0.5, c].mean()) for c in (1, 0)),
        fixed(-max(_means(matched))),
        fixed(-min(_means(matched))),
    )


def collapse(tables: Tables) -> Conclusion:
    """At 50 % noise and c = 8, test accuracy does not last."""
    best, end = _final(tables, 8, "best test"), _final(tables, 8, "test")
    return says(_all(end < best - 0.1), fixed(best.mean(), 2), fixed(end.mean(), 2))


def _claimed(tables: Tables, claim: str, part: str, estimator: str) -> pd.Series:
    return tables.at("claims", claim=claim, part=part, estimator=estimator)


def _of_levels(window: str) -> list[tuple[str, str]]:
    """Claim and part, at 25, 50 and 75 % noise."""
    return [("C6" if noise == MIXED[-1] else "C5", f"{window}, {noise:.0%} noise") for noise in MIXED]


def _final(tables: Tables, c: int, curve: str) -> pd.Series:
    """An accuracy of winsorized SGD at the end, at 50 % noise."""
    at = {"noise": 0.5, "winsor": c, "step": END_WINSORIZED}
    return tables.at("figure4", curve=f"{curve} accuracy", **at)


def _all(*conditions: pd.Series) -> bool:
    return all(bool(condition.all()) for condition in conditions)


def _means(found: list[pd.Series]) -> list[float]:
    return [float(some.mean()) for some in found]


def _two_digits(found: Iterable[pd.Series]) -> list[str]:
    return [fixed(some.mean(), 2) for some in found]
