"""Ways to make one update of a network, from the one everybody would write to cgpipe's.

Each takes a network to start from, copies it, and gives back a step, called with the indices of a
minibatch, and the parameters that the step changes. A network is a stack of layers or any torch module;
`matrix_products` and `dense_products` take stacks alone. All of them make the same update, to rounding; only
`plain_sgd_eager` clips nothing, and `matrix_products` changes nothing.
"""

import copy
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch.func import functional_call, grad, vmap
from torch.nn.functional import cross_entropy

from cgpipe.learning.rules import update_rule
from cgpipe.learning.training import trainer
from cgpipe.names import UpdateName
from cgpipe.networks.dense import Layer, initial_layers
from cgpipe.networks.given import network_of

RATE = 0.1
Step = Callable[[np.ndarray], None]
Layers = Sequence[Layer] | torch.nn.Module


@dataclass(frozen=True)
class Way:
    """A way to make a step."""

    step: Step
    parameters: list[torch.Tensor]  # weight and bias of each layer, from input to output


class Data:
    """A training set on the CPU."""

    def __init__(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        self.images, self.labels = images, labels

    def batch(self, indices: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Images and labels of a minibatch."""
        at = torch.from_numpy(indices)
        return self.images[at], self.labels[at]


def network(widths: Sequence[int], seed: int = 0) -> list[Layer]:
    """Parameters to start from."""
    return initial_layers(widths, "xavier", np.random.default_rng(seed))


def module(layers: Layers) -> torch.nn.Module:
    """A copy of the network as a torch module."""
    if isinstance(layers, torch.nn.Module):
        return copy.deepcopy(layers)
    parts: list[torch.nn.Module] = []
    for layer in layers:
        linear = torch.nn.Linear(layer.weight.shape[1], layer.weight.shape[0])
        linear.weight.data.copy_(layer.weight)
        linear.bias.data.copy_(layer.bias)
        parts += [linear, torch.nn.ReLU()]
    return torch.nn.Sequential(*parts[:-1])


def plain_sgd_eager(layers: Layers, data: Data, batch: int, c: int) -> Way:
    """Plain SGD as the tutorials have it: autograd and torch.optim.SGD. Clips nothing, whatever c is."""
    model = module(layers)
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)

    def step(indices: np.ndarray) -> None:
        with torch.enable_grad():
            x, y = data.batch(indices)
            optimizer.zero_grad()
            cross_entropy(model(x), y).backward()
            optimizer.step()

    return Way(step, [p.data for p in model.parameters()])


def vmap_topk(layers: Layers, data: Data, batch: int, c: int) -> Way:
    """Per-example gradients by torch.func.vmap, their bounds by topk, then clamp and mean."""
    model = module(layers)
    parameters = {name: p.detach() for name, p in model.named_parameters()}

    def loss(parameters: dict[str, torch.Tensor], x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return cross_entropy(functional_call(model, parameters, (x[None],)), y[None])

    per_example = vmap(grad(loss), in_dims=(None, 0, 0))

    def step(indices: np.ndarray) -> None:
        with torch.enable_grad():
            gradients = per_example(parameters, *data.batch(indices))
        for name, g in gradients.items():
            high = g.topk(c + 1, dim=0).values[-1]
            low = g.topk(c + 1, dim=0, largest=False).values[-1]
            parameters[name].sub_(g.clamp(low, high).mean(0), alpha=RATE)

    return Way(step, list(parameters.values()))


def opacus_sort(layers: Layers, data: Data, batch: int, c: int) -> Way:
    """Per-example gradients by Opacus, formed (`grad_sample`, its mode `hooks`), then sorted.

    Its mode `ghost` forms none and gives norms alone, of no help where each parameter is clipped by itself.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from opacus.grad_sample import GradSampleModule  # noqa: PLC0415 - only here
    model = GradSampleModule(module(layers), loss_reduction="sum")

    def step(indices: np.ndarray) -> None:
        with torch.enable_grad(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Full backward hook is firing")  # as images need no gradient
            x, y = data.batch(indices)
            model.zero_grad()
            cross_entropy(model(x), y, reduction="sum").backward()
        with torch.no_grad():
            for p in model.parameters():
                ordered = p.grad_sample.sort(dim=0).values
                between = ordered[c : batch - c].sum(0) + c * (ordered[c] + ordered[batch - 1 - c])
                p.sub_(between / batch, alpha=RATE)
                p.grad_sample = None

    return Way(step, [p.data for p in model.parameters()])


def cgpipe(layers: Layers, data: Data, batch: int, c: int, update: UpdateName = "winsorized_mean") -> Way:
    """What stage `train` does."""
    network = network_of(layers, data.images).copy()
    made = trainer(network, data.images, data.labels, batch, update_rule(update, c, batch, 0))
    return Way(lambda batch: made.step(batch, RATE), list(network.state().values()))


def matrix_products(layers: Sequence[Layer], data: Data, batch: int, c: int) -> Way:
    """The dense matrix products of the two passes alone; nothing is allocated or updated."""
    widths = [layers[0].weight.shape[1], *(layer.weight.shape[0] for layer in layers)]
    left = [torch.empty(batch, n) for n in widths[1:]]
    below = [torch.empty(batch, n) for n in widths[1:-1]]
    shapes = list(pairwise(widths))

    def step(indices: np.ndarray) -> None:
        x = data.images[:batch]
        for number, layer in enumerate(layers):
            x = torch.mm(x, layer.weight.T, out=left[number])
        for number in range(len(shapes) - 1, 0, -1):
            x = torch.mm(x, layers[number].weight, out=below[number - 1])

    return Way(step, [])


def dense_products(layers: Sequence[Layer], data: Data, batch: int, c: int) -> Way:
    """Those products and the ones that sum the gradients of the weights, no zero left out."""
    passes = matrix_products(layers, data, batch, c).step
    entered = [data.images[:batch], *(torch.rand(batch, layer.weight.shape[1]) for layer in layers[1:])]
    left = [torch.rand(batch, len(layer.bias)) for layer in layers]
    sums = [torch.empty(layer.weight.shape) for layer in layers]

    def step(indices: np.ndarray) -> None:
        passes(indices)
        for a, δ, out in zip(entered, left, sums, strict=True):
            torch.mm(δ.T, a, out=out)

    return Way(step, [])


# In this order they are measured: side by side what is compared most closely.
WAYS = {
    "matrix_products": matrix_products,
    "plain_sgd_eager": plain_sgd_eager,
    "cgpipe": cgpipe,
    "vmap_topk": vmap_topk,
    "opacus_sort": opacus_sort,
}
