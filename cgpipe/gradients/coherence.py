"""Coherence: how far the gradients of examples agree (Chatterjee and Zielinski 2022, arXiv 2203.10036).

α = ‖E g_e‖² / E‖g_e‖² lies in [0, 1]; m-coherence = m·α = ‖Σ g_e‖² / Σ‖g_e‖² is 1 where the gradients are
orthogonal, m where they are one and the same, below 1 where they oppose each other. It counts how many
examples, on average, an example's gradient helps, itself included.

Everything follows from two sums over the examples, ‖Σ g_e‖² and Σ‖g_e‖².
"""

import numpy as np
import numpy.typing as npt
import xarray as xr

from cgpipe.gradients.contributions import Floats

# Groups of examples, by the coordinates of the groups of `measure_contributions` that they unite.
GROUPS: dict[str, dict[str, bool]] = {
    "all": {},
    "pristine": {"group_pristine": True},
    "corrupt": {"group_pristine": False},
    "not learned": {"group_learned": False},
    "pristine, not learned": {"group_pristine": True, "group_learned": False},
    "corrupt, not learned": {"group_pristine": False, "group_learned": False},
}


def m_coherence(squared_sum: npt.ArrayLike, energy: npt.ArrayLike) -> Floats:
    """m·α = ‖Σ g_e‖² / Σ‖g_e‖².

    Parameters
    ----------
    squared_sum : array of float
        ‖Σ g_e‖² of the group.
    energy : array of float, same shape
        Σ‖g_e‖² of the group.

    Returns
    -------
    array of float64
        NaN where all gradients are zero and there is nothing to agree: no examples, or all of them fitted.
    """
    squared, each = np.asarray(squared_sum, np.float64), np.asarray(energy, np.float64)
    if (each < 0).any() or (squared < 0).any():
        raise ValueError("a sum of squares is negative: give ‖Σ g_e‖² and Σ‖g_e‖²")
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(each > 0, squared / each, np.nan)


