"""Claims of Chatterjee (2020) about winsorized SGD and full batches, C9 to C12 (§3, figure 4)."""

from collections.abc import Iterator
from functools import partial
from itertools import pairwise

import numpy as np
import xarray as xr

from cgpipe.inference.claims import statistics as st
from cgpipe.inference.claims.claim import Runs, claim
from cgpipe.inference.verdicts import Part, logit
from cgpipe.runs import overfit

ALIKE = 0.02  # between test accuracies that are called alike
OVERFITS = 0.1  # overfit of plain SGD from which on there is something to suppress
ABOVE_CHANCE = 0.1  # by which training accuracy has to exceed that of guesses before it can be said to fall


@claim("C9", "winsorized with c > 1, training accuracy never exceeds the share of true labels")
def never_above_proper(runs: Runs) -> Iterator[Part]:
    """For each c and noise. A constant answer is right for the commonest label: no less is proper."""
    for c in st.large(runs):
        for noise in st.EVERY[1:]:
            yield Part(
                part=f"c = {c}, {noise:.0%} noise",
                statistic="logit of the largest training accuracy, less that of the largest that is proper",
                rule="below",
                bound=0,
                observed=st.each_replicate(runs, "winsorization", partial(excess, noise=noise, c=c)),
                details="proper: the share of true labels, or of the commonest label if that is larger, and "
                f"{st.TOLERANCE}",
                unless="plain SGD exceeds that",
            )


@claim("C10", "overfit grows more slowly with larger c")
def slower_overfit(runs: Runs) -> Iterator[Part]:
    """Up to c = 2; at larger c accuracy collapses, and overfit with it."""
    for noise in st.EVERY[1:]:
        for one, other in pairwise(st.CLIPPED[:3]):
            yield Part(
                part=f"c = {one} over {other}, {noise:.0%} noise",
                statistic="difference in overfit at the end",
                rule="above",
                bound=0,
                observed=st.each_replicate(
                    runs, "winsorization", partial(suppressed, noise=noise, one=one, other=other)
                ),
                trend=f"{noise:.0%} noise",
                unless=f"plain SGD overfits by {OVERFITS}",
            )
        for c in st.CLIPPED[3:]:
            yield Part(
                part=f"c = {c}, {noise:.0%} noise",
                statistic="overfit at the end",
                rule="shown",
                observed=st.each_replicate(runs, "winsorization", partial(not_collapsed, noise=noise, c=c)),
                unless="test accuracy ends at half of its best",
            )


@claim("C11", "larger c lowers training accuracy; at large c both accuracies peak, then fall")
def peak_and_fall(runs: Runs) -> Iterator[Part]:
    """By peaks: accuracy at the end shows the fall, too."""
    levels = st.clipped(runs)
    largest = st.large(runs)[-1]
    for noise in st.EVERY[:-1]:
        for one, other in pairwise(levels):
            yield Part(
                part=f"peak, c = {one} over {other}, {noise:.0%} noise",
                statistic="difference in the logit of the largest training accuracy",
                rule="above",
                bound=0,
                observed=st.each_replicate(
                    runs, "winsorization", st.contrast(partial(peak, noise=noise), one, other)
                ),
                trend=f"{noise:.0%} noise",
            )
        for curve in ("training", "test"):
            yield Part(
                part=f"{curve}, c = {largest}, {noise:.0%} noise",
                statistic=f"largest {curve} accuracy, less that at the end",
                rule="above",
                bound=st.TOLERANCE,
                observed=st.each_replicate(
                    runs, "winsorization", partial(fall, noise=noise, c=largest, curve=curve)
                ),
                unless=f"the largest training accuracy is {ABOVE_CHANCE} above one of guesses",
            )


@claim("C12", "full-batch gradient descent generalizes alike")
def full_batch(runs: Runs) -> Iterator[Part]:
    """At training accuracies that are reached before, and while, labels are memorized."""
    for noise in st.EVERY:
        for accuracy in (0.5, 0.7, 0.9):
            yield Part(
                part=f"{accuracy:.0%}, {noise:.0%} noise",
                statistic="test accuracy of full-batch descent less that of SGD when each first comes to a "
                "training accuracy",
                rule="within",
                bound=ALIKE,
                observed=st.each_replicate(
                    runs, "full_batch", partial(unlike, noise=noise, accuracy=accuracy)
                ),
                details="linear between the logged steps",
                unless="both come to it",
            )


def excess(runs: Runs, noise: float, c: int) -> float:
    """Logit of the largest training accuracy, less that of the largest that is proper."""
    clipped, plain = (st.find(runs, "winsorization", noise, level) for level in (c, 0))
    size = plain.sizes["example"]
    commonest = np.bincount(plain["label"].values).max() / size
    proper = min(max(float(plain["pristine"].mean()), commonest) + st.TOLERANCE, 1)
    value, of_plain = (logit(st.best(history), size) - logit(proper, size) for history in (clipped, plain))
    if of_plain <= 0:
        raise st.UndecidedError("plain SGD does not exceed it either", value)
    return value


def suppressed(runs: Runs, noise: float, one: int, other: int) -> float:
    """Overfit at the end with one c, less that with another."""
    value = overfit_at_end(runs, noise, one) - overfit_at_end(runs, noise, other)
    if overfit_at_end(runs, noise, 0) < OVERFITS:
        raise st.UndecidedError(f"plain SGD overfits by less than {OVERFITS}", value)
    return value


def not_collapsed(runs: Runs, noise: float, c: int) -> float:
    """Overfit at the end, where test accuracy is at least half of its best then."""
    history = st.find(runs, "winsorization", noise, c)
    if st.final(history, "test") < st.best(history, "test") / 2:
        raise st.UndecidedError("test accuracy has collapsed", overfit_at_end(runs, noise, c))
    return overfit_at_end(runs, noise, c)


def overfit_at_end(runs: Runs, noise: float, c: int) -> float:
    """Overfit (`cgpipe.runs.overfit`) at the end."""
    history = st.find(runs, "winsorization", noise, c)
    return overfit(st.final(history), st.final(history, "test"), noise, history.attrs["classes"])


def peak(runs: Runs, c: float, noise: float) -> float:
    """Logit of the largest training accuracy."""
    history = st.find(runs, "winsorization", noise, int(c))
    return logit(st.best(history), history.sizes["example"])


def fall(runs: Runs, noise: float, c: int, curve: str) -> float:
    """The largest accuracy less that at the end."""
    history = st.find(runs, "winsorization", noise, c)
    value = st.best(history, curve) - st.final(history, curve)
    guesses = 1 / history.attrs["classes"]
    if st.best(history) <= guesses + ABOVE_CHANCE:
        raise st.UndecidedError("training accuracy stays near that of guesses", value)
    return value


def unlike(runs: Runs, noise: float, accuracy: float) -> float:
    """Test accuracy of full-batch descent less that of SGD when each first comes to a training accuracy."""
    full, few = (test_when(st.find(runs, of, noise), accuracy) for of in ("full_batch", "minibatch"))
    return full - few


def test_when(history: xr.Dataset, accuracy: float) -> float:
    """Test accuracy at the step at which a training accuracy is first reached."""
    step = st.reach(history, history["accuracy_training"].values, accuracy)
    if np.isnan(step):
        raise st.UndecidedError(f"{accuracy:.0%} training accuracy is not reached")
    return float(np.interp(step, history["step"].values, history["accuracy_test"].values))
