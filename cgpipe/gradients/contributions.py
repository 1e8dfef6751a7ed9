"""How much each example, and each group of examples, contributes to a step (Chatterjee 2020, §2.4).

To first order a step of rate α changes the loss by -α⟨g, g⟩ (equation 1), with g = Σ_e g_e the
gradient of the summed loss. u_e = ⟨g, g_e⟩ is example e's part of it: Σ_e u_e = ⟨g, g⟩, so what a
group contributes is the sum of its u_e, and any other way of grouping the examples is another sum.

Index letters: t step, e example, w weight.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr

Floats = npt.NDArray[np.float64]


def contributions(gradients: npt.NDArray[np.floating]) -> Floats:
    """u_te = ⟨g_t, g_te⟩ with g_t = Σ_e g_te.

    Parameters
    ----------
    gradients : array of float, shape (step, example, weight)
        Per-example gradients, each of its own example's loss (sum scale).

    Returns
    -------
    array of float64, shape (step, example)
        Their sum over the examples is ‖g_t‖².

    Examples
    --------
    Two examples whose gradients agree in part, at one step:

    >>> contributions(np.array([[[1.0, 0.0], [1.0, 1.0]]])).tolist()
    [[2.0, 3.0]]
    """
    exact = np.asarray(gradients, np.float64)
    u: Floats = np.einsum("tew,tw->te", exact, exact.sum(1))
    return u


def self_terms(gradients: npt.NDArray[np.floating]) -> Floats:
    """‖g_te‖², the part of u_te that an example has with itself (Chatterjee 2020, equation 2).

    ⟨g, g⟩ = Σ_e ‖g_e‖² + Σ_{e≠e'} ⟨g_e, g_e'⟩: where the first sum dominates, as in small samples, f says
    how large the gradients of a group are rather than how they agree.

    Parameters
    ----------
    gradients : array of float, shape (step, example, weight)
        Per-example gradients, each of its own example's loss.

    Returns
    -------
    array of float64, shape (step, example)
        Squared norms.

    Examples
    --------
    >>> self_terms(np.array([[[1.0, 0.0], [1.0, 1.0]]])).tolist()
    [[1.0, 2.0]]
    """
    exact = np.asarray(gradients, np.float64)
    squares: Floats = np.einsum("tew,tew->te", exact, exact)
    return squares


class Terms(NamedTuple):
    """What f and i are sums of."""

    u: Floats  # (draw, step, example), ⟨g, g_e⟩, nats²
    self_terms: Floats  # (draw, step, example), ‖g_e‖², nats²
    pristine: npt.NDArray[np.bool_]  # (draw, example)


def terms(gradients: xr.Dataset) -> Terms:
    """Take u and ‖g_e‖² from any of the three ways to measure them.

    Parameters
    ----------
    gradients : Dataset
        Of sampled examples and weights, as `measure_gradients` returns it; of all examples and parameters, as
        `measure_contributions` does; or of the displacement: `contribution` and `squared_norm_sum` (step,
        example) and `pristine`.

    Returns
    -------
    Terms
        In float64, summed over the layers. All examples are one draw.

    Examples
    --------
    >>> over, all_examples = ("step", "example"), ("example", [True, False])
    >>> way = {"contribution": (over, [[2.0, 3.0]]), "squared_norm_sum": (over, [[1.0, 2.0]])}
    >>> terms(xr.Dataset(way | {"pristine": all_examples})).u.tolist()
    [[[2.0, 3.0]]]
    """
    if "drawn_pristine" in gradients:
        u, squares, pristine = (
            gradients[name].values for name in ("contribution", "self_term", "drawn_pristine")
        )
        return Terms(u, squares, pristine.astype(np.bool_))
    norms = "squared_norm" if "squared_norm" in gradients else "squared_norm_sum"
    u, squares = (
        gradients[name].sum(set(gradients.dims) & {"layer"}, dtype=np.float64).values[None]
        for name in ("contribution", norms)
    )
    return Terms(u, squares, gradients["pristine"].values.astype(np.bool_)[None])


def mask(members: npt.ArrayLike, examples: int) -> npt.NDArray[np.bool_]:
    """Whether each example is in a group, checked.

    Raises
    ------
    TypeError
        If the members are not bool: zeros and ones would be taken for places.
    ValueError
        If there is not one, true or false, for each example.
    """
    found = np.array(members)  # a copy, as results hold it
    if found.dtype != np.bool_:
        raise TypeError(f"members of a group are {found.dtype}: give bool, whether each example is in it")
    if found.shape != (examples,):
        raise ValueError(f"members of shape {found.shape} for {examples} examples: give one for each")
    return found


def group_sum(u: Floats, members: npt.NDArray[np.bool_]) -> Floats:
    """Σ of u_te over the members of a group: ⟨g_t, g_t of the group⟩.

    Parameters
    ----------
    u : array of float, shape (step, example)
        Contributions.
    members : array of bool, shape (example,)
        The group.

    Returns
    -------
    array of float64, shape (step,)
        Zero for an empty group.

    Raises
    ------
    TypeError, ValueError
        As of `mask`.

    Examples
    --------
    >>> group_sum(np.array([[2.0, 3.0, 5.0]]), np.array([True, False, True])).tolist()
    [7.0]
    """
    total: Floats = u[:, mask(members, u.shape[1])].sum(1)
    return total


def fraction(of_group: Floats, of_all: Floats) -> Floats:
    """f_t = ⟨g_t, g_t of the group⟩ / ⟨g_t, g_t⟩ (Chatterjee 2020, section 2.4).

    f of a group and of its complement add up to 1; either may leave [0, 1].

    Parameters
    ----------
    of_group : array of float, shape (..., step)
        `group_sum` of the group, in the data or in null worlds.
    of_all : array of float, shape (step,)
        `group_sum` of all examples.

    Returns
    -------
    array of float64, shape (..., step)
        NaN where the whole is zero and the fraction undefined.

    Examples
    --------
    >>> fraction(np.array([2.0, 0.0]), np.array([8.0, 0.0])).tolist()
    [0.25, nan]
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(of_all != 0, of_group / of_all, np.nan)


def mean_cumulative(of_group: Floats, members: int) -> Floats:
    """i_t = (1/|group|) Σ_{t'≤t} ⟨g_t', g_t' of the group⟩ (Chatterjee 2020, section 2.4).

    Parameters
    ----------
    of_group : array of float, shape (..., step)
        `group_sum` of the group at *consecutive* steps from 0 on.
    members : int
        Examples in the group.

    Returns
    -------
    array of float64, shape (..., step)
        Mean over the group, sum scale of g; NaN for an empty group.

    Examples
    --------
    >>> mean_cumulative(np.array([2.0, 4.0, 6.0]), members=2).tolist()
    [1.0, 3.0, 6.0]
    """
    if members == 0:
        return np.full_like(of_group, np.nan)
    return np.cumsum(of_group, axis=-1) / members


def mean_cosine(u: Floats, self_terms: Floats, members: npt.NDArray[np.bool_]) -> Floats:
    """Mean over a group of u_te / (‖g_t‖ ‖g_te‖), the cosine of an example's gradient with g_t.

    Unlike f it does not depend on how large the gradients of the group are.

    Parameters
    ----------
    u, self_terms : array of float, shape (step, example)
        ⟨g_t, g_te⟩ and ‖g_te‖².
    members : array of bool, shape (example,)
        The group.

    Returns
    -------
    array of float64, shape (step,)
        Examples whose gradient is zero, and so has no direction, are left out; NaN where no other is there.

    Examples
    --------
    >>> mean_cosine(np.array([[2.0, 2.0, 0.0]]), np.array([[1.0, 4.0, 0.0]]), np.full(3, True)).tolist()
    [0.75]
    """
    members = mask(members, u.shape[1])
    size = np.sqrt(self_terms[:, members])
    with np.errstate(invalid="ignore", divide="ignore"):
        along = np.where(size > 0, u[:, members] / size, 0).sum(1)
        mean: Floats = along / (size > 0).sum(1) / np.sqrt(u.sum(1))
    return mean


def leading_steps(steps: npt.ArrayLike) -> int:
    """How many of the logged steps come before the first gap: 0, 1, 2, ... without one left out.

    Parameters
    ----------
    steps : array of int, shape (step,)
        Logged steps, increasing.

    Returns
    -------
    int
        Only over these is `mean_cumulative` a sum over every update.

    Examples
    --------
    >>> leading_steps([0, 1, 2, 10, 20])
    3
    """
    logged = np.asarray(steps)
    return int((logged == np.arange(len(logged))).cumprod().sum())
