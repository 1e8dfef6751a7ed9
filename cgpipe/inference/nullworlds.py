"""Permutation tests over null worlds (Chatterjee 2020, section 2.4), with scipy's conventions.

In a null world the designation of the examples, pristine or corrupt, is permuted over them and the
sizes of both groups are kept. Every statistic here is a function of the sum of a quantity over the
group, so a world is one masked sum and many worlds are one matrix product.

P-values are those of `scipy.stats.permutation_test`, which is the oracle of the tests; so is the closed form
of the worlds' mean and variance.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Alternative = Literal["two-sided", "greater", "less"]

# Entries of the masks of a block of worlds, as float64: 80 MB, whatever the number of examples. Blocks of
# another size would be other worlds.
MASKS_AT_ONCE = 10_000_000


def null_group_sums(
    u: Floats, members: npt.NDArray[np.bool_], worlds: int, *, rng: np.random.Generator, threads: int = 1
) -> Floats:
    """Sums of u over a group of the same size drawn at random, in each of many null worlds.

    The same permutation serves all steps of a world, so that a world is a curve.

    Parameters
    ----------
    u : array of float, shape (step, example)
        Contributions.
    members : array of bool, shape (example,)
        The group as it is in the data.
    worlds : int
        How many null worlds to draw, at least 1.
    rng : numpy.random.Generator
        Where the permutations come from, by itself and by its children.
    threads : int
        At work at once; the sums do not depend on it. Each needs a core if numpy's BLAS runs on one thread.

    Returns
    -------
    array of float64, shape (world, step)
        Sums, not means.

    Raises
    ------
    ValueError
        If shapes do not match, no world is asked for, or a value is not finite.

    Examples
    --------
    Groups of two of three examples:

    >>> u, members = np.array([[1.0, 2.0, 4.0]]), np.array([True, True, False])
    >>> null = null_group_sums(u, members, 1_000, rng=np.random.default_rng(0))
    >>> np.unique(null).tolist()
    [3.0, 5.0, 6.0]
    """
    if members.shape != u.shape[1:]:
        raise ValueError(f"{members.shape[0]} members for {u.shape[1]} examples: give one for each")
    if worlds < 1:
        raise ValueError(f"{worlds} null worlds: give at least 1")
    if not np.isfinite(u).all():
        raise ValueError("a contribution is not finite: the run diverged or its file is damaged")
    examples, size = len(members), int(members.sum())
    by_example = np.ascontiguousarray(u.T)  # (e, t)
    sums = np.empty((worlds, len(u)))
    at_once = min(worlds, max(1, MASKS_AT_ONCE // max(1, examples)))
    starts = range(0, worlds, at_once)
    # A stream of its own for each block of worlds, whichever thread draws it.
    blocks = list(zip(starts, [rng, *rng.spawn(len(starts) - 1)], strict=True))

    def draw(some: list[tuple[int, np.random.Generator]]) -> None:
        masks = np.empty((at_once, examples))  # (world, e)
        for start, stream in some:
            of_worlds = masks[: worlds - start]
            for mask in of_worlds:
                # Which examples, and not in which order: that is all of a permutation that a sum can see.
                drawn = np.zeros(examples, np.bool_)
                drawn[stream.choice(examples, size, replace=False, shuffle=False)] = True
                mask[:] = drawn
            sums[start : start + len(of_worlds)] = of_worlds @ by_example

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(draw, (blocks[first::threads] for first in range(threads))))
    return sums


def null_sums(
    u: Floats, members: npt.NDArray[np.bool_], worlds: int, rng: np.random.Generator, threads: int = 1
) -> Floats:
    """Take `null_group_sums`, or NaN for a group of no or all examples: there is nothing to permute."""
    if members.all() or not members.any():
        return np.full((worlds, len(u)), np.nan)
    return null_group_sums(u, members, worlds, rng=rng, threads=threads)


def null_moments(u: Floats, size: int) -> tuple[Floats, Floats]:
    """Mean and variance of what `null_group_sums` draws, in closed form.

    A group drawn at random is a sample without replacement from a finite population.

    Parameters
    ----------
    u : array of float, shape (step, example)
        Contributions.
    size : int
        Examples in the group.

    Returns
    -------
    mean, variance : arrays of float64, shape (step,)
        Of the sum over the group, over all null worlds.

    Raises
    ------
    ValueError
        If the group has more examples than there are, or fewer than none.

    Examples
    --------
    >>> mean, variance = null_moments(np.array([[1.0, 2.0, 4.0]]), size=2)
    >>> mean.round(2).tolist(), variance.round(2).tolist()
    ([4.67], [1.56])
    """
    examples = u.shape[1]
    if not 0 <= size <= examples:
        raise ValueError(f"a group of {size} of {examples} examples: give 0 to {examples}")
    if examples < 2:
        return size * u.sum(1), np.zeros(len(u))
    return size * u.mean(1), size * (1 - size / examples) * u.var(1, ddof=1)


def p_value(observed: Floats, null: Floats, alternative: Alternative = "two-sided") -> Floats:
    """Permutation p-value at each step, (count + 1) / (worlds + 1).

    As in `scipy.stats.permutation_test`: worlds within 100·eps of the absolute value of the observed value
    count as ties, and the two-sided p-value is twice the smaller one-sided, at most 1.

    Parameters
    ----------
    observed : array of float, shape (step,)
        The statistic in the data.
    null : array of float, shape (world, step)
        The statistic in the null worlds.
    alternative : {"two-sided", "greater", "less"}
        What would be surprising.

    Returns
    -------
    array of float64, shape (step,)
        NaN where the statistic is not finite, in the data or in one of the worlds: scipy would count such a
        world as none that is as extreme, and p would be as small as it can be.

    Raises
    ------
    ValueError
        If there is no world, or the steps of data and worlds differ in number.

    Examples
    --------
    >>> null = np.arange(99.0)[:, None]  # 99 worlds, one step
    >>> p_value([98.5], null).tolist(), p_value([98.5], null, "greater").tolist()
    ([0.02], [0.01])
    """
    observed, null = _with_worlds(observed, null)
    defined = np.isfinite(observed) & np.isfinite(null).all(axis=0)
    observed = np.where(defined, observed, np.nan)
    tie = np.abs(100 * np.finfo(np.float64).eps * observed)
    greater = (np.count_nonzero(null >= observed - tie, axis=0) + 1) / (len(null) + 1)
    less = (np.count_nonzero(null <= observed + tie, axis=0) + 1) / (len(null) + 1)
    if alternative == "two-sided":
        p = np.minimum(2 * np.minimum(greater, less), 1)
    elif alternative in ("greater", "less"):
        p = greater if alternative == "greater" else less
    else:
        raise ValueError(f"alternative {alternative!r}: give 'two-sided', 'greater' or 'less'")
    return np.where(defined, p, np.nan)


def curve_p_value(observed: Floats, null: Floats) -> float:
    """One two-sided p-value for a whole curve, corrected for testing many steps.

    The statistic is the largest distance over the steps from the mean of the null worlds, in
    standard deviations of the null worlds at that step (max-type; Westfall and Young 1993). The
    data are one world among the null worlds when mean and deviation are taken, so that all worlds
    are treated alike and the test holds its level exactly.

    Parameters
    ----------
    observed : array of float, shape (step,)
        The statistic in the data.
    null : array of float, shape (world, step)
        The statistic in the null worlds.

    Returns
    -------
    float
        (count + 1) / (worlds + 1). Steps at which the statistic is not finite, in the data or in one of the
        worlds, or at which it is constant, are left out; NaN if no other is there.

    Raises
    ------
    ValueError
        If there is no world, or the steps of data and worlds differ in number.

    Examples
    --------
    >>> null = np.random.default_rng(0).normal(size=(99, 5))  # (world, step)
    >>> curve_p_value([0.0, 0.0, 9.0, 0.0, 0.0], null)
    0.01
    """
    observed, null = _with_worlds(observed, null)
    worlds = np.concatenate([observed[None], null])  # (world, t)
    worlds = worlds[:, np.isfinite(worlds).all(axis=0)]
    deviation = worlds.std(axis=0)
    # Steps at which no world differs from another by more than rounding say nothing.
    telling = deviation > 100 * np.finfo(np.float64).eps * np.abs(worlds).max(axis=0)
    if not telling.any():
        return np.nan
    worlds, deviation = worlds[:, telling], deviation[telling]
    extreme = (np.abs(worlds - worlds.mean(axis=0)) / deviation).max(axis=1)  # (world,)
    tie = 100 * np.finfo(np.float64).eps * extreme[0]
    return float((np.count_nonzero(extreme[1:] >= extreme[0] - tie) + 1) / len(worlds))


def null_band(null: Floats, level: float = 0.95) -> tuple[Floats, Floats]:
    """Central interval of the null worlds at each step.

    Parameters
    ----------
    null : array of float, shape (world, step)
        The statistic in the null worlds.
    level : float
        Share of the worlds inside, between 0 and 1.

    Returns
    -------
    low, high : array of float64, shape (step,)
        Quantiles (1-level)/2 and (1+level)/2; NaN where a world is not finite.

    Raises
    ------
    ValueError
        If there is no world, or the level is no share.

    Examples
    --------
    >>> low, high = null_band(np.arange(101.0)[:, None], level=0.9)
    >>> low.round(6).tolist(), high.round(6).tolist()
    ([5.0], [95.0])
    """
    if not 0 < level < 1:
        raise ValueError(f"level {level}: give a share between 0 and 1")
    worlds = _worlds(null)
    defined = np.where(np.isfinite(worlds).all(axis=0), worlds, np.nan)
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high


def share_above(upper: Floats, lower: Floats) -> float:
    """Share of the null worlds in which one curve lies above another at every step.

    Parameters
    ----------
    upper, lower : array of float, shape (world, step)
        Such as f of two groups. Steps at which one of them is not finite in some world are left out.

    Returns
    -------
    float
        In [0, 1]; a tie is not above. NaN if no step is left.

    Raises
    ------
    ValueError
        If there is no world, or the two differ in shape.

    Examples
    --------
    >>> share_above([[1.0, 2.0], [1.0, 0.0]], [[0.0, 1.0], [0.0, 1.0]])
    0.5
    """
    upper, lower = _worlds(upper), _worlds(lower)
    _alike(upper, lower)
    defined = np.isfinite(upper).all(axis=0) & np.isfinite(lower).all(axis=0)
    if not defined.any():
        return np.nan
    return float((upper[:, defined] > lower[:, defined]).all(axis=1).mean())


def smallest_lead(ahead: Floats, behind: Floats) -> Floats:
    """Smallest lead of one curve over another, (a - b) / (|a| + |b|), over the steps.

    Parameters
    ----------
    ahead, behind : array of float, shape (..., step)
        Such as i of two groups.

    Returns
    -------
    array of float64, shape (...)
        In [-1, 1]: 1 if only the first is other than zero throughout; NaN where at some step both are zero or
        one is not finite.

    Raises
    ------
    ValueError
        If there is no step, or the two differ in shape.

    Examples
    --------
    >>> smallest_lead([3.0, 3.0], [1.0, 0.0]).item()
    0.5
    """
    one, other = (np.asarray(curve, np.float64) for curve in (ahead, behind))
    _alike(one, other)
    if not one.ndim or not one.shape[-1]:
        raise ValueError(f"curves of shape {one.shape}: give at least one step")
    with np.errstate(invalid="ignore"):
        return np.asarray(((one - other) / (np.abs(one) + np.abs(other))).min(axis=-1))


def _worlds(null: npt.ArrayLike) -> Floats:
    worlds = np.asarray(null, np.float64)
    if not worlds.ndim or not len(worlds):
        raise ValueError(f"null worlds of shape {worlds.shape}: give at least one, along the first axis")
    return worlds


def _with_worlds(observed: npt.ArrayLike, null: npt.ArrayLike) -> tuple[Floats, Floats]:
    data, worlds = np.asarray(observed, np.float64), _worlds(null)
    _alike(data, worlds[0])
    return data, worlds


def _alike(one: Floats, other: Floats) -> None:
    if one.shape != other.shape:
        raise ValueError(f"curves of shapes {one.shape} and {other.shape}: give both the same steps")
