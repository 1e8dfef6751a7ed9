"""Tests of a few independent values, one of each replicate, and corrections for many such tests.

Values that differ by their rounding alone have no spread. Their mean is then known exactly, and a t test says
nothing beyond the signs.
"""

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

Floats = npt.NDArray[np.float64]
LEVEL = 0.05  # one-sided
ROUNDING = 1e-12  # relative


def mean_and_error(values: Floats) -> tuple[Floats, Floats]:
    """Mean and its standard error.

    Parameters
    ----------
    values : array of float, shape (..., replicate)
        Independent values.

    Returns
    -------
    mean, error : array of float, shape (...)
        The error is 0 if the values have no spread, and NaN of fewer than two values.
    """
    if values.shape[-1] < 2:
        mean = values.sum(-1) if values.shape[-1] else np.full(values.shape[:-1], np.nan)
        return mean, np.full_like(mean, np.nan)
    spread = np.ptp(values, -1) > ROUNDING * abs(values).max(-1)
    error = values.std(-1, ddof=1) / np.sqrt(values.shape[-1])
    return np.where(spread, values.mean(-1), values[..., 0]), np.where(spread, error, 0)


def t_interval(values: Floats) -> tuple[Floats, Floats]:
    """90 % t interval of the mean, of which each end is a one-sided 95 % bound.

    Parameters
    ----------
    values : array of float, shape (..., replicate)
        Independent values.

    Returns
    -------
    low, high : array of float, shape (...)
        A point if the values have no spread; NaN of fewer than two values.
    """
    mean, error = mean_and_error(values)
    half = stats.t.ppf(1 - LEVEL, max(values.shape[-1] - 1, 1)) * error
    return mean - half, mean + half


def p_sign(values: Floats) -> Floats:
    """p-value of the sign test of a median above 0; a value of 0 counts against it."""
    above = (values > 0).sum(-1)
    return np.asarray(stats.binom.sf(above - 1, values.shape[-1], 0.5))


def p_t(values: Floats, bound: float = 0) -> Floats:
    """p-value of the t test of a mean above a bound; of the sign test if the values have no spread."""
    mean, error = mean_and_error(values)
    t = np.divide(mean - bound, error, out=np.zeros_like(mean), where=error > 0)
    return np.where(error > 0, stats.t.sf(t, values.shape[-1] - 1), p_sign(values - bound))


def p_within(values: Floats, bound: float) -> Floats:
    """p-value of a mean within ± bound: the larger one of two t tests (TOST)."""
    return np.maximum(p_t(values, -bound), p_t(-values, -bound))


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
        return np.nan, np.nan
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
