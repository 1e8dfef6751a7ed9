"""Claims of Chatterjee (2020) about gradients under label noise, C4 to C8 (§2, figures 2 and 3).

C5 to C8 have three lines: from the paper's sample of the examples, as the mean over the draws; from all
examples; and from the displacement, the way that training went, without its back and forth. F of a window is
Σ⟨g, g^p⟩ / Σ⟨g, g⟩ over its steps, as f at a single step is mostly fluctuation. A displacement belongs to the
window of its middle; the first one stands for steps 0 to 9.
"""

from collections.abc import Iterator
from functools import partial
from itertools import pairwise

import numpy as np
import xarray as xr

from cgpipe.inference.claims import statistics as st
from cgpipe.inference.claims.claim import Runs, claim
from cgpipe.inference.claims.windows import (
    NO_GRADIENT,
    WINDOWS,
    Window,
    first_steps,
    measured,
    share_of_gradient,
    within,
)
from cgpipe.inference.verdicts import Estimator, Part, Rule

MEET = 0.1  # between f^p and f^c where they meet
RARE = 0.05  # share of null worlds
# Where the products of an estimator are, and those of its null worlds.
PRODUCTS: dict[Estimator, st.Analysis] = {
    "sample": "sampled",
    "all": "bursts",
    "displacement": "displacement",
}
WORLDS: dict[Estimator, st.Analysis] = {**PRODUCTS, "all": "exact"}
WITH_STEPS: tuple[Estimator, ...] = ("sample", "all")
F_IS = "F: Σ⟨g, g^p⟩ / Σ⟨g, g⟩ over the steps"


@claim("C4", "early on, the gradient is smaller with more noise")
def early_gradients(runs: Runs) -> Iterator[Part]:
    """By the fall of the loss, as the paper reads it; by the gradient; and by the hypothesis itself."""
    for one, other in pairwise(st.EVERY):
        yield Part(
            part=f"{one:.0%} over {other:.0%} noise",
            statistic="difference in the drop of the mean training loss from step 0 to 10",
            rule="above",
            bound=0,
            estimator="loss",
            observed=st.each_replicate(runs, "label_noise", st.contrast(drop, one, other)),
            trend="loss",
        )
    for estimator in WITH_STEPS:
        for value, trend, statistic in (
            (squared_gradient, "gradient", "ratio of the sums of ‖g‖² over steps 0 to 9"),
            (first_coherence, "coherence", "ratio of m-coherence at step 0"),
        ):
            for one, other in pairwise(st.EVERY):
                ratio = st.ratio(partial(value, of=PRODUCTS[estimator]), one, other)
                yield Part(
                    part=f"{trend}, {one:.0%} over {other:.0%} noise",
                    statistic=statistic,
                    rule="above",
                    bound=1,
                    scale="log",
                    estimator=estimator,
                    observed=st.each_replicate(runs, "label_noise", ratio),
                    trend=trend,
                    details="geometric mean over the draws" if estimator == "sample" else "",
                )


@claim(
    "C5",
    "at 25 and 50 % noise, pristine examples make up most of the gradient at first, then corrupt ones, and "
    "at the end they meet",
)
def crossing(runs: Runs) -> Iterator[Part]:
    """F in three windows."""
    for estimator in PRODUCTS:
        for noise in st.MIXED[:2]:
            yield f_part(runs, "start", "above", noise, estimator)
            yield f_part(runs, "memorizing", "below", noise, estimator)
            yield Part(
                part=f"meet, {noise:.0%} noise",
                statistic=f"2F - 1 {WINDOWS['end']}, which is f^p - f^c",
                rule="within",
                bound=MEET,
                estimator=estimator,
                observed=st.each_replicate(
                    runs, "label_noise", partial(difference_at_end, noise=noise, estimator=estimator)
                ),
                details=F_IS,
            )


@claim("C6", "at 75 % they do not cross, and the pristine share drifts down")
def no_crossing(runs: Runs) -> Iterator[Part]:
    """F in three windows, and from the first to the second."""
    noise = st.MIXED[-1]
    for estimator in PRODUCTS:
        for window in WINDOWS:
            yield f_part(runs, window, "below", noise, estimator)
        yield Part(
            part=f"drift, {noise:.0%} noise",
            statistic=f"F {WINDOWS['memorizing']}, less F {WINDOWS['start']}",
            rule="below",
            bound=0,
            estimator=estimator,
            observed=st.each_replicate(runs, "label_noise", partial(drift, noise=noise, estimator=estimator)),
            details=F_IS,
        )


@claim("C7", "in null worlds they do not cross")
def null_worlds(runs: Runs) -> Iterator[Part]:
    """By C5's own crossing, on the steps of the null worlds; at 75 % also by not staying below."""
    for estimator, of in WORLDS.items():
        for noise in st.MIXED:
            what = (
                "is not < 1/2 in both windows" if noise > 0.5 else "> 1/2 at the start, < 1/2 in memorizing"
            )
            yield Part(
                part=f"{noise:.0%} noise",
                statistic=f"share of the null worlds in which F {what}",
                rule="below",
                bound=RARE,
                scale="logit",
                n_of=number_of_worlds(runs, of),
                estimator=estimator,
                observed=st.each_replicate(runs, "label_noise", partial(crossing_worlds, noise=noise, of=of)),
                details=f"start: {WINDOWS['start']}; memorizing: {WINDOWS['memorizing']}; {F_IS}",
            )


