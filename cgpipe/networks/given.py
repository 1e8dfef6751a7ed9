"""A network, as users may give it."""

from collections.abc import Sequence

import torch

from cgpipe.networks.dense import Layer
from cgpipe.networks.fully_connected import Dense
from cgpipe.networks.network import Network

NetworkLike = Network | torch.nn.Module | Sequence[Layer]


def network_of(given: NetworkLike) -> Network:
    """A network as the package knows it.

    Parameters
    ----------
    given : Network, torch.nn.Module or sequence of Layer
        A module is copied; a sequence of layers is a fully connected ReLU network.
    """
    if isinstance(given, Network):
        return given
    if isinstance(given, torch.nn.Module):
        from cgpipe.networks.module import ModuleNetwork  # noqa: PLC0415 -

        return ModuleNetwork(given)
    return Dense(given)
