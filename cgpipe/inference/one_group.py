"""Permutation test of whether a group of examples contributes as any of its size would (`null_test`)."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from cgpipe.gradients.contributions import Floats, fraction, group_sum
from cgpipe.inference.nullworlds import curve_p_value, null_band, null_sums, p_value


@dataclass(frozen=True)
class NullTest:
    """A statistic of a group, in the data and in null worlds."""

    statistic: Floats  # (step,), in the data
    p_value: Floats  # (step,), two-sided
    curve_p_value: float  # of all steps together, max-type
    low: Floats  # (step,), ends of the band of the null worlds
    high: Floats
    null_distribution: Floats = field(repr=False)  # (world, step)


def null_test(
    u: npt.ArrayLike,
    members: npt.ArrayLike,
    statistic: Callable[[Floats, Floats], Floats] = fraction,
    *,
    worlds: int = 10_000,
    level: float = 0.95,
    rng: np.random.Generator,
    threads: int = 1,
) -> NullTest:
    """Permutation test of whether a group contributes to the gradient as any group of its size would.

    Parameters
    ----------
    u : array of float, shape (step, example)
        Contributions ⟨g, g_e⟩.
    members : array of bool, shape (example,)
        The group.
    statistic : callable
        Takes the sums of u over the group, shape (..., step), and over all examples, shape (step,), and
        returns a statistic of shape (..., step). By default f, the fraction of the squared gradient.
    worlds : int
        Null worlds to draw.
    level : float
        Share of the null worlds within the band, between 0 and 1.
    rng : numpy.random.Generator
        Where the permutations come from.
    threads : int
        As of `null_group_sums`.

    Returns
    -------
    NullTest
        The p-values are those of `p_value` and `curve_p_value`, the band is that of `null_band`. All that
        comes from null worlds is NaN for a group of no or all examples: there is nothing to permute.

    Raises
    ------
    ValueError
        If shapes do not match, no world is asked for, or a contribution is not finite.

    Examples
    --------
    A group whose gradients agree, among examples whose gradients are random:

    >>> import numpy as np
    >>> from cgpipe.gradients import contributions, mean_cumulative
    >>> rng = np.random.default_rng(0)
    >>> members = np.arange(100) < 50
    >>> gradients = rng.normal(size=(3, 100, 20)) + 0.5 * members[:, None]  # (step, example, weight)
    >>> u = contributions(gradients)  # (step, example)
    >>> test = null_test(u, members, rng=rng)
    >>> test.statistic.round(2).tolist()  # f
    [0.91, 0.84, 0.95]
    >>> bool((test.statistic > test.high).all()), round(test.curve_p_value, 4)
    (True, 0.0001)

    The same of i, the mean cumulative contribution:

    >>> test = null_test(u, members, lambda group, _: mean_cumulative(group, members.sum()), rng=rng)
    >>> test.p_value.round(4).tolist()
    [0.0002, 0.0002, 0.0002]
    """
    each, group = np.asarray(u, np.float64), np.asarray(members, np.bool_)
    total = each.sum(1)
    observed = statistic(group_sum(each, group), total)
    null = statistic(null_sums(each, group, worlds, rng, threads), total)
    low, high = null_band(null, level)
    return NullTest(observed, p_value(observed, null), curve_p_value(observed, null), low, high, null)
