"""The winsorized gradient of a linear layer on a GPU, without its per-example gradients.

The cascade of kernel.cpp, whose head explains it: a program holds a tile of weights and goes over the
examples; each weight keeps its c largest and c smallest products in registers, and sums what lies
between (Chatterjee 2020, section 3). So a layer costs batch · (in + out) values read for each row or column
of tiles, and not batch · in · out. Zeros and signs are not looked at: that would need a program's weights to
go different ways.

Index letters: b example, o output unit, i input unit.
"""

# Triton's functions are a language of their own, of which mypy knows nothing.
# mypy: disable-error-code="import-untyped, untyped-decorator, no-untyped-def, assignment"

import torch
import triton
import triton.language as tl

from cgpipe.kernels import reference
from cgpipe.kernels.reference import MOST_LISTED

TILE = 512  # weights of a program: 4 for each of its 128 threads


@triton.jit
def along_largest(largest, x, C: tl.constexpr):
    """Pass a value along the c largest, in descending order; at each the larger stays."""
    stay = ()
    for k in tl.static_range(C):
        stay = stay + (tl.maximum(largest[k], x),)  # noqa: RUF005 - Triton knows no unpacking
        x = tl.minimum(largest[k], x)
    return stay, x


@triton.jit
def along_smallest(smallest, x, C: tl.constexpr):
    """Pass a value along the c smallest, in ascending order; at each the smaller stays."""
    stay = ()
    for k in tl.static_range(C):
        stay = stay + (tl.minimum(smallest[k], x),)  # noqa: RUF005
        x = tl.maximum(smallest[k], x)
    return stay, x


@triton.jit
def _products(inputs, gradients, b, o, i, units, width, in_o, in_i):
    """Example b's gradients of a tile of weights."""
    δ = tl.load(gradients + b * units + o, mask=in_o, other=0.0)
    a = tl.load(inputs + b * width + i, mask=in_i, other=0.0)
    return δ[:, None] * a[None, :]


@triton.jit
def winsorize(
    inputs,
    gradients,
    to,
    batch,
    width,
    units,
    stride_o,
    stride_i,
    scale,
    ADD: tl.constexpr,
    TRIMMED: tl.constexpr,
    C: tl.constexpr,
    UNITS: tl.constexpr,
    INPUTS: tl.constexpr,
) -> None:
    """Write scale times the sum over the examples to a tile of weights, or add it to what is there."""
    o = tl.program_id(0) * UNITS + tl.arange(0, UNITS)
    i = tl.program_id(1) * INPUTS + tl.arange(0, INPUTS)
    in_o = o < units
    in_i = i < width
    least = tl.full((UNITS, INPUTS), float("inf"), tl.float32)
    most = tl.full((UNITS, INPUTS), -float("inf"), tl.float32)
    between = tl.zeros((UNITS, INPUTS), tl.float32)
    largest = (most,) * C
    smallest = (least,) * C
    # The first c values only fill the largest, the next c what these leave to the smallest.
    for b in range(C):
        x = _products(inputs, gradients, b, o, i, units, width, in_o, in_i)
        largest, x = along_largest(largest, x, C)
    for b in range(C, 2 * C):
        x = _products(inputs, gradients, b, o, i, units, width, in_o, in_i)
        largest, x = along_largest(largest, x, C)
        smallest, x = along_smallest(smallest, x, C)
    for b in range(2 * C, batch):
        x = _products(inputs, gradients, b, o, i, units, width, in_o, in_i)
        largest, x = along_largest(largest, x, C)
        smallest, x = along_smallest(smallest, x, C)
        most = tl.maximum(most, x)
        least = tl.minimum(least, x)
        between += x
    if not TRIMMED:
        between += C * (most + least)
    at = to + o[:, None] * stride_o + i[None, :] * stride_i
    inside = in_o[:, None] & in_i[None, :]
    if ADD:
        tl.store(at, tl.load(at, mask=inside) + scale * between, mask=inside)
    else:
        tl.store(at, scale * between, mask=inside)


def winsorized_linear_gradient(
    inputs: torch.Tensor, output_gradients: torch.Tensor, c: int, trimmed: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """Winsorized mean of the per-example gradients of one linear layer.

    Parameters, results and their scale are those of `operators.winsorized_linear_gradient`, in float32. The
    GPU is not waited for, so values are not looked at: one that is not finite gives a result that is
    not.

    Raises
    ------
    ValueError
        If 2c >= batch, the batch is empty, or shapes or devices do not match.
    TypeError
        If a tensor is not float32.
    """
    a, δ = _checked(inputs, output_gradients, c)
    if c > MOST_LISTED:
        return reference.sorted_linear_gradient(a, δ, c, trimmed)
    weight = a.new_empty(δ.shape[1], a.shape[1])
    bias = a.new_empty(δ.shape[1])
    _winsorize(a, δ, weight, bias, c, 1.0, trimmed, add=False)
    return weight, bias


def winsorized_linear_update_(
    weight: torch.Tensor,
    bias: torch.Tensor,
    inputs: torch.Tensor,
    output_gradients: torch.Tensor,
    c: int,
    rate: float,
    trimmed: bool = False,
) -> None:
    """Subtract `rate` times that mean from a layer, in place; weights may lie in memory in any order.

    Raises
    ------
    ValueError
        If 2c >= batch, the batch is empty, or shapes or devices do not match.
    TypeError
        If a tensor is not float32.
    """
    a, δ = _checked(inputs, output_gradients, c)
    reference.check_target(weight, bias, a, δ)
    if c > MOST_LISTED:
        weight_gradient, bias_gradient = reference.sorted_linear_gradient(a, δ, c, trimmed)
        weight.sub_(weight_gradient, alpha=rate)
        bias.sub_(bias_gradient, alpha=rate)
    else:
        _winsorize(a, δ, weight, bias, c, -rate, trimmed, add=True)


def _winsorize(
    a: torch.Tensor,
    δ: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor,
    c: int,
    scale: float,
    trimmed: bool,
    *,
    add: bool,
) -> None:
    batch, units = δ.shape
    # A bias is the weight of an input that is 1 for every example.
    for entered, to in ((a, weight), (a.new_ones(batch, 1), bias[:, None])):
        width = entered.shape[1]
        across = min(32, triton.next_power_of_2(width))
        down = TILE // across
        winsorize[triton.cdiv(units, down), triton.cdiv(width, across)](
            entered,
            δ,
            to,
            batch,
            width,
            units,
            to.stride(0),
            to.stride(1),
            scale / (batch - 2 * c if trimmed else batch),
            ADD=add,
            TRIMMED=trimmed,
            C=c,
            UNITS=down,
            INPUTS=across,
            num_warps=4,
            enable_fp_fusion=False,
        )


def _checked(
    inputs: torch.Tensor, output_gradients: torch.Tensor, c: int
) -> tuple[torch.Tensor, torch.Tensor]:
    reference.check_count(c, reference.check_layer(inputs, output_gradients))
    if inputs.dtype != torch.float32:
        raise TypeError(f"inputs are {inputs.dtype}: this kernel takes float32")
    return inputs.contiguous(), output_gradients.contiguous()