@claim("C8", "in the first ten steps a pristine example contributes more than a corrupt one")
def first_contributions(runs: Runs) -> Iterator[Part]:
    """By contributions to the gradient, and by what the loss did in fact."""
    for estimator, of in PRODUCTS.items():
        until = {"step 9": 9, "step 0": 0} if estimator in WITH_STEPS else {"the first window": 0}
        for name, last in until.items():
            for noise in st.MIXED:
                yield Part(
                    part=f"{name}, {noise:.0%} noise",
                    statistic=f"(i^p - i^c) / (|i^p| + |i^c|) after {name}",
                    rule="above",
                    bound=0,
                    estimator=estimator,
                    observed=st.each_replicate(
                        runs, "label_noise", partial(lead, noise=noise, of=of, last=last)
                    ),
                    details="i: sum over the steps of ⟨g, g_e⟩, mean over the examples of the group",
                )
    for noise in st.MIXED:
        yield Part(
            part=f"{noise:.0%} noise",
            statistic="drop of the group's mean loss from step 0 to 10, pristine less corrupt",
            rule="above",
            bound=0,
            estimator="loss",
            observed=st.each_replicate(runs, "label_noise", partial(lead_of_loss, noise=noise)),
        )


def f_part(runs: Runs, window: Window, rule: Rule, noise: float, estimator: Estimator) -> Part:
    """F in a window, against one half."""
    return Part(
        part=f"{window}, {noise:.0%} noise",
        statistic=f"F {WINDOWS[window]}",
        rule=rule,
        bound=0.5,
        estimator=estimator,
        observed=st.each_replicate(
            runs, "label_noise", partial(f, noise=noise, estimator=estimator, window=window)
        ),
        details=F_IS,
    )


def f(runs: Runs, noise: float, estimator: Estimator, window: Window) -> float:
    """F of the pristine examples in a window, mean over the draws."""
    data = measured(runs, PRODUCTS[estimator], noise)
    return float(share_of_gradient(within(runs, data, noise, window)).mean())


def drop(runs: Runs, noise: float) -> float:
    """Drop of the mean training loss from step 0 to 10, nats."""
    history = st.find(runs, "label_noise", noise)
    return float(st.at_step(history, "loss_training", 0) - st.at_step(history, "loss_training", 10))


def squared_gradient(runs: Runs, noise: float, of: st.Analysis) -> float:
    """Mean over the draws of the log of the sum of ‖g‖² over steps 0 to 9."""
    data = first_steps(measured(runs, of, noise))
    return mean_log(data["product"].sum(["step", "group"], skipna=False))


def first_coherence(runs: Runs, noise: float, of: st.Analysis) -> float:
    """Mean over the draws of the log of m-coherence, ‖g‖² / Σ‖g_e‖², at step 0."""
    data = first_steps(measured(runs, of, noise), 0).sum(["step", "group"], skipna=False)
    return mean_log(data["product"] / data["energy"])


def mean_log(of_draws: xr.DataArray) -> float:
    """Mean over the draws of the logarithm; raises UndecidedError where there is none."""
    if not (np.isfinite(of_draws) & (of_draws > 0)).all():
        raise st.UndecidedError(NO_GRADIENT)
    return float(np.log(of_draws).mean())


def difference_at_end(runs: Runs, noise: float, estimator: Estimator) -> float:
    """f^p - f^c of the window at the end, which is 2F - 1."""
    return 2 * f(runs, noise, estimator, "end") - 1


def drift(runs: Runs, noise: float, estimator: Estimator) -> float:
    """F while memorizing less F at the start."""
    return f(runs, noise, estimator, "memorizing") - f(runs, noise, estimator, "start")


def crossing_worlds(runs: Runs, noise: float, of: st.Analysis) -> float:
    """Share of the null worlds of all draws that cross, as C5 says; at 75 % that are not below throughout."""
    data = measured(runs, of, noise)
    start, memorizing = (
        share_of_gradient(within(runs, data, noise, window), "null_product")
        for window in ("start", "memorizing")
    )
    below = memorizing < 0.5
    return float((~((start < 0.5) & below) if noise > 0.5 else (start > 0.5) & below).mean())


def number_of_worlds(runs: Runs, of: st.Analysis) -> float:
    """Null worlds of a run, of all draws; NaN without a run."""
    found = [run.data.sizes for run in getattr(runs, of)]
    return float(found[0]["draw"] * found[0]["null_world"]) if found else np.nan


def lead(runs: Runs, noise: float, of: st.Analysis, last: int) -> float:
    """How far i of the pristine leads that of the corrupt after a step, mean over the draws."""
    data = first_steps(measured(runs, of, noise), last)
    i = data["product"].sum("step", skipna=False) / data["group_size"]
    pristine, corrupt = i.sel(group="pristine"), i.sel(group="corrupt")
    size = abs(pristine) + abs(corrupt)
    return float(((pristine - corrupt) / size.where(size > 0)).mean(skipna=False))


def lead_of_loss(runs: Runs, noise: float) -> float:
    """Drop of the mean loss of the pristine from step 0 to 10 less that of the corrupt, nats."""
    data = st.find(runs, "coherence", noise)
    drops = st.at_step(data, "loss", 0) - st.at_step(data, "loss", 10)
    return float(drops.sel(group="pristine") - drops.sel(group="corrupt"))
