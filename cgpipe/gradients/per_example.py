"""Per-example gradients of a sample of the weights (Chatterjee 2020, section 2.4).

Index letters: e example, o output unit, i input unit, w sampled weight.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

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
