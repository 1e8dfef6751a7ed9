"""A run trained on from its snapshots, with the updates that its training made there."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from cgpipe.learning.run import Examples, start_run
from cgpipe.learning.training import packs
from cgpipe.names import UpdateName
from cgpipe.networks.dense import Layer


class Replay:
    """The updates of a run, made again: on the same kind of machine with the same bits.

    Parameters
    ----------
    layers : sequence of Layer
        A snapshot of the run: its shapes.
    training : Examples
        What the run was trained on.
    batch_size, learning_rate, update, c
        As of `train`.
    batch_rng : numpy.random.Generator
        The order of the minibatches comes from it, as at the beginning of the run.

    Attributes
    ----------
    layers : list of Layer
        The network, after the updates made so far.

    Raises
    ------
    ValueError
        If the update rule depends on earlier minibatches, which snapshots do not keep, or as of `start_run`.

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
        self,
        layers: Sequence[Layer],
        training: Examples,
        *,
        batch_size: int,
        learning_rate: float,
        update: UpdateName,
        c: int,
        batch_rng: np.random.Generator,
    ) -> None:
        *hidden, classes = (len(layer.bias) for layer in layers)
        # Its initial weights are replaced; it has memory laid out as in training, which the bits depend on.
        self._run = start_run(
            training,
            training,
            hidden=hidden,
            batch_size=batch_size,
            learning_rate=learning_rate,
            update=update,
            c=c,
            classes=classes,
            rng=0,
            batch_rng=batch_rng,
        )
        if self._run.rule.state():
            raise ValueError(
                f"update {update} depends on earlier minibatches, which snapshots do not keep, so its steps "
                "cannot be made again from a snapshot: give a run of another update rule"
            )
        self._beginning = self._run.order.state()
        (self._pack,) = packs([self._run])

    @property
    def layers(self) -> list[Layer]:
        """The network, after the updates made so far."""
        return self._run.layers

    def updates(
        self, start: int, snapshot: Sequence[Layer], count: int
    ) -> Iterator[tuple[list[Layer], npt.NDArray[np.int64]]]:
        """Make updates from a snapshot on.

        Parameters
        ----------
        start : int
            Updates that had been made at the snapshot.
        snapshot : sequence of Layer
            The network then.
        count : int
            Updates to make. They may go beyond the end of the run.

        Yields
        ------
        layers : list of Layer
            The network before an update; it changes in place with the update.
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
        for layer, kept in zip(self.layers, snapshot, strict=True):
            layer.weight.copy_(kept.weight)
            layer.bias.copy_(kept.bias)
        for batch in batches:
            yield self.layers, batch
            self._pack.step()
        self._pack.check(self._run)
