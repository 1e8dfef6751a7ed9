"""Small networks with data, for tests of what trains and evaluates them."""

import numpy as np
import torch

from cgpipe.networks.dense import Layer, initial_layers
from cgpipe.networks.per_example.linear import LinearGradients


def problem(widths, batch, dtype=torch.float64):
    rng = np.random.default_rng(0)
    layers = [Layer(*(p.to(dtype) for p in layer)) for layer in initial_layers(widths, "xavier", rng)]
    images = torch.from_numpy(rng.uniform(size=(batch, widths[0]))).to(dtype)
    labels = torch.from_numpy(rng.integers(0, widths[-1], batch))
    return layers, images, labels


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
