"""Per-example gradients of a sample of the weights (Chatterjee 2020, section 2.4).

Index letters: e example, o output unit, i input unit, w sampled weight.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr

from cgpipe.gradients.contributions import Floats, contributions, self_terms
from cgpipe.networks.dense import Layer, forward, output_gradients


class WeightSample(NamedTuple):
    """Some weights of a network: sampled weight w is layers[layer[w]].weight[output[w], input[w]]."""

    layer: npt.NDArray[np.int64]  # (w,), from 0 at the input
    output: npt.NDArray[np.int64]  # (w,)
    input: npt.NDArray[np.int64]  # (w,)


def draw_weights(shapes: Sequence[tuple[int, int]], per_layer: int, rng: np.random.Generator) -> WeightSample:
    """Draw the same number of weights of each layer, without replacement; no biases.

    Parameters
    ----------
    shapes : sequence of (int, int)
        (out, in) of each layer's weights.
    per_layer : int
        Weights to draw of each.
    rng : numpy.random.Generator
        Where they are drawn from.

    Returns
    -------
    WeightSample
        Layer by layer; within a layer in ascending order.

    Raises
    ------
    ValueError
        If a layer has fewer weights than are asked for.
    """
    parts = []
    for number, (out, into) in enumerate(shapes):
        if per_layer > out * into:
            raise ValueError(
                f"layer {number + 1} of {len(shapes)} has {out} x {into} = {out * into} weights, "
                f"fewer than the {per_layer} to sample of each: ask for at most {out * into}"
            )
        flat = np.sort(rng.choice(out * into, per_layer, replace=False))
        parts.append((np.full(per_layer, number), *np.unravel_index(flat, (out, into))))
    layer, output, into_ = (np.concatenate(column) for column in zip(*parts, strict=True))
    return WeightSample(layer, output, into_)


def sampled_gradients(
    layers: Sequence[Layer], images: torch.Tensor, labels: torch.Tensor, sample: WeightSample
) -> torch.Tensor:
    """Gradients of each example's own loss with respect to the sampled weights.

    A weight's gradient is δ[e, o] · a[e, i], so only the sampled products are ever formed.

    Parameters
    ----------
    layers : sequence of Layer
        The network.
    images : tensor of float, shape (example, features)
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
    inputs, logits = forward(layers, images)
    δ = output_gradients(layers, inputs, logits, labels)
    parts = []
    for number in range(len(layers)):
        of_layer = sample.layer == number
        output = torch.from_numpy(sample.output[of_layer]).to(images.device)
        input_ = torch.from_numpy(sample.input[of_layer]).to(images.device)
        parts.append(δ[number][:, output] * inputs[number][:, input_])  # (e, w of the layer)
    return torch.cat(parts, dim=1)


@torch.no_grad()
def measure_gradients(
    snapshots: Iterable[tuple[int, Sequence[Layer]]],
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
    snapshots : iterable of (int, sequence of Layer)
        Updates made, and the network then; at least one.
    images : tensor of float, shape (example, features)
        All training examples.
    labels : tensor of int, shape (example,)
        The labels they are trained on.
    pristine : array of bool, shape (example,)
        Whether the label is the true one.
    examples : int
        Examples to sample, without replacement.
    weights : int
        Weights to sample of each layer, without replacement; no biases.
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
        `input` of each weight. Of all draws, over draw, step and drawn_example: `contribution`, ⟨g, g_e⟩, and
        `self_term`, ‖g_e‖², over the sampled weights, sum scale, in nats²; and `drawn_pristine`.

    Raises
    ------
    ValueError
        If more examples or weights are asked for than there are, or no draw.

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
    streams = [rng, *rng.spawn(draws - 1)]
    chosen = np.stack([np.sort(one.choice(len(images), examples, replace=False)) for one in streams])
    index = torch.from_numpy(chosen).to(images.device)  # (draw, e)
    steps: list[int] = []
    first: list[npt.NDArray[np.float32]] = []
    u: list[Floats] = []
    alone: list[Floats] = []
    for step, layers in snapshots:
        if not steps:
            shapes = [(w.shape[0], w.shape[1]) for w, _ in layers]
            samples = [draw_weights(shapes, weights, one) for one in streams]
        steps.append(step)
        of_draws = np.stack(
            [
                sampled_gradients(layers, images[few], labels[few], sample).cpu().numpy()
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
            "output": ("weight", samples[0].output, {"long_name": "output unit of the weight in its layer"}),
            "input": ("weight", samples[0].input, {"long_name": "input unit of the weight in its layer"}),
        },
    )
