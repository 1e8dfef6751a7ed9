"""Per-example gradients of a sample of the weights (Chatterjee 2020, section 2.4).

Index letters: e example, o output unit, i input unit, w sampled weight.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr

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
    rng: np.random.Generator,
) -> xr.Dataset:
    """Gradients of sampled examples with respect to sampled weights, over a training run.

    One sample serves all steps.

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
    rng : numpy.random.Generator
        Samples the examples, then the weights.

    Returns
    -------
    Dataset
        `gradient`, float32, dimensions step, example, weight, in nats: of each example's own loss, so that
        the sum over the examples is the gradient of the summed loss; and `pristine` of the examples.
        Coordinates: `example`, the index of the training example, ascending; `layer`, `output` and `input`
        of each weight.

    Raises
    ------
    ValueError
        If more examples or weights are asked for than there are.

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
    if examples > len(images):
        raise ValueError(f"{examples} examples to sample of {len(images)}: ask for at most {len(images)}")
    chosen = np.sort(rng.choice(len(images), examples, replace=False))
    index = torch.from_numpy(chosen).to(images.device)
    x, y = images[index], labels[index]
    steps: list[int] = []
    values: list[npt.NDArray[np.float32]] = []
    for step, layers in snapshots:
        if not steps:
            sample = draw_weights([(w.shape[0], w.shape[1]) for w, _ in layers], weights, rng)
        steps.append(step)
        values.append(sampled_gradients(layers, x, y, sample).cpu().numpy().astype(np.float32, copy=False))
    gradient = "gradient of the example's own loss with respect to the weight, nats"
    is_pristine = "whether the class to train on is the true one"
    dims = ("step", "example", "weight")
    return xr.Dataset(
        {
            "gradient": (dims, np.stack(values), {"long_name": gradient, "units": "1"}),
            "pristine": ("example", pristine[chosen], {"long_name": is_pristine}),
        },
        coords={
            "step": ("step", steps, {"long_name": "updates made", "units": "1"}),
            "example": ("example", chosen, {"long_name": "index of the training example"}),
            "layer": ("weight", sample.layer, {"long_name": "layer of the weight, from 0 at the input"}),
            "output": ("weight", sample.output, {"long_name": "output unit of the weight in its layer"}),
            "input": ("weight", sample.input, {"long_name": "input unit of the weight in its layer"}),
        },
    )
