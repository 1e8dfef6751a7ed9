"""The winsorized gradient and its opposite as they are defined, in float64: slow and obvious.

The rest must equal it. Used by tests alone.
"""

import numpy as np
import numpy.typing as npt


def winsorized_mean(values: npt.ArrayLike, c: int, *, trimmed: bool = False) -> npt.NDArray[np.float64]:
    """Chatterjee 2020, section 3, for each scalar parameter on its own.

    Parameters
    ----------
    values : array of float, shape (batch, ...)
        Per-example values.
    c : int
        How many values to clip on each side.
    trimmed : bool
        Leave them out instead.

    Returns
    -------
    array of float64, shape (...)
        Mean of min(max(v, l), u) over the examples; trimmed, of the values that are left.
    """
    v = np.asarray(values, dtype=np.float64)
    batch = v.shape[0]
    mean = np.empty(v.shape[1:])
    for position in np.ndindex(*v.shape[1:]):
        per_example = [float(v[(b, *position)]) for b in range(batch)]
        lowest_first = sorted(per_example)
        low, high = lowest_first[c], lowest_first[batch - 1 - c]
        clipped = [min(max(x, low), high) for x in per_example]
        kept = lowest_first[c : batch - c] if trimmed else clipped
        mean[position] = sum(kept) / len(kept)
    return mean


def inlier_clipped_mean(values: npt.ArrayLike, c: int) -> npt.NDArray[np.float64]:
    """The opposite, a control: the 2c values nearest to the median are moved onto it.

    Parameters
    ----------
    values : array of float, shape (batch, ...)
        Per-example values.
    c : int
        Half the number of values to move.

    Returns
    -------
    array of float64, shape (...)
        Mean over the examples. Of values as near to the median, the lower ones are moved first.
    """
    v = np.asarray(values, dtype=np.float64)
    mean = np.empty(v.shape[1:])
    for position in np.ndindex(*v.shape[1:]):
        per_example = v[(slice(None), *position)].copy()
        median = np.median(per_example)
        nearest_first = np.lexsort((per_example, abs(per_example - median)))
        per_example[nearest_first[: 2 * c]] = median
        mean[position] = per_example.mean()
    return mean


def winsorized_linear_gradient(
    inputs: npt.ArrayLike, output_gradients: npt.ArrayLike, c: int, *, trimmed: bool = False
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The same for a linear layer, with every per-example gradient formed.

    Parameters
    ----------
    inputs : array of float, shape (batch, in)
        What entered the layer.
    output_gradients : array of float, shape (batch, out)
        Gradient of the summed loss at the layer's output.
    c : int
        How many values to clip on each side.
    trimmed : bool
        Leave them out instead.

    Returns
    -------
    weight_gradient : array of float64, shape (out, in)
        Winsorized or trimmed mean.
    bias_gradient : array of float64, shape (out,)
        Likewise.
    """
    a = np.asarray(inputs, dtype=np.float64)
    δ = np.asarray(output_gradients, dtype=np.float64)
    per_example = δ[:, :, None] * a[:, None, :]  # (b, o, i)
    return winsorized_mean(per_example, c, trimmed=trimmed), winsorized_mean(δ, c, trimmed=trimmed)
