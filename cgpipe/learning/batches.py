"""The order of the minibatches."""

from typing import Any

import numpy as np
import numpy.typing as npt


class BatchOrder:
    """Minibatches without replacement: a fresh permutation of the examples for each epoch.

    Examples left over at the end of an epoch, fewer than a minibatch, wait for the next one.

    Parameters
    ----------
    examples : int
        Size of the training set.
    batch_size : int
        Examples in a minibatch.
    rng : numpy.random.Generator
        Where the permutations come from.

    Raises
    ------
    ValueError
        If an epoch cannot fill a minibatch.

    Examples
    --------
    >>> import numpy as np
    >>> order = BatchOrder(examples=5, batch_size=2, rng=np.random.default_rng(0))
    >>> first, second = order.next(), order.next()
    >>> len(set(first) | set(second))  # one of five is left over
    4
    >>> state = order.state()
    >>> third = order.next()
    >>> order.restore(state)
    >>> bool((order.next() == third).all())
    True
    """

    def __init__(self, examples: int, batch_size: int, rng: np.random.Generator) -> None:
        if not 0 < batch_size <= examples:
            raise ValueError(
                f"batch size {batch_size} with {examples} training examples: "
                f"give a batch size of 1 to {examples}"
            )
        self.examples, self.batch_size, self._rng = examples, batch_size, rng
        self._permutation: npt.NDArray[np.int64] = rng.permutation(examples)
        self._used = 0

    def next(self) -> npt.NDArray[np.int64]:
        """Indices of the next minibatch, shape (batch_size,)."""
        if self._used + self.batch_size > self.examples:
            self._permutation, self._used = self._rng.permutation(self.examples), 0
        self._used += self.batch_size
        return self._permutation[self._used - self.batch_size : self._used]

    def state(self) -> dict[str, Any]:
        """All that the next minibatches depend on: the array `permutation`, and what JSON can hold."""
        return {
            "permutation": self._permutation,
            "used": self._used,
            "rng": self._rng.bit_generator.state,
        }

    def goes_on_as(self, other: "BatchOrder") -> bool:
        """Whether the next minibatches are those of another order, for ever."""
        mine, its = self.state(), other.state()
        same = np.array_equal(mine.pop("permutation"), its.pop("permutation"))
        return same and self.batch_size == other.batch_size and repr(mine) == repr(its)

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from where `state` was taken."""
        self._permutation, self._used = state["permutation"], state["used"]
        self._rng.bit_generator.state = state["rng"]
