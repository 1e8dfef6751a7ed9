"""The winsorized gradient of a linear layer as torch operators: fused kernels, by device.

`torch.ops.cgpipe.winsorized_linear_gradient(inputs, output_gradients, c, trimmed)` returns weight and bias
gradient; `torch.ops.cgpipe.winsorized_linear_update_(weight, bias, inputs, output_gradients, c, rate,
trimmed)` subtracts `rate` times them in place. float32. On the CPU they are kernel.cpp, compiled at the first
use; on a GPU, gpu.py; or, where the one or the other cannot be used, the sorting reference.

`torch.ops.cgpipe.inlier_clipped_linear_gradient(inputs, output_gradients, c)`, and
`torch.ops.cgpipe.winsorized_values(values, c, trimmed)`, of gradients that were formed, are kernel.cpp's
alone.

`torch.ops.cgpipe.sgd_step_` is a whole step of a network, of step.cpp alone: the examples `batch` of `images`
and `labels` are copied into `entered` and `classes`, what leaves each layer into `left`, the gradients there
into `gradients`, and the network is updated, c = 0 being plain SGD. Without `batch` the step is by all
examples, and nothing is copied. With c = 0, `left` and `gradients` may be shorter than the minibatch, which
then passes in parts of their length, and they are not written. It returns False, and leaves the network as it
was, if an output of a sparse first layer, a logit or a gradient is not finite.

`torch.ops.cgpipe.first_layer` is what leaves the first layer of a network, of step.cpp too.
"""

import warnings
from collections.abc import Callable
from functools import cache

import torch

