"""Tests of a few independent values, one of each replicate, and corrections for many such tests.

Values that differ by their rounding alone have no spread. Their mean is then known exactly, and a t test says
nothing beyond the signs.
"""

import math

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

Floats = npt.NDArray[np.float64]
LEVEL = 0.05  # one-sided
ROUNDING = 1e-12  # relative


def mean_and_error(values: Floats) -> tuple[float, float]:
    """Mean and its standard error: 0 if the values have no spread, NaN of fewer than two values."""
    if not len(values):
        return math.nan, math.nan
    if len(values) == 1:
        return float(values[0]), math.nan
    if np.ptp(values) <= ROUNDING * abs(values).max():
        return float(values[0]), 0.0
    return float(values.mean()), float(stats.sem(values))


def t_interval(values: Floats) -> tuple[float, float]:
    """90 % t interval of the mean, of which each end is a one-sided 95 % bound.

    Parameters
    ----------
    values : array of float, shape (replicate,)
        Independent values.

    Returns
    -------
    low, high : float
        A point if the values have no spread; NaN of fewer than two values.
    """
    mean, error = mean_and_error(values)
    half = error * float(stats.t.ppf(1 - LEVEL, len(values) - 1)) if error else error
    return mean - half, mean + half


def p_sign(values: Floats) -> float:
    """p-value of the sign test of a median above 0; a value of 0 counts against it."""
    return float(stats.binomtest(int((values > 0).sum()), len(values), alternative="greater").pvalue)


def p_t(values: Floats, bound: float = 0) -> float:
    """p-value of the t test of a mean above a bound; of the sign test if the values have no spread."""
    mean, error = mean_and_error(values)
    return float(stats.t.sf((mean - bound) / error, len(values) - 1)) if error else p_sign(values - bound)


def p_within(values: Floats, bound: float) -> float:
    """p-value of a mean within ± bound: the larger one of two t tests (TOST)."""
    return max(p_t(values, -bound), p_t(-values, -bound))


def page(contrasts: Floats) -> tuple[float, float]:
    """Page's L of a trend over ordered levels, and its p-value.

    Parameters
    ----------
    contrasts : array of float, shape (replicate, level - 1)
        Differences between adjacent levels, above 0 where they are as the trend says.

    Returns
    -------
    statistic, p : float
        NaN of fewer than two replicates or three levels.
    """
    replicates, steps = contrasts.shape
    if replicates < 2 or steps < 2:
        return math.nan, math.nan
    test = stats.page_trend_test(np.hstack([np.zeros((replicates, 1)), contrasts.cumsum(axis=1)]))
    return float(test.statistic), float(test.pvalue)


def holm(p: pd.Series) -> pd.Series:
    """p-values after Holm's step-down correction; NaN counts as 1, and stays NaN.

    Examples
    --------
    >>> holm(pd.Series([0.01, 0.04, 0.03, np.nan])).round(3).tolist()
    [0.04, 0.09, 0.09, nan]
    """
    ordered = p.sort_values()  # NaN last
    return (ordered * np.arange(len(p), 0, -1)).cummax().clip(upper=1).reindex(p.index)
