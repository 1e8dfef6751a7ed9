"""Coherence: how far the gradients of examples agree (Chatterjee and Zielinski 2022, arXiv 2203.10036).

α = ‖E g_e‖² / E‖g_e‖² lies in [0, 1]; m-coherence = m·α = ‖Σ g_e‖² / Σ‖g_e‖² is 1 where the gradients are
orthogonal, m where they are one and the same, below 1 where they oppose each other. It counts how many
examples, on average, an example's gradient helps, itself included.

Everything follows from two sums over the examples, ‖Σ g_e‖² and Σ‖g_e‖².
"""

import numpy as np
import numpy.typing as npt

from cgpipe.gradients.contributions import Floats


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

    Raises
    ------
    ValueError
        If a sum is negative.

    Examples
    --------
    Three gradients of length 1: the same, orthogonal, and none.

    >>> m_coherence([9.0, 3.0, 0.0], [3.0, 3.0, 0.0]).tolist()
    [3.0, 1.0, nan]
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

    Examples
    --------
    >>> alpha([9.0, 3.0], [3.0, 3.0], 3).round(2).tolist()
    [1.0, 0.33]
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

    Examples
    --------
    >>> pair_coherence([9.0, 3.0, 0.0], [3.0, 3.0, 3.0], 3).tolist()
    [1.0, 0.0, -0.5]
    """
    m = np.asarray(size, np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(m > 1, (m_coherence(squared_sum, energy) - 1) / (m - 1), np.nan)


def gradient_diversity(squared_sum: npt.ArrayLike, energy: npt.ArrayLike) -> Floats:
    """Σ‖g_e‖² / ‖Σ g_e‖² (Yin et al. 2018), the inverse of m-coherence.

    Parameters
    ----------
    squared_sum, energy : arrays of float
        As for `m_coherence`.

    Returns
    -------
    array of float64
        Infinite where the sum of the gradients vanishes, NaN where all of them do.

    Examples
    --------
    >>> gradient_diversity([9.0, 3.0, 0.0], [3.0, 3.0, 3.0]).round(2).tolist()
    [0.33, 1.0, inf]
    """
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

    Examples
    --------
    >>> noise_scale([9.0, 3.0], [3.0, 3.0], 3).tolist()
    [0.0, 2.0]
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

    Examples
    --------
    >>> float(alpha_of_layers([0.5, 0.1], [1.0, 3.0]).round(3))
    0.2
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
) -> tuple[Floats, Floats]:
    """Sign and cosine stiffness of pairs of different examples (Fort et al. 2019, arXiv 1901.09491).

    A small step along the gradient of one example lowers the loss of the other where the sign is positive.

    Parameters
    ----------
    products : array of float, shape (example, example)
        ⟨g_e, g_e'⟩.
    first, second : arrays of bool, shape (..., example)
        The groups that the two of a pair are of.

    Returns
    -------
    sign, cosine : arrays of float64, shape (...)
        Means over the pairs, each in [-1, 1]; examples whose gradient is zero have no direction and are
        left out. NaN where there is no pair.

    Examples
    --------
    Two gradients, [3, 0] and [3, 4]:

    >>> everyone = np.array([True, True])
    >>> sign, cosine = stiffness(np.array([[9.0, 9.0], [9.0, 25.0]]), everyone, everyone)
    >>> sign.item(), cosine.item()
    (1.0, 0.6)
    """
    norms = np.sqrt(np.diag(products))
    directed = norms > 0
    one, other = (np.where(directed & group, 1.0, 0.0) for group in (first, second))  # (..., e)
    pairs = one.sum(-1) * other.sum(-1) - (one * other).sum(-1)
    lengths = np.where(directed, norms, np.inf)
    cosines = np.outer(lengths, lengths)
    np.divide(products, cosines, out=cosines)
    means = []
    for of_pairs in (np.sign(products), cosines):
        np.fill_diagonal(of_pairs, 0)  # with itself
        with np.errstate(invalid="ignore"):
            means.append(np.asarray((one @ of_pairs * other).sum(-1) / pairs, np.float64))
    return means[0], means[1]


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

    Examples
    --------
    >>> float(cosine_between(9.0, 9.0, 25.0).round(3))
    0.6
    """
    between, first, second = (np.asarray(values, np.float64) for values in (product, one, other))
    if min(first.min(initial=0), second.min(initial=0)) < 0:
        raise ValueError("a squared norm is negative: give ⟨G_1, G_2⟩, ‖G_1‖² and ‖G_2‖²")
    lengths = np.sqrt(first) * np.sqrt(second)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(lengths > 0, np.clip(between / lengths, -1, 1), np.nan)
