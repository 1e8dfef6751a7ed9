"""The numbers of Opacus and BackPACK for the layers that they serve."""

import pytest
import torch
from layer_loop import check, problem
from torch import nn

from cgpipe.networks.per_example.registry import layer_gradients

LAYERS = {
    "linear": lambda: (nn.Linear(4, 3), torch.randn(5, 4)),
    "linear with positions": lambda: (nn.Linear(4, 3), torch.randn(5, 2, 4)),
    "convolution": lambda: (
        nn.Conv2d(3, 4, (3, 2), stride=2, padding=1, dilation=(1, 2)),
        torch.randn(5, 3, 9, 8),
    ),
    "convolution of one dimension": lambda: (nn.Conv1d(3, 4, 3, padding=1), torch.randn(5, 3, 9)),
    "convolution in groups": lambda: (nn.Conv2d(4, 6, 3, groups=2), torch.randn(5, 4, 6, 6)),
    "embedding": lambda: (nn.Embedding(6, 3), torch.randint(6, (5, 4))),
    "group norm": lambda: (nn.GroupNorm(2, 4), torch.randn(5, 4, 3, 3)),
    "layer norm": lambda: (nn.LayerNorm(4), torch.randn(5, 3, 4)),
}
# BackPACK knows no GroupNorm and no LayerNorm.
OF_BACKPACK = [name for name in LAYERS if "norm" not in name]

pytestmark = pytest.mark.filterwarnings("ignore")  # theirs


def drawn(name):
    torch.manual_seed(0)
    module, a = LAYERS[name]()
    return problem(module, (a,), dtype=torch.float32)


@pytest.mark.parametrize("name", LAYERS)
def test_opacus(name):
    import opacus

    module, inputs, δ = drawn(name)
    (opacus.GradSampleModule(module, loss_reduction="sum")(*inputs) * δ).sum().backward()
    theirs = {name: p.grad_sample.double() for name, p in module.named_parameters()}
    check(layer_gradients(module, inputs, δ), theirs, tolerance=1e-5, least=9)


@pytest.mark.parametrize("name", OF_BACKPACK)
def test_backpack(name):
    import backpack
    from backpack.extensions import BatchGrad

    module, inputs, _ = drawn(name)
    layers = [backpack.extend(of) for of in (module, nn.Flatten(), nn.MSELoss(reduction="sum"))]
    left = layers[0](*inputs)
    flat = layers[1](left)
    with backpack.backpack(BatchGrad()):
        layers[2](flat, torch.zeros_like(flat)).backward()
    theirs = {name: p.grad_batch.double() for name, p in module.named_parameters()}
    check(layer_gradients(module, inputs, 2 * left), theirs, tolerance=1e-5, least=9)
