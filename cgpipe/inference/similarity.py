"""What the similarity of examples says: is it one of class or of pixels, and how far a group agrees.

From the inner products ⟨g_e, g_e'⟩ of the gradients of pairs of examples (stage similarity). All functions
take any dimensions before (example, example), such as steps, and leave the diagonal out: an example with
itself is no pair. A value of NaN takes a pair out, such as `np.where(same_class, cosine, np.nan)`.

The gradient of an example knows its label: at the logits it is the probabilities less the label. So examples
of one label have like gradients, and the nearest has the same label, from the first step on and even where
labels are at random. What the network has learned shows among the pairs of one label.
"""

import numpy as np
import numpy.typing as npt
import xarray as xr
from scipy.stats import rankdata

from cgpipe.gradients.contributions import Floats


def cosines(product: npt.ArrayLike) -> Floats:
    """Cosines between the gradients of examples.

    Parameters
    ----------
    product : array of float, shape (..., example, example)
        ⟨g_e, g_e'⟩.

    Returns
    -------
    array of float64, same shape
        In [-1, 1]; NaN in the row and the column of a gradient that is zero, as it has no direction.

    Examples
    --------
    Three gradients, [3, 0], [3, 4] and [0, 0]:

    >>> cosines([[9.0, 9.0, 0.0], [9.0, 25.0, 0.0], [0.0, 0.0, 0.0]]).round(2).tolist()
    [[1.0, 0.6, nan], [0.6, 1.0, nan], [nan, nan, nan]]
    """
    products = np.asarray(product, np.float64)
    norms = np.sqrt(np.diagonal(products, axis1=-2, axis2=-1))
    lengths = np.where(norms > 0, norms, np.nan)
    return np.clip(products / lengths[..., :, None] / lengths[..., None, :], -1, 1)


def within_and_between(cosine: npt.ArrayLike, label: npt.NDArray[np.integer]) -> tuple[Floats, Floats]:
    """Mean cosine between two examples of the same class, and between two of different classes.

    Parameters
    ----------
    cosine : array of float, shape (..., example, example)
        As `cosines` returns it.
    label : array of int, shape (example,)
        The classes.

    Returns
    -------
    within, between : arrays of float64, shape (...)
        Means over the pairs with a cosine; NaN where there is none.

    Examples
    --------
    >>> cosine = np.array([[1.0, 0.8, 0.1], [0.8, 1.0, 0.3], [0.1, 0.3, 1.0]])
    >>> [of.round(2).item() for of in within_and_between(cosine, np.array([0, 0, 1]))]
    [0.8, 0.2]
    """
    same = label[:, None] == label
    apart = ~np.eye(len(label), dtype=bool)
    return _mean_over(cosine, same & apart), _mean_over(cosine, ~same)


def same_class_neighbours(similarity: npt.ArrayLike, label: npt.NDArray[np.integer]) -> Floats:
    """Share of the examples whose nearest neighbour is of their own class.

    Parameters
    ----------
    similarity : array of float, shape (..., example, example)
        The larger, the nearer: such as a cosine, or a distance with a minus. NaN for a pair that cannot be
        compared.
    label : array of int, shape (example,)
        The classes.

    Returns
    -------
    array of float64, shape (...)
        Of the examples that have a neighbour; NaN if none has. Of neighbours as near, the first counts.

    Examples
    --------
    >>> cosine = np.array([[1.0, 0.8, 0.1], [0.8, 1.0, 0.3], [0.1, 0.3, 1.0]])
    >>> same_class_neighbours(cosine, np.array([0, 0, 1])).round(3).item()
    0.667
    """
    near = np.array(similarity, np.float64)
    near[..., np.arange(len(label)), np.arange(len(label))] = -np.inf
    near[np.isnan(near)] = -np.inf
    right = label[near.argmax(-1)] == label  # (..., e)
    has_one = near.max(-1) > -np.inf
    with np.errstate(invalid="ignore"):
        return np.asarray((right & has_one).sum(-1) / has_one.sum(-1), np.float64)


