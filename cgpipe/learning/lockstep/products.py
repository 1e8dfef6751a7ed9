"""Triton kernels for a step of many runs at once: forward, backward, and the update of plain SGD.

Arrays of all runs are stacked along a first axis, whose index is a run's slot. A program works for one run,
and its grid alone depends on how many there are: so a run has the same bits in any company.

Index letters: r slot of a run, b example of the minibatch, o output unit, i input unit.
"""

# Triton's functions are a language of their own, of which mypy knows nothing.
# mypy: disable-error-code="import-untyped, untyped-decorator, no-untyped-def, assignment"

import triton
import triton.language as tl


@triton.jit
def forward(
    entered,
    batch,
    feed_of,
    weight,
    bias,
    left,
    slots,
    BATCH: tl.constexpr,
    WIDTH: tl.constexpr,
    UNITS: tl.constexpr,
    STRIDE_O: tl.constexpr,
    STRIDE_I: tl.constexpr,
    FIRST: tl.constexpr,
    RELU: tl.constexpr,
    PRECISION: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    INNER: tl.constexpr,
) -> None:
    """What leaves a layer: the product with its weights and the bias, 0 where negative if RELU."""
    r = tl.load(slots + tl.program_id(2)).to(tl.int64)
    b = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    o = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    in_b = b < BATCH
    in_o = o < UNITS
    row = _rows(entered, batch, feed_of, r, b, in_b, BATCH, WIDTH, FIRST)
    weight += r * UNITS * WIDTH
    total = tl.zeros((ROWS, COLUMNS), tl.float32)
    for start in range(0, WIDTH, INNER):
        i = start + tl.arange(0, INNER)
        in_i = i < WIDTH
        a = tl.load(row[:, None] + i[None, :], mask=in_b[:, None] & in_i[None, :], other=0.0)
        w = tl.load(
            weight + i[:, None] * STRIDE_I + o[None, :] * STRIDE_O,
            mask=in_i[:, None] & in_o[None, :],
            other=0.0,
        )
        total = tl.dot(a, w, total, input_precision=PRECISION)
    total += tl.load(bias + r * UNITS + o, mask=in_o, other=0.0)[None, :]
    if RELU:
        total = tl.where(total < 0, 0.0, total)  # NaN stays
    at = left + (r * BATCH + b)[:, None] * UNITS + o[None, :]
    tl.store(at, total, mask=in_b[:, None] & in_o[None, :])


@triton.jit
def _rows(entered, batch, feed_of, r, b, in_b, BATCH: tl.constexpr, WIDTH: tl.constexpr, FIRST: tl.constexpr):
    """Where each example's inputs begin in memory: for the first layer, the images of a feed's minibatch."""
    if FIRST:
        feed = tl.load(feed_of + r)
        return entered + tl.load(batch + feed * BATCH + b, mask=in_b, other=0) * WIDTH
    return entered + (r * BATCH + b) * WIDTH


