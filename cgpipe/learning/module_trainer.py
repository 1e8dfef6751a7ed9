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
        parameters = self.network.parameters()
        if isinstance(self.rule, Mean):
            gradient = self.network.training_gradient(images, labels)
            self._require_finite(gradient[0].values(), images, labels)

            def along(into: Sequence[Parameters], scale: float) -> None:
                for of, g in zip(into, gradient, strict=True):
                    subtract(of, g, scale)
        else:
            _, _, layers = self.network.pass_examples(images, labels)
            self._require_finite([layers[0].δ], images, labels)

            def along(into: Sequence[Parameters], scale: float) -> None:
                self.rule.update(layers, into, scale)

        self.descent.step(parameters, along, rate)

    def check(self) -> None:
        """Nothing: each step has looked whether it was finite."""

    def _require_finite(
        self, values: Iterable[torch.Tensor], images: torch.Tensor, labels: torch.Tensor
    ) -> None:
        # What is not finite anywhere reaches the first layer on the way back.
        if not all(bool(torch.isfinite(of.sum())) for of in values):
            raise NonFiniteError(self.network.non_finite(images, labels))
