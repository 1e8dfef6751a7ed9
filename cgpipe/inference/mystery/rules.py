"""Claims about update rules that memorize less, G8 and G12: what is memorized at equal learning."""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import xarray as xr

from cgpipe.inference.claims import statistics as st
from cgpipe.inference.curves import first_reached
from cgpipe.inference.mystery.examples import HALF
from cgpipe.inference.mystery.runs import Mystery, claim
from cgpipe.inference.verdicts import Part, logit

# Shares of the pristine examples that are learned; below these, hardly a corrupt one is.
LEVELS = (0.8, 0.9, 0.95, 0.98)
FEWEST = 2  # of them that both runs must reach
ALIKE = 0.25  # log odds: the control does as SGD does
STATISTIC = "log odds that a corrupt example is learned, SGD less the rule"
DETAILS = "where either first has learned 80, 90, 95 and 98 % of the pristine examples; mean over those \
that both reach"


@claim("G8", "M3 and RM3 memorize less than SGD; the control RA3 does not")
def robust_means(runs: Mystery) -> Iterator[Part]:
    """At 50 % noise, without momentum. Winsorized SGD stands beside them: the mean over its settings."""
    roles = runs.roles
    for name in (*roles.modified, roles.mean_of_three):
        control = name == roles.mean_of_three
        yield Part(
            part=name,
            statistic=STATISTIC,
            rule="within" if control else "above",
            bound=ALIKE if control else 0,
            observed=runs.each_replicate(roles.plain, partial(less_memorized, rules=[name])),
            details=DETAILS,
        )
    yield Part(
        part="winsorized",
        statistic=STATISTIC,
        rule="shown",
        observed=runs.each_replicate(roles.plain, partial(less_memorized, rules=[roles.winsorized])),
        details=DETAILS,
    )


@claim("G12", "to limit what one example can do limits memorization, in DP-SGD as in winsorized SGD")
def private(runs: Mystery) -> Iterator[Part]:
    """At 50 % noise. Of several settings the mean is taken: the best of them is so by chance, too."""
    roles = runs.roles
    groups = {"DP-SGD": list(roles.private), "winsorized SGD": [roles.winsorized]}
    for words, rules in groups.items():
        yield Part(
            part=words,
            statistic=f"{STATISTIC}, mean over its settings",
            rule="above",
            bound=0,
            observed=runs.each_replicate(roles.plain, partial(less_memorized, rules=rules)),
            details=DETAILS,
        )
    yield Part(
        part="winsorized less private",
        statistic="log odds that a corrupt example is learned, DP-SGD less winsorized SGD",
        rule="shown",
        observed=runs.each_replicate(
            roles.plain,
            lambda some: mean_difference(*(odds(some, groups[of]) for of in ("DP-SGD", "winsorized SGD"))),
        ),
        details=DETAILS,
    )


def less_memorized(runs: Mystery, rules: Sequence[str]) -> float:
    """Mean over the levels of the log odds of SGD less those of some rules."""
    return mean_difference(odds(runs, [runs.roles.plain], plain=True), odds(runs, rules))


def odds(runs: Mystery, experiments: Sequence[str], *, plain: bool = False) -> st.Floats:
    """Log odds that a corrupt example is learned, at each level; mean over the settings that reach it.

    NaN where none does.

    Raises
    ------
    UndecidedError
        If there is no such run.
    """
    found = [
        log_odds(run.data)
        for run in runs.history
        if run.experiment in experiments
        and run.noise == HALF
        # c = 0 is SGD itself, whatever the experiment.
        and (plain or run.winsor > 0 or run.update not in ("winsorized_mean", "trimmed_mean"))
    ]
    if not found:
        raise st.UndecidedError(f"no history of {' or '.join(experiments)} at {HALF:.0%} noise")
    reached = np.isfinite(found)
    of_these = reached.sum(0)
    return np.where(of_these, np.where(reached, found, 0).sum(0) / np.maximum(of_these, 1), np.nan)


def log_odds(history: xr.Dataset) -> st.Floats:
    """Log odds that a corrupt example is right where each level of pristine ones is first reached."""
    pristine, corrupt = (st.share_right(history, pristine=group) for group in (True, False))
    of = int(st.members(history, pristine=False).sum())
    steps = history["step"].values
    when = first_reached(steps, pristine, LEVELS)
    return np.array([logit(share, of) for share in np.interp(when, steps, corrupt)])


def mean_difference(one: st.Floats, other: st.Floats) -> float:
    """Mean over the levels that both reach.

    Raises
    ------
    UndecidedError
        If these are too few.
    """
    both = np.isfinite(one) & np.isfinite(other)
    if both.sum() < FEWEST:
        raise st.UndecidedError(
            f"{both.sum()} shares of the pristine examples that both reach, of at least {FEWEST}"
        )
    return float((one - other)[both].mean())
