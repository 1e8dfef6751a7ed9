"""The winsorized gradient of a linear layer as torch operators: fused kernels, by device.

`torch.ops.cgpipe.winsorized_linear_gradient(inputs, output_gradients, c, trimmed)` returns weight and bias
gradient; `torch.ops.cgpipe.winsorized_linear_update_(weight, bias, inputs, output_gradients, c, rate,
trimmed)` subtracts `rate` times them in place. float32. On the CPU they are kernel.cpp, compiled at the first
use, or, where that is not possible, the sorting reference; on a GPU, gpu.py.

`torch.ops.cgpipe.sgd_step_` is a whole step of a network, of step.cpp alone: the examples `batch` of `images`
and `labels` are copied into `entered` and `classes`, what leaves each layer into `left`, the gradients there
into `gradients`, and the network is updated, c = 0 being plain SGD. It returns False, and leaves the network
as it was, if a logit or a gradient is not finite.
"""

import warnings
from functools import cache

import torch

from cgpipe.learning.aggregation import build, reference

_LIBRARY = torch.library.Library("cgpipe", "DEF")  # type: ignore[no-untyped-call]
_LIBRARY.define(  # type: ignore[no-untyped-call]
    "winsorized_linear_gradient(Tensor inputs, Tensor output_gradients, int c, bool trimmed=False)"
    " -> (Tensor, Tensor)"
)
_LIBRARY.define(  # type: ignore[no-untyped-call]
    "winsorized_linear_update_(Tensor(a!) weight, Tensor(b!) bias, Tensor inputs, Tensor output_gradients,"
    " int c, float rate, bool trimmed=False) -> ()"
)
_LIBRARY.define(  # type: ignore[no-untyped-call]
    "sgd_step_(Tensor(a!)[] weights, Tensor(b!)[] biases, Tensor images, Tensor labels, Tensor batch,"
    " Tensor(c!) entered, Tensor(d!) classes, Tensor(e!)[] left, Tensor(f!)[] gradients,"
    " int c, float rate, bool trimmed=False) -> bool"
)


