"""From the direction of an update to a step: learning rate, schedule, momentum, weight decay."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

from cgpipe.names import Schedule
from cgpipe.networks.network import Parameters

Subtract = Callable[[Sequence[Parameters], float], object]


class Rate(NamedTuple):
    """The learning rate of each update."""

    learning_rate: float  # of the first
    schedule: Schedule = "constant"
    steps: int = 0  # of the whole run; unused where it is constant

    def at(self, step: int) -> float:
        """The rate of the update after so many.

        Examples
        --------
        >>> [Rate(0.8, "cosine", 4).at(step) for step in range(4)][::2]
        [0.8, 0.4]
        >>> [round(Rate(0.8, "step", 8).at(step), 3) for step in (3, 4, 6)]
        [0.8, 0.08, 0.008]
        """
        if self.schedule == "cosine":
            return self.learning_rate * (1 + math.cos(math.pi * step / self.steps)) / 2
        if self.schedule == "step":  # at the half and at three quarters
            return self.learning_rate * 0.1 ** ((2 * step >= self.steps) + (4 * step >= 3 * self.steps))
        return self.learning_rate


class Descent:
    """Steps of SGD: v ← momentum · v + direction + weight_decay · w, then w ← w - rate · v.

    Parameters
    ----------
    momentum : float
        From 0 up to, not including, 1.
    weight_decay : float
        At least 0; of all parameters.
    """

    def __init__(self, momentum: float = 0.0, weight_decay: float = 0.0) -> None:
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum {momentum}: give at least 0 and less than 1")
        if not weight_decay >= 0:
            raise ValueError(f"weight decay {weight_decay}: give at least 0")
        self.momentum, self.weight_decay = momentum, weight_decay
        self._velocity: list[dict[str, torch.Tensor]] = []

    @property
    def plain(self) -> bool:
        """Whether a step is w ← w - rate · direction."""
        return not (self.momentum or self.weight_decay)

    def step(self, parameters: Sequence[Parameters], subtract: Subtract, rate: float) -> None:
        """Make a step, in place.

        Parameters
        ----------
        parameters : sequence of mappings from str to tensor
            The network's, by layer.
        subtract : callable
            Subtracts the direction, times a number, from values for all parameters.
        rate : float
            The learning rate.
        """
        if self.plain:
            subtract(parameters, rate)
            return
        if not self._velocity:
            self._velocity = [{name: torch.zeros_like(p) for name, p in of.items()} for of in parameters]
        pairs = [
            (v[name], p) for v, of in zip(self._velocity, parameters, strict=True) for name, p in of.items()
        ]
        for v, p in pairs:
            v.mul_(self.momentum).add_(p, alpha=self.weight_decay)
        subtract(self._velocity, -1)
        for v, p in pairs:
            p.sub_(v, alpha=rate)

    def state(self) -> dict[str, torch.Tensor]:
        """The velocities that the next step depends on, live, by layer and parameter."""
        if not self.momentum:
            return {}
        return {f"{number}.{name}": v for number, of in enumerate(self._velocity) for name, v in of.items()}

    def restore(self, state: dict[str, torch.Tensor], parameters: Sequence[Parameters]) -> None:
        """Go on from where `state` was taken, in a network of these parameters."""
        self._velocity = (
            [{name: state[f"{number}.{name}"].clone() for name in of} for number, of in enumerate(parameters)]
            if state
            else []
        )
