"""What the statistics of the claims have in common: the runs of a replicate, and curves of one run.

A statistic is a function from the runs of one replicate to a number. Where they cannot say, it raises
UndecidedError, and `each_replicate` keeps the reason.
"""

from collections.abc import Callable, Sequence
from typing import Literal, TypeVar, get_args

import numpy as np
import numpy.typing as npt
import xarray as xr

from cgpipe.inference import curves
from cgpipe.inference.claims.claim import Runs
from cgpipe.inference.verdicts import Observed
from cgpipe.runs import Run

Floats = npt.NDArray[np.float64]
Selected = TypeVar("Selected")
History = Literal["label_noise", "winsorization", "full_batch", "minibatch"]
Analysis = Literal["coherence", "sampled", "exact", "displacement", "bursts"]

# Bounds of the claims, and of the conditions under which a run decides.
MEMORIZED = 0.99  # training accuracy at, or very near, 100 %
TOLERANCE = 0.01  # of accuracies, for "never exceeds", "falls", "helps", "still rising"

MIXED = (0.25, 0.5, 0.75)  # noise levels of figures 2 and 3
EVERY = (0.0, *MIXED, 1.0)  # noise levels of the paper
CLIPPED = (0, 1, 2, 4, 8)  # c of the paper


class UndecidedError(Exception):
    """Why the runs of a replicate cannot say, and the statistic where it is known all the same."""

    def __init__(self, reason: str, value: float = np.nan) -> None:
        super().__init__(reason)
        self.reason, self.value = reason, value


# --- selections of runs ---------------------------------------------------------------------------


def each_replicate(runs: Runs, of: History, statistic: Callable[[Runs], float]) -> dict[int, Observed]:
    """A statistic of the runs of each replicate.

    Parameters
    ----------
    runs : Runs
        All runs.
    of : str
        The field of `runs` whose replicates are meant.
    statistic : callable
        Takes the runs of one replicate; raises UndecidedError where they cannot say.

    Returns
    -------
    dict of int to Observed
        By replicate, ascending. A statistic that is not finite has a reason too.

    Examples
    --------
    >>> made = Runs([Run(0.5, 0, 2, xr.Dataset())])
    >>> each_replicate(made, "label_noise", lambda runs: len(find(runs, "label_noise", 0)))
    {2: Observed(value=nan, reason='no run of label noise at 0% noise')}
    """
    replicates = sorted({run.replicate for run in getattr(runs, of)})
    return {
        one: observe(statistic, Runs(*([run for run in part if run.replicate == one] for part in runs)))
        for one in replicates
    }


def observe(statistic: Callable[[Selected], float], runs: Selected) -> Observed:
    """A statistic of the runs of one replicate, and why they cannot say, if they cannot."""
    try:
        value = float(statistic(runs))
    except UndecidedError as undecided:
        return Observed(float(undecided.value), undecided.reason)
    return Observed(value, "" if np.isfinite(value) else "the statistic is not finite")


def find(runs: Runs, of: History | Analysis, noise: float, c: int = 0) -> xr.Dataset:
    """The history, or analysis, of a noise level and c among the runs of one replicate.

    Raises
    ------
    UndecidedError
        If there is none.
    """
    for run in getattr(runs, of):
        if (run.noise, run.winsor) == (noise, c):
            found: xr.Dataset = run.data
            return found
    what = f"{'run of' if of in get_args(History) else 'analysis of'} {of.replace('_', ' ')}"
    raise UndecidedError(f"no {what} at {noise:.0%} noise" + (f", c = {c}" if c else ""))


def whole(runs: Runs, noise: float) -> xr.Dataset:
    """The history of label noise at a level, for means over all of its steps.

    Raises
    ------
    UndecidedError
        If there is none, or it lacks steps that another level of the replicate has: it would be another mean.
    """
    history = find(runs, "label_noise", noise)
    most = max((run.data["step"].values for run in runs.label_noise), key=len)
    if not np.array_equal(history["step"].values, most):
        raise UndecidedError(f"the run at {noise:.0%} noise lacks steps that others have")
    return history


