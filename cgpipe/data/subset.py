"""A part of a training set in which all classes are about as frequent, and the same with others in it."""

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


def with_replaced(
    labels: npt.NDArray[np.integer],
    chosen: npt.NDArray[np.int64],
    count: int,
    *,
    pool: npt.NDArray[np.int64],
    rng: np.random.Generator,
) -> npt.NDArray[np.int64]:
    """Replace some examples of a subset, each by one of the same class that is not in it.

    Parameters
    ----------
    labels : array of int, shape (all,)
        The classes.
    chosen : array of int64, shape (example,)
        Indices of the subset; not changed.
    count : int
        How many to replace, 0 to all of the subset.
    pool : array of int64
        Indices of those that may come in, of which the ones of the subset do not.
    rng : numpy.random.Generator
        Where the order comes from. With the same generator state, what a smaller count replaces, a larger one
        replaces alike.

    Returns
    -------
    array of int64, shape (example,)
        Indices; what was not replaced stays at its place.

    Raises
    ------
    ValueError
        If the count is not of the subset, or if a class has too few others.

    Examples
    --------
    >>> import numpy as np
    >>> labels = np.array([0, 0, 0, 1, 1, 1])
    >>> chosen, pool = np.array([0, 1, 3]), np.arange(6)
    >>> with_replaced(labels, chosen, 1, pool=pool, rng=np.random.default_rng(0)).tolist()
    [0, 1, 5]
    """
    if not 0 <= count <= len(chosen):
        raise ValueError(f"{count} of {len(chosen)} examples are to be replaced: ask for 0 to {len(chosen)}")
    places, others = rng.permutation(len(chosen))[:count], rng.permutation(np.setdiff1d(pool, chosen))
    replaced = chosen.copy()
    for number in np.unique(labels[chosen[places]]):
        leaving = places[labels[chosen[places]] == number]
        coming = others[labels[others] == number]
        if len(coming) < len(leaving):
            raise ValueError(
                f"{len(leaving)} examples of class {number} are to be replaced, and {len(coming)} others of "
                "this class are left: replace fewer, or train on fewer examples"
            )
        replaced[leaving] = coming[: len(leaving)]
    return replaced
