"""Claims of Chatterjee (2020) about winsorized SGD and full batches, C9 to C12 (§3, figure 4)."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from scipy import stats

from cgpipe.inference.claims import statistics as st
from cgpipe.inference.claims.claim import Runs, claim
from cgpipe.inference.verdicts import Criterion, Finding, Observed, trend
from cgpipe.runs import Run, overfit

ALIKE = 0.02  # between test accuracies that are called alike
PLAIN_MEMORIZES = "plain SGD memorizes"


@claim("C9", "winsorized with c > 1, training accuracy never exceeds the share of true labels")
def never_above_proper(runs: Runs) -> Iterator[Finding]:
    """For each c, at the least favourable step and noise."""
    noisy = [run for run in runs.winsorization if run.noise > 0]
    for c in sorted({run.winsor for run in runs.winsorization if run.winsor > 1}) or [2]:

        def excess(replicate: Sequence[Run], c: int = c) -> Observed:
            clipped = [run for run in replicate if run.winsor == c]
            above = [st.training_accuracy(run).max() - st.share_pristine(run) for run in clipped]
            return Observed(
                float(np.max(above)) if above else np.nan,
                cannot_hold=st.reason_levels_missing(replicate, st.EVERY[1:])
                or st.reason_nothing_to_suppress(replicate),
            )

        yield Finding(
            f"training accuracy above proper accuracy, most over the steps and noise levels, c = {c}",
            Criterion("≤", st.TOLERANCE),
            st.each_replicate(noisy, excess),
            details="likewise for each c > 1",
            unless=f"to hold: {PLAIN_MEMORIZES} at 25 to 100 %",
        )


@claim("C10", "overfit grows more slowly with larger c")
def slower_overfit(runs: Runs) -> Iterator[Finding]:
    """At the least favourable noise."""
    yield Finding(
        "Kendall's τ between c and the growth of overfit a decade of steps, at the least favourable noise",
        Criterion("<", 0),
        st.each_replicate([run for run in runs.winsorization if run.noise > 0], weakest_fall(overfit_growth)),
        details="growth: slope over log10 of the step",
        unless=PLAIN_MEMORIZES,
    )


@claim("C11", "larger c lowers training accuracy; at large c both accuracies peak, then fall")
def peak_and_fall(runs: Runs) -> Iterator[Finding]:
    """At the least favourable noise below 100 %."""
    below = [run for run in runs.winsorization if run.noise < 1]
    yield Finding(
        "Kendall's τ between c and training accuracy at the end, at the least favourable noise below 100 %",
        Criterion("<", 0),
        st.each_replicate(below, weakest_fall(lambda run: float(st.training_accuracy(run)[-1]))),
        unless=PLAIN_MEMORIZES,
    )

    def fall(replicate: Sequence[Run]) -> Observed:
        c = max(run.winsor for run in replicate)
        largest = [run for run in replicate if run.winsor == c]
        falls = [
            min(curve.max() - curve[-1] for curve in (st.training_accuracy(run), st.test_accuracy(run)))
            for run in largest
        ]
        rising = any(st.is_rising(run) for run in largest)
        low = any(st.is_low(run, st.training_accuracy(run).max()) for run in largest)
        return Observed(
            float(np.min(falls)),
            cannot_fail="training accuracy is still rising" if rising else "",
            cannot_decide="no large c"
            if c < 2
            else "training accuracy stays below nine tenths of proper accuracy" * low,
        )

    yield Finding(
        "fall of training and of test accuracy from their peaks, at the largest c and the noise below 100 % "
        "where it is smallest",
        Criterion(">", st.TOLERANCE),
        st.each_replicate(below, fall),
        details="the smaller of the two",
        unless="training accuracy comes to nine tenths of proper accuracy; to fail: training accuracy no "
        "longer rises",
    )


@claim("C12", "full-batch gradient descent generalizes alike")
def full_batch(runs: Runs) -> Iterator[Finding]:
    """Compared with plain SGD of the same noise and replicate."""
    plain = [run for run in runs.winsorization if run.winsor == 0]

    def difference(replicate: Sequence[Run]) -> Observed:
        differences, short = [], ""
        for run, other in st.joined(replicate, plain):
            accuracy = min(st.training_accuracy(run).max(), st.training_accuracy(other).max())
            if st.is_low(run, accuracy):
                short = "training accuracy is below nine tenths of proper accuracy"
            differences.append(abs(test_at(run, accuracy) - test_at(other, accuracy)))
        return Observed(float(np.max(differences)), cannot_decide=short)

    yield Finding(
        "difference in test accuracy between full-batch descent and SGD at the same training accuracy, at "
        "the noise where it is largest",
        Criterion("≤", ALIKE),
        st.each_replicate([run for run, _ in st.joined(runs.full_batch, plain)], difference),
        details="the highest training accuracy that both reach",
        unless="that accuracy is nine tenths of proper accuracy at least",
    )


def weakest_fall(value: Callable[[Run], float]) -> Callable[[Sequence[Run]], Observed]:
    """A statistic of a replicate: how a value falls with c, at the noise where it falls least."""

    def largest(replicate: Sequence[Run]) -> Observed:
        trends = [
            trend([run.winsor for run in level], [value(run) for run in level], "falls")
            for level in st.by(lambda run: run.noise, replicate)
        ]
        reason = next((fall.cannot_decide for fall in trends if fall.cannot_decide), "")
        p = [fall.p for fall in trends if fall.p is not None]
        return Observed(
            float(np.max([fall.value for fall in trends])),
            float(np.max(p)) if p else None,
            cannot_decide=reason or st.reason_nothing_to_suppress(replicate),
        )

    return largest


def overfit_growth(run: Run) -> float:
    """Slope of overfit over log10 of the step."""
    steps = run.data["step"].values
    excess = overfit(st.training_accuracy(run), st.test_accuracy(run), run.noise, st.classes_of(run))
    later = steps >= 1
    if later.sum() < 2:
        return np.nan
    return float(stats.linregress(np.log10(steps[later]), excess[later]).slope)


def test_at(run: Run, accuracy: float) -> float:
    """Test accuracy when a training accuracy is first reached."""
    return float(np.interp(st.step_of(run, accuracy), run.data["step"], st.test_accuracy(run)))
