"""The raw images: handwritten digits embedded in scikit-learn, files that were published, and one's own.

Published files are known by their checksums (published.py), files of one's own by that of what was read.
"""

import hashlib
import math
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr

from cgpipe.data.folder import Reader, content_of, listed
from cgpipe.data.published import PUBLISHED, contents
from cgpipe.data.shapes import DATASETS


class Images(NamedTuple):
    """A training or a test set."""

    images: npt.NDArray[np.uint8]  # (example, height, width) or (example, height, width, channel)
    labels: npt.NDArray[np.int64]  # (example,)


def load(name: str, root: Path | None = None, *, download: bool = False) -> xr.Dataset:
    """Load a dataset as it was published.

    Parameters
    ----------
    name : {"digits", "mnist", "fashion_mnist", "cifar10"}
        `digits`: the 1,797 images of 8x8 pixels of `sklearn.datasets.load_digits`, split once, by
        class, into 1,000 for training and 797 for testing. The others as torchvision has them.
    root : Path, optional
        Folder in torchvision's layout. The published files, as they are or packed, are also taken from root
        itself, from any folder in it, and below from folders named as the dataset or those of the layout.
        Not needed for `digits`.
    download : bool
        Whether torchvision may download into `root` what is not there.

    Returns
    -------
    Dataset
        `train_images`, `test_images` (uint8, 0 to the attribute `pixel_max`; dimensions
        `train_example` or `test_example`, `height`, `width` and, for colours, `channel`),
        `train_labels`, `test_labels` (the true classes), `channel_mean` and `channel_deviation` of all
        training images (float64, at the scale 0 to 1), and the attribute `checksum`.

    Raises
    ------
    DataError
        If a file is missing, cannot be read, is truncated or does not have its published checksum.
    ValueError
        If the name is unknown.
    """
    if name == "digits":
        train, test, pixel_max, source = _digits()
    elif name in PUBLISHED:
        if root is None:
            raise ValueError(f"{name} needs a folder: give root")
        train, test = _published(name, root, download=download)
        pixel_max, source = 255, PUBLISHED[name].source
    else:
        *names, last = DATASETS
        raise ValueError(f"dataset {name!r}: give {', '.join(names)} or {last}")
    return _dataset(train, test, dataset=name, pixel_max=pixel_max, source=source)


def load_folder(folder: Path, size: int | None = None) -> xr.Dataset:
    """Load one's own images, of any number of classes.

    Parameters
    ----------
    folder : Path
        In it `train` and `test` (or else `val`), each in the layout of torchvision's `ImageFolder`: a folder
        of images for each class. All are grey, or all in colour, of 8 bits for each value.
    size : int, optional
        Height and width that each image is given: its shorter side is resized to it, with antialiasing
        (Pillow's bilinear filter), and the middle is kept. Images are never enlarged. Without it all must
        have one size.

    Returns
    -------
    Dataset
        As `load` returns it, with the names of the classes as coordinate `class`, in alphabetical order, and
        the attribute `files_sha256`, the SHA-256 of names and bytes of the files.

    Raises
    ------
    DataError
        If a folder is missing, there are fewer than two classes, a class is empty or not in both parts, or an
        image cannot be read, is too small, or not like the first.
    """
    listing = listed(folder)
    reader, files = Reader(listing, size), hashlib.sha256()

    def read(path: Path) -> npt.NDArray[np.uint8]:
        content = content_of(path)
        files.update(listing.entry(path, content))
        return np.asarray(reader.read(path, content))

    train, test = (
        Images(np.stack([read(path) for path, _ in part]), np.array([label for _, label in part]))
        for part in (listing.train, listing.test)
    )
    dataset = _dataset(train, test, dataset="folder", pixel_max=255, source="a folder of images")
    names = "class", listing.classes, {"long_name": "name of the class"}
    return dataset.assign_coords({"class": names}).assign_attrs(files_sha256=files.hexdigest())


