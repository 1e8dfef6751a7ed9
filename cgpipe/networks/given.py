"""A network, as users may give it."""

from collections.abc import Sequence

import torch

from cgpipe.networks.dense import Layer
from cgpipe.networks.fully_connected import Dense
from cgpipe.networks.module import ModuleNetwork
from cgpipe.networks.network import Network

NetworkLike = Network | torch.nn.Module | Sequence[Layer]


def network_of(given: NetworkLike, images: torch.Tensor) -> Network:
    """A network as the package knows it.

    Parameters
    ----------
    given : Network, torch.nn.Module or sequence of Layer
        A module is copied and checked, see `ModuleNetwork`; a sequence of layers is a fully connected ReLU
        network.
    images : tensor of float, shape (e, ...)
        What it is for.

    Raises
    ------
    RuntimeError
        Within `torch.autocast`, which would take losses and gradients in another type than the network's.
    """
    if torch.is_autocast_enabled(images.device.type):
        raise RuntimeError(
            "torch.autocast is on: losses and gradients are taken in float32, so call without it"
        )
    if isinstance(given, Network):
        return given
    if isinstance(given, torch.nn.Module):
        return ModuleNetwork(given, images.shape[1:], device=images.device)
    return Dense(given)
