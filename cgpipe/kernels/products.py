"""Products with what enters a linear layer, without its zeros: of MNIST, four of five pixels.

Index letters: e example, o output unit, i input unit.
"""

import torch

from cgpipe.kernels import operators


def linear(a: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """What a linear layer makes of each example, a Wᵀ + b.

    Zeros are left out in float32 on the CPU, if most values are 0 and the weights lie input by input.

    Parameters
    ----------
    a : tensor of float, shape (e, i)
        What enters the layer.
    weight : tensor of float, shape (o, i)
        W.
    bias : tensor of float, shape (o,)
        b.

    Returns
    -------
    tensor of float, shape (e, o)
        What leaves it, before a ReLU.
    """
    if a.device.type != "cpu" or a.dtype != torch.float32 or operators.missing("cpu"):
        return torch.addmm(bias, a, weight.T)
    left: torch.Tensor = torch.ops.cgpipe.first_layer(a, weight, bias, False)
    return left


def outer_sum(a: torch.Tensor, δ: torch.Tensor) -> torch.Tensor:
    """Σ_e a_e δ_eᵀ, the summed gradient of a layer's weights, input by input.

    Parameters
    ----------
    a : tensor of float, shape (e, i)
        What entered the layer.
    δ : tensor of float, shape (e, o)
        Gradients at its output.

    Returns
    -------
    tensor of float, shape (i, o)
        At the scale of a sum.
    """
    return linear(a.T.contiguous(), δ.T, δ.new_zeros(δ.shape[1]))
