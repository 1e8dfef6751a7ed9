"""Claims of Chatterjee (2020) about learning curves under label noise, C1 to C3 (§2.1, figure 1)."""

from collections.abc import Iterator
from functools import partial
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import xarray as xr
from scipy import stats

from cgpipe.inference.claims import statistics as st
from cgpipe.inference.claims.claim import Runs, claim
from cgpipe.inference.verdicts import Part, logit

OVER_LOG_STEPS = "mean over log10(step + 1)"
ALL = slice(None)


@claim("C1", "all levels of label noise end at, or near, 100 % training accuracy")
def memorization(runs: Runs) -> Iterator[Part]:
    """At the level that memorizes least. "Near": the paper writes 100 %, the bound is 99 %."""

    def least(some: Runs) -> float:
        histories = [st.find(some, "label_noise", noise) for noise in st.EVERY]
        last = min(histories, key=st.final)
        if (value := st.final(last)) <= st.MEMORIZED and is_rising(last):
            raise st.UndecidedError("training accuracy still rises", value)
        return value

    yield Part(
        part="all levels",
        statistic="training accuracy at the end, at the noise level that gets least far",
        rule="above",
        bound=st.MEMORIZED,
        scale="logit",
        n_of=st.examples(runs.label_noise),
        observed=st.each_replicate(runs, "label_noise", least),
        unless="all levels are there; where it is not met: training accuracy no longer rises, by "
        f"{st.TOLERANCE} in the second half",
    )


@claim("C2", "a training accuracy is reached later with more noise")
def order_of_noise(runs: Runs) -> Iterator[Part]:
    """By the mean of the whole curve; the steps at which three accuracies are reached stand beside it."""
    for one, other in pairwise(st.EVERY):
        yield Part(
            part=f"{one:.0%} over {other:.0%} noise",
            statistic="difference in the logit of mean training accuracy",
            rule="above",
            bound=0,
            observed=st.each_replicate(runs, "label_noise", st.contrast(mean_accuracy, one, other)),
            trend="noise",
            details=OVER_LOG_STEPS,
        )
    for noise in st.EVERY:
        for accuracy in (0.5, 0.9, st.MEMORIZED):
            yield Part(
                part=f"{accuracy:.0%}, {noise:.0%} noise",
                statistic="step at which a training accuracy is first reached",
                rule="shown",
                scale="log",
                observed=st.each_replicate(
                    runs, "label_noise", partial(first_at, noise=noise, accuracy=accuracy)
                ),
                details="linear between the logged steps",
            )


@claim(
    "C3",
    "pristine examples are learned first, nearly as fast as with no noise; corrupt ones as slowly as with "
    "pure noise",
)
def order_of_learning(runs: Runs) -> Iterator[Part]:
    """The paper says that a group's curve is closer to one pole than to the other: no noise, or all noise."""
    for learned in ("first", "last"):
        for group in ("pristine", "corrupt"):
            for noise in st.MIXED:
                value = partial(closeness, noise=noise, pristine=group == "pristine", learned=learned)
                yield Part(
                    part=f"{group}, {learned} learned, {noise:.0%} noise",
                    statistic="distance of the group's curve from the other pole, less that from its own",
                    rule="above",
                    bound=0,
                    observed=st.each_replicate(runs, "label_noise", value),
                    details="curve: share of the examples that were right once (first learned), or are right "
                    "from then on (last learned); poles: 0 % noise for pristine examples, 100 % for corrupt "
                    f"ones; distance: {OVER_LOG_STEPS} of |difference|",
                )
    for noise in st.MIXED:
        yield Part(
            part=f"order, {noise:.0%} noise",
            statistic="chance that a pristine example is learned before a corrupt one",
            rule="above",
            bound=0.5,
            scale="logit",
            n_of=st.examples(runs.label_noise),
            observed=st.each_replicate(runs, "label_noise", partial(pristine_first, noise=noise)),
            details="learned: right from that step on; ties count half",
        )
    yield Part(
        part="first steps, 0% over 25% noise",
        statistic="difference in the logit of the share of pristine examples right, mean of steps 1 to 9",
        rule="above",
        bound=0,
        observed=st.each_replicate(runs, "label_noise", st.contrast(pristine_at_first, 0.0, 0.25)),
    )
    for one, other in pairwise(st.EVERY[:-1]):
        yield Part(
            part=f"rate, {one:.0%} over {other:.0%} noise",
            statistic="difference in the logit of the mean share of pristine examples right",
            rule="above",
            bound=0,
            observed=st.each_replicate(runs, "label_noise", st.contrast(mean_pristine, one, other)),
            trend="rate",
            details=OVER_LOG_STEPS,
        )


