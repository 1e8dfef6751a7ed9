"""Null worlds that permute only among examples of the same class and of a like size of gradient.

Corrupt examples have other gradients than pristine ones: larger, once those are learned. In null worlds that
permute over all examples the sizes mix, so these test sizes as well as directions. Permuting within strata
leaves the sizes as they are. The sum over a group then has a known mean and variance: nothing is drawn.
"""

import numpy as np
import numpy.typing as npt
from scipy.special import erfc

from cgpipe.gradients.contributions import Floats

Strata = npt.NDArray[np.int64]
SIZES = 10  # of gradients: deciles


def strata(labels: npt.NDArray[np.integer], self_terms: Floats) -> Strata:
    """Stratum of each example at each step: the class it is trained on, and the decile of ‖g_e‖.

    Parameters
    ----------
    labels : array of int, shape (example,)
        Classes that the examples are trained on.
    self_terms : array of float, shape (step, example)
        ‖g_e‖², or what orders the examples in the same way.

    Returns
    -------
    array of int64, shape (step, example)
        From 0 on, of a step. Deciles are among the examples whose gradient is not zero; the others, which
        contribute nothing, have a stratum of their own in each class.

    Examples
    --------
    >>> strata(np.array([0, 0, 1, 1]), np.array([[0.0, 1.0, 2.0, 0.0]])).tolist()
    [[0, 1, 21, 11]]
    """
    classes = np.unique(labels, return_inverse=True)[1]
    deciles = np.stack([_decile(sizes) for sizes in self_terms])
    found: Strata = (SIZES + 1) * classes + deciles
    return found


def stratified_moments(u: Floats, members: npt.NDArray[np.bool_], within: Strata) -> tuple[Floats, Floats]:
    """Mean and variance of the sum of u over a group whose members are permuted within strata.

    Parameters
    ----------
    u : array of float, shape (step, example)
        Contributions.
    members : array of bool, shape (example,)
        The group as it is in the data.
    within : array of int, shape (step, example)
        Strata, from 0 on.

    Returns
    -------
    mean, variance : arrays of float64, shape (step,)
        Sums over the strata s of those of a sample of n_s of N_s examples without replacement: n_s·ū_s and
        n_s (1 - n_s/N_s) s²_s, with ū_s and s²_s the mean and variance (N_s - 1) of u in the stratum.

    Examples
    --------
    One of two examples in the first stratum, both of the second:

    >>> members, within = np.array([True, False, True, True]), np.array([[0, 0, 1, 1]])
    >>> mean, variance = stratified_moments(np.array([[1.0, 3.0, 5.0, 6.0]]), members, within)
    >>> mean.tolist(), variance.tolist()
    ([13.0], [1.0])
    """
    mean, variance = np.transpose([_moments(*step, members) for step in zip(u, within, strict=True)])
    return mean, variance


def normal_p_value(observed: Floats, mean: Floats, variance: Floats, scale: Floats) -> Floats:
    """Two-sided p-value of a sum over a group that is nearly normal, as one over many examples is.

    Parameters
    ----------
    observed, mean, variance : arrays of float, shape (step,)
        The sum in the data, and its moments in null worlds.
    scale : array of float, shape (step,)
        Sum of absolute values that the sum is one of: what rounding is compared with.

    Returns
    -------
    array of float64, shape (step,)
        NaN where the null worlds do not differ by more than rounding.

    Examples
    --------
    >>> normal_p_value(np.array([1.96]), np.zeros(1), np.ones(1), np.ones(1)).round(3).tolist()
    [0.05]
    """
    sd = np.sqrt(variance)
    telling = sd > 100 * np.finfo(np.float64).eps * scale
    with np.errstate(invalid="ignore", divide="ignore"):
        p: Floats = np.where(telling, erfc(np.abs(observed - mean) / sd / np.sqrt(2)), np.nan)
    return p


def _decile(sizes: Floats) -> Strata:
    """From 1 to 10, and 0 for size 0, shape (example,)."""
    some = sizes > 0
    if not some.any():
        return np.zeros(len(sizes), np.int64)
    edges = np.quantile(sizes[some], np.arange(1, SIZES) / SIZES)
    return np.where(some, 1 + np.searchsorted(edges, sizes, side="right"), 0)


def _moments(u: Floats, stratum: Strata, members: npt.NDArray[np.bool_]) -> tuple[float, float]:
    size = np.bincount(stratum)
    drawn = np.bincount(stratum[members], minlength=len(size))
    mean = np.bincount(stratum, u) / np.maximum(size, 1)
    variance = np.bincount(stratum, (u - mean[stratum]) ** 2) / np.maximum(size - 1, 1)
    free = drawn * (1 - drawn / np.maximum(size, 1))
    return float(drawn @ mean), float(free @ variance)
