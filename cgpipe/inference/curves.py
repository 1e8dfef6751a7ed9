"""Curves over the logged steps of a run."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def first_reached(steps: npt.ArrayLike, values: npt.ArrayLike, levels: npt.ArrayLike) -> Floats:
    """Step at which a curve first comes to each level, linear between the logged steps.

    Parameters
    ----------
    steps : array of int, shape (step,)
        Updates made, ascending.
    values : array of float, shape (step,)
        The curve.
    levels : array of float, shape (...)
        Which levels.

    Returns
    -------
    array of float64, shape (...)
        The first step where the curve begins at the level or above it; NaN where it never comes to it.

    Examples
    --------
    >>> first_reached([0, 10, 20], [0.1, 0.5, 0.4], [0.05, 0.3, 0.5, 0.6]).tolist()
    [0.0, 5.0, 10.0, nan]
    """
    t, v, wanted = (np.asarray(given, np.float64) for given in (steps, values, levels))
    after = np.searchsorted(np.maximum.accumulate(v), wanted)
    last = np.minimum(after, len(t) - 1)
    before = np.maximum(last - 1, 0)
    between = (after > 0) & (after < len(t))
    rise = np.where(between, v[last] - v[before], 1)
    reached = t[last] - (t[last] - t[before]) * (v[last] - wanted) / rise
    return np.where(between, reached, np.where(v[0] >= wanted, t[0], np.nan))


def mean_over_log_steps(steps: npt.ArrayLike, values: npt.ArrayLike) -> float:
    """Mean of a curve over log10(t + 1), which depends little on the steps that are logged.

    Parameters
    ----------
    steps : array of int, shape (step,)
        Updates made, ascending.
    values : array of float, shape (step,)
        The curve; between two steps, where it is defined at both, it is linear.

    Returns
    -------
    float
        NaN if it is not defined at two steps one after the other.

    Examples
    --------
    >>> mean_over_log_steps([0, 9, 99], [0.0, 1.0, np.nan])
    0.5
    """
    at, v = np.log10(np.asarray(steps, np.float64) + 1), np.asarray(values, np.float64)
    heights, widths = (v[1:] + v[:-1]) / 2, np.diff(at)
    known = np.isfinite(heights)
    return float(np.average(heights[known], weights=widths[known])) if known.any() else np.nan
