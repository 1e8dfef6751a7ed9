"""What Chatterjee (2020) claims in passing, C13 to C15 (§2.3, §3.2, §3.3)."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from cgpipe.inference.claims import statistics as st
from cgpipe.inference.claims.claim import Runs, claim
from cgpipe.inference.verdicts import Part

FEW = 0.2  # share of the corrupt examples that is right when memorization has begun
RISES = 1.05  # ratio of losses


@claim("C13", "early stopping helps")
def early_stopping(runs: Runs) -> Iterator[Part]:
    """With the step chosen by test accuracy itself: the most that stopping can help."""
    for noise in st.MIXED:
        yield Part(
            part=f"{noise:.0%} noise",
            statistic="largest test accuracy of plain SGD, less that at the end",
            rule="above",
            bound=st.TOLERANCE,
            observed=st.each_replicate(runs, "label_noise", partial(helps, noise=noise)),
        )


@claim("C14", "small c only delays memorization")
def delay(runs: Runs) -> Iterator[Part]:
    """That it is delayed; whether it comes is in the same numbers."""
    for c in st.CLIPPED[1:3]:
        for noise in st.MIXED:
            yield Part(
                part=f"c = {c}, {noise:.0%} noise",
                statistic=f"first step with {FEW:.0%} of the corrupt examples right, over that with c = 0",
                rule="above",
                bound=1,
                scale="log",
                observed=st.each_replicate(runs, "winsorization", partial(delayed, noise=noise, c=c)),
                details="linear between the logged steps; if it is not reached, the last: a lower bound",
                unless=f"plain SGD comes to {FEW:.0%}",
            )


@claim("C15", "winsorized steps do not always descend")
def ascent(runs: Runs) -> Iterator[Part]:
    """At the largest c, by what of the descent is lost again; plain SGD stands beside it."""
    for c in (st.large(runs)[-1], 0):
        for noise in st.EVERY[:-1]:
            yield Part(
                part=f"c = {c}, {noise:.0%} noise",
                statistic="training loss at the end over the least",
                rule="above" if c else "shown",
                bound=RISES,
                scale="log",
                observed=st.each_replicate(runs, "winsorization", partial(rise, noise=noise, c=c)),
            )


def helps(runs: Runs, noise: float) -> float:
    """The largest test accuracy of plain SGD less that at the end."""
    history = st.find(runs, "label_noise", noise)
    return st.best(history, "test") - st.final(history, "test")


def delayed(runs: Runs, noise: float, c: int) -> float:
    """By which factor memorization begins later; where it does not, the last step stands for it."""
    clipped, plain = (st.find(runs, "winsorization", noise, level) for level in (c, 0))
    step, of_plain = (st.reach(one, st.share_right(one, pristine=False), FEW) for one in (clipped, plain))
    last = float(clipped["step"][-1])
    if np.isnan(of_plain):
        raise st.UndecidedError(f"plain SGD does not come to {FEW:.0%} of the corrupt examples")
    if 0 in (step, of_plain):
        raise st.UndecidedError(f"{FEW:.0%} of the corrupt examples are right before the first update")
    if np.isnan(step) and last < of_plain:
        raise st.UndecidedError(f"the run ends at step {last:g}, before plain SGD comes to {FEW:.0%}")
    return (last if np.isnan(step) else step) / of_plain


def rise(runs: Runs, noise: float, c: int) -> float:
    """Training loss at the end over the least."""
    loss = st.find(runs, "winsorization", noise, c)["loss_training"].values
    if not loss.min() > 0:
        raise st.UndecidedError("the least training loss is zero")
    return float(loss[-1] / loss.min())
