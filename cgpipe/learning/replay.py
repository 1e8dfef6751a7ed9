"""A run trained on from its snapshots, with the updates that its training made there."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from cgpipe.learning.run import Examples, start_run
from cgpipe.learning.training import packs
from cgpipe.networks.given import NetworkLike, network_of
from cgpipe.networks.network import Network


class ReplayError(ValueError):
    """The updates of a run depend on more than snapshots keep."""


class Replay:
    """The updates of a run, made again: on the same kind of machine with the same bits.

    Parameters
    ----------
    network : Network, torch.nn.Module or sequence of Layer
        The network of the run; its parameters change.
    training : Examples
        What the run was trained on.
    batch_rng : numpy.random.Generator
        The order of the minibatches comes from it, as at the beginning of the run.
    **settings
        batch_size, learning_rate, steps, schedule, momentum, weight_decay, update and c, as of `train`.

    Attributes
    ----------
    network : Network
        After the updates made so far.

    Raises
    ------
    ReplayError
        If momentum or the update rule depends on earlier minibatches, which snapshots do not keep.
    ValueError
        As of `start_run`.

    Examples
    --------
    >>> import numpy as np
    >>> from cgpipe.learning.run import examples
    >>> from cgpipe.networks.dense import initial_layers
    >>> rng = np.random.default_rng(0)
    >>> layers = initial_layers([4, 3], "xavier", rng)
    >>> training = examples(rng.random((10, 4)), np.arange(10) % 3)
    >>> replay = Replay(layers, training, batch_size=5, learning_rate=0.1, update="winsorized_mean", c=0,
    ...     batch_rng=np.random.default_rng(1))
    >>> [len(batch) for _, batch in replay.updates(start=7, snapshot=layers, count=2)]
    [5, 5]
    """

    def __init__(
        self, network: NetworkLike, training: Examples, *, batch_rng: np.random.Generator, **settings: Any
    ) -> None:
        # A copy has memory laid out as in training, which the bits depend on.
        copy = network_of(network, training.images).copy()
        self._run = start_run(
            training, training, network=copy, classes=copy.classes, rng=0, batch_rng=batch_rng, **settings
        )
        momentum = self._run.descent.momentum
        if self._run.rule.state() or momentum:
            of = f"momentum {momentum:g}" if momentum else f"update {settings['update']}"
            raise ReplayError(
                f"{of} depends on earlier minibatches, which snapshots do not keep, so the steps cannot be "
                "made again from a snapshot: give a run of another update rule, without momentum"
            )
        self._beginning = self._run.order.state()
        (self._pack,) = packs([self._run])

    @property
    def network(self) -> Network:
        """The network, after the updates made so far."""
        return self._run.network

    def updates(
        self, start: int, snapshot: NetworkLike, count: int
    ) -> Iterator[tuple[Network, npt.NDArray[np.int64]]]:
        """Make updates from a snapshot on.

        Parameters
        ----------
        start : int
            Updates that had been made at the snapshot.
        snapshot : Network, torch.nn.Module or sequence of Layer
            The network then.
        count : int
            Updates to make. They may go beyond the end of the run.

        Yields
        ------
        network : Network
            As before an update; it changes in place with the update.
        batch : array of int64, shape (batch_size,)
            Indices of the minibatch that the update is by.

        Raises
        ------
        NonFiniteError
            If an activation or a gradient is not finite.
        """
        order = self._run.order
        order.restore(self._beginning)
        for _ in range(start):
            order.next()
        here = order.state()
        batches = [order.next() for _ in range(count)]
        order.restore(here)
        self._run.step = start
        self.network.load(network_of(snapshot, self._run.training.images).state())
        for batch in batches:
            yield self.network, batch
            self._pack.step()
        self._pack.check(self._run)
