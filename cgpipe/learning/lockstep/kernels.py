"""Triton kernels for a step of many runs at once: dense ReLU networks, SGD plain or winsorized.

Arrays of all runs are stacked along a first axis, whose index is a run's slot. A program works for one run,
and its grid alone depends on how many there are: so a run has the same bits in any company.

Selection (Chatterjee 2020, section 3) is that of kernel.cpp, and products that are zero are left out. Where
at least c + 1 of a weight's products are not negative, the list of its largest begins as zeros, and only
positive products pass along it. Likewise the smallest. For the first layer a program takes one pixel, and a
list of the examples in which it is not zero. For the others it takes one unit, and lists of the examples
whose gradient is above and below zero: what leaves a ReLU is not negative, so that is the sign of the
product. Where too few products are zero for this, a program passes all of them along both lists.

Index letters: r slot of a run, b example of the minibatch, o output unit, i input unit.
"""

# Triton's functions are a language of their own, of which mypy knows nothing.
# mypy: disable-error-code="import-untyped, untyped-decorator, no-untyped-def, assignment"

import triton
import triton.language as tl

from cgpipe.learning.aggregation.gpu import along_largest, along_smallest


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


@triton.jit
def list_pixels(
    images,
    batch,
    counts,
    examples,
    values,
    BATCH: tl.constexpr,
    WIDTH: tl.constexpr,
    EXAMPLES: tl.constexpr,
    PIXELS: tl.constexpr,
) -> None:
    """For each pixel of a feed's minibatch: the examples in which it is not zero, and its values there."""
    feed = tl.program_id(1)
    i = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    b = tl.arange(0, EXAMPLES)
    in_b = b < BATCH
    inside = in_b[:, None] & (i < WIDTH)[None, :]
    row = images + tl.load(batch + feed * BATCH + b, mask=in_b, other=0) * WIDTH
    a = tl.load(row[:, None] + i[None, :], mask=inside, other=0.0)
    listed = (inside & (a != 0)).to(tl.int32)
    place = tl.cumsum(listed, 0) - 1
    at = (feed * WIDTH + i)[None, :] * BATCH + place
    tl.store(examples + at, tl.broadcast_to(b[:, None], (EXAMPLES, PIXELS)), mask=listed > 0)
    tl.store(values + at, a, mask=listed > 0)
    tl.store(counts + feed * WIDTH + i, tl.sum(listed, 0), mask=i < WIDTH)


