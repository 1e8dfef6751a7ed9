"""How f varies: in a random sample of the examples, over draws of it, decades and bursts of steps.

All follow from the sums ⟨g, g^p⟩ and ⟨g, g⟩ of which f^p = ⟨g, g^p⟩/⟨g, g⟩ is the ratio (Chatterjee 2020,
section 2.4; g is the sum of the per-example gradients, g^p that of the pristine examples).
"""

import numpy as np
import numpy.typing as npt
import xarray as xr

from cgpipe.gradients.contributions import Floats, fraction
from cgpipe.inference.decades import decades


def expected_product(
    product: npt.ArrayLike, self_terms: npt.ArrayLike, *, sampled: npt.ArrayLike, size: npt.ArrayLike
) -> Floats:
    """Expected ⟨Σ g_e, Σ g_e'⟩ over examples sampled at random, on the scale of all of them.

    e runs over the sampled examples, e' over those of them in a group. An example is sampled with probability
    sampled/size, two of them with sampled/size · (sampled - 1)/(size - 1): the smaller the sample, the more
    an example's product with itself counts against those with others. Serves ⟨g, g^p⟩ and ⟨g, g⟩ alike, the
    two parts of f^p (Chatterjee 2020, equation 2).

    Parameters
    ----------
    product : array of float
        ⟨Σ g_e, Σ g_e'⟩ over all examples, sum scale.
    self_terms : array of float, same shape
        Σ‖g_e'‖² over the group.
    sampled : array of int
        Examples in the sample, without replacement; from 1 to `size`.
    size : array of int
        Examples in all.

    Returns
    -------
    array of float64
        Divided by `sampled / size`: with sampled = size this is `product`, with sampled = 1 `self_terms`.

    Raises
    ------
    ValueError
        If more are sampled than there are, or none.

    Examples
    --------
    Two examples with the same gradient: all of them, and one of them.

    >>> expected_product([4.0, 4.0], [2.0, 2.0], sampled=[2, 1], size=2).tolist()
    [4.0, 2.0]
    """
    few, whole = np.asarray(sampled, np.float64), np.asarray(size, np.float64)
    if ((few < 1) | (few > whole)).any():
        raise ValueError(f"{sampled!r} sampled of {size!r} examples: sample at least 1, at most all")
    pairs = (few - 1) / np.maximum(whole - 1, 1)
    return pairs * np.asarray(product, np.float64) + (1 - pairs) * np.asarray(self_terms, np.float64)


def sample_fraction(null: xr.Dataset, examples: int) -> xr.DataArray:
    """Expected f of the pristine group in a random sample of the examples.

    Parameters
    ----------
    null : Dataset
        Of all examples, as `null_worlds` returns it: variables `f` and `f_pairs` (group, step),
        `squared_norm` and `self_term_share` (step), `group_size` (draw, group).
    examples : int
        Size of the sample; where there are fewer examples, all of them.

    Returns
    -------
    DataArray, dimension step
        Ratio of the expected ⟨g, g^p⟩ and ⟨g, g⟩ (`expected_product`), an approximation of the expected
        ratio; NaN where the gradient is zero.

    Raises
    ------
    ValueError
        If the sample has no example.
    """
    squared_norm, f = null["squared_norm"].values, null["f"].sel(group="pristine").values
    alone = null["self_term_share"].values * squared_norm
    in_pairs = null["f_pairs"].sel(group="pristine").values * (squared_norm - alone)
    size = int(null["group_size"].sum())
    sample = {"sampled": min(examples, size), "size": size}
    expected = fraction(
        expected_product(f * squared_norm, f * squared_norm - in_pairs, **sample),
        expected_product(squared_norm, alone, **sample),
    )
    return xr.DataArray(expected, {"step": null["step"]})


def decade_fraction(null: xr.Dataset) -> xr.DataArray:
    """Take f of the pristine group from sums of ⟨g, g^p⟩ and ⟨g, g⟩ over decades of steps (`decades`).

    Parameters
    ----------
    null : Dataset
        As `null_worlds` returns it: variables `f` (group, step) and `squared_norm` (step).

    Returns
    -------
    DataArray, dimension first_step
        The coordinate is the first logged step of each decade; NaN where the gradient is zero throughout.
    """
    squared_norm, steps = null["squared_norm"].values, null["step"].values
    pristine = null["f"].sel(group="pristine").values * squared_norm
    first = np.unique(decades(steps), return_index=True)[1]
    f = fraction(np.add.reduceat(pristine, first), np.add.reduceat(squared_norm, first))
    return xr.DataArray(f, {"first_step": steps[first]})


def burst_fraction(null: xr.Dataset) -> xr.Dataset:
    """Take f from sums of ⟨g, g of the group⟩ and ⟨g, g⟩ over bursts of consecutive steps.

    Parameters
    ----------
    null : Dataset
        With `burst_product` (burst_step, group) and coordinate `snapshot`, which says to which logged step a
        burst belongs.

    Returns
    -------
    Dataset
        Over snapshot and group: `f_burst`, and `f_burst_low` and `f_burst_high`, the ends of f at the single
        steps of the burst; NaN where the gradient is zero.
    """
    product = null["burst_product"]
    sums = product.groupby("snapshot").sum()
    steps = _shares(product).groupby("snapshot")
    return xr.Dataset({"f_burst": _shares(sums), "f_burst_low": steps.min(), "f_burst_high": steps.max()})


def fraction_of_draws(null: xr.Dataset) -> xr.Dataset:
    """Take mean, smallest and largest f over the draws of a sample.

    Parameters
    ----------
    null : Dataset
        As `null_worlds` returns it: variable `product` (draw, step, group).

    Returns
    -------
    Dataset
        `f_draws_mean`, `f_draws_low` and `f_draws_high` (step, group).
    """
    return _over_draws("f", _shares(null["product"]))


def cumulative_of_draws(null: xr.Dataset) -> xr.Dataset:
    """Take mean, smallest and largest i over the draws of a sample.

    Parameters
    ----------
    null : Dataset
        As `null_worlds` returns it: variables `product` (draw, step, group) and `group_size` (draw, group),
        coordinate `early_step`.

    Returns
    -------
    Dataset
        `i_draws_mean`, `i_draws_low` and `i_draws_high` (early_step, group); draws without an example of the
        group are left out.
    """
    product = null["product"].sel(step=null["early_step"]).drop_vars("step")
    size = null["group_size"]
    return _over_draws("i", product.cumsum("early_step") / size.where(size > 0))


def _shares(product: xr.DataArray) -> xr.DataArray:
    """F of each group; NaN where the whole is zero."""
    whole = product.sum("group")
    return product / whole.where(whole != 0)


def _over_draws(name: str, values: xr.DataArray) -> xr.Dataset:
    ends = {"mean": values.mean("draw"), "low": values.min("draw"), "high": values.max("draw")}
    return xr.Dataset({f"{name}_draws_{end}": of for end, of in ends.items()})