def is_rising(history: xr.Dataset) -> bool:
    """Whether training accuracy still rose in the second half of the run."""
    steps, accuracy = history["step"].values, history["accuracy_training"].values
    return bool(accuracy[-1] - accuracy[steps <= steps[-1] / 2][-1] > st.TOLERANCE)


def mean_accuracy(runs: Runs, noise: float) -> float:
    """Logit of the mean training accuracy over log10(t + 1)."""
    history = st.whole(runs, noise)
    mean = st.mean_over_log_steps(history, history["accuracy_training"].values)
    return logit(mean, history.sizes["example"])


def mean_pristine(runs: Runs, noise: float) -> float:
    """Logit of the mean share of pristine examples that are right, over log10(t + 1)."""
    history = st.whole(runs, noise)
    mean = st.mean_over_log_steps(history, st.share_right(history, pristine=True))
    return logit(mean, st.members(history, pristine=True).sum())


def first_at(runs: Runs, noise: float, accuracy: float) -> float:
    """The step at which a training accuracy is first reached."""
    history = st.find(runs, "label_noise", noise)
    step = st.reach(history, history["accuracy_training"].values, accuracy)
    if not step > 0:
        raise st.UndecidedError("reached before the first update" if step == 0 else "not reached", step)
    return step


def pristine_at_first(runs: Runs, noise: float) -> float:
    """Logit of the share of pristine examples that are right, mean of steps 1 to 9."""
    history = st.find(runs, "label_noise", noise)
    right = xr.Dataset({"right": ("step", st.share_right(history, pristine=True))}, {"step": history["step"]})
    mean = np.mean([st.at_step(right, "right", step) for step in range(1, 10)])
    return logit(float(mean), st.members(history, pristine=True).sum())


def closeness(runs: Runs, noise: float, pristine: bool, learned: str) -> float:
    """How much closer a group's curve is to that of all examples at its own pole than at the other one."""
    own, other = (0.0, 1.0) if pristine else (1.0, 0.0)
    run = st.whole(runs, noise)
    curve = share_learned(run, learned, st.members(run, pristine=pristine))

    def distance(pole: float) -> float:
        at_pole = st.whole(runs, pole)
        return st.mean_over_log_steps(run, np.abs(curve - share_learned(at_pole, learned)))

    return distance(other) - distance(own)


def share_learned(
    history: xr.Dataset, learned: str, members: slice | npt.NDArray[np.bool_] = ALL
) -> st.Floats:
    """Share of examples that were `first`, or `last`, learned up to each logged step, shape (step,)."""
    since = history[f"learned_{learned}"].values[members]
    in_order = np.sort(since[since >= 0])
    return np.searchsorted(in_order, history["step"].values, side="right") / len(since)


def pristine_first(runs: Runs, noise: float) -> float:
    """Chance that a pristine example stays right from an earlier step on than a corrupt one."""
    history = st.find(runs, "label_noise", noise)
    pristine, corrupt = (st.members(history, pristine=group) for group in (True, False))
    since = history["learned_last"].values.astype(np.int64)
    rank = stats.rankdata(np.where(since < 0, since.max() + 1, since))  # never: after all others
    before = rank[corrupt].sum() - corrupt.sum() * (corrupt.sum() + 1) / 2  # pairs, ties by half
    return float(before / (float(pristine.sum()) * float(corrupt.sum())))