def alpha(squared_sum: npt.ArrayLike, energy: npt.ArrayLike, size: npt.ArrayLike) -> Floats:
    """α = ‖E g_e‖² / E‖g_e‖², in [0, 1] (arXiv 2203.10036, definition of coherence).

    Parameters
    ----------
    squared_sum, energy : arrays of float
        As for `m_coherence`.
    size : array of int
        m, how many examples the group has.

    Returns
    -------
    array of float64
        NaN where it is undefined.
    """
    m = np.asarray(size, np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(m > 0, m_coherence(squared_sum, energy) / m, np.nan)


def pair_coherence(squared_sum: npt.ArrayLike, energy: npt.ArrayLike, size: npt.ArrayLike) -> Floats:
    """α over the pairs of different examples alone: mean ⟨g_e, g_e'⟩, e ≠ e', over mean ‖g_e‖².

    Self terms keep α at 1/m or above even where examples have nothing in common; here that is 0, and
    where they oppose each other it is negative.

    Parameters
    ----------
    squared_sum, energy, size
        As for `alpha`.

    Returns
    -------
    array of float64
        (m·α - 1) / (m - 1), in [-1/(m-1), 1]; NaN for fewer than two examples.
    """
    m = np.asarray(size, np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(m > 1, (m_coherence(squared_sum, energy) - 1) / (m - 1), np.nan)


def gradient_diversity(squared_sum: npt.ArrayLike, energy: npt.ArrayLike) -> Floats:
    """Σ‖g_e‖² / ‖Σ g_e‖² (Yin et al. 2018), the inverse of m-coherence; infinite where the sum vanishes."""
    coherence = m_coherence(squared_sum, energy)
    with np.errstate(divide="ignore"):
        return 1 / coherence


def noise_scale(squared_sum: npt.ArrayLike, energy: npt.ArrayLike, size: npt.ArrayLike) -> Floats:
    """Simple gradient noise scale tr Σ / ‖E g_e‖² (McCandlish et al. 2018), here of the whole group.

    With the population's covariance it is 1/α - 1; in examples.

    Parameters
    ----------
    squared_sum, energy, size
        As for `alpha`.

    Returns
    -------
    array of float64
        NaN where α is undefined, infinite where it is 0.
    """
    with np.errstate(divide="ignore"):
        return 1 / alpha(squared_sum, energy, size) - 1


def alpha_of_layers(of_layer: npt.ArrayLike, energy: npt.ArrayLike) -> Floats:
    """α of the whole network from that of its layers: their mean, weighted by their share of Σ‖g_e‖².

    Parameters
    ----------
    of_layer : array of float, shape (..., layer)
        α of each layer; NaN where all its gradients are zero.
    energy : array of float, shape (..., layer)
        Σ‖g_e‖² of each layer.

    Returns
    -------
    array of float64, shape (...)
        An exact identity (arXiv 2203.10036).
    """
    weights = np.asarray(energy, np.float64)
    weighted = np.where(weights > 0, weights * np.nan_to_num(np.asarray(of_layer, np.float64)), 0)
    with np.errstate(invalid="ignore"):
        return np.asarray(weighted.sum(-1) / weights.sum(-1), np.float64)


def alpha_from_minibatches(
    squared_norms: npt.ArrayLike, squared_norm_of_mean: float, batch_size: int
) -> float:
    """α where per-example gradients are out of reach, from gradients of minibatches (arXiv 2203.10036).

    The coherence α_W of the gradients of minibatches of k examples, drawn independently at fixed weights, is
    that of the examples seen k at a time: α = α_W / (k - (k - 1) α_W).

    Parameters
    ----------
    squared_norms : array of float, shape (minibatch,)
        ‖mean gradient‖² of each minibatch.
    squared_norm_of_mean : float
        ‖·‖² of the gradient that they estimate, over all examples.
    batch_size : int
        k.

    Returns
    -------
    float
        An estimate of α; NaN if all gradients are zero.
    """
    norms = np.asarray(squared_norms, np.float64)
    if norms.ndim != 1 or not len(norms) or batch_size < 1:
        raise ValueError(
            f"{norms.shape} squared norms of minibatches of {batch_size}: give one for each of at least one "
            "minibatch, of at least one example"
        )
    if not norms.any():
        return float("nan")
    of_batches = squared_norm_of_mean / norms.mean()
    return float(of_batches / (batch_size - (batch_size - 1) * of_batches))


def stiffness(
    products: Floats, first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]
) -> tuple[float, float]:
    """Sign and cosine stiffness of pairs of different examples (Fort et al. 2019, arXiv 1901.09491).

    A small step along the gradient of one example lowers the loss of the other where the sign is positive.

    Parameters
    ----------
    products : array of float, shape (example, example)
        ⟨g_e, g_e'⟩.
    first, second : arrays of bool, shape (example,)
        The groups that the two of a pair are of.

    Returns
    -------
    sign, cosine : float
        Means over the pairs, each in [-1, 1]; examples whose gradient is zero have no direction and are
        left out. NaN where there is no pair.
    """
    norms = np.sqrt(np.diag(products))
    directed = norms > 0
    chosen = np.outer(first & directed, second & directed) & ~np.eye(len(products), dtype=bool)
    if not chosen.any():
        return float("nan"), float("nan")
    of_pairs = products[chosen]
    cosines = of_pairs / np.outer(norms, norms)[chosen]
    return float(np.sign(of_pairs).mean()), float(cosines.mean())


def cosine_between(product: npt.ArrayLike, one: npt.ArrayLike, other: npt.ArrayLike) -> Floats:
    """Cosine between the summed gradients of two groups, ⟨G_1, G_2⟩ / (‖G_1‖·‖G_2‖).

    Parameters
    ----------
    product : array of float
        ⟨G_1, G_2⟩.
    one, other : array of float, same shape
        ‖G_1‖² and ‖G_2‖².

    Returns
    -------
    array of float64
        In [-1, 1]; NaN where a group's gradient is zero: it is empty, or fitted.

    Raises
    ------
    ValueError
        If a squared norm is negative.
    """
    between, first, second = (np.asarray(values, np.float64) for values in (product, one, other))
    if min(first.min(initial=0), second.min(initial=0)) < 0:
        raise ValueError("a squared norm is negative: give ⟨G_1, G_2⟩, ‖G_1‖² and ‖G_2‖²")
    lengths = np.sqrt(first) * np.sqrt(second)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(lengths > 0, np.clip(between / lengths, -1, 1), np.nan)


def coherence_by_group(contributions: xr.Dataset) -> xr.Dataset:
    """Coherence over a training run, by group of examples and part of the network.

    Parameters
    ----------
    contributions : Dataset
        As `measure_contributions` returns it.

    Returns
    -------
    Dataset
        Over step, group and part (`network`, `layer 0`, …): `m_coherence`, `alpha`, `pair_coherence`,
        `gradient_diversity`, `noise_scale` (examples), and the sums that they follow from, `squared_norm`
        and `energy` (nats²). Over step and group: `loss`, the mean in nats, and `size`. Over step and part:
        `cosine` between the summed gradients of the pristine and of the corrupt examples.
        `sign_stiffness` and `cosine_stiffness` as given. NaN where a group is empty or all its gradients
        are zero.

    Examples
    --------
    Two groups of one example each; their gradients, 3 and 4 long, are orthogonal.

    >>> import numpy as np
    >>> contributions = xr.Dataset(
    ...     {
    ...         "gram": (("step", "layer", "group", "other_group"), [[[[9.0, 0.0], [0.0, 16.0]]]]),
    ...         "energy": (("step", "layer", "group"), [[[9.0, 16.0]]]),
    ...         "loss": (("step", "group"), [[0.5, 1.5]]),
    ...         "size": (("step", "group"), [[1, 1]]),
    ...         "sign_stiffness": (("step", "pair"), [[0.0]]),
    ...         "cosine_stiffness": (("step", "pair"), [[0.0]]),
    ...     },
    ...     coords={
    ...         "step": [0],
    ...         "layer": [0],
    ...         "group_pristine": ("group", [True, False]),
    ...         "group_learned": ("group", [False, False]),
    ...     },
    ... )
    >>> coherence = coherence_by_group(contributions).sel(step=0)
    >>> coherence["m_coherence"].sel(group="all", part="network").item()
    1.0
    >>> coherence["loss"].sel(group=["all", "pristine", "corrupt"]).values.tolist()
    [1.0, 0.5, 1.5]
    """
    member = np.ones((len(GROUPS), contributions.sizes["group"]))
    for row, conditions in zip(member, GROUPS.values(), strict=True):
        for flag, wanted in conditions.items():
            row *= contributions[flag].values == wanted
    # (step, group, part), the whole network first.
    between = np.einsum("tlkq,gk,hq->tghl", contributions["gram"].values, member, member)  # of two groups
    squared = _with_network(np.einsum("tggl->tgl", between))
    squared = np.maximum(squared, 0)  # below it by rounding alone
    energy = _with_network(np.einsum("tlk,gk->tgl", contributions["energy"].values, member))
    size = np.einsum("tk,gk->tg", contributions["size"].values, member)
    with np.errstate(invalid="ignore"):
        loss = np.einsum("tk,gk->tg", contributions["loss"].values, member) / size
    pristine, corrupt = list(GROUPS).index("pristine"), list(GROUPS).index("corrupt")
    product = _with_network(between[:, pristine, [corrupt]])[:, 0]
    cosine = cosine_between(product, squared[:, pristine], squared[:, corrupt])
    m, dims = size[:, :, None], ("step", "group", "part")
    described = {
        "m_coherence": (dims, m_coherence(squared, energy), "m-coherence"),
        "alpha": (dims, alpha(squared, energy, m), "coherence α"),
        "pair_coherence": (
            dims,
            pair_coherence(squared, energy, m),
            "coherence over the pairs of different examples alone",
        ),
        "gradient_diversity": (dims, gradient_diversity(squared, energy), "gradient diversity"),
        "noise_scale": (dims, noise_scale(squared, energy, m), "simple gradient noise scale, examples"),
        "squared_norm": (dims, squared, "squared norm of the group's summed gradient, nats²"),
        "energy": (dims, energy, "sum of the squared norms of the group's gradients, nats²"),
        "loss": (dims[:2], loss, "mean loss of the group, nats"),
        "size": (dims[:2], size.astype(np.int64), "examples in the group"),
        "cosine": (
            ("step", "part"),
            cosine,
            "cosine between the summed gradients of the pristine and of the corrupt examples",
        ),
    }
    parts = ["network", *(f"layer {number}" for number in contributions["layer"].values)]
    return xr.Dataset(
        {
            **{
                name: (over, values, {"long_name": meaning, "units": "1"})
                for name, (over, values, meaning) in described.items()
            },
            "sign_stiffness": contributions["sign_stiffness"],
            "cosine_stiffness": contributions["cosine_stiffness"],
        },
        coords={
            "step": contributions["step"],
            "group": (
                "group",
                list(GROUPS),
                {"long_name": "which training examples; learned: classified as trained at the step"},
            ),
            "part": ("part", parts, {"long_name": "of which parameters, layers from 0 at the input"}),
        },
    )


def _with_network(layers: Floats) -> Floats:
    """Sums of the layers, (step, group, layer), behind that of all layers."""
    return np.concatenate([layers.sum(2, keepdims=True), layers], axis=2)