@triton.jit
def loss_gradient(
    logits,
    batch,
    feed_of,
    labels,
    labels_of,
    gradients,
    finite,
    slots,
    BATCH: tl.constexpr,
    CLASSES: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> None:
    """Gradient of the summed softmax cross-entropy at the logits, as `networks.dense.output_gradients`."""
    r = tl.load(slots + tl.program_id(1)).to(tl.int64)
    b = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    k = tl.arange(0, COLUMNS)
    in_b = b < BATCH
    inside = in_b[:, None] & (k < CLASSES)[None, :]
    at = (r * BATCH + b)[:, None] * CLASSES + k[None, :]
    z = tl.load(logits + at, mask=inside, other=-float("inf"))
    z = tl.where(in_b[:, None], z, 0.0)
    _note_finite(finite + r, z, inside)
    odds = tl.exp(z - tl.max(z, 1)[:, None])
    p = odds / tl.sum(odds, 1)[:, None]
    example = tl.load(batch + tl.load(feed_of + r) * BATCH + b, mask=in_b, other=0)
    label = tl.load(labels + tl.load(labels_of + r) + example, mask=in_b, other=0)
    own = k[None, :] == label[:, None]
    # At the label the sum of the others with a minus: p is rounded to 1 where an example is fitted.
    p = tl.where(own, 0.0, p)
    tl.store(gradients + at, tl.where(own, -tl.sum(p, 1)[:, None], p), mask=inside)


@triton.jit
def _note_finite(flag, values, inside):
    """Lower a run's flag if one of the values is infinite or NaN."""
    odd = inside & ~(tl.abs(values) < float("inf"))
    if tl.sum(tl.sum(odd.to(tl.int32), 1), 0) > 0:
        tl.store(flag, 0)


@triton.jit
def backward(
    gradients,
    weight,
    left,
    below,
    finite,
    slots,
    BATCH: tl.constexpr,
    WIDTH: tl.constexpr,
    UNITS: tl.constexpr,
    PRECISION: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    INNER: tl.constexpr,
) -> None:
    """The gradient at the output of the layer below, which is 0 where `left` came to 0 in the ReLU."""
    r = tl.load(slots + tl.program_id(2)).to(tl.int64)
    b = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    i = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    in_b = b < BATCH
    in_i = i < WIDTH
    weight += r * UNITS * WIDTH
    total = tl.zeros((ROWS, COLUMNS), tl.float32)
    for start in range(0, UNITS, INNER):
        o = start + tl.arange(0, INNER)
        in_o = o < UNITS
        δ = tl.load(
            gradients + (r * BATCH + b)[:, None] * UNITS + o[None, :],
            mask=in_b[:, None] & in_o[None, :],
            other=0.0,
        )
        w = tl.load(weight + o[:, None] * WIDTH + i[None, :], mask=in_o[:, None] & in_i[None, :], other=0.0)
        total = tl.dot(δ, w, total, input_precision=PRECISION)
    inside = in_b[:, None] & in_i[None, :]
    at = (r * BATCH + b)[:, None] * WIDTH + i[None, :]
    total = tl.where(tl.load(left + at, mask=inside, other=0.0) <= 0, 0.0, total)
    _note_finite(finite + r, total, inside)
    tl.store(below + at, total, mask=inside)


@triton.jit
def plain_update(
    entered,
    batch,
    feed_of,
    gradients,
    weight,
    bias,
    scales,
    slots,
    BATCH: tl.constexpr,
    WIDTH: tl.constexpr,
    UNITS: tl.constexpr,
    STRIDE_O: tl.constexpr,
    STRIDE_I: tl.constexpr,
    FIRST: tl.constexpr,
    PRECISION: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    INNER: tl.constexpr,
) -> None:
    """Subtract the run's scale times the summed gradient: plain SGD."""
    r = tl.load(slots + tl.program_id(2)).to(tl.int64)
    i = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    o = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    in_i = i < WIDTH
    in_o = o < UNITS
    total = tl.zeros((ROWS, COLUMNS), tl.float32)
    of_bias = tl.zeros((COLUMNS,), tl.float32)
    for start in range(0, BATCH, INNER):
        b = start + tl.arange(0, INNER)
        in_b = b < BATCH
        row = _rows(entered, batch, feed_of, r, b, in_b, BATCH, WIDTH, FIRST)
        a = tl.load(row[None, :] + i[:, None], mask=in_i[:, None] & in_b[None, :], other=0.0)
        δ = tl.load(
            gradients + (r * BATCH + b)[:, None] * UNITS + o[None, :],
            mask=in_b[:, None] & in_o[None, :],
            other=0.0,
        )
        total = tl.dot(a, δ, total, input_precision=PRECISION)
        of_bias += tl.sum(δ, 0)
    scale = tl.load(scales + r)
    at = weight + r * UNITS * WIDTH + i[:, None] * STRIDE_I + o[None, :] * STRIDE_O
    inside = in_i[:, None] & in_o[None, :]
    tl.store(at, tl.load(at, mask=inside) - scale * total, mask=inside)
    if tl.program_id(0) == 0:
        to = bias + r * UNITS + o
        tl.store(to, tl.load(to, mask=in_o) - scale * of_bias, mask=in_o)
