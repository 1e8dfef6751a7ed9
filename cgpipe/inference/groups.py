"""All statistics of the pristine and the corrupt examples, against null worlds (`null_worlds`).

A null world permutes over the examples which of them are pristine (Chatterjee 2020, section 2.4).
`cgpipe.inference.nullworlds` and `strata` have the parts that the tests are made of.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from cgpipe.gradients.contributions import (
    Floats,
    fraction,
    group_sum,
    leading_steps,
    mean_cosine,
    mean_cumulative,
)
from cgpipe.inference.nullworlds import (
    curve_p_value,
    null_band,
    null_sums,
    p_value,
    share_above,
    smallest_lead,
)
from cgpipe.inference.strata import normal_p_value, strata, stratified_moments

Members = npt.NDArray[np.bool_]
Variables = dict[str, tuple[Any, ...]]
GROUPS = ("pristine", "corrupt")


def null_worlds(
    u: npt.ArrayLike,
    self_terms: npt.ArrayLike,
    pristine: npt.ArrayLike,
    steps: npt.ArrayLike,
    *,
    labels: npt.ArrayLike | None = None,
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
        Contributions ⟨g, g_e⟩, nats²; or those of several draws of examples, shape (draw, step, example), as
        are the next two then.
    self_terms : array of float, shape (step, example)
        ‖g_e‖², nats².
    pristine : array of bool, shape (example,)
        Whether the label is the true one.
    steps : array of int, shape (step,)
        Updates made.
    labels : array of int, shape (example,), optional
        Classes that the examples of the first draw are trained on, for null worlds within `strata`.
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
        Of the first draw, over group (pristine, corrupt) and step: the fraction `f` of the squared gradient,
        `f_null` (and world) in the shown null worlds, the band `f_null_low` and `f_null_high`, `f_pairs`, f
        over the pairs of different examples alone, and `cosine` (see `mean_cosine`). Over step: `f_p`, of
        both groups, `squared_norm` (nats²) and `self_term_share` of it; with labels, of the pristine group,
        `f_stratified_mean`, `f_stratified_sd` and the two-sided `f_stratified_p` (see `stratified_moments`).
        Over group and early_step: `i`, the mean cumulative contribution of an example (sum scale, nats²), and
        `i_null` to `i_p` likewise. Without step: `f_curve_p` and `i_curve_p`; `f_null_pristine_above` and
        `f_null_corrupt_above`, shares of the null worlds in which f is larger at every step (in the others
        the groups cross); `i_lead` (see `smallest_lead`) and its one-sided `i_lead_p`.
        Of all draws, over draw, step and group: `product`, the sum of u over the group, and `energy`, that of
        ‖g_e‖², both in nats². Over draw and group: `group_size`. Over draw, null_world and step, float32:
        `null_product`, the sum over the pristine group, of worlds / draws null worlds a draw.
        Where a group is empty, its f is 0, and its i and all that comes from drawn null worlds are NaN.

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
    members = np.asarray(pristine, np.bool_)
    if each.ndim == 2:
        each, alone, members = each[None], alone[None], members[None]
    logged, (first, *others) = np.asarray(steps), range(len(each))
    null = null_sums(each[first], members[first], worlds, rng, threads)  # (world, step)
    few = max(1, worlds // len(each))
    null_product = [
        null[:few],
        *(
            null_sums(each[draw], members[draw], few, stream, threads)
            for draw, stream in zip(others, rng.spawn(len(others)), strict=True)
        ),
    ]
    of_first = each[first], alone[first], members[first]
    # i sums over every update, so it is defined as far as every step was logged.
    early = slice(min(leading_steps(logged), early_steps))
    variables = {
        **_fractions(*of_first, null, shown, level),
        **_contributions(each[first, early], members[first], null[:, early], shown, level),
        **({} if labels is None else _stratified(*of_first, np.asarray(labels))),
        "product": (
            ("draw", "step", "group"),
            _of_draws(each, members),
            "inner product of the summed gradient of the group with that of all examples, nats²",
        ),
        "energy": (
            ("draw", "step", "group"),
            _of_draws(alone, members),
            "sum of the squared norms of the gradients of the group's examples, nats²",
        ),
        "group_size": (
            ("draw", "group"),
            np.stack([members.sum(1), (~members).sum(1)], axis=1),
            "examples in the group",
        ),
        "null_product": (
            ("draw", "null_world", "step"),
            np.stack(null_product).astype(np.float32),
            "product of the pristine group in null worlds, nats²",
        ),
    }
    return xr.Dataset(
        {
            name: (over, values, {"long_name": meaning, "units": "1"})
            for name, (over, values, meaning) in variables.items()
        },
        coords={
            "group": ("group", list(GROUPS), {"long_name": "designation of the examples"}),
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
            "draw": ("draw", np.arange(len(each)), {"long_name": "draw of the examples"}),
        },
        attrs={"worlds": worlds},
    )


def _fractions(
    u: Floats, alone: Floats, members: Members, null: Floats, shown: int, level: float
) -> Variables:
    """What follows at each step from the sums over the groups; `null` are those of the pristine."""
    total = u.sum(1)  # (step,)
    f = fraction(_by_group(u, members), total)
    f_null = fraction(np.stack([null, total - null]), total)  # (group, world, step)
    larger = "share of the null worlds where f is larger for {} at every step"
    return {
        **_tested("f", f, f_null, shown, level),
        "f_null_pristine_above": ((), share_above(*f_null), larger.format("pristine")),
        "f_null_corrupt_above": ((), share_above(*f_null[::-1]), larger.format("corrupt")),
        "self_term_share": (
            ("step",),
            fraction(alone.sum(1), total),
            "share of the squared norm that is inner products with oneself",
        ),
        "f_pairs": (
            ("group", "step"),
            fraction(_by_group(u - alone, members), (u - alone).sum(1)),
            "f over the pairs of different examples alone",
        ),
        "cosine": (
            ("step", "group"),
            np.stack([mean_cosine(u, alone, group) for group in (members, ~members)], axis=1),
            "mean cosine of the gradient of an example of the group with the summed gradient",
        ),
        "squared_norm": (("step",), total, "squared norm of the summed gradient, nats²"),
    }


def _contributions(u: Floats, members: Members, null: Floats, shown: int, level: float) -> Variables:
    """What follows from sums over every update so far; steps are the first, each of which was logged."""
    sizes = (int(members.sum()), int((~members).sum()))
    i, i_null = (
        np.stack([mean_cumulative(group, size) for group, size in zip(groups, sizes, strict=True)])
        for groups in (_by_group(u, members), np.stack([null, u.sum(1) - null]))
    )
    return {**_tested("i", i, i_null, shown, level), **_lead(i, i_null)}


def _stratified(u: Floats, alone: Floats, members: Members, labels: npt.NDArray[np.integer]) -> Variables:
    """Moments of f in null worlds that permute within strata, and what they say of the data."""
    total = u.sum(1)  # (step,)
    mean, variance = stratified_moments(u, members, strata(labels, alone))
    p = normal_p_value(group_sum(u, members), mean, variance, np.abs(u).sum(1))
    worlds = "f of the pristine group in null worlds that permute within class and decile of gradient"
    return {
        "f_stratified_mean": (("step",), fraction(mean, total), f"mean of {worlds}"),
        "f_stratified_sd": (("step",), fraction(np.sqrt(variance), total), f"standard deviation of {worlds}"),
        "f_stratified_p": (("step",), p, f"two-sided p-value of {worlds}"),
    }


def _by_group(u: Floats, pristine: Members) -> Floats:
    """Sums over the pristine and over the corrupt examples, (group, step)."""
    return np.stack([group_sum(u, pristine), group_sum(u, ~pristine)])


def _of_draws(u: Floats, pristine: Members) -> Floats:
    """The same of each draw, (draw, step, group)."""
    return np.stack([_by_group(*of_draw).T for of_draw in zip(u, pristine, strict=True)])


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
