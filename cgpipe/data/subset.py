"""A part of a training set in which all classes are about as frequent."""

import numpy as np
import numpy.typing as npt


def balanced_subset(
    labels: npt.NDArray[np.integer], examples: int, *, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Choose examples so that the sizes of the classes differ as little as possible.

    Each class is shuffled and gives one example in each round, until there are enough. So sizes differ by at
    most one, except that a class with too few examples gives all that it has. In the last round the classes
    come in random order.

    Parameters
    ----------
    labels : array of int, shape (all,)
        The classes.
    examples : int
        How many to choose, 1 to all.
    rng : numpy.random.Generator
        Where the order comes from. With the same generator state, a smaller subset is part of every larger.

    Returns
    -------
    array of int64, shape (example,)
        Indices of the chosen examples, ascending.

    Raises
    ------
    ValueError
        If there are fewer examples than asked for, none is asked for, or the labels are not one axis.
    TypeError
        If the labels are not integers.

    Examples
    --------
    >>> import numpy as np
    >>> labels = np.array([0, 0, 0, 0, 0, 1, 1, 1, 2])
    >>> chosen = balanced_subset(labels, 7, rng=np.random.default_rng(0))
    >>> np.bincount(labels[chosen]).tolist()  # class 2 has no more
    [3, 3, 1]
    """
    if labels.ndim != 1:
        raise ValueError(f"labels have shape {labels.shape}: give one axis, the examples")
    if not np.issubdtype(labels.dtype, np.integer):
        raise TypeError(f"labels are {labels.dtype}: give integers, the classes")
    if not 1 <= examples <= len(labels):
        raise ValueError(f"{examples} examples of {len(labels)}: ask for 1 to {len(labels)}")
    order = rng.permutation(len(labels))
    classes, of = np.unique(labels, return_inverse=True)
    place = rng.permutation(len(classes))[of]  # (all,), of the class in a round
    turn = np.empty(len(labels), np.int64)  # (all,), the round
    for number in range(len(classes)):
        members = order[of[order] == number]
        turn[members] = np.arange(len(members))
    return np.sort(np.lexsort((place, turn))[:examples])
