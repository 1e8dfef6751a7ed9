"""Small networks with data, for tests of what trains and evaluates them."""

import copy

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from cgpipe.networks.dense import Layer, initial_layers
from cgpipe.networks.module import ModuleNetwork
from cgpipe.networks.per_example.linear import LinearGradients

PRIVATE = {"clip_norm": 0.5, "noise_multiplier": 0.25}


def private(name):
    """What the update rule of a name needs besides c."""
    return PRIVATE if name == "dp_sgd" else {}


def problem(widths, batch, dtype=torch.float64):
    rng = np.random.default_rng(0)
    layers = [Layer(*(p.to(dtype) for p in layer)) for layer in initial_layers(widths, "xavier", rng)]
    images = torch.from_numpy(rng.uniform(size=(batch, widths[0]))).to(dtype)
    labels = torch.from_numpy(rng.integers(0, widths[-1], batch))
    return layers, images, labels


class Temperature(nn.Module):
    """Logits times a parameter that has no axis."""

    def __init__(self):
        super().__init__()
        self.of = nn.Parameter(torch.tensor(1.5))

    def forward(self, x):
        return x * self.of


def conv_problem(examples, dtype=torch.float64, norm=lambda channels: nn.GroupNorm(2, channels), last=()):
    """A small convolutional network, images and labels."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = nn.Sequential(
            *(nn.Conv2d(2, 4, 3, padding=1), norm(4), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(4, 3, 2), nn.Tanh(), nn.Flatten(), nn.Linear(3, 4), *last),
        )
        images, labels = torch.randn(examples, 2, 4, 4, dtype=dtype), torch.arange(examples) % 4
    return ModuleNetwork(module.to(dtype), (2, 4, 4), 4), images, labels


def by_example(network, images, labels):
    """Gradients of single examples by plain autograd in float64, by layer and parameter, (e, ...)."""
    module = copy.deepcopy(network.module).double()
    named = dict(module.named_parameters())
    with torch.enable_grad():
        rows = [
            torch.autograd.grad(cross_entropy(module(x[None]), y[None]), list(named.values()))
            for x, y in zip(images.double(), labels, strict=True)
        ]
    each = dict(zip(named, map(torch.stack, zip(*rows, strict=True)), strict=True))
    return [
        {name: each[f"{layer}.{name}"] for name in of}
        for layer, of in zip(network.layers, network.parameters(), strict=True)
    ]


def flat(by_layer):
    """The gradients of examples at all parameters, or at some layers: (e, parameter)."""
    return torch.cat(
        [values.reshape(len(values), -1) for of in by_layer for values in of.values()], 1
    ).numpy()


def copy_of(layers):
    return [Layer(layer.weight.clone(), layer.bias.clone()) for layer in layers]


def update(rule, layers, inputs, gradients, rate):
    """Update layers, in place, by what entered them and the gradients at their outputs."""
    triples = zip(layers, inputs, gradients, strict=True)
    rule.update(
        [LinearGradients(layer, (a,), δ) for layer, a, δ in triples],
        [layer._asdict() for layer in layers],
        rate,
    )


def fitted(width, dtype, batch=11):
    """One layer, and examples whose label is 10 to 26 above all other logits."""
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.uniform(0.5, 0.6, (batch, width)).astype(np.float32))
    labels = torch.from_numpy(np.arange(batch) % width)
    images[torch.arange(batch), labels] += torch.linspace(1, 2, batch)
    layer = Layer(12 * torch.eye(width), torch.zeros(width))
    return [Layer(*(p.to(dtype) for p in layer))], images.to(dtype), labels


def pixels_of(rng, examples, width, share, signed):
    """Images of which a share is not 0; some without any such pixel, and pixels that are 0 in all of them."""
    values = rng.uniform(-1 if signed else 0.1, 1, (examples, width)).astype(np.float32)
    values[rng.random(values.shape) >= share] = 0
    values[rng.random(examples) < 0.2] = 0
    values[:, rng.random(width) < 0.2] = 0
    return torch.from_numpy(values)
