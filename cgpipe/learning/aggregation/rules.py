"""Update rules: how the per-example gradients of a minibatch become one update.

Chatterjee 2020, section 3, for winsorization; Chatterjee and Zielinski 2020, "Weak and Strong Gradient
Directions", for the median of means and its kin. Each rule's direction is at the scale of one example's
gradient, and a step is w ← w - rate · direction.

Index letters: b example, o output unit, i input unit.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple, get_args

import torch

from cgpipe.learning.aggregation import operators
from cgpipe.learning.aggregation.reference import check_count, mean_linear_gradient
from cgpipe.names import UpdateName
from cgpipe.networks.dense import Layer


class Fused(NamedTuple):
    """What `torch.ops.cgpipe.sgd_step_` needs to know to make a rule's update."""

    c: int
    trimmed: bool


class UpdateRule(ABC):
    """One way to update."""

    fused: Fused | None = None  # None: it cannot make this one

    @abstractmethod
    def update(
        self,
        layers: Sequence[Layer],
        inputs: Sequence[torch.Tensor],
        output_gradients: Sequence[torch.Tensor],
        rate: float,
    ) -> None:
        """Change the network, in place.

        Parameters
        ----------
        layers : sequence of Layer
            The network.
        inputs : sequence of tensors, shapes (batch, in)
            What entered each layer.
        output_gradients : sequence of tensors, shapes (batch, out)
            Gradient of the summed loss at the output of each layer.
        rate : float
            Step size.
        """

    def state(self) -> dict[str, torch.Tensor]:
        """What the next update depends on beside the minibatch; live tensors, by name."""
        return {}

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Go on from where `state` was taken.

        Raises
        ------
        ValueError
            If this rule has no such state.
        """
        if state:
            raise ValueError(f"{type(self).__name__} keeps no state, and was given {sorted(state)}")


class Mean(UpdateRule):
    """Plain SGD. The gradient goes into the weights by the matrix product that makes it."""

    fused = Fused(0, trimmed=False)

    def update(
        self,
        layers: Sequence[Layer],
        inputs: Sequence[torch.Tensor],
        output_gradients: Sequence[torch.Tensor],
        rate: float,
    ) -> None:
        """Subtract the mean gradient."""
        for layer, a, δ in zip(layers, inputs, output_gradients, strict=True):
            layer.weight.addmm_(δ.T, a, alpha=-rate / len(a))
            layer.bias.sub_(δ.sum(0), alpha=rate / len(a))


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

    def update(
        self,
        layers: Sequence[Layer],
        inputs: Sequence[torch.Tensor],
        output_gradients: Sequence[torch.Tensor],
        rate: float,
    ) -> None:
        """Subtract it by the fused operator, or, in another precision than float32, by sorting."""
        c, trimmed = self.fused
        for layer, a, δ in zip(layers, inputs, output_gradients, strict=True):
            if a.dtype == torch.float32:
                if operators.serves(c, a.device.type):
                    operators.ready(a.device.type)
                torch.ops.cgpipe.winsorized_linear_update_.default(
                    layer.weight, layer.bias, a, δ, c, rate, trimmed
                )
            else:
                gradients = operators.winsorized_linear_gradient(a, δ, c, trimmed=trimmed)
                _subtract(layer, *gradients, rate)


class MedianOfThree(UpdateRule):
    """M3: the minibatch in three groups; coordinate-wise median of their mean gradients.

    Sizes differ by one at most; of 100 examples the first 34, the next 33 and the last 33.
    """

    def update(
        self,
        layers: Sequence[Layer],
        inputs: Sequence[torch.Tensor],
        output_gradients: Sequence[torch.Tensor],
        rate: float,
    ) -> None:
        """Subtract the median."""
        if len(inputs[0]) < 3:
            raise ValueError(
                f"m3 with a minibatch of {len(inputs[0])}: three groups need at least 3 examples"
            )
        for layer, a, δ in zip(layers, inputs, output_gradients, strict=True):
            groups = [
                mean_linear_gradient(*group)
                for group in zip(a.tensor_split(3), δ.tensor_split(3), strict=True)
            ]
            weight, bias = (_median_of_three(*three) for three in zip(*groups, strict=True))
            _subtract(layer, weight, bias, rate)


class OfThreeSteps(UpdateRule):
    """RM3 and RA3: coordinate-wise median, or mean, of this minibatch's mean gradient and the last two.

    No momentum; the first update is made when three are held, so two minibatches are only looked at.

    Parameters
    ----------
    median : bool
        The median (RM3) or the mean (RA3), its control.
    """

    def __init__(self, *, median: bool) -> None:
        self.median = median
        self._held = 0
        self._earlier: list[list[tuple[torch.Tensor, torch.Tensor]]] = []  # (one and two steps ago, layer)

    def update(
        self,
        layers: Sequence[Layer],
        inputs: Sequence[torch.Tensor],
        output_gradients: Sequence[torch.Tensor],
        rate: float,
    ) -> None:
        """Subtract it, and hold the newest gradient in the place of the oldest."""
        if not self._earlier:
            self._earlier = [
                [(torch.zeros_like(w), torch.zeros_like(b)) for w, b in layers] for _ in range(2)
            ]
        for number, (layer, a, δ) in enumerate(zip(layers, inputs, output_gradients, strict=True)):
            of_layer = mean_linear_gradient(a, δ), self._earlier[0][number], self._earlier[1][number]
            if self._held >= 2:
                combine = _median_of_three if self.median else _mean_of_three
                weight, bias = (combine(*three) for three in zip(*of_layer, strict=True))
                _subtract(layer, weight, bias, rate)
            # In place: a captured step finds them where they were.
            now, before, long_before = of_layer
            for kind in range(2):
                long_before[kind].copy_(before[kind])
                before[kind].copy_(now[kind])
        self._held = min(2, self._held + 1)

    def state(self) -> dict[str, torch.Tensor]:
        """The last two mean gradients, and how many of them there are."""
        named = {"held": torch.tensor(self._held)}
        for ago, gradients in enumerate(self._earlier, start=1):
            for number, (weight, bias) in enumerate(gradients):
                named |= {f"weight.{number}.{ago}_ago": weight, f"bias.{number}.{ago}_ago": bias}
        return named

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Go on from where `state` was taken."""
        if "held" not in state:
            raise ValueError("the state of three steps was not given: restore takes what state returned")
        self._held = int(state["held"])
        depth = (len(state) - 1) // 4
        self._earlier = [
            [
                (state[f"weight.{number}.{ago}_ago"].clone(), state[f"bias.{number}.{ago}_ago"].clone())
                for number in range(depth)
            ]
            for ago in ((1, 2) if depth else ())
        ]


