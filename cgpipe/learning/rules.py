"""Update rules: how the per-example gradients of a minibatch become one update.

Chatterjee 2020, section 3, for winsorization; Chatterjee and Zielinski 2020, "Weak and Strong Gradient
Directions", for the median of means and related rules; controls.py for what winsorization is compared with.
Each rule's direction is at the scale of one example's gradient, and a step is w ← w - rate · direction.

A new rule is a class with its row in RULES, its name in `cgpipe.names.UpdateName`, and its definition in
tests/learning/test_rules.py.

Index letters: b example.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch

from cgpipe.kernels import operators, reference
from cgpipe.kernels.reference import check_count
from cgpipe.learning.controls import InlierClip, NormClip, RandomDrop, ScaledMean
from cgpipe.learning.private import PrivateSGD
from cgpipe.learning.updates import Fused, UpdateRule, by_parameter, is_matrix, mean, subtract
from cgpipe.names import CLIPPING, UpdateName
from cgpipe.networks.network import Parameters
from cgpipe.networks.per_example.base import LayerGradients


class Mean(UpdateRule):
    """Plain SGD. The gradient goes into the weights by the matrix product that makes it."""

    fused = Fused(0, trimmed=False)

    def update_layer(self, layer: LayerGradients, into: Parameters, rate: float) -> None:
        """Subtract the mean gradient."""
        if not is_matrix(layer):
            subtract(into, layer.sums(), rate / len(layer.δ))
            return
        a, δ = layer.inputs[0], layer.δ
        into["weight"].addmm_(δ.T, a, alpha=-rate / len(a))  # (o, i)
        if "bias" in into:
            into["bias"].sub_(δ.sum(0), alpha=rate / len(a))  # (o,)


class Clipped(UpdateRule):
    """Winsorized or trimmed mean, for each scalar parameter on its own.

    Parameters
    ----------
    c : int
        How many gradients to clip, or to leave out, on each side. Where that is all but the middle it is the
        coordinate-wise median.
    trimmed : bool
        Whether they are left out.
    """

    fused: Fused

    def __init__(self, c: int, *, trimmed: bool = False) -> None:
        self.fused = Fused(c, trimmed)

    def update_layer(self, layer: LayerGradients, into: Parameters, rate: float) -> None:
        """Subtract the clipped mean; of a linear layer by the fused operator."""
        a, δ = layer.inputs[0], layer.δ
        if not is_matrix(layer) or a.dtype != torch.float32:
            super().update_layer(layer, into, rate)
            return
        c, trimmed = self.fused
        if operators.serves(c, a.device.type):
            operators.ready(a.device.type)
        bias = into["bias"] if "bias" in into else δ.new_zeros(δ.shape[1])
        torch.ops.cgpipe.winsorized_linear_update_.default(into["weight"], bias, a, δ, c, rate, trimmed)

    def direction(self, layer: LayerGradients) -> dict[str, torch.Tensor]:
        """The clipped mean; in float64 by sorting."""
        c, trimmed = self.fused
        if not is_matrix(layer):
            return by_parameter(layer, lambda values: operators.winsorized_values(values, c, trimmed=trimmed))
        gradient = operators.winsorized_linear_gradient(layer.inputs[0], layer.δ, c, trimmed=trimmed)
        return dict(zip(layer.parameters, gradient, strict=False))


class MedianOfThreeGroups(UpdateRule):
    """M3: the minibatch in three groups; coordinate-wise median of their mean gradients.

    Sizes differ by one at most; of 100 examples the first 34, the next 33 and the last 33.
    """

    def direction(self, layer: LayerGradients) -> dict[str, torch.Tensor]:
        """The median."""
        examples = torch.arange(len(layer.δ), device=layer.δ.device)
        if len(examples) < 3:
            raise ValueError(f"m3 with a minibatch of {len(examples)}: three groups need at least 3 examples")
        means = [mean(layer.of(group)) for group in examples.tensor_split(3)]
        return {name: _median_of_three(*(of[name] for of in means)) for name in means[0]}


class SignOfSum(UpdateRule):
    """The sign of the mean gradient: 1, 0 or -1 for each parameter."""

    def direction(self, layer: LayerGradients) -> dict[str, torch.Tensor]:
        """The sign."""
        return {name: values.sign_() for name, values in mean(layer).items()}


class SumOfSigns(UpdateRule):
    """The signs of the per-example gradients, averaged: in [-1, 1] for each parameter.

    As a product's sign is the product of the signs, those of a linear layer are not formed.
    """

    def direction(self, layer: LayerGradients) -> dict[str, torch.Tensor]:
        """The mean sign."""
        if not is_matrix(layer):
            return by_parameter(layer, lambda values: values.sign().mean(0))
        gradient = reference.mean_linear_gradient(layer.inputs[0].sign(), layer.δ.sign())
        return dict(zip(layer.parameters, gradient, strict=False))


class LastThreeSteps(UpdateRule):
    """RM3 and RA3: coordinate-wise median, or mean, of this minibatch's mean gradient and the last two.

    No momentum; the first update is made once there are three, so the first two minibatches change nothing.

    Parameters
    ----------
    combined : callable
        The median (RM3) or the mean (RA3), its control, of three tensors.
    """

    def __init__(self, combined: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]) -> None:
        self.combined = combined
        self._held = 0
        self._earlier: list[dict[str, torch.Tensor]] = []  # one and two steps ago, by layer and parameter

    def update(self, layers: Sequence[LayerGradients], into: Sequence[Parameters], rate: float) -> None:
        """Subtract it, and hold the newest gradient in the place of the oldest."""
        to_change = {f"{number}.{name}": p for number, of in enumerate(into) for name, p in of.items()}
        if not self._earlier:
            self._earlier = [{key: torch.zeros_like(p) for key, p in to_change.items()} for _ in range(2)]
        one_ago, two_ago = self._earlier
        for number, layer in enumerate(layers):
            for name, now in mean(layer).items():
                key = f"{number}.{name}"
                if self._held >= 2:
                    to_change[key].sub_(self.combined(now, one_ago[key], two_ago[key]), alpha=rate)
                # In place: a captured step finds them where they were.
                two_ago[key].copy_(one_ago[key])
                one_ago[key].copy_(now)
        self._held = min(2, self._held + 1)

    def state(self) -> dict[str, torch.Tensor]:
        """The last two mean gradients, and how many of them there are."""
        earlier = zip(("one_ago", "two_ago"), self._earlier, strict=False)
        kept = {f"{ago}.{key}": values for ago, of in earlier for key, values in of.items()}
        return {"held": torch.tensor(self._held), **kept}

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Go on from where `state` was taken."""
        if "held" not in state:
            raise ValueError("the state of three steps was not given: restore takes what state returned")
        self._held = int(state["held"])
        kept = [
            {key.removeprefix(ago): values.clone() for key, values in state.items() if key.startswith(ago)}
            for ago in ("one_ago.", "two_ago.")
        ]
        self._earlier = kept if kept[0] else []


