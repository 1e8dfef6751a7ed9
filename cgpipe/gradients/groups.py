"""Two groups: how far their summed gradients point the same way."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


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
    between, first, second = (np.asarray(of, np.float64) for of in (product, one, other))
    if min(float(of.min(initial=0)) for of in (first, second)) < 0:
        raise ValueError("a squared norm is negative: give ⟨G_1, G_2⟩, ‖G_1‖² and ‖G_2‖²")
    lengths = np.sqrt(first) * np.sqrt(second)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(lengths > 0, np.clip(between / lengths, -1, 1), np.nan)