def group_pair_coherence(product: npt.ArrayLike, members: npt.NDArray[np.bool_]) -> Floats:
    """Pair coherence of a group of the examples: mean ⟨g_e, g_e'⟩ over e ≠ e', over mean ‖g_e‖².

    Parameters
    ----------
    product : array of float, shape (..., example, example)
        ⟨g_e, g_e'⟩.
    members : array of bool, shape (example,)
        Whether an example is in the group.

    Returns
    -------
    array of float64, shape (...)
        At most 1; 0 where gradients have nothing in common (`cgpipe.gradients.coherence.pair_coherence`). NaN
        for fewer than two members, and where all their gradients are zero.

    Examples
    --------
    >>> group_pair_coherence([[4.0, 1.0], [1.0, 4.0]], np.array([True, True])).item()
    0.25
    """
    of_group = np.asarray(product, np.float64)[..., members, :][..., members]
    energy = np.trace(of_group, axis1=-2, axis2=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        others = (of_group.sum((-2, -1)) - energy) / (members.sum() - 1)
        return np.asarray(others / energy, np.float64)


def rank_correlation(cosine: npt.ArrayLike, closeness: npt.ArrayLike) -> Floats:
    """Spearman's rank correlation of the cosines of gradients with the closeness of images, over the pairs.

    Parameters
    ----------
    cosine : array of float, shape (..., example, example)
        As `cosines` returns it; symmetric.
    closeness : array of float, shape (example, example)
        The larger, the nearer the images are: such as a distance with a minus; symmetric.

    Returns
    -------
    array of float64, shape (...)
        In [-1, 1], positive where examples are alike that look alike. NaN if either is the same for all pairs
        that have a cosine, or if fewer than two have.

    Examples
    --------
    >>> cosine = np.array([[1.0, 0.8, 0.1], [0.8, 1.0, 0.3], [0.1, 0.3, 1.0]])
    >>> rank_correlation(cosine, -np.array([[0.0, 1.0, 3.0], [1.0, 0.0, 2.0], [3.0, 2.0, 0.0]])).item()
    1.0
    """
    cosines, near = np.asarray(cosine, np.float64), np.asarray(closeness, np.float64)
    pairs = np.triu_indices(len(near), 1)
    looks = near[pairs]

    def of_one(alike: Floats) -> float:
        compared = ~np.isnan(alike)
        one, other = (rankdata(of[compared]) - (compared.sum() + 1) / 2 for of in (alike, looks))
        with np.errstate(invalid="ignore"):
            return float(np.clip(one @ other / np.sqrt((one @ one) * (other @ other)), -1, 1))

    flat = cosines[..., *pairs]
    return np.apply_along_axis(of_one, -1, flat)


def similarity_curves(similarity: xr.Dataset) -> xr.Dataset:
    """What the similarity of a sample is one of, along a run.

    Parameters
    ----------
    similarity : Dataset
        As stage similarity wrote it: `product`, `pixel_distance` and `label`.

    Returns
    -------
    Dataset
        Over burst_step, with its coordinate `snapshot`: mean cosine `within` and `between` the classes that
        the examples are trained on; `nearest_by_gradient` and `nearest_by_pixels`, the shares whose nearest
        neighbour is of their class (the latter is the same at all steps); and the rank correlation of the
        cosines with the closeness of the images (their distance, negated), `pixels_within` over pairs of a
        class and `pixels_between` over the others. NaN where undefined.
    """
    cosine = cosines(similarity["product"])
    closeness, label = -similarity["pixel_distance"].values, similarity["label"].values
    within, between = within_and_between(cosine, label)
    same = label[:, None] == label
    curves = {
        "within": within,
        "between": between,
        "nearest_by_gradient": same_class_neighbours(cosine, label),
        "nearest_by_pixels": np.full(len(cosine), same_class_neighbours(closeness, label)),
        "pixels_within": rank_correlation(np.where(same, cosine, np.nan), closeness),
        "pixels_between": rank_correlation(np.where(same, np.nan, cosine), closeness),
    }
    coords = similarity[["burst_step", "snapshot"]].coords
    return xr.Dataset({name: ("burst_step", values) for name, values in curves.items()}, coords)


def _mean_over(values: npt.ArrayLike, pairs: npt.NDArray[np.bool_]) -> Floats:
    """Mean over pairs, without those that are NaN."""
    chosen = np.asarray(values, np.float64)[..., pairs]
    with np.errstate(invalid="ignore"):
        return np.asarray(np.nansum(chosen, -1) / (~np.isnan(chosen)).sum(-1), np.float64)
