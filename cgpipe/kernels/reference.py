"""Winsorized and like means of per-example gradients, by sorting (Chatterjee 2020, section 3).

Index letters: b example of the minibatch, o output unit, i input unit.

A linear layer's per-example weight gradient is the outer product of what entered the layer and the
gradient at its output, g[b, o, i] = δ[b, o] · a[b, i], and its bias gradient is δ[b, o]. The
functions here form these products for a few output units at a time, so their memory stays bounded
whatever the layer's size, and sort them over the examples.

`oracle.py` computes the same in float64, slowly, and kernel.cpp in float32 without forming
the products; tests hold them together.
"""

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch

Array = TypeVar("Array", torch.Tensor, npt.NDArray[np.floating])

# Per-example gradients held at once: 2**20 float32 are 4 MiB, about a core's share of the cache.
VALUES_AT_ONCE = 2**20
# On a GPU, larger c are sorted too: beyond, the lists of its kernel leave the registers.
MOST_LISTED = 16


def clipped_per_side(percentile: float, batch: int) -> int:
    """How many of `batch` values lie strictly beyond a percentile, by nearest rank.

    With 100 values it is the percentile itself: the c-th percentile is the (c+1)-th smallest, and c
    values are clipped on each side (Chatterjee 2020, section 3).

    Parameters
    ----------
    percentile : float
        From 0 up to, not including, 50.
    batch : int
        Number of values.

    Returns
    -------
    int
        The 0-based rank of the percentile, as `numpy.percentile(..., method="nearest")` takes it.

    Raises
    ------
    ValueError
        If the percentile is outside [0, 50), or leaves nothing between its two sides.
    """
    if not 0 <= percentile < 50:
        raise ValueError(f"percentile {percentile}: give a number of at least 0 and below 50")
    check_count(0, batch)
    count = int(np.percentile(np.arange(batch), percentile, method="nearest"))
    check_count(count, batch)
    return count


def winsorized_mean(values: Array, c: int, *, trimmed: bool = False) -> Array:
    """Mean over the first axis, after clipping the c smallest and the c largest to their neighbours.

    For each position, over the examples: l and u are the (c+1)-th smallest and (c+1)-th largest of
    the values; the result is the mean of min(max(v, l), u). With 100 examples l and u are the c-th
    and (100-c)-th nearest-rank percentile (Chatterjee 2020, section 3). With c = 0 it is the mean.

    Parameters
    ----------
    values : tensor or array of float, shape (batch, ...)
        Per-example values, at the scale of one example.
    c : int
        How many values to clip on each side, 2c < batch. For a percentile of another batch size, see
        `clipped_per_side`.
    trimmed : bool
        Leave the 2c out instead of clipping them: the trimmed mean, over the batch - 2c others.

    Returns
    -------
    tensor or array of float, shape (...)
        The mean, of the kind and the precision that was given.

    Raises
    ------
    ValueError
        If 2c >= batch, the batch is empty, or a value is not finite.
    TypeError
        If the values are not floating-point, or c is not an integer.

    Examples
    --------
    >>> import numpy as np
    >>> float(winsorized_mean(np.array([0.0, 1.0, 2.0, 3.0, 100.0]), 1))
    2.0
    """
    given = values.detach() if isinstance(values, torch.Tensor) else torch.from_numpy(np.array(values))
    if given.ndim == 0:
        raise ValueError("values has no axis: its first must be the examples of the minibatch")
    check_floating("values", given)
    check_count(c, given.shape[0])
    check_finite("values", given)
    rows = given.movedim(0, -1)  # (..., b)
    mean = _winsorized_row_mean(rows, c, trimmed)  # (...)
    check_finite("the sum of the clipped values", mean)
    return mean if isinstance(values, torch.Tensor) else mean.numpy()[()]


