"""The record of a run, and what its accuracies are measured by."""

from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import xarray as xr

from cgpipe.names import UpdateName

Number = TypeVar("Number", float, npt.NDArray[np.float64])


class Run(NamedTuple):
    """One run, by its levels, and a Dataset of it: its history, null worlds or coherence."""

    noise: float
    winsor: int
    replicate: int
    data: xr.Dataset
    update: UpdateName = "winsorized_mean"  # the update rule
    experiment: str = ""  # its name in the settings; of a figure of one experiment it is not asked for


def proper_accuracy(noise: float, classes: int) -> float:
    """Accuracy on noisy labels of a network that knows the true classes alone (Chatterjee 2020, §3).

    Parameters
    ----------
    noise : float
        ε, the share of the examples whose labels were permuted.
    classes : int
        k, as many balanced classes as there are.

    Returns
    -------
    float
        (1 - ε) + ε/k: of the permuted labels a k-th is right by chance.
    """
    return (1 - noise) + noise / classes


def overfit(training: Number, test: Number, noise: float, classes: int) -> Number:
    """How far training accuracy exceeds what test accuracy and noise explain (Chatterjee 2020, §3).

    Parameters
    ----------
    training, test : float or array of float
        ta and va, accuracies on the noisy training labels and on the clean test labels.
    noise : float
        ε, the share of the training examples whose labels were permuted.
    classes : int
        k, as many balanced classes as there are.

    Returns
    -------
    float or array of float
        ta - [ε/k + (1 - ε)·va].
    """
    return training - (noise / classes + (1 - noise) * test)
