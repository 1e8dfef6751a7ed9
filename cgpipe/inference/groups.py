"""Tests of a group of examples: one statistic (`null_test`), and all of the paper's (`null_worlds`).

A null world permutes over the examples which of them are in the group (Chatterjee 2020, section 2.4).
`cgpipe.inference.nullworlds` has the parts that both are made of.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from cgpipe.gradients.contributions import Floats, fraction, group_sum, leading_steps, mean_cumulative
from cgpipe.inference.nullworlds import (
    curve_p_value,
    null_band,
    null_group_sums,
    p_value,
    share_above,
    smallest_lead,
)

Variables = dict[str, tuple[Any, ...]]


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
    null = statistic(_null_sums(each, group, worlds, rng, threads), total)
    low, high = null_band(null, level)
    return NullTest(observed, p_value(observed, null), curve_p_value(observed, null), low, high, null)


def null_worlds(
    u: npt.ArrayLike,
    self_terms: npt.ArrayLike,
    pristine: npt.ArrayLike,
    steps: npt.ArrayLike,
    *,
    worlds: int = 10_000,
    shown: int = 3,
    level: float = 0.95,
    early_steps: int = 10,
    rng: np.random.Generator,
    threads: int = 1,
) -> xr.Dataset:
    """Test f and i of the pristine and the corrupt examples, against null worlds.

    As in figures 2 and 3 of Chatterjee 2020, section 2.4, with bands and p-values.

    Parameters
    ----------
    u : array of float, shape (step, example)
        Contributions ⟨g, g_e⟩, nats².
    self_terms : array of float, shape (step, example)
        ‖g_e‖², nats².
    pristine : array of bool, shape (example,)
        Whether the label is the true one.
    steps : array of int, shape (step,)
        Updates made.
    worlds : int
        Null worlds behind bands and p-values.
    shown : int
        How many of these, the first, are returned themselves; all, where there are fewer.
    level : float
        Share of the null worlds within the bands, between 0 and 1.
    early_steps : int
        Steps, from 0 on, of which i is taken, as far as each of them was logged.
    rng : numpy.random.Generator
        Where the permutations come from.
    threads : int
        As of `null_group_sums`.

    Returns
    -------
    Dataset
        Over group (pristine, corrupt) and step: the fraction `f` of the squared gradient, `f_null` (and
        world) in the shown null worlds, the band `f_null_low` and `f_null_high`, and `f_pairs`, f over the
        pairs of different examples alone. Over step: `f_p`, of both groups, `squared_norm` (nats²) and
        `self_term_share` of it. Over group and early_step: `i`, the mean cumulative contribution of an
        example (sum scale, nats²), and `i_null` to `i_p` likewise. Without step: `f_curve_p` and
        `i_curve_p`; `f_null_pristine_above` and `f_null_corrupt_above`, shares of the null worlds in which
        f is larger at every step (in the others the groups cross); `i_lead` (see `smallest_lead`) and its
        one-sided `i_lead_p`. Over group: `group_size`. Where a group is empty, its f is 0, and its i and all
        that comes from null worlds are NaN.

    Raises
    ------
    ValueError
        If shapes do not match, no world is asked for, or a contribution is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from cgpipe.gradients import contributions, self_terms
    >>> rng = np.random.default_rng(0)
    >>> pristine = np.arange(100) < 50
    >>> gradients = rng.normal(size=(3, 100, 20)) + 0.5 * pristine[:, None]  # (step, example, weight)
    >>> null = null_worlds(
    ...     contributions(gradients), self_terms(gradients), pristine, [0, 1, 2], worlds=1_000, rng=rng
    ... )
    >>> null["f"].sel(group="pristine").values.round(2).tolist()
    [0.91, 0.84, 0.95]
    >>> round(null["f_curve_p"].item(), 3), dict(null["f_null"].sizes)
    (0.001, {'group': 2, 'world': 3, 'step': 3})
    """
    each, alone = np.asarray(u, np.float64), np.asarray(self_terms, np.float64)
    members, logged = np.asarray(pristine, np.bool_), np.asarray(steps)
    sizes = (int(members.sum()), int((~members).sum()))
    total = each.sum(1)  # (step,)
    sums = _by_group(each, members)  # (group, step)
    null_pristine = _null_sums(each, members, worlds, rng, threads)  # (world, step)
    null_sums = np.stack([null_pristine, total - null_pristine])  # (group, world, step)
    f, f_null = fraction(sums, total), fraction(null_sums, total)
    # i sums over every update, so it is defined as far as every step was logged.
    early = slice(0, min(leading_steps(logged), early_steps))
    i, i_null = (
        np.stack([mean_cumulative(group, size) for group, size in zip(groups, sizes, strict=True)])
        for groups in (sums[:, early], null_sums[..., early])
    )
    pairs = _by_group(each - alone, members)
    variables = {
        **_tested("f", f, f_null, shown, level),
        **_tested("i", i, i_null, shown, level),
        "f_null_pristine_above": (
            (),
            share_above(*f_null),
            "share of the null worlds where f is larger for pristine at every step",
        ),
        "f_null_corrupt_above": (
            (),
            share_above(*f_null[::-1]),
            "share of the null worlds where f is larger for corrupt at every step",
        ),
        **_lead(i, i_null),
        "self_term_share": (
            ("step",),
            fraction(alone.sum(1), total),
            "share of the squared norm that is inner products with oneself",
        ),
        "f_pairs": (
            ("group", "step"),
            fraction(pairs, (each - alone).sum(1)),
            "f over the pairs of different examples alone",
        ),
        "group_size": (("group",), np.array(sizes), "examples in the group"),
        "squared_norm": (("step",), total, "squared norm of the summed gradient, nats²"),
    }
    return xr.Dataset(
        {
            name: (over, values, {"long_name": meaning, "units": "1"})
            for name, (over, values, meaning) in variables.items()
        },
        coords={
            "group": ("group", ["pristine", "corrupt"], {"long_name": "designation of the examples"}),
            "step": ("step", logged, {"long_name": "updates made", "units": "1"}),
            "early_step": (
                "early_step",
                logged[early],
                {"long_name": "updates made, the first steps, each of which was logged", "units": "1"},
            ),
            "world": (
                "world",
                np.arange(1, min(shown, worlds) + 1),
                {"long_name": "null world, the first of them all"},
            ),
        },
        attrs={"worlds": worlds},
    )


def _null_sums(
    u: Floats, members: npt.NDArray[np.bool_], worlds: int, rng: np.random.Generator, threads: int
) -> Floats:
    """Sums over the group in null worlds, (world, step); NaN where there is nothing to permute."""
    if members.all() or not members.any():
        return np.full((worlds, len(u)), np.nan)
    return null_group_sums(u, members, worlds, rng=rng, threads=threads)


def _by_group(u: Floats, pristine: npt.NDArray[np.bool_]) -> Floats:
    """Sums over the pristine and over the corrupt examples, (group, step)."""
    return np.stack([group_sum(u, pristine), group_sum(u, ~pristine)])


def _tested(name: str, observed: Floats, null: Floats, shown: int, level: float) -> Variables:
    """A statistic in the data (group, step) and in null worlds (group, world, step), bands and p-values."""
    step, meaning = {
        "f": ("step", "fraction of the squared gradient that the group contributes"),
        "i": ("early_step", "mean cumulative contribution of an example of the group, nats²"),
    }[name]
    low, high = np.stack([null_band(group, level) for group in null], axis=1)
    # All follow from the sum over the pristine group at the step, as does the difference of the
    # groups: one p-value serves them all.
    p, curve_p = p_value(observed[0], null[0]), curve_p_value(observed[0], null[0])
    band = f"{level:.0%} band of the null worlds"
    return {
        name: (("group", step), observed, meaning),
        f"{name}_null": (("group", "world", step), null[:, :shown], f"{meaning}, in null worlds"),
        f"{name}_null_low": (("group", step), low, f"lower end of the {band}"),
        f"{name}_null_high": (("group", step), high, f"upper end of the {band}"),
        f"{name}_p": ((step,), p, f"two-sided permutation p-value of {name} at the step"),
        f"{name}_curve_p": ((), curve_p, f"max-type permutation p-value of {name} over all steps"),
    }


def _lead(i: Floats, i_null: Floats) -> Variables:
    """How far i of the pristine stays above i of the corrupt, and whether it does so in null worlds."""
    observed, null = smallest_lead(*i), smallest_lead(*i_null)
    p = p_value(observed[None], null[:, None], "greater")[0]
    return {
        "i_lead": (
            (),
            float(observed),
            "smallest (i^p - i^c) / (|i^p| + |i^c|) over the early steps",
        ),
        "i_lead_p": ((), float(p), "one-sided permutation p-value of i_lead"),
    }
