"""Claims of Chatterjee (2020) about learning curves under label noise, C1 to C3 (§2.1, figure 1)."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from scipy import stats

from cgpipe.inference.claims import statistics as st
from cgpipe.inference.claims.claim import Runs, claim
from cgpipe.inference.verdicts import Criterion, Finding, Observed, trend
from cgpipe.runs import Run

RISING = (0.2, 0.9)  # accuracies between which a curve rises
HALF_LEARNED = "half of the pristine are learned at the end"
AT_MIXED = "to hold: runs at 25, 50 and 75 %"


@claim("C1", "all levels of label noise end at, or near, 100 % training accuracy")
def memorization(runs: Runs) -> Iterator[Finding]:
    """At the level that memorizes least."""

    def final(replicate: Sequence[Run]) -> Observed:
        least = min(replicate, key=lambda run: st.training_accuracy(run)[-1])
        reached = st.training_accuracy(least)[-1]
        short = st.is_rising(least) or reached < st.HALF
        return Observed(
            reached,
            cannot_fail="training accuracy is still rising, or has yet to" if short else "",
            cannot_hold=st.reason_levels_missing(replicate, st.EVERY),
        )

    yield Finding(
        "training accuracy at the end, at the noise level that gets least far",
        Criterion("≥", st.MEMORIZED),
        st.each_replicate(runs.label_noise, final),
        unless=f"to hold: runs at all five levels; to fail: above {100 * st.HALF:g} % and no longer rising "
        f"by {st.TOLERANCE} in the second half",
    )


@claim("C2", "a training accuracy is reached later with more noise")
def order_of_noise(runs: Runs) -> Iterator[Finding]:
    """At three training accuracies."""

    def order(accuracy: float) -> Callable[[Sequence[Run]], Observed]:
        def reached(replicate: Sequence[Run]) -> Observed:
            if any(st.training_accuracy(run).max() < accuracy for run in replicate):
                return Observed(np.nan, cannot_decide="not every noise level reaches it")
            steps = [st.step_of(run, accuracy) for run in replicate]
            between = {int(np.searchsorted(replicate[0].data["step"], step)) for step in steps}
            if len(between) < min(4, len(replicate)):
                return Observed(
                    np.nan, cannot_decide="most levels reach it between the same two logged steps"
                )
            return trend([run.noise for run in replicate], steps, "grows")

        return reached

    for accuracy in (0.5, 0.9, st.MEMORIZED):
        yield Finding(
            f"Kendall's τ between noise and the step at which {accuracy:.0%} training accuracy is reached",
            Criterion(">", 0),
            st.each_replicate(runs.label_noise, order(accuracy)),
            unless="all levels reach it, four of them between different logged steps",
        )


@claim(
    "C3",
    "pristine examples are learned first, nearly as fast as with no noise; corrupt ones as slowly as with "
    "pure noise",
)
def order_of_learning(runs: Runs) -> Iterator[Finding]:
    """By the last step from which on an example stays right, and by the curves of the two groups."""

    def before(replicate: Sequence[Run]) -> Observed:
        both = st.mixed(replicate)
        tests = [pristine_first(run) for run in both]
        if not tests:
            return Observed(np.nan)
        return Observed(
            float(np.min([share for share, _ in tests])),
            float(np.max([p for _, p in tests])),
            cannot_hold=st.reason_levels_missing(both, st.MIXED),
            cannot_decide=st.reason_pristine_not_learned(both),
        )

    yield Finding(
        "chance that a pristine example is learned before a corrupt one, at the least favourable noise",
        Criterion(">", 0.5),
        st.each_replicate(runs.label_noise, before),
        details="learned: right from that step on; p by Mann–Whitney",
        unless=f"{HALF_LEARNED}; {AT_MIXED}",
    )

    def distance(pristine: bool) -> Callable[[Sequence[Run]], Observed]:
        def largest(replicate: Sequence[Run]) -> Observed:
            pure = next((run for run in replicate if run.noise == (0 if pristine else 1)), None)
            both = st.mixed(replicate)
            if pure is None or not both:
                return Observed(np.nan)
            curve = st.training_accuracy(pure)
            distances = [mean_distance(st.share_learned(run, pristine=pristine), curve) for run in both]
            short = curve[-1] < st.MEMORIZED
            return Observed(
                float(np.max(distances)),
                cannot_hold=st.reason_levels_missing(both, st.MIXED),
                cannot_decide="the curve to be close to has not come to its end" if short else "",
            )

        return largest

    for pristine, group, pure in ((True, "pristine", "0 %"), (False, "corrupt", "100 %")):
        yield Finding(
            f"mean distance between the share of {group} examples learned and the curve at {pure} noise "
            "while they rise, at the noise where it is largest",
            Criterion("≤", st.CLOSE),
            st.each_replicate(runs.label_noise, distance(pristine)),
            details="over the logged steps at which either is between "
            f"{100 * RISING[0]:g} and {100 * RISING[1]:g} %",
            unless=f"the curve at {pure} noise has memorized; {AT_MIXED}",
        )

    def rate(replicate: Sequence[Run]) -> Observed:
        some = [run for run in replicate if run.noise < 1 and st.share_pristine(run) > 0]
        means = [st.share_learned(run, pristine=True)[1:].mean() for run in some]
        falls = trend([run.noise for run in some], means, "falls")
        return falls._replace(cannot_decide=falls.cannot_decide or st.reason_pristine_not_learned(some))

    yield Finding(
        "Kendall's τ between noise and the mean share of pristine examples learned over the logged steps",
        Criterion("<", 0),
        st.each_replicate(runs.label_noise, rate),
        details="noise below 100 %",
        unless=HALF_LEARNED,
    )


def pristine_first(run: Run) -> tuple[float, float]:
    """Chance that a pristine example stays right from an earlier step on than a corrupt one, and its p."""
    since = run.data["learned_last"].values.astype(np.int64)
    since = np.where(since < 0, since.max() + 1, since)  # never: after all others
    pristine = run.data["pristine"].values.astype(bool)
    test = stats.mannwhitneyu(since[pristine], since[~pristine], alternative="less")
    pairs = float(pristine.sum()) * float((~pristine).sum())
    return 1 - float(test.statistic) / pairs, float(test.pvalue)


def mean_distance(one: st.Floats, other: st.Floats) -> float:
    """Mean of |one - other| over the logged steps at which either curve rises."""
    low, high = RISING
    rising = ((one > low) & (one < high)) | ((other > low) & (other < high))
    return float(np.abs(one - other)[rising].mean()) if rising.any() else np.nan