def winsorized_linear_gradient(
    inputs: torch.Tensor, output_gradients: torch.Tensor, c: int, *, trimmed: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """Winsorized mean of the per-example gradients of one linear layer, by sorting them.

    Parameters, results, their scale and errors are those of `operators.winsorized_linear_gradient`, which
    takes this for float64, and where the kernel cannot be compiled.
    """
    batch = check_layer(inputs, output_gradients)
    check_count(c, batch)
    check_finite("inputs", inputs)
    check_finite("output_gradients", output_gradients)
    weight_gradient, bias_gradient = sorted_linear_gradient(inputs, output_gradients, c, trimmed)
    check_finite("the gradient of the weights", weight_gradient)
    check_finite("the gradient of the biases", bias_gradient)
    return weight_gradient, bias_gradient


def sorted_linear_gradient(
    inputs: torch.Tensor, output_gradients: torch.Tensor, c: int, trimmed: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """The same without looking at what is given and what comes out: a GPU is not waited for."""
    if c == 0:
        return mean_linear_gradient(inputs, output_gradients)
    return _by_rows(
        inputs, output_gradients, lambda rows, at: _winsorized_row_mean(rows, c, trimmed, in_place=at)
    )


def inlier_clipped_linear_gradient(
    inputs: torch.Tensor, output_gradients: torch.Tensor, c: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean of the per-example gradients with the 2c nearest to the median moved onto it, by sorting.

    The opposite of winsorization, for each scalar parameter on its own. The median of an even number is the
    mean of the middle two; of two values as near, the one of lower rank comes first. Parameters, results and
    their scale are those of `winsorized_linear_gradient`.
    """
    return _by_rows(inputs, output_gradients, lambda rows, at: _inlier_row_mean(rows, c, in_place=at))


def sorted_mean(values: torch.Tensor, c: int, trimmed: bool) -> torch.Tensor:
    """Winsorized or trimmed mean over the first axis, shape (b, ...), without looking at what is given."""
    return _winsorized_row_mean(values.movedim(0, -1), c, trimmed)


def inlier_clipped_mean(values: torch.Tensor, c: int) -> torch.Tensor:
    """The same mean over the first axis of given values, shape (b, ...)."""
    return _inlier_row_mean(values.movedim(0, -1), c)


def _by_rows(
    inputs: torch.Tensor,
    output_gradients: torch.Tensor,
    row_mean: Callable[[torch.Tensor, bool], torch.Tensor],
) -> tuple[torch.Tensor, torch.Tensor]:
    """A mean over the last axis, of the gradients of each parameter; it may be told to sort in place."""
    a = inputs.T.contiguous()  # (i, b)
    δ = output_gradients.T.contiguous()  # (o, b)
    weight_gradient = inputs.new_empty(δ.shape[0], a.shape[0])  # (o, i)
    units = max(1, VALUES_AT_ONCE // max(1, a.numel()))
    for start in range(0, δ.shape[0], units):
        products = δ[start : start + units, None, :] * a  # (some o, i, b)
        weight_gradient[start : start + units] = row_mean(products, True)
    return weight_gradient, row_mean(δ, False)


def mean_linear_gradient(
    inputs: torch.Tensor, output_gradients: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean of the per-example gradients of one linear layer: the update of plain SGD.

    Parameters, results and their scale are those of `winsorized_linear_gradient`, to which this is
    equal at c = 0.
    """
    batch = inputs.shape[0]
    return output_gradients.T @ inputs / batch, output_gradients.sum(0) / batch


def _winsorized_row_mean(
    rows: torch.Tensor, c: int, trimmed: bool, *, in_place: bool = False
) -> torch.Tensor:
    """Winsorized or trimmed mean over the last axis, where one row's values lie next to each other."""
    batch, rows = rows.shape[-1], _sorted(rows, in_place=in_place)
    if trimmed:
        return rows[..., c : batch - c].mean(-1)
    low, high = rows[..., c], rows[..., batch - 1 - c]
    between = rows[..., c + 1 : batch - 1 - c].sum(-1)
    ends = (c + 1) * (low + high) if batch - 1 - c > c else (2 * c + 1) * low
    return (between + ends) / batch


def _inlier_row_mean(rows: torch.Tensor, c: int, *, in_place: bool = False) -> torch.Tensor:
    """Mean over the last axis with the 2c values nearest to the median moved onto it; see kernel.cpp."""
    batch, rows = rows.shape[-1], _sorted(rows, in_place=in_place)
    middle = (batch + 1) // 2
    median = rows[..., middle - 1] / 2 + rows[..., batch // 2] / 2
    below = rows[..., max(0, middle - 2 * c) : min(middle, batch - 2 * c)]
    above = rows[..., max(2 * c, middle) : min(middle + 2 * c, batch)]
    nearer_below = median[..., None] - below <= above - median[..., None]
    staying = torch.where(nearer_below, above, below).sum(-1)
    beyond = rows[..., : max(0, middle - 2 * c)].sum(-1) + rows[..., middle + 2 * c :].sum(-1)
    return (beyond + staying + 2 * c * median) / batch


def _sorted(rows: torch.Tensor, *, in_place: bool) -> torch.Tensor:
    if rows.device.type != "cpu":
        return rows.sort(dim=-1).values
    # numpy sorts short float32 rows with AVX-512 or AVX2, 4 to 5 times faster than torch.
    sorted_rows = (rows if in_place else rows.contiguous().clone()).detach().numpy()
    sorted_rows.sort(axis=-1)
    return torch.from_numpy(sorted_rows)


def check_count(c: int, batch: int) -> None:
    """Refuse a c that is no integer, or leaves nothing of a minibatch."""
    if isinstance(c, bool) or not isinstance(c, (int, np.integer)):
        raise TypeError(
            f"c is {c!r}, but it counts the values clipped on each side: give an integer "
            "(clipped_per_side turns a percentile into one)"
        )
    if batch == 0:
        raise ValueError("the minibatch is empty: give at least one example")
    if c < 0 or 2 * c >= batch:
        raise ValueError(
            f"c = {c} with a minibatch of {batch}: clipping c values on each side needs "
            f"0 <= 2c < {batch}, so c may be 0 to {(batch - 1) // 2}"
        )


def check_layer(inputs: torch.Tensor, output_gradients: torch.Tensor) -> int:
    """Refuse a pair of tensors that belongs to no layer; else return the size of the minibatch."""
    shapes = f"inputs {tuple(inputs.shape)} and output_gradients {tuple(output_gradients.shape)}"
    if inputs.ndim != 2 or output_gradients.ndim != 2:
        raise ValueError(f"{shapes}: give shapes (batch, in) and (batch, out)")
    if inputs.shape[0] != output_gradients.shape[0]:
        raise ValueError(f"{shapes}: the number of examples, their first axis, must be the same")
    if inputs.device != output_gradients.device:
        raise ValueError(
            f"inputs on {inputs.device} and output_gradients on {output_gradients.device}: "
            "move both to the same device"
        )
    check_floating("inputs", inputs)
    if inputs.dtype != output_gradients.dtype:
        raise TypeError(
            f"inputs are {inputs.dtype} and output_gradients {output_gradients.dtype}: "
            "give both the same floating-point type"
        )
    return inputs.shape[0]


def check_target(
    weight: torch.Tensor, bias: torch.Tensor, inputs: torch.Tensor, output_gradients: torch.Tensor
) -> None:
    """Refuse weights and biases that are not those of the layer."""
    check_layer(inputs, output_gradients)
    into, out = inputs.shape[1], output_gradients.shape[1]
    if tuple(weight.shape) != (out, into) or tuple(bias.shape) != (out,):
        raise ValueError(
            f"weight {tuple(weight.shape)} and bias {tuple(bias.shape)}: a layer from {into} to {out} has "
            f"weight {(out, into)} and bias {(out,)}"
        )
    if not weight.device == bias.device == inputs.device:
        raise ValueError(
            f"weight on {weight.device}, bias on {bias.device} and inputs on {inputs.device}: move all to "
            "the same device"
        )


def check_floating(name: str, tensor: torch.Tensor) -> None:
    """Refuse a tensor of another type than float32 and float64."""
    if tensor.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"{name} is {tensor.dtype}: give float32 or float64")


def check_finite(name: str, tensor: torch.Tensor) -> None:
    """Refuse a tensor with values that are not finite, and name the first."""
    finite = torch.isfinite(tensor)
    if not bool(finite.all()):
        where = tuple(int(i) for i in torch.nonzero(~finite)[0])
        raise ValueError(
            f"{name}: {int((~finite).sum())} of {tensor.numel()} values are not finite, the first at {where}"
        )
