"""Winsorized SGD against plain SGD of the same noise and replicate, where both have learned as much.

Curves over the steps do not tell an update rule that only delays from one that generalizes better. So runs
are compared where their accuracies are the same, and the delay of what is memorized with that of the rest.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr

from cgpipe.inference.curves import Floats, first_reached

Bound = Literal["", ">=", "<="]

LEARNED, MEMORIZED = 0.9, 0.2  # shares of the pristine and of the corrupt examples, of `slowdown`
# Where there are no corrupt examples: the share that stands in for them. Half of these, as a fifth of them is
# right by chance early on.
HARD, HARD_LEARNED = 0.1, 0.5


class Bounded(NamedTuple):
    """A number, or a bound of it where the run ended too early to tell; NaN if nothing is known."""

    value: float
    bound: Bound = ""  # the number is at least, or at most, `value`

    def over(self, other: "Bounded") -> "Bounded":
        """The ratio of two numbers that are not negative.

        Examples
        --------
        >>> Bounded(60_000, ">=").over(Bounded(500))
        Bounded(value=120.0, bound='>=')
        >>> Bounded(60_000, ">=").over(Bounded(500, ">="))
        Bounded(value=nan, bound='')
        """
        turned: dict[Bound, Bound] = {"": "", ">=": "<=", "<=": ">="}
        bounds = {self.bound, turned[other.bound]} - {""}
        if len(bounds) > 1 or not other.value > 0:
            return Bounded(np.nan)
        return Bounded(self.value / other.value, next(iter(bounds), ""))


def matched_difference(
    of: tuple[Floats, Floats], plain: tuple[Floats, Floats], plain_steps: npt.ArrayLike
) -> Floats:
    """What one run has more of than another where that one first had as much of something else.

    Parameters
    ----------
    of, plain : pair of arrays of float, shape (step,) each
        Of a run, and of the run that it is compared with: what they are matched on, and what is compared.
    plain_steps : array of int, shape (step,)
        Updates made, of the run that it is compared with; of the other they do not matter.

    Returns
    -------
    array of float64, shape (step,)
        At the steps of the first run; NaN where the other never had as much, or began with more.
    """
    (x, y), (plain_x, plain_y) = of, plain
    when = np.where(x < plain_x[0], np.nan, first_reached(plain_steps, plain_x, x))
    return y - np.interp(when, np.asarray(plain_steps, np.float64), plain_y)


def memorized_examples(plain: xr.Dataset) -> npt.NDArray[np.bool_]:
    """The examples that are memorized if they are learned: the corrupt, or the hard ones if there are none.

    Parameters
    ----------
    plain : Dataset
        History of plain SGD (stage train).

    Returns
    -------
    array of bool, shape (example,)
        Without corrupt examples, the tenth that plain SGD learned last: right from then on to the end, and of
        those that were learned at the same step, the ones that were wrong at the most logged steps.
    """
    corrupt = ~plain["pristine"].values.astype(bool)
    if corrupt.any():
        return corrupt
    last = plain["learned_last"].values
    never = np.where(last < 0, np.inf, last)
    order = np.lexsort((-plain["correct"].values.sum(0, dtype=np.int64), never))
    hard = np.zeros(len(last), np.bool_)
    hard[order[len(order) - round(HARD * len(order)) :]] = True
    return hard


def shares_right(history: xr.Dataset, memorized: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Share of the other examples, and of those that are memorized, which are right at each logged step.

    NaN for a group without examples.
    """
    right = history["correct"].values.astype(bool)
    others, these = (
        right[:, of].mean(1) if of.any() else np.full(len(right), np.nan) for of in (~memorized, memorized)
    )
    return others, these


def matched_accuracy(history: xr.Dataset, plain: xr.Dataset) -> xr.Dataset:
    """How a run differs from plain SGD where plain SGD first had the same accuracy.

    Parameters
    ----------
    history : Dataset
        Of a run (stage train).
    plain : Dataset
        Of plain SGD at the same noise level, of the same replicate.

    Returns
    -------
    Dataset
        Over step: `test accuracy`, difference of the test accuracies at the same training accuracy; `corrupt
        right`, difference of the shares of corrupt examples right (`memorized_examples`) at the same share of
        the others right. NaN where plain SGD never had that accuracy. What a curve is matched on has its name
        with `, on` behind.
    """
    groups, both = memorized_examples(plain), (history, plain)
    pairs = {
        "test accuracy": [(run["accuracy_training"].values, run["accuracy_test"].values) for run in both],
        "corrupt right": [shares_right(run, groups) for run in both],
    }
    curves: dict[str, Floats] = {}
    for name, (of, other) in pairs.items():
        curves |= {name: matched_difference(of, other, plain["step"].values), f"{name}, on": of[0]}
    return xr.Dataset(
        {name: ("step", values) for name, values in curves.items()}, coords={"step": history["step"].values}
    )


def steps_to(steps: npt.ArrayLike, shares: Floats, level: float) -> Bounded:
    """Step at which a share first comes to a level; at least the last step if the run ended before."""
    if np.isnan(shares).any():
        return Bounded(np.nan)
    reached = float(first_reached(steps, shares, level))
    return Bounded(float(np.asarray(steps)[-1]), ">=") if np.isnan(reached) else Bounded(reached)


def slowdown(history: xr.Dataset, plain: xr.Dataset) -> Mapping[str, Bounded]:
    """How much later than plain SGD a run learns what is common, and what it can only memorize.

    Parameters
    ----------
    history : Dataset
        Of a run (stage train).
    plain : Dataset
        Of plain SGD at the same noise level, of the same replicate.

    Returns
    -------
    mapping from str to Bounded
        `corrupt steps`: the step at which 20 % of the corrupt examples are right, or half of the hard ones
        (`memorized_examples`); `pristine steps`: that at which 90 % of the others are; `corrupt slowdown` and
        `pristine slowdown`: both over those of plain SGD; `S`, the selective slowdown: the first of these
        ratios over the second.
    """
    groups = memorized_examples(plain)
    memorized = HARD_LEARNED if plain["pristine"].values.all() else MEMORIZED
    (pristine, corrupt), (plain_pristine, plain_corrupt) = (
        tuple(
            steps_to(run["step"].values, shares, level)
            for shares, level in zip(shares_right(run, groups), (LEARNED, memorized), strict=True)
        )
        for run in (history, plain)
    )
    of_pristine, of_corrupt = pristine.over(plain_pristine), corrupt.over(plain_corrupt)
    return {
        "corrupt steps": corrupt,
        "pristine steps": pristine,
        "corrupt slowdown": of_corrupt,
        "pristine slowdown": of_pristine,
        "S": of_corrupt.over(of_pristine),
    }