from cgpipe.kernels import build, reference

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
    "winsorized_values(Tensor values, int c, bool trimmed=False) -> Tensor"
)
_LIBRARY.define(  # type: ignore[no-untyped-call]
    "inlier_clipped_linear_gradient(Tensor inputs, Tensor output_gradients, int c) -> (Tensor, Tensor)"
)
_LIBRARY.define(  # type: ignore[no-untyped-call]
    "sgd_step_(Tensor(a!)[] weights, Tensor(b!)[] biases, Tensor images, Tensor labels, Tensor? batch,"
    " Tensor(c!) entered, Tensor(d!) classes, Tensor(e!)[] left, Tensor(f!)[] gradients,"
    " int c, float rate, bool trimmed=False) -> bool"
)
_LIBRARY.define(  # type: ignore[no-untyped-call]
    "first_layer(Tensor images, Tensor weight, Tensor bias, bool relu) -> Tensor"
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
        Once, if the kernel cannot be used, so that the reference stands in for it.

    Examples
    --------
    The gradients 0, 1, 2, 3 and 100 of one weight are clipped to 1, 1, 2, 3 and 3:

    >>> import torch
    >>> inputs = torch.ones(5, 1)
    >>> output_gradients = torch.tensor([[0.0], [1.0], [2.0], [3.0], [100.0]])
    >>> weight, bias = winsorized_linear_gradient(inputs, output_gradients, c=1)
    >>> weight.tolist(), bias.tolist()
    ([[2.0]], [2.0])
    """
    if inputs.dtype != torch.float32 or output_gradients.dtype != torch.float32:
        return reference.winsorized_linear_gradient(inputs, output_gradients, c, trimmed=trimmed)
    reference.check_layer(inputs, output_gradients)
    reference.check_count(c, inputs.shape[0])
    if inputs.device.type != "cpu":  # the CPU's operator looks for itself
        reference.check_finite("inputs", inputs)
        reference.check_finite("output_gradients", output_gradients)
    if serves(c, inputs.device.type):
        ready(inputs.device.type)
    gradients = torch.ops.cgpipe.winsorized_linear_gradient(inputs, output_gradients, c, trimmed)
    for name, gradient in zip(("weights", "biases"), gradients, strict=True):
        reference.check_finite(f"the gradient of the {name}", gradient)
    return gradients[0], gradients[1]


def winsorized_values(values: torch.Tensor, c: int, *, trimmed: bool = False) -> torch.Tensor:
    """Winsorized or trimmed mean over the first axis, of per-example gradients that were formed.

    In float32 on the CPU by the kernel, which reads them where they lie; else by sorting.

    Parameters
    ----------
    values : tensor of float, shape (batch, n)
        Gradients of each example's own loss with respect to some parameters.
    c, trimmed
        As of `winsorized_linear_gradient`.

    Returns
    -------
    tensor of float, shape (n,)
        At the scale of one example; NaN where a value is not finite.
    """
    if values.dtype != torch.float32 or values.device.type != "cpu" or ready() == "reference":
        return reference.sorted_mean(values, c, trimmed).add_(values.sum(0), alpha=0)
    mean: torch.Tensor = torch.ops.cgpipe.winsorized_values(values, c, trimmed)
    return mean


COSTS = {
    "cpu": "CPU kernel could not be compiled or loaded, so winsorized gradients are taken by sorting: the "
    "same numbers to rounding, in some 30 times the time, and plain SGD by torch, in twice "
    "(docs/performance.md)",
    "cuda": "GPU kernel cannot be used, so winsorized gradients are taken by sorting on the GPU: the same "
    "numbers to rounding, in many times the time",
}
TRITON = (
    "Triton compiles at run time. It takes a C compiler (CC, or else gcc or clang on the PATH; Debian and "
    "Ubuntu: apt install gcc), the headers of this Python (python3-dev), and a folder of its own "
    "(TRITON_CACHE_DIR, or else ~/.triton) that can be written and is not mounted noexec"
)


def serves(c: int, device: str) -> bool:
    """Whether a fused kernel is made for the updates of level c on a device, `cpu` or `cuda`.

    On a GPU, plain SGD (c = 0) is torch's, and where c is large the values are sorted.
    """
    return device == "cpu" or 0 < c <= reference.MOST_LISTED


def ready(device: str = "cpu") -> str:
    """Put an implementation behind the operators of a device.

    Parameters
    ----------
    device : str
        `cpu` or `cuda`.

    Returns
    -------
    str
        Which: the instruction set that the CPU kernel was compiled for, `triton`, or `reference`.

    Warns
    -----
    RuntimeWarning
        Once, if it is the reference.
    """
    if why := missing(device):
        _warn(f"the fused {COSTS[device]}. The reason: {why}")
        return "reference"
    return build.instruction_set() if device == "cpu" else "triton"


@cache
def _warn(message: str) -> None:
    warnings.warn(message, RuntimeWarning, stacklevel=3)


@cache
def missing(device: str) -> str:
    """Why the fused kernel of a device cannot be used, and what to do; empty if it can.

    It is compiled if need be, and tried on a small layer. Where it cannot be used, the sorting reference is
    behind the operators.

    Parameters
    ----------
    device : str
        `cpu` or `cuda`.
    """
    return _missing_on_the_cpu() if device == "cpu" else _missing_on_the_gpu()


def _missing_on_the_cpu() -> str:
    try:
        build.load()
        _try(torch.ops.cgpipe.winsorized_linear_gradient, "cpu")
    except (build.BuildError, ArithmeticError) as error:
        _LIBRARY.impl("winsorized_linear_gradient", _reference_gradient, "CPU")  # type: ignore[no-untyped-call]
        _LIBRARY.impl("winsorized_linear_update_", _reference_update, "CPU")  # type: ignore[no-untyped-call]
        return str(error)
    return ""


def _missing_on_the_gpu() -> str:
    try:
        from cgpipe.kernels import gpu  # noqa: PLC0415 - imports triton

        _try(gpu.winsorized_linear_gradient, "cuda")
    except Exception as error:  # of drivers, compilers and file systems, and all of Triton's own
        reason = " ".join(str(error).split())[:500]
        return f"{type(error).__name__}: {reason}. {TRITON}"
    return ""


def _try(kernel: Callable[..., tuple[torch.Tensor, torch.Tensor]], device: str) -> None:
    """Raise ArithmeticError if a kernel is not right on a small layer."""
    a = torch.arange(180, dtype=torch.float32).mul_(1.7).sin_().relu_().view(9, 20).to(device)
    δ = torch.arange(45, dtype=torch.float32).mul_(2.3).sin_().view(9, 5).to(device)
    for c in (1, 3):
        for gradient, expected in zip(
            kernel(a, δ, c), reference.sorted_linear_gradient(a, δ, c, False), strict=True
        ):
            if not torch.allclose(gradient, expected, rtol=0, atol=1e-5):
                off = float((gradient - expected).abs().max())
                raise ArithmeticError(
                    f"on a small layer with c = {c} it is off by {off:.2g}, so what compiled it is at fault: "
                    "use another compiler, without flags of your own"
                )


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
    weight_gradient, bias_gradient = _reference_gradient(inputs, output_gradients, c, trimmed)
    weight.sub_(weight_gradient, alpha=rate)
    bias.sub_(bias_gradient, alpha=rate)


@torch.library.impl(_LIBRARY, "winsorized_linear_gradient", "CUDA")
def _gpu_gradient(
    inputs: torch.Tensor, output_gradients: torch.Tensor, c: int, trimmed: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    if not serves(c, "cuda") or ready("cuda") == "reference":
        reference.check_count(c, reference.check_layer(inputs, output_gradients))
        return reference.sorted_linear_gradient(inputs, output_gradients, c, trimmed)
    from cgpipe.kernels import gpu  # noqa: PLC0415 - imports triton

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
    if not serves(c, "cuda") or ready("cuda") == "reference":
        reference.check_target(weight, bias, inputs, output_gradients)
        weight_gradient, bias_gradient = _gpu_gradient(inputs, output_gradients, c, trimmed)
        weight.sub_(weight_gradient, alpha=rate)
        bias.sub_(bias_gradient, alpha=rate)
        return
    from cgpipe.kernels import gpu  # noqa: PLC0415 - imports triton

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
