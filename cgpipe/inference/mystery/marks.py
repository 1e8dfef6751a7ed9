"""Coherence of a run at marks of the training loss: between medians over bursts of consecutive steps.

The gradient at one step is mostly SGD's back and forth, so nothing is read off a single one but the first,
before which nothing was trained.
"""

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
import numpy.typing as npt
import xarray as xr

from cgpipe.inference.claims.statistics import Floats, UndecidedError
from cgpipe.inference.curves import first_reached
from cgpipe.inference.heldout import with_coherence
from cgpipe.inference.mystery.runs import Mystery
from cgpipe.names import BURST

Set = Literal["training", "held-out"]
Bools = npt.NDArray[np.bool_]
REAL, RANDOM = 0.0, 1.0  # noise levels: labels as they are, and all permuted
FEWEST = 3  # marks at which two runs must be known
MIDDLE = (0.5, 1.5)  # training losses of the middle of a run, nats
FITTED = 1e-6  # nats; a loss below it counts as this, so that it has a logarithm

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


def training_loss(heldout: xr.Dataset, steps: Bools) -> Floats:
    """Log of the mean loss of the training examples that are measured."""
    loss = heldout["loss"].sel(set="training", group="all").values[steps]
    return np.asarray(np.log(np.maximum(loss, FITTED)))


def median(curve: Curve, heldout: xr.Dataset, steps: Bools) -> float:
    """Median of a curve over a burst; NaN where it is defined at none of its steps."""
    values = curve(heldout, steps)
    values = values[np.isfinite(values)]
    return float(np.median(values)) if len(values) else np.nan


def burst_from(heldout: xr.Dataset, step: int) -> Bools:
    """Which burst steps are the five from a step on, as far as there are so many."""
    return np.isin(heldout["burst_step"].values, range(step, step + BURST))


def start(heldout: xr.Dataset) -> Bools:
    """Which burst step is the first of the run: its weights are the initial ones, so it is no fluctuation."""
    return np.asarray(heldout["burst_step"].values == 0)


def end(heldout: xr.Dataset) -> Bools:
    """Which burst steps are those from the end of the run on."""
    return burst_from(heldout, int(heldout["snapshot"].values.max()))


def at_marks(runs: Mystery, experiment: str, noise: float, curve: Curve) -> dict[float, float]:
    """A curve where the training loss of the run of a replicate first is at each mark, by the mark.

    The loss of a minibatch falls to a mark somewhat early or late, so runs are not compared at the bursts
    that it begins. Loss and curve are medians over bursts: from the step of each mark on, steps 0 to 4 and 5
    to 9, and the end. Between these, the curve is linear over the logarithm of the loss.

    Returns
    -------
    dict from float to float
        NaN at marks above the loss of the first burst or below that of all, and next to bursts in which the
        curve is undefined.

    Raises
    ------
    UndecidedError
        If there is no such run, or it has no marks.
    """
    history, heldout = (runs.find(kind, experiment, noise) for kind in ("history", "heldout"))
    begun = {0, BURST, *passed(history).values()}
    bursts = [burst for step in sorted(begun) if (burst := burst_from(heldout, step)).any()]
    bursts.append(end(heldout))
    losses, values = (
        np.array([median(of, heldout, burst) for burst in bursts]) for of in (training_loss, curve)
    )
    marks = history["mark"].values
    place = first_reached(np.arange(len(bursts)), -losses, -np.log(marks))
    place[np.log(marks) > losses[0]] = np.nan
    return dict(zip(marks.tolist(), np.interp(place, np.arange(len(bursts)), values).tolist(), strict=True))


def passed(history: xr.Dataset) -> dict[float, int]:
    """The step at which each mark was passed, of those that were; of several at one step, the lowest.

    Raises
    ------
    UndecidedError
        If the run has no marks.
    """
    if "mark_step" not in history:
        raise UndecidedError("the run has no marks of the training loss")
    steps = zip(history["mark"].values.tolist(), history["mark_step"].values.tolist(), strict=True)
    lowest = {step: mark for mark, step in sorted(steps, reverse=True) if step >= 0}
    return {mark: step for step, mark in lowest.items()}


def mean_difference(one: Mapping[float, float], other: Mapping[float, float], fewest: int = FEWEST) -> float:
    """Mean over the marks at which both are known of one less the other.

    Raises
    ------
    UndecidedError
        If these are too few.
    """
    both = [mark for mark in one if np.isfinite([one[mark], other.get(mark, np.nan)]).all()]
    if len(both) < fewest:
        raise UndecidedError(f"{len(both)} marks at which both are known, of at least {fewest}")
    return float(np.mean([one[mark] - other[mark] for mark in both]))


def between(of_marks: Mapping[float, float], low: float, high: float) -> dict[float, float]:
    """The marks from one loss to another, both included."""
    return {mark: value for mark, value in of_marks.items() if low <= mark <= high}


def mean_of_middle(of_marks: Mapping[float, float]) -> float:
    """Mean over the marks in the middle of a run.

    Raises
    ------
    UndecidedError
        If none of them was passed.
    """
    values = [value for value in between(of_marks, *MIDDLE).values() if np.isfinite(value)]
    if not values:
        raise UndecidedError(f"no mark between {MIDDLE[0]} and {MIDDLE[1]} nats was passed")
    return float(np.mean(values))


def mean_over_marks(curve: Curve, made: xr.Dataset, history: xr.Dataset) -> float:
    """Mean over the marks that a run has passed of the median of a curve over the burst that begins there.

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