def winsorized_linear_gradient(
    inputs: torch.Tensor, output_gradients: torch.Tensor, c: int, *, trimmed: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """Winsorized mean of the per-example gradients of one linear layer (Chatterjee 2020, section 3).

    In float32 by the fused kernel of the device, without forming the per-example gradients; in float64 by
    sorting them.

    Parameters
    ----------
    inputs : tensor of float, shape (batch, in)
        What entered the layer, example by example.
    output_gradients : tensor of float, shape (batch, out)
        Gradient of the loss *summed* over the examples with respect to the layer's output, so that
        row b is the gradient of example b's own loss.
    c : int
        How many of the per-example gradients to clip on each side, 2c < batch, for each scalar
        parameter on its own. Weights and biases alike.
    trimmed : bool
        Leave the 2c out instead: the trimmed mean, over the batch - 2c others.

    Returns
    -------
    weight_gradient : tensor of float, shape (out, in)
        Winsorized *mean* over the minibatch, at the scale of one example.
    bias_gradient : tensor of float, shape (out,)
        Likewise.

    Raises
    ------
    ValueError
        If 2c >= batch, the batch is empty, shapes or devices do not match, or a value is not finite.
    TypeError
        If the tensors are not of the same floating-point type, or c is not an integer.

    Warns
    -----
    RuntimeWarning
        Once, if the CPU kernel cannot be compiled, so that the reference stands in for it.
    """
    if inputs.dtype != torch.float32 or output_gradients.dtype != torch.float32:
        return reference.winsorized_linear_gradient(inputs, output_gradients, c, trimmed=trimmed)
    reference.check_layer(inputs, output_gradients)
    reference.check_count(c, inputs.shape[0])
    if inputs.device.type != "cpu":  # the CPU's operator looks for itself
        reference.check_finite("inputs", inputs)
        reference.check_finite("output_gradients", output_gradients)
    ready()
    gradients = torch.ops.cgpipe.winsorized_linear_gradient(inputs, output_gradients, c, trimmed)
    for name, gradient in zip(("weights", "biases"), gradients, strict=True):
        reference.check_finite(f"the gradient of the {name}", gradient)
    return gradients[0], gradients[1]


@cache
def ready() -> str:
    """Put an implementation behind the CPU operators.

    Returns
    -------
    str
        Which: the instruction set that the kernel was compiled for, or `reference`.

    Warns
    -----
    RuntimeWarning
        If the kernel cannot be compiled.
    """
    try:
        build.load()
    except build.BuildError as error:
        _LIBRARY.impl("winsorized_linear_gradient", _reference_gradient, "CPU")  # type: ignore[no-untyped-call]
        _LIBRARY.impl("winsorized_linear_update_", _reference_update, "CPU")  # type: ignore[no-untyped-call]
        warnings.warn(
            "the fused CPU kernel could not be compiled, so winsorized gradients are taken by sorting: the "
            "same numbers to rounding, in some 30 times the time, and plain SGD by torch, in twice "
            "(docs/performance.md). Install a C++20 "
            "compiler (Debian and Ubuntu: apt install g++; conda: conda install gxx) and see that the folder "
            f"of TORCH_EXTENSIONS_DIR, or else ~/.cache, can be written. The reason: {error}",
            RuntimeWarning,
            stacklevel=2,
        )
        return "reference"
    return build.instruction_set()


def _reference_gradient(
    inputs: torch.Tensor, output_gradients: torch.Tensor, c: int, trimmed: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    return reference.winsorized_linear_gradient(inputs, output_gradients, c, trimmed=trimmed)


def _reference_update(
    weight: torch.Tensor,
    bias: torch.Tensor,
    inputs: torch.Tensor,
    output_gradients: torch.Tensor,
    c: int,
    rate: float,
    trimmed: bool = False,
) -> None:
    reference.check_target(weight, bias, inputs, output_gradients)
    of_weight, of_bias = _reference_gradient(inputs, output_gradients, c, trimmed)
    weight.sub_(of_weight, alpha=rate)
    bias.sub_(of_bias, alpha=rate)


@torch.library.impl(_LIBRARY, "winsorized_linear_gradient", "CUDA")
def _gpu_gradient(
    inputs: torch.Tensor, output_gradients: torch.Tensor, c: int, trimmed: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    from cgpipe.learning.aggregation import gpu  # noqa: PLC0415 - imports triton

    return gpu.winsorized_linear_gradient(inputs, output_gradients, c, trimmed)


@torch.library.impl(_LIBRARY, "winsorized_linear_update_", "CUDA")
def _gpu_update(
    weight: torch.Tensor,
    bias: torch.Tensor,
    inputs: torch.Tensor,
    output_gradients: torch.Tensor,
    c: int,
    rate: float,
    trimmed: bool = False,
) -> None:
    from cgpipe.learning.aggregation import gpu  # noqa: PLC0415 - imports triton

    gpu.winsorized_linear_update_(weight, bias, inputs, output_gradients, c, rate, trimmed)


@torch.library.register_fake("cgpipe::winsorized_linear_gradient", lib=_LIBRARY)  # type: ignore[untyped-decorator]
def _fake_gradient(
    inputs: torch.Tensor, output_gradients: torch.Tensor, c: int, trimmed: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    reference.check_layer(inputs, output_gradients)
    units = output_gradients.shape[1]
    return inputs.new_empty(units, inputs.shape[1]), inputs.new_empty(units)


@torch.library.register_fake("cgpipe::winsorized_linear_update_", lib=_LIBRARY)  # type: ignore[untyped-decorator]
def _fake_update(
    weight: torch.Tensor,
    bias: torch.Tensor,
    inputs: torch.Tensor,
    output_gradients: torch.Tensor,
    c: int,
    rate: float,
    trimmed: bool = False,
) -> None:
    reference.check_target(weight, bias, inputs, output_gradients)