def examples(runs: Sequence[Run]) -> float:
    """Training examples, of which training accuracies are shares; NaN without a run."""
    return float(runs[0].data.sizes["example"]) if runs else np.nan


def contrast(statistic: Callable[[Runs, float], float], one: float, other: float) -> Callable[[Runs], float]:
    """A statistic of a replicate at one level, less that at another."""
    return lambda runs: statistic(runs, one) - statistic(runs, other)


def ratio(log_statistic: Callable[[Runs, float], float], one: float, other: float) -> Callable[[Runs], float]:
    """The ratio of a statistic of a replicate at two levels, from its logarithm."""
    difference = contrast(log_statistic, one, other)
    return lambda runs: float(np.exp(difference(runs)))


def clipped(runs: Runs) -> list[int]:
    """The c of the runs of winsorization, ascending; those of the paper without a run."""
    return sorted({run.winsor for run in runs.winsorization} or CLIPPED)


def large(runs: Runs) -> list[int]:
    """The c above 1 among them, ascending; 2 if there is none."""
    return [c for c in clipped(runs) if c > 1] or [2]


# --- one run --------------------------------------------------------------------------------------


def best(history: xr.Dataset, curve: str = "training") -> float:
    """The largest accuracy."""
    return float(history[f"accuracy_{curve}"].max())


def final(history: xr.Dataset, curve: str = "training") -> float:
    """The accuracy at the end."""
    return float(history[f"accuracy_{curve}"][-1])


def share_right(history: xr.Dataset, *, pristine: bool) -> Floats:
    """Share of the pristine, or of the corrupt, examples that are right at each logged step, (step,).

    Raises
    ------
    UndecidedError
        If there is no such example.
    """
    group = members(history, pristine=pristine)
    return np.asarray(np.count_nonzero(history["correct"].values & group, axis=1) / group.sum())


def members(history: xr.Dataset, *, pristine: bool) -> npt.NDArray[np.bool_]:
    """Which examples are pristine, or corrupt, shape (example,).

    Raises
    ------
    UndecidedError
        If there is none.
    """
    group = history["pristine"].values.astype(bool) == pristine
    if not group.any():
        raise UndecidedError(f"there is no {'pristine' if pristine else 'corrupt'} example")
    return np.asarray(group, np.bool_)


def at_step(data: xr.Dataset, name: str, step: int) -> xr.DataArray:
    """A variable at a logged step.

    Raises
    ------
    UndecidedError
        If the step was not logged.
    """
    if step not in data["step"].values:
        raise UndecidedError(f"step {step} was not logged")
    return data[name].sel(step=step)


def reach(history: xr.Dataset, curve: npt.ArrayLike, level: float) -> float:
    """The step at which a curve first reaches a level, linear between the logged steps; NaN if it does not.

    Examples
    --------
    >>> history = xr.Dataset(coords={"step": [0, 10, 20]})
    >>> reach(history, [0.0, 0.4, 1.0], 0.7), reach(history, [0.0, 0.4, 0.5], 0.7)
    (15.0, nan)
    """
    return float(curves.first_reached(history["step"].values, curve, level))


def mean_over_log_steps(history: xr.Dataset, curve: npt.ArrayLike) -> float:
    """Mean of a curve over log10(t + 1), by the trapezoid rule: it depends little on which steps are logged.

    Raises
    ------
    UndecidedError
        If fewer than two steps were logged.

    Examples
    --------
    >>> mean_over_log_steps(xr.Dataset(coords={"step": [0, 9, 99]}), [0.0, 0.5, 0.9])
    0.475
    """
    steps = history["step"].values
    if len(steps) < 2:
        raise UndecidedError("fewer than two steps were logged")
    known = np.isfinite(np.asarray(curve, np.float64)).all()
    return curves.mean_over_log_steps(steps, curve) if known else np.nan