def checksum(dataset: xr.Dataset) -> str:
    """SHA-256 over the images and labels of a dataset, as stored.

    Parameters
    ----------
    dataset : Dataset
        As `load` returns it.

    Returns
    -------
    str
        Hexadecimal digest over name, shape, type and bytes of each variable, by name.
    """
    digest = hashlib.sha256()
    for name in ("test_images", "test_labels", "train_images", "train_labels"):
        values = np.ascontiguousarray(dataset[name].values)
        digest.update(f"{name} {values.shape} {values.dtype.str}\n".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()


def _dataset(train: Images, test: Images, **attributes: Any) -> xr.Dataset:
    mean, deviation = _channels(train.images, attributes["pixel_max"])
    of = "of each channel over all training images, at the scale 0 to 1"
    channels = {
        "channel_mean": ("channel", mean, {"long_name": f"mean {of}", "units": "1"}),
        "channel_deviation": ("channel", deviation, {"long_name": f"standard deviation {of}", "units": "1"}),
    }
    dataset = xr.Dataset(_variables("train", train) | _variables("test", test) | channels, attrs=attributes)
    return dataset.assign_attrs(checksum=checksum(dataset))


def _channels(images: npt.NDArray[np.uint8], pixel_max: int) -> npt.NDArray[np.float64]:
    """Mean and standard deviation of each channel, shape (2, channel): by exact whole numbers."""
    pixels = images.reshape(*images.shape[:3], -1)  # (example, row, column, channel)
    n = pixels[..., 0].size
    sums = pixels.sum((0, 1, 2), dtype=np.int64).tolist()
    squares = np.einsum("erwc,erwc->c", pixels, pixels, dtype=np.int64).tolist()
    deviations = [math.sqrt(n * square - total**2) / n for total, square in zip(sums, squares, strict=True)]
    return np.array([[total / n for total in sums], deviations]) / pixel_max


def _variables(part: str, data: Images) -> dict[str, tuple[Any, ...]]:
    axes = [f"{part}_example", "height", "width", "channel"][: data.images.ndim]
    images = {"train": "training images", "test": "test images"}[part]
    return {
        f"{part}_images": (axes, data.images, {"long_name": f"{images}, intensity of each pixel"}),
        f"{part}_labels": (axes[:1], data.labels, {"long_name": f"true classes of the {images}"}),
    }


def _digits() -> tuple[Images, Images, int, str]:
    from sklearn.datasets import load_digits  # noqa: PLC0415  (a second to import)
    from sklearn.model_selection import train_test_split  # noqa: PLC0415

    images, labels = load_digits(return_X_y=True)
    # The split is part of the dataset, like the published split of MNIST: no setting moves it.
    train_images, test_images, train_labels, test_labels = train_test_split(
        images.reshape(-1, 8, 8).astype(np.uint8),
        labels,
        train_size=DATASETS["digits"].examples,
        stratify=labels,
        random_state=0,
    )
    source = "Optical Recognition of Handwritten Digits (Alpaydin, Kaynak 1998), by scikit-learn"
    return Images(train_images, train_labels), Images(test_images, test_labels), 16, source


def _published(name: str, root: Path, *, download: bool) -> tuple[Images, Images]:
    files = contents(name, root, download=download).values()
    if name == "cifar10":
        *training, test = files
        return _batches(training), _batches([test])
    images, labels, test_images, test_labels = map(_idx, files)
    return Images(images, labels.astype(np.int64)), Images(test_images, test_labels.astype(np.int64))


def _idx(content: bytes) -> npt.NDArray[np.uint8]:
    """Bytes in the format of MNIST's files: the number of axes, the length of each, and all values."""
    axes = content[3]
    shape = np.frombuffer(content, ">u4", axes, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape)


def _batches(contents: Sequence[bytes]) -> Images:
    """Images and labels of batches of CIFAR-10, unpickled only now that their sums are known to be right."""
    batches = [pickle.loads(content, encoding="latin1") for content in contents]
    images = np.concatenate([batch["data"] for batch in batches]).reshape(-1, 3, 32, 32)
    labels = np.concatenate([batch["labels"] for batch in batches])
    return Images(images.transpose(0, 2, 3, 1), labels.astype(np.int64))
