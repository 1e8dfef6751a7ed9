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

# Shares of the pristine examples that are learned; below these, hardly a corrupt one is but by chance.
LEVELS = (0.85, 0.9, 0.95, 0.98)
FEWEST = 2  # of them that both runs must reach
STATISTIC = "log odds that a corrupt example is learned, SGD less the rule"
DETAILS = "where either first has learned 85, 90, 95 and 98 % of the pristine examples; mean over those \
that both reach"


@claim("G8", "M3 and RM3 memorize less than SGD; the control RA3 does not")
def robust_means(runs: Mystery) -> Iterator[Part]:
    """At 50 % noise, without momentum. Both are compared with SGD, and with the control.

    RA3 takes the mean of three gradients as RM3 takes their median. Winsorized SGD stands beside them.
    """
    roles = runs.roles
    control = roles.mean_of_three
    for name in roles.modified:
        for other, words in ((roles.plain, "SGD"), (control, "the control")):
            yield Part(
                part=name if other == roles.plain else f"{name}, beside {control}",
                statistic=f"log odds that a corrupt example is learned, {words} less the rule",
                rule="above",
                bound=0,
                observed=runs.each_replicate(roles.plain, partial(less_memorized, rules=[name], than=other)),
                details=DETAILS,
            )
    for name in (control, roles.winsorized):
        yield Part(
            part=name,
            statistic=STATISTIC,
            rule="shown",
            bound=0,
            observed=runs.each_replicate(roles.plain, partial(less_memorized, rules=[name])),
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


def less_memorized(runs: Mystery, rules: Sequence[str], than: str = "") -> float:
    """Mean over the levels of the log odds of SGD, or of another experiment, less those of some rules."""
    plain = runs.roles.plain
    other = than or plain
    return mean_difference(odds(runs, [other], plain=other == plain), odds(runs, rules))


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
        and plain == (run.winsor == 0 and run.update in ("winsorized_mean", "trimmed_mean"))
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
