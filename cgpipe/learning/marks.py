"""Marks of the training loss: the steps at which a run first falls to given losses.

Runs of other networks and labels are compared at equal loss. The loss of a step is the mean of those of the
last minibatches, each taken before the update that it makes: it costs one forward pass of a minibatch.
"""

from collections import deque
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

WINDOW = 20  # minibatches; fewer are no mean yet


class Marks:
    """Losses that a run passes on its way down.

    Parameters
    ----------
    levels : sequence of float
        Mean cross-entropies in nats, descending and above 0; none, and nothing is watched.

    Attributes
    ----------
    steps : list of int
        Of each level, the updates made when it was passed: -1 for not yet.

    Raises
    ------
    ValueError
        If levels do not descend, or are not above 0.

    Examples
    --------
    >>> marks = Marks([2.0, 1.0, 0.1])
    >>> for step in range(1, 31):
    ...     marks.see(3.0 if step <= 20 else 0.0, step)
    >>> marks.steps, marks.passed()
    ([27, -1, -1], {2.0: 27})
    """

    def __init__(self, levels: Sequence[float] = ()) -> None:
        if not all(a > b for a, b in pairwise([*levels, 0.0])):
            raise ValueError(f"marks {list(levels)}: give losses above 0, descending, each once")
        self.levels = tuple(levels)
        self.steps = [-1] * len(levels)
        self._losses: deque[float] = deque(maxlen=WINDOW)

    @property
    def left(self) -> bool:
        """Whether one is not passed yet."""
        return -1 in self.steps

    def see(self, loss: float, step: int) -> None:
        """Take the loss of the minibatch that makes the update to a step."""
        self._losses.append(loss)
        if len(self._losses) == WINDOW:
            mean = sum(self._losses) / WINDOW
            pairs = zip(self.levels, self.steps, strict=True)
            self.steps = [step if at < 0 and mean <= level else at for level, at in pairs]

    def passed(self) -> dict[float, int]:
        """The steps of those that were passed, by level."""
        return {level: at for level, at in zip(self.levels, self.steps, strict=True) if at >= 0}

    def state(self) -> dict[str, Any]:
        """What the next marks depend on, as JSON can hold it."""
        return {"steps": self.steps, "losses": [*self._losses]}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from where `state` was taken."""
        self.steps, self._losses = list(state["steps"]), deque(state["losses"], WINDOW)