@triton.jit
def list_units(
    gradients,
    counts,
    examples,
    values,
    slots,
    BATCH: tl.constexpr,
    UNITS: tl.constexpr,
    EXAMPLES: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> None:
    """For each unit: the examples whose gradient is above zero, and, from the end on, those below."""
    r = tl.load(slots + tl.program_id(1)).to(tl.int64)
    o = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    b = tl.arange(0, EXAMPLES)
    in_o = o < UNITS
    inside = (b < BATCH)[:, None] & in_o[None, :]
    δ = tl.load(gradients + (r * BATCH + b)[:, None] * UNITS + o[None, :], mask=inside, other=0.0)
    above = (δ > 0).to(tl.int32)
    under = (δ < 0).to(tl.int32)
    place = tl.where(δ > 0, tl.cumsum(above, 0) - 1, BATCH - tl.cumsum(under, 0))
    at = (r * UNITS + o)[None, :] * BATCH + place
    tl.store(examples + at, tl.broadcast_to(b[:, None], (EXAMPLES, COLUMNS)), mask=δ != 0)
    tl.store(values + at, δ, mask=δ != 0)
    tl.store(counts + (r * UNITS + o) * 2, tl.sum(above, 0), mask=in_o)
    tl.store(counts + (r * UNITS + o) * 2 + 1, tl.sum(under, 0), mask=in_o)


@triton.jit
def update_by_pixel(
    images,
    batch,
    feed_of,
    counts,
    examples,
    values,
    gradients,
    weight,
    bias,
    scales,
    slots,
    BATCH: tl.constexpr,
    WIDTH: tl.constexpr,
    UNITS: tl.constexpr,
    C: tl.constexpr,
    TRIMMED: tl.constexpr,
    LANES: tl.constexpr,
) -> None:
    """Subtract the clipped sum from the weights of a pixel or, after the last pixel, from the biases."""
    r = tl.load(slots + tl.program_id(2)).to(tl.int64)
    feed = tl.load(feed_of + r)
    pixel = tl.program_id(0)
    o = tl.program_id(1) * LANES + tl.arange(0, LANES)
    inside = o < UNITS
    δ_at = gradients + r * BATCH * UNITS + o
    scale = tl.load(scales + r)
    if pixel == WIDTH:
        total = _all_along(δ_at, UNITS, δ_at, batch, 0, inside, BATCH, C, TRIMMED, LANES, "bias")
        to = bias + r * UNITS + o
        tl.store(to, tl.load(to, mask=inside) - scale * total, mask=inside)
    else:
        count = tl.load(counts + feed * WIDTH + pixel)
        if count > C:  # of fewer, all are clipped to 0
            if count < BATCH - C:
                first = (feed * WIDTH + pixel) * BATCH
                listed = examples + first
                total = _pixel_along(δ_at, listed, values + first, count, inside, UNITS, C, TRIMMED, LANES)
            else:
                a_at = images + pixel
                feeds = batch + feed * BATCH
                total = _all_along(δ_at, UNITS, a_at, feeds, WIDTH, inside, BATCH, C, TRIMMED, LANES, "pixel")
            at = weight + (r * WIDTH + pixel) * UNITS + o
            tl.store(at, tl.load(at, mask=inside) - scale * total, mask=inside)


@triton.jit
def update_by_unit(
    entered,
    counts,
    examples,
    values,
    gradients,
    weight,
    bias,
    scales,
    slots,
    BATCH: tl.constexpr,
    WIDTH: tl.constexpr,
    UNITS: tl.constexpr,
    C: tl.constexpr,
    TRIMMED: tl.constexpr,
    LANES: tl.constexpr,
) -> None:
    """Subtract the clipped sum from the weights of a unit or, after the last unit, from the biases."""
    r = tl.load(slots + tl.program_id(2)).to(tl.int64)
    unit = tl.program_id(0)
    lane = tl.program_id(1) * LANES + tl.arange(0, LANES)
    scale = tl.load(scales + r)
    δ_at = gradients + r * BATCH * UNITS
    if unit == UNITS:
        for start in range(tl.program_id(1) * LANES, UNITS, tl.num_programs(1) * LANES):
            o = start + tl.arange(0, LANES)
            inside = o < UNITS
            total = _all_along(δ_at + o, UNITS, δ_at, counts, 0, inside, BATCH, C, TRIMMED, LANES, "bias")
            to = bias + r * UNITS + o
            tl.store(to, tl.load(to, mask=inside) - scale * total, mask=inside)
    else:
        above = tl.load(counts + (r * UNITS + unit) * 2)
        under = tl.load(counts + (r * UNITS + unit) * 2 + 1)
        if (above > C) | (under > C):
            inside = lane < WIDTH
            a_at = entered + r * BATCH * WIDTH + lane
            if (above < BATCH - C) & (under < BATCH - C):
                first = (r * UNITS + unit) * BATCH
                listed = examples + first
                total = _unit_along(
                    a_at, listed, values + first, above, under, inside, BATCH, WIDTH, C, TRIMMED, LANES
                )
            else:
                δ_at += unit
                total = _all_along(δ_at, UNITS, a_at, counts, WIDTH, inside, BATCH, C, TRIMMED, LANES, "unit")
            at = weight + (r * UNITS + unit) * WIDTH + lane
            tl.store(at, tl.load(at, mask=inside) - scale * total, mask=inside)


@triton.jit
def _pixel_along(
    δ_at,
    examples,
    values,
    count,
    inside,
    UNITS: tl.constexpr,
    C: tl.constexpr,
    TRIMMED: tl.constexpr,
    LANES: tl.constexpr,
):
    """The clipped sum of a pixel's products: those above zero along the largest, those below the smallest."""
    zero = tl.zeros((LANES,), tl.float32)
    largest = (zero,) * C
    smallest = (zero,) * C
    most = zero
    least = zero
    between = zero
    for k in range(count):
        x = tl.load(δ_at + tl.load(examples + k) * UNITS, mask=inside, other=0.0) * tl.load(values + k)
        largest, above = along_largest(largest, tl.maximum(x, 0.0), C)
        smallest, under = along_smallest(smallest, tl.minimum(x, 0.0), C)
        most = tl.maximum(most, above)
        least = tl.minimum(least, under)
        between += above + under
    return between if TRIMMED else between + C * (most + least)


@triton.jit
def _unit_along(
    a_at,
    examples,
    values,
    above,
    under,
    inside,
    BATCH: tl.constexpr,
    WIDTH: tl.constexpr,
    C: tl.constexpr,
    TRIMMED: tl.constexpr,
    LANES: tl.constexpr,
):
    """The clipped sum of a unit's products: the examples with gradients above zero, then those below."""
    zero = tl.zeros((LANES,), tl.float32)
    largest = (zero,) * C
    smallest = (zero,) * C
    most = zero
    least = zero
    between = zero
    for k in range(above):
        x = tl.load(a_at + tl.load(examples + k) * WIDTH, mask=inside, other=0.0) * tl.load(values + k)
        largest, x = along_largest(largest, x, C)
        most = tl.maximum(most, x)
        between += x
    for k in range(BATCH - under, BATCH):
        x = tl.load(a_at + tl.load(examples + k) * WIDTH, mask=inside, other=0.0) * tl.load(values + k)
        smallest, x = along_smallest(smallest, x, C)
        least = tl.minimum(least, x)
        between += x
    return between if TRIMMED else between + C * (most + least)


@triton.jit
def _all_along(
    δ_at,
    δ_step,
    a_at,
    batch,
    a_step,
    inside,
    BATCH: tl.constexpr,
    C: tl.constexpr,
    TRIMMED: tl.constexpr,
    LANES: tl.constexpr,
    KIND: tl.constexpr,
):
    """The clipped sum of the products of all examples, each along both lists."""
    least = tl.full((LANES,), float("inf"), tl.float32)
    most = tl.full((LANES,), -float("inf"), tl.float32)
    between = tl.zeros((LANES,), tl.float32)
    largest = (most,) * C
    smallest = (least,) * C
    # The first c values only fill the largest, the next c what these leave to the smallest.
    for b in range(C):
        x = _product(δ_at + b * δ_step, a_at, batch, a_step, b, inside, KIND)
        largest, x = along_largest(largest, x, C)
    for b in range(C, 2 * C):
        x = _product(δ_at + b * δ_step, a_at, batch, a_step, b, inside, KIND)
        largest, x = along_largest(largest, x, C)
        smallest, x = along_smallest(smallest, x, C)
    for b in range(2 * C, BATCH):
        x = _product(δ_at + b * δ_step, a_at, batch, a_step, b, inside, KIND)
        largest, x = along_largest(largest, x, C)
        smallest, x = along_smallest(smallest, x, C)
        most = tl.maximum(most, x)
        least = tl.minimum(least, x)
        between += x
    return between if TRIMMED else between + C * (most + least)


@triton.jit
def _product(δ_at, a_at, batch, a_step, b, inside, KIND: tl.constexpr):
    """Example b's gradients: of a pixel's weights, of a unit's, or of biases."""
    if KIND == "unit":
        x = tl.load(δ_at) * tl.load(a_at + b * a_step, mask=inside, other=0.0)
    else:
        x = tl.load(δ_at, mask=inside, other=0.0)
        if KIND == "pixel":
            x *= tl.load(a_at + tl.load(batch + b) * a_step)
    return x
