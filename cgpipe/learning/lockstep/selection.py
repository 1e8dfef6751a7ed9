"""Triton kernels for a step of many runs at once: the updates that clip. Arrays are those of products.py.

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

from cgpipe.kernels.gpu import along_largest, along_smallest


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
