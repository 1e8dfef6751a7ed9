"""Per-example gradients of a sample of the weights (Chatterjee 2020, section 2.4).

Index letters: e example, w sampled weight.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr

from cgpipe.gradients.contributions import Floats, contributions, mask, self_terms
from cgpipe.networks.given import NetworkLike, network_of


class WeightSample(NamedTuple):
    """Some weights of a network: w is weight `input[w]` of unit `output[w]` of the layer `layer[w]`.

    A unit of a convolution is an output channel, its weights are those of its window in all input channels.
    """

    layer: npt.NDArray[np.int64]  # (w,), among all that have parameters, from 0 at the input
    output: npt.NDArray[np.int64]  # (w,)
    input: npt.NDArray[np.int64]  # (w,)


def draw_weights(
    shapes: Sequence[Sequence[int] | None], per_layer: int, rng: np.random.Generator
) -> WeightSample:
    """Draw the same number of weights of each layer, without replacement; no biases.

    Parameters
    ----------
    shapes : sequence of (int, int, ...) or None
        Of each layer's weights, (out, in) or (out, in, rows, columns); None of a layer without.
    per_layer : int
        Weights to draw of each; of a layer that has fewer, all.
    rng : numpy.random.Generator
        Where they are drawn from.

    Returns
    -------
    WeightSample
        Layer by layer; within a layer in ascending order.

    Raises
    ------
    ValueError
        If no layer has weights.
    """
    parts = []
    for number, shape in enumerate(shapes):
        if shape is None:
            continue
        out, into = shape[0], math.prod(shape[1:])
        flat = np.sort(rng.choice(out * into, min(per_layer, out * into), replace=False))
        parts.append((np.full(len(flat), number), *np.unravel_index(flat, (out, into))))
    if not parts:
        raise ValueError(
            "no layer has a parameter `weight` that is a matrix or more, which weights could be sampled of"
        )
    layer, output, into_ = (np.concatenate(column) for column in zip(*parts, strict=True))
    return WeightSample(layer, output, into_)


def weights_of(parameters: Mapping[str, torch.Tensor]) -> torch.Tensor | None:
    """The weights of a layer, a matrix or more; None of one that scales and shifts, such as a norm."""
    weight = parameters.get("weight")
    return weight if weight is not None and weight.ndim > 1 else None


def sampled_gradients(
    network: NetworkLike, images: torch.Tensor, labels: torch.Tensor, sample: WeightSample
) -> torch.Tensor:
    """Gradients of each example's own loss with respect to the sampled weights.

    Parameters
    ----------
    network : Network, torch.nn.Module or sequence of Layer
        The network.
    images : tensor of float, shape (example, ...)
        The examples.
    labels : tensor of int, shape (example,)
        The labels they are trained on.
    sample : WeightSample
        Which weights.

    Returns
    -------
    tensor of float, shape (example, weight)
        At the scale of one example: summed over the examples it is the gradient of the summed loss.
    """
    found = []
    for _, _, layers in network_of(network, images).passes(images, labels):
        parts = []
        for number, layer in enumerate(layers):
            of_layer = sample.layer == number
            if of_layer.any():
                inputs = math.prod(layer.parameters["weight"].shape[1:])
                flat = sample.output[of_layer] * inputs + sample.input[of_layer]
                parts.append(layer.sampled("weight", torch.from_numpy(flat).to(images.device)))
        found.append(torch.cat(parts, dim=1))
    return torch.cat(found)


@torch.no_grad()
def measure_gradients(
    snapshots: Iterable[tuple[int, NetworkLike]],
    images: torch.Tensor,
    labels: torch.Tensor,
    pristine: npt.NDArray[np.bool_],
    *,
    examples: int,
    weights: int,
    draws: int = 1,
    rng: np.random.Generator,
) -> xr.Dataset:
    """Gradients of sampled examples with respect to sampled weights, over a training run.

    One sample serves all steps. Of further samples, which show by how much chance moves what is taken from
    one, the contributions are kept.

    Parameters
    ----------
    snapshots : iterable of (int, network)
        Updates made, and the network then; at least one.
    images : tensor of float, shape (example, ...)
        All training examples.
    labels : tensor of int, shape (example,)
        The labels they are trained on.
    pristine : array of bool, shape (example,)
        Whether the label is the true one.
    examples : int
        Examples to sample, without replacement.
    weights : int
        Weights to sample of each layer that has a matrix of them or more, without replacement, all of a layer
        that has fewer; no biases.
    draws : int
        Samples to draw, of examples and weights, at least 1.
    rng : numpy.random.Generator
        Samples the examples, then the weights; its children do so for the further draws.

    Returns
    -------
    Dataset
        Of the first draw `gradient`, float32, dimensions step, example, weight, in nats: of each example's
        own loss, so that the sum over the examples is the gradient of the summed loss; and `pristine` of the
        examples. Coordinates: `example`, the index of the training example, ascending; `layer`, `output` and
        `input` of each weight, and `layer_name`. Of all draws, over draw, step and drawn_example:
        `contribution`, ⟨g, g_e⟩, and `self_term`, ‖g_e‖², over the sampled weights, sum scale, in nats²; and
        `drawn_pristine`.

    Raises
    ------
    ValueError
        If more examples are asked for than there are, or no draw.

    Examples
    --------
    >>> import numpy as np
    >>> from cgpipe.networks.dense import initial_layers
    >>> rng = np.random.default_rng(0)
    >>> layers = initial_layers([5, 4, 3], "xavier", rng)
    >>> images, labels = torch.rand(20, 5), torch.arange(20) % 3
    >>> pristine = np.arange(20) < 10
    >>> sample = measure_gradients(
    ...     [(0, layers)], images, labels, pristine, examples=6, weights=8, rng=rng
    ... )
    >>> dict(sample["gradient"].sizes)
    {'step': 1, 'example': 6, 'weight': 16}
    """
    if draws < 1:
        raise ValueError(f"{draws} draws: ask for at least 1")
    if examples > len(images):
        raise ValueError(f"{examples} examples to sample of {len(images)}: ask for at most {len(images)}")
    pristine = mask(pristine, len(images))
    streams = [rng, *rng.spawn(draws - 1)]
    chosen = np.stack([np.sort(one.choice(len(images), examples, replace=False)) for one in streams])
    index = torch.from_numpy(chosen).to(images.device)  # (draw, e)
    steps: list[int] = []
    first: list[npt.NDArray[np.float32]] = []
    u: list[Floats] = []
    alone: list[Floats] = []
    for step, given in snapshots:
        network = network_of(given, images)
        if not steps:
            weighted = [weights_of(of) for of in network.parameters()]
            shapes = [None if weight is None else weight.shape for weight in weighted]
            samples = [draw_weights(shapes, weights, one) for one in streams]
        steps.append(step)
        of_draws = np.stack(
            [
                sampled_gradients(network, images[few], labels[few], sample).cpu().numpy()
                for few, sample in zip(index, samples, strict=True)
            ]
        )  # (draw, e, w)
        first.append(of_draws[0].astype(np.float32))
        u.append(contributions(of_draws))
        alone.append(self_terms(of_draws))
    gradient = "gradient of the example's own loss with respect to the weight, nats"
    is_pristine = "whether the class to train on is the true one"
    product = "inner product of the example's gradient with the sum of those of its draw, nats²"
    drawn = ("draw", "step", "drawn_example")
    in_order = {
        "contribution": (u, product),
        "self_term": (alone, "squared norm of the example's gradient, nats²"),
    }
    return xr.Dataset(
        {
            "gradient": (
                ("step", "example", "weight"),
                np.stack(first),
                {"long_name": gradient, "units": "1"},
            ),
            "pristine": ("example", pristine[chosen[0]], {"long_name": is_pristine}),
            **{
                name: (drawn, np.stack(values, axis=1), {"long_name": meaning, "units": "1"})
                for name, (values, meaning) in in_order.items()
            },
            "drawn_pristine": (("draw", "drawn_example"), pristine[chosen], {"long_name": is_pristine}),
        },
        coords={
            "step": ("step", steps, {"long_name": "updates made", "units": "1"}),
            "example": ("example", chosen[0], {"long_name": "index of the training example"}),
            "draw": ("draw", np.arange(draws), {"long_name": "draw of examples and weights"}),
            "layer": ("weight", samples[0].layer, {"long_name": "layer of the weight, from 0 at the input"}),
            "layer_name": ("weight", np.array(network.layers)[samples[0].layer], {"long_name": "its name"}),
            "output": ("weight", samples[0].output, {"long_name": "output unit of the weight in its layer"}),
            "input": ("weight", samples[0].input, {"long_name": "input unit of the weight in its layer"}),
        },
    )
