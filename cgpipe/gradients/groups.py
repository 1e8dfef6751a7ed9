"""Two groups that make up the whole: what three squared norms say of their summed gradients."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def cosine_between(whole: npt.ArrayLike, one: npt.ArrayLike, other: npt.ArrayLike) -> Floats:
    """Cosine between the summed gradients of two groups, ⟨G_1, G_2⟩ / (‖G_1‖·‖G_2‖).

    Parameters
    ----------
    whole : array of float
        ‖G_1 + G_2‖², of all examples.
    one, other : array of float, same shape
        ‖G_1‖² and ‖G_2‖², of the groups.

    Returns
    -------
    array of float64
        In [-1, 1]; NaN where a group's gradient is zero: it is empty, or fitted.

    Raises
    ------
    ValueError
        If a squared norm is negative.
    """
    together, first, second = (np.asarray(of, np.float64) for of in (whole, one, other))
    if min(float(of.min(initial=0)) for of in (together, first, second)) < 0:
        raise ValueError("a squared norm is negative: give ‖G_1 + G_2‖², ‖G_1‖² and ‖G_2‖²")
    product, lengths = (together - first - second) / 2, np.sqrt(first) * np.sqrt(second)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(lengths > 0, np.clip(product / lengths, -1, 1), np.nan)
