"""What a random sample of the examples would show of a sum over all of them."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def expected_product(
    product: npt.ArrayLike, self_terms: npt.ArrayLike, *, drawn: npt.ArrayLike, size: npt.ArrayLike
) -> Floats:
    """Expected ⟨Σ g_e, Σ g_e'⟩ over examples drawn at random, on the scale of all of them.

    e runs over the examples drawn, e' over those of them in a group. An example is drawn with probability
    drawn/size, two of them with drawn/size · (drawn - 1)/(size - 1): the fewer are drawn, the more an
    example's product with itself weighs beside those with others. Serves ⟨g, g^p⟩ and ⟨g, g⟩ alike, the
    two parts of f^p (Chatterjee 2020, equation 2); of the ratio's own expectation it is an approximation.

    Parameters
    ----------
    product : array of float
        ⟨Σ g_e, Σ g_e'⟩ over all examples.
    self_terms : array of float, same shape
        Σ‖g_e'‖² over the group.
    drawn : array of int
        How many examples are drawn, without replacement; from 1 to `size`.
    size : array of int
        How many there are.

    Returns
    -------
    array of float64
        Divided by `drawn / size`: with drawn = size this is `product`, with drawn = 1 `self_terms`.

    Raises
    ------
    ValueError
        If more are drawn than there are, or none.
    """
    of, out_of = np.asarray(drawn, np.float64), np.asarray(size, np.float64)
    if ((of < 1) | (of > out_of)).any():
        raise ValueError(f"{drawn!r} drawn of {size!r} examples: draw at least 1, at most all")
    pairs = (of - 1) / np.maximum(out_of - 1, 1)
    whole, alone = np.asarray(product, np.float64), np.asarray(self_terms, np.float64)
    return pairs * whole + (1 - pairs) * alone
