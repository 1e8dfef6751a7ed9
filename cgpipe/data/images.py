"""Images as networks see them: each with its shape, or flat."""

from typing import Literal

import numpy as np
import numpy.typing as npt
import xarray as xr


def shaped_images(
    dataset: xr.Dataset, part: Literal["train", "test"], *, normalize: bool = False
) -> npt.NDArray[np.float32]:
    """Intensities from 0 to 1, as convolutional networks see them.

    Parameters
    ----------
    dataset : Dataset
        As `load` returned it.
    part : {"train", "test"}
        Which set.
    normalize : bool
        Subtract the mean of each channel and divide by its standard deviation; both are those of all training
        images, `channel_mean` and `channel_deviation` of the dataset.

    Returns
    -------
    array of float32, shape (example, channel, row, column)
        Grey images have one channel.

    Raises
    ------
    ValueError
        If a channel has one value everywhere in the training images, and so cannot be normalized.

    Examples
    --------
    >>> from cgpipe.data.datasets import load
    >>> shaped_images(load("digits"), "train").shape
    (1000, 1, 8, 8)
    """
    return np.ascontiguousarray(_intensities(dataset, part, normalize).transpose(0, 3, 1, 2))


def flat_images(
    dataset: xr.Dataset, part: Literal["train", "test"], *, normalize: bool = False
) -> npt.NDArray[np.float32]:
    """Intensities from 0 to 1, one row an image, as fully connected networks see them.

    Parameters
    ----------
    dataset, part, normalize
        As for `shaped_images`, which also gives the errors.

    Returns
    -------
    array of float32, shape (example, feature)
        Pixels in the order of rows, columns and channels.

    Examples
    --------
    >>> from cgpipe.data.datasets import load
    >>> flat = flat_images(load("digits"), "train")
    >>> flat.shape, float(flat.min()), float(flat.max())
    ((1000, 64), 0.0, 1.0)
    """
    flat = _intensities(dataset, part, normalize)
    return flat.reshape(len(flat), -1)


def with_zeroed_pixels(
    dataset: xr.Dataset, index: npt.NDArray[np.integer], share: float, *, rng: np.random.Generator
) -> xr.Dataset:
    """Some training images, in each of which some pixels are black.

    Parameters
    ----------
    dataset : Dataset
        As `load` returned it; not changed.
    index : array of int, shape (example,)
        Which training images; one that is there several times has other black pixels each time.
    share : float
        round(share · pixels) pixels of each image get intensity 0 in all channels.
    rng : numpy.random.Generator
        Where they come from.

    Returns
    -------
    Dataset
        With these training images, for `shaped_images` and `flat_images`; mean and deviation remain those of
        the whole images.

    Examples
    --------
    >>> import numpy as np
    >>> from cgpipe.data.datasets import load
    >>> part = with_zeroed_pixels(load("digits"), np.array([3, 3]), 0.5, rng=np.random.default_rng(0))
    >>> (flat_images(part, "train") == 0).mean() > 0.5
    np.True_
    """
    part = dataset.isel(train_example=index)
    images = part["train_images"].values.reshape(len(index), *part["train_images"].shape[1:3], -1)
    rows, columns = images.shape[1:3]
    black = np.arange(rows * columns) < round(share * rows * columns)  # (pixel,)
    drawn = rng.permuted(np.tile(black, (len(index), 1)), axis=1)  # (example, pixel)
    images[drawn.reshape(images.shape[:3])] = 0
    return part


def _intensities(dataset: xr.Dataset, part: str, normalize: bool) -> npt.NDArray[np.float32]:
    stored = dataset[f"{part}_images"].values  # (example, row, column), of colours also channel
    pixels = stored.reshape(*stored.shape[:3], -1).astype(np.float32)  # (example, row, column, channel)
    pixels /= np.float32(dataset.attrs["pixel_max"])
    if normalize:
        mean, deviation = (dataset[f"channel_{of}"].values for of in ("mean", "deviation"))  # (channel,)
        if not deviation.all():
            raise ValueError(
                f"channel {deviation.argmin()} has the value {mean[deviation.argmin()]:g} in all training "
                "images, so it cannot be normalized: set normalize: false, or give other images"
            )
        pixels -= mean.astype(np.float32)
        pixels /= deviation.astype(np.float32)
    return pixels
