"""Label noise: a share of the examples has its labels permuted (Chatterjee 2020, section 2.1)."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr

from cgpipe.names import Selection


class Corruption(NamedTuple):
    """Labels before and after, and how the one became the other."""

    label_train: npt.NDArray[np.integer]  # (example,), the labels to train on
    pristine: npt.NDArray[np.bool_]  # (example,), the label is unchanged
    permutation: npt.NDArray[np.int64]  # (example,), label_train = label_true[permutation]


def corruption(
    labels: npt.ArrayLike, noise: float, *, rng: np.random.Generator | int, selection: Selection = "exact"
) -> Corruption:
    """Choose a share of the examples and permute their labels among themselves.

    The histogram of the classes never changes. A chosen example that draws a label of its own class
    counts as pristine: of ten balanced classes, about a tenth of those chosen.

    Parameters
    ----------
    labels : array of int, shape (example,)
        The true labels; not changed.
    noise : float
        Share of the examples to choose, 0 to 1.
    rng : numpy.random.Generator or int
        Where the choice and the permutation come from, or a seed. With the same generator state, the examples
        that `exact` chooses at one level are among those it chooses at any higher level.
    selection : {"exact", "bernoulli"}
        Choose round(noise · m) of m examples, as the paper says, or each example with probability
        `noise`, as its released code does.

    Returns
    -------
    Corruption
        The labels to train on, the pristine mask and the permutation.

    Raises
    ------
    ValueError
        If the noise level is outside [0, 1], the labels are not one axis, or the selection is unknown.
    TypeError
        If the labels are not integers.
    """
    labels, rng = np.asarray(labels), np.random.default_rng(rng)
    if not 0 <= noise <= 1:
        raise ValueError(f"noise {noise}: give a share of the examples, 0 to 1")
    if labels.ndim != 1:
        raise ValueError(f"labels have shape {labels.shape}: give one axis, the examples")
    if not np.issubdtype(labels.dtype, np.integer):
        raise TypeError(f"labels are {labels.dtype}: give integers, the classes")
    m = len(labels)
    order = rng.permutation(m)
    if selection == "exact":
        chosen = order[: round(noise * m)]
    elif selection == "bernoulli":
        chosen = order[rng.random(m)[order] < noise]
    else:
        raise ValueError(f"selection {selection!r}: give 'exact' or 'bernoulli'")
    permutation = np.arange(m)
    permutation[chosen] = rng.permutation(chosen)
    label_train = labels[permutation]
    return Corruption(label_train, label_train == labels, permutation)


def corrupt_labels(
    labels: npt.ArrayLike, noise: float, *, rng: np.random.Generator | int, selection: Selection = "exact"
) -> xr.Dataset:
    """Labels before and after, as a Dataset.

    Parameters
    ----------
    labels, noise, rng, selection
        As for `corruption`, which also gives the errors.

    Returns
    -------
    Dataset
        Variables along dimension `example`: `label_true` and `label_train`, the classes before and after;
        `pristine`, whether the two are equal; `permutation`, with label_train = label_true[permutation].

    Examples
    --------
    >>> import numpy as np
    >>> labels = corrupt_labels(np.arange(1000) % 10, 0.5, rng=np.random.default_rng(0))
    >>> (np.bincount(labels["label_train"]) == 100).all().item()  # the classes keep their sizes
    True
    >>> round(labels["pristine"].mean().item(), 2)  # 1 - 0.5 + 0.5/10, by chance a little off
    0.55
    """
    label_train, pristine, permutation = corruption(labels, noise, rng=rng, selection=selection)
    described = {
        "label_true": (np.array(labels), "class of the image"),
        "label_train": (label_train, "class to train on"),
        "pristine": (pristine, "whether the class to train on is the true one"),
        "permutation": (permutation, "example whose true class is this one's class to train on"),
    }
    return xr.Dataset(
        {name: ("example", values, {"long_name": meaning}) for name, (values, meaning) in described.items()}
    )
