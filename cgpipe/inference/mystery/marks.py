"""Coherence of a run where its training loss passes marks: medians over bursts of consecutive steps.

The gradient at one step is mostly SGD's back and forth, so nothing is read off a single one.
"""

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
import numpy.typing as npt
import xarray as xr

from cgpipe.inference.claims.statistics import Floats, UndecidedError
from cgpipe.inference.heldout import with_coherence
from cgpipe.inference.mystery.runs import Mystery
from cgpipe.names import BURST

Set = Literal["training", "held-out"]
Bools = npt.NDArray[np.bool_]
REAL, RANDOM = 0.0, 1.0  # noise levels: labels as they are, and all permuted
FEWEST = 3  # marks that both runs must have passed
MIDDLE = (0.5, 1.5)  # training losses of the middle of a run, nats

# Of an artifact of stage heldout, and which of its burst steps: one number for each of these.
Curve = Callable[[xr.Dataset, Bools], Floats]


def log_m_coherence(of: Set = "training", part: str = "network") -> Curve:
    """Log of m-coherence of all examples of a set, over the layers of a part of the network."""

    def curve(made: xr.Dataset, steps: Bools) -> Floats:
        coherence = with_coherence(made.isel(burst_step=steps))["m_coherence"]
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(coherence.sel(set=of, group="all", part=part).values))

    return curve


def pairs(of: Set, group: str) -> Curve:
    """Pair coherence of a group."""

    def curve(made: xr.Dataset, steps: Bools) -> Floats:
        coherence = with_coherence(made.isel(burst_step=steps))["pair_coherence"]
        return np.asarray(coherence.sel(set=of, group=group, part="network").values)

    return curve


def cosines(of: Set) -> Curve:
    """Mean cosine between the gradients of two examples of a set."""
    return lambda heldout, steps: np.asarray(heldout["cosine"].sel(set=of, group="all").values[steps])


def median(curve: Curve, heldout: xr.Dataset, steps: Bools) -> float:
    """Median of a curve over a burst; NaN where it is defined at none of its steps."""
    values = curve(heldout, steps)
    values = values[np.isfinite(values)]
    return float(np.median(values)) if len(values) else np.nan


def burst_from(heldout: xr.Dataset, step: int) -> Bools:
    """Which burst steps are the five from a step on, as far as there are so many."""
    return np.isin(heldout["burst_step"].values, range(step, step + BURST))


def start(heldout: xr.Dataset) -> Bools:
    """Which burst steps are the first five of the run."""
    return burst_from(heldout, 0)


def end(heldout: xr.Dataset) -> Bools:
    """Which burst steps are those from the end of the run on."""
    return burst_from(heldout, int(heldout["snapshot"].values.max()))


def at_marks(runs: Mystery, experiment: str, noise: float, curve: Curve) -> dict[float, float]:
    """Median of a curve at each mark that the run of a replicate has passed, by the mark.

    Raises
    ------
    UndecidedError
        If there is no such run, or it has no marks.
    """
    history, heldout = (runs.find(kind, experiment, noise) for kind in ("history", "heldout"))
    return {mark: median(curve, heldout, burst_from(heldout, step)) for mark, step in passed(history).items()}


def passed(history: xr.Dataset) -> dict[float, int]:
    """The step at which each mark was passed, of those that were.

    Raises
    ------
    UndecidedError
        If the run has no marks.
    """
    if "mark_step" not in history:
        raise UndecidedError("the run has no marks of the training loss")
    steps = zip(history["mark"].values.tolist(), history["mark_step"].values.tolist(), strict=True)
    return {mark: step for mark, step in steps if step >= 0}


def mean_difference(one: Mapping[float, float], other: Mapping[float, float]) -> float:
    """Mean over the marks that both have of one less the other.

    Raises
    ------
    UndecidedError
        If these are too few.
    """
    both = [mark for mark in one if mark in other and np.isfinite([one[mark], other[mark]]).all()]
    if len(both) < FEWEST:
        raise UndecidedError(f"{len(both)} marks at which both are known, of at least {FEWEST}")
    return float(np.mean([one[mark] - other[mark] for mark in both]))


def mean_of_middle(of_marks: Mapping[float, float]) -> float:
    """Mean over the marks in the middle of a run.

    Raises
    ------
    UndecidedError
        If none of them was passed.
    """
    low, high = MIDDLE
    values = [value for mark, value in of_marks.items() if low <= mark <= high and np.isfinite(value)]
    if not values:
        raise UndecidedError(f"no mark between {low} and {high} nats was passed")
    return float(np.mean(values))


def mean_over_marks(curve: Curve, made: xr.Dataset, history: xr.Dataset) -> float:
    """Mean over the marks that a run has passed of the median of a curve.

    Raises
    ------
    UndecidedError
        If these are too few.
    """
    values = [median(curve, made, burst_from(made, step)) for step in passed(history).values()]
    known = [value for value in values if np.isfinite(value)]
    if len(known) < FEWEST:
        raise UndecidedError(f"{len(known)} marks at which it is known, of at least {FEWEST}")
    return float(np.mean(known))
