"""One update of any network by a minibatch."""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import torch

from cgpipe.learning.descent import Descent
from cgpipe.learning.finite import NonFiniteError
from cgpipe.learning.rules import Mean
from cgpipe.learning.updates import UpdateRule, subtract
from cgpipe.networks.module import ModuleNetwork
from cgpipe.networks.network import Parameters


class ModuleTrainer:
    """Updates of a `torch.nn.Module` on a dataset that lies on its device.

    Plain SGD takes torch's own gradient, all other rules the per-example gradients, layer by layer.

    Parameters
    ----------
    network : ModuleNetwork
        Changed in place.
    images : tensor of float, shape (example, ...)
        The training set.
    labels : tensor of int, shape (example,)
        Its labels.
    batch_size : int
        Examples in a minibatch.
    rule : UpdateRule
        How the per-example gradients become one direction.
    descent : Descent, optional
        Momentum and weight decay; by default neither.
    """

    def __init__(
        self,
        network: ModuleNetwork,
        images: torch.Tensor,
        labels: torch.Tensor,
        batch_size: int,
        rule: UpdateRule,
        descent: Descent | None = None,
    ) -> None:
        self.network, self.images, self.labels = network, images, labels
        self.rule, self.descent = rule, descent or Descent()
        if not isinstance(rule, Mean):
            network.require_per_example_gradients()

    def step(self, batch: npt.NDArray[np.int64], rate: float) -> None:
        """Make one update.

        Parameters
        ----------
        batch : array of int64, shape (batch_size,)
            Indices of the minibatch.
        rate : float
            Step size, for gradients at the scale of one example.

        Raises
        ------
        NonFiniteError
            If an activation or a gradient is not finite; the network is left as it was.
        """
        index = torch.from_numpy(batch).to(self.images.device)
        images, labels = self.images[index], self.labels[index]
        direction = self._direction(images, labels)

        def along(into: Sequence[Parameters], scale: float) -> None:
            for of, values in zip(into, direction, strict=True):
                subtract(of, values, scale)

        self.descent.step(self.network.parameters(), along, rate)

    def check(self) -> None:
        """Nothing: each step has looked whether it was finite."""

    def _direction(self, images: torch.Tensor, labels: torch.Tensor) -> Sequence[Parameters]:
        """The direction, by layer and parameter, all of it finite."""
        if isinstance(self.rule, Mean):
            # In training mode a forward pass moves what batch normalization saves.
            before = [(values, values.clone()) for values in self.network.module.buffers()]
            direction = self.network.training_gradient(images, labels)
            self._require_finite(_all(direction), images, labels, before)
            return direction
        _, _, layers = self.network.pass_examples(images, labels)
        self._require_finite([layer.δ for layer in layers], images, labels)
        direction = [
            {name: torch.zeros_like(p) for name, p in of.items()} for of in self.network.parameters()
        ]
        self.rule.update(layers, direction, -1)
        self._require_finite(_all(direction), images, labels)
        return direction

    def _require_finite(
        self,
        values: Iterable[torch.Tensor],
        images: torch.Tensor,
        labels: torch.Tensor,
        before: Iterable[tuple[torch.Tensor, torch.Tensor]] = (),
    ) -> None:
        if bool(torch.isfinite(torch.stack([of.sum() for of in values])).all()):
            return
        for buffer, old in before:
            buffer.copy_(old)
        place = self.network.non_finite(images, labels)
        raise NonFiniteError(place or "the gradient of a parameter is not finite")


def _all(direction: Sequence[Parameters]) -> list[torch.Tensor]:
    return [values for of in direction for values in of.values()]