def _median_of_three(x: torch.Tensor, y: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    return torch.maximum(torch.minimum(x, y), torch.minimum(torch.maximum(x, y), z))


def _mean_of_three(x: torch.Tensor, y: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    return (x + y + z) / 3


# Each takes c, the size of a minibatch, what it is sampled from, and C and σ of `dp_sgd`.
RULES: dict[UpdateName, Callable[[int, int, np.random.Generator, float, float], UpdateRule]] = {
    "winsorized_mean": lambda c, *_: Clipped(c),
    "trimmed_mean": lambda c, *_: Clipped(c, trimmed=True),
    "median": lambda _, batch_size, *__: Clipped((batch_size - 1) // 2),
    "m3": lambda *_: MedianOfThreeGroups(),
    "rm3": lambda *_: LastThreeSteps(_median_of_three),
    "ra3": lambda *_: LastThreeSteps(_mean_of_three),
    "sign_of_sum": lambda *_: SignOfSum(),
    "sum_of_signs": lambda *_: SumOfSigns(),
    "scaled_mean": lambda c, *_: ScaledMean(c),
    "random_drop": lambda c, _, rng, *__: RandomDrop(c, rng),
    "inlier_clip": lambda c, *_: InlierClip(c),
    "norm_clip": lambda c, batch_size, *_: NormClip(c, batch_size),
    "dp_sgd": lambda _, __, rng, clip_norm, noise: PrivateSGD(clip_norm, noise, rng),
}


def update_rule(
    name: UpdateName,
    c: int,
    batch_size: int,
    rng: np.random.Generator | int | None = None,
    *,
    clip_norm: float | None = None,
    noise_multiplier: float | None = None,
) -> UpdateRule:
    """The rule of a name.

    Parameters
    ----------
    name : str
        As in the settings.
    c : int
        Clipped or left out on each side; 0 is plain SGD. Only the rules in `cgpipe.names.CLIPPING` take
        another.
    batch_size : int
        Examples in a minibatch.
    rng : numpy.random.Generator or int, optional
        What `random_drop` drops and the noise of `dp_sgd` are sampled from a seed that is taken from it; an
        int is a seed itself.
    clip_norm, noise_multiplier : float, optional
        C and σ of `dp_sgd`, which needs both; of no other rule.

    Returns
    -------
    UpdateRule
        Without a state yet.

    Raises
    ------
    ValueError
        If there is no such rule, it takes no c, no C and σ, or needs them, or 2c >= batch_size; for
        `norm_clip` if batch_size is large.

    Examples
    --------
    Three examples whose gradients are 0, 1 and 5. Their median is 1:

    >>> import torch
    >>> from cgpipe.networks.dense import Layer
    >>> from cgpipe.networks.per_example.linear import LinearGradients
    >>> layer = Layer(weight=torch.zeros(1, 1), bias=torch.zeros(1))
    >>> gradients = LinearGradients(layer, (torch.ones(3, 1),), torch.tensor([[0.0], [1.0], [5.0]]))
    >>> update_rule("median", c=0, batch_size=3).update([gradients], [layer._asdict()], rate=0.5)
    >>> layer.weight.item(), layer.bias.item()
    (-0.5, -0.5)
    """
    if name not in RULES:
        raise ValueError(f"there is no update rule {name!r}: give one of {', '.join(RULES)}")
    check_count(c, batch_size)
    if c and name not in CLIPPING:
        raise ValueError(f"{name} with c = {c}: only {', '.join(CLIPPING)} take a c; give c = 0")
    private = {"clip_norm": clip_norm, "noise_multiplier": noise_multiplier}
    if wrong := [key for key, value in private.items() if (value is None) == (name == "dp_sgd")]:
        keys = " and ".join(wrong)
        raise ValueError(
            f"dp_sgd without {keys}: give both, above 0"
            if name == "dp_sgd"
            else f"{keys} with {name}: only dp_sgd takes them"
        )
    if name in CLIPPING and c == 0:
        return Mean()
    return RULES[name](c, batch_size, np.random.default_rng(rng), clip_norm or 0.0, noise_multiplier or 0.0)


def kernel(rule: UpdateRule, device: str) -> str:
    """What makes a rule's updates in float32, or the part of it that a kernel is made for.

    A kernel is compiled if need be.

    Parameters
    ----------
    rule : UpdateRule
        As of `update_rule`.
    device : {"cpu", "cuda"}
        Where the network is.

    Returns
    -------
    str
        The CPU kernel's instruction set, `triton`, `reference` (sorting), or `torch` for torch alone.
    """
    if not rule.served(device):
        return "torch"
    made_by = operators.ready(device)
    return "torch" if rule.fused and rule.fused.c == 0 and made_by == "reference" else made_by