class SignOfSum(UpdateRule):
    """The sign of the mean gradient: 1, 0 or -1 for each parameter."""

    def update(
        self,
        layers: Sequence[Layer],
        inputs: Sequence[torch.Tensor],
        output_gradients: Sequence[torch.Tensor],
        rate: float,
    ) -> None:
        """Subtract it."""
        for layer, a, δ in zip(layers, inputs, output_gradients, strict=True):
            weight, bias = mean_linear_gradient(a, δ)
            _subtract(layer, weight.sign_(), bias.sign_(), rate)


class SumOfSigns(UpdateRule):
    """The signs of the per-example gradients, averaged: in [-1, 1] for each parameter.

    As a product's sign is the product of the signs, none of them is formed.
    """

    def update(
        self,
        layers: Sequence[Layer],
        inputs: Sequence[torch.Tensor],
        output_gradients: Sequence[torch.Tensor],
        rate: float,
    ) -> None:
        """Subtract it."""
        for layer, a, δ in zip(layers, inputs, output_gradients, strict=True):
            _subtract(layer, *mean_linear_gradient(a.sign(), δ.sign()), rate)


def update_rule(name: UpdateName, c: int, batch_size: int) -> UpdateRule:
    """The rule of a name.

    Parameters
    ----------
    name : str
        As in the settings.
    c : int
        Clipped or left out on each side; 0 is plain SGD. Only winsorized and trimmed mean take another.
    batch_size : int
        Examples in a minibatch.

    Returns
    -------
    UpdateRule
        Without a state yet.

    Raises
    ------
    ValueError
        If there is no such rule, it takes no c, or 2c >= batch_size.
    """
    if name not in get_args(UpdateName):
        raise ValueError(f"there is no update rule {name!r}: give one of {', '.join(get_args(UpdateName))}")
    check_count(c, batch_size)
    if name in ("winsorized_mean", "trimmed_mean"):
        return Clipped(c, trimmed=name == "trimmed_mean") if c else Mean()
    if c:
        raise ValueError(f"{name} with c = {c}: only winsorized_mean and trimmed_mean clip; give c = 0")
    match name:
        case "median":
            return Clipped((batch_size - 1) // 2)
        case "m3":
            return MedianOfThree()
        case "rm3":
            return OfThreeSteps(median=True)
        case "ra3":
            return OfThreeSteps(median=False)
        case "sign_of_sum":
            return SignOfSum()
    return SumOfSigns()


def _subtract(layer: Layer, weight_gradient: torch.Tensor, bias_gradient: torch.Tensor, rate: float) -> None:
    layer.weight.sub_(weight_gradient, alpha=rate)
    layer.bias.sub_(bias_gradient, alpha=rate)


def _median_of_three(x: torch.Tensor, y: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    return torch.maximum(torch.minimum(x, y), torch.minimum(torch.maximum(x, y), z))


def _mean_of_three(x: torch.Tensor, y: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    return (x + y + z) / 3
