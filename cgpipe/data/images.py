"""Images as a fully connected network sees them."""

from typing import Literal

import numpy as np
import numpy.typing as npt
import xarray as xr


def flat_images(dataset: xr.Dataset, part: Literal["train", "test"]) -> npt.NDArray[np.float32]:
    """Intensities from 0 to 1, one row an image; no other preprocessing.

    Parameters
    ----------
    dataset : Dataset
        As `load` returned it.
    part : {"train", "test"}
        Which set.

    Returns
    -------
    array of float32, shape (example, feature)
        Pixels in the order of rows, columns and channels.

    Examples
    --------
    >>> from cgpipe.data.datasets import load
    >>> images = flat_images(load("digits"), "train")
    >>> images.shape, float(images.min()), float(images.max())
    ((1000, 64), 0.0, 1.0)
    """
    images = dataset[f"{part}_images"].values  # (example, height, width, ...)
    flat = images.reshape(len(images), -1).astype(np.float32)  # (example, feature)
    return flat / np.float32(dataset.attrs["pixel_max"])
