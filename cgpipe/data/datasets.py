"""The raw images: handwritten digits embedded in scikit-learn, and torchvision's files.

Nothing is believed that is not checked: the MD5 sums are those that the datasets were published
with, and files that do not have them are refused by name.
"""

import gzip
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr

# MD5 of MNIST's uncompressed files, for folders that hold no .gz to check them against.
MNIST_RAW_MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
DIGITS_TRAINING_EXAMPLES = 1_000


class DataError(RuntimeError):
    """Raw data are missing, truncated, or not what was published."""


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
        Folder in torchvision's layout; not needed for `digits`.
    download : bool
        Whether torchvision may download into `root` what is not there yet.

    Returns
    -------
    Dataset
        `train_images`, `test_images` (uint8, 0 to the attribute `pixel_max`; dimensions
        `train_example` or `test_example`, `height`, `width` and, for colours, `channel`),
        `train_labels`, `test_labels` (the true classes), and the attribute `checksum`.

    Raises
    ------
    DataError
        If a file is missing, truncated or does not have its published checksum.
    ValueError
        If the name is unknown.
    """
    if name == "digits":
        train, test, pixel_max, source = _digits()
    elif name in ("mnist", "fashion_mnist", "cifar10"):
        if root is None:
            raise ValueError(f"{name} needs a folder: give root")
        train, test, source = _torchvision(name, root, download=download)
        pixel_max = 255
    else:
        raise ValueError(f"dataset {name!r}: give digits, mnist, fashion_mnist or cifar10")
    dataset = xr.Dataset(
        {
            **_variables("train", train),
            **_variables("test", test),
        },
        attrs={"dataset": name, "pixel_max": pixel_max, "source": source},
    )
    return dataset.assign_attrs(checksum=checksum(dataset))


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
    for name in sorted(str(v) for v in dataset.data_vars):
        values = np.ascontiguousarray(dataset[name].values)
        digest.update(f"{name} {values.shape} {values.dtype.str}\n".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()


def _variables(part: str, data: Images) -> dict[str, xr.DataArray]:
    axes = [f"{part}_example", "height", "width", "channel"][: data.images.ndim]
    in_words = {"train": "training", "test": "test"}[part]
    return {
        f"{part}_images": xr.DataArray(
            data.images, dims=axes, attrs={"long_name": f"{in_words} images, intensity of each pixel"}
        ),
        f"{part}_labels": xr.DataArray(
            data.labels, dims=axes[:1], attrs={"long_name": f"true classes of the {in_words} images"}
        ),
    }


def _digits() -> tuple[Images, Images, int, str]:
    from sklearn.datasets import load_digits  # noqa: PLC0415  (a second to import)
    from sklearn.model_selection import train_test_split  # noqa: PLC0415

    images, labels = load_digits(return_X_y=True)
    # The split is part of the dataset, like the published split of MNIST: no setting moves it.
    train_images, test_images, train_labels, test_labels = train_test_split(
        images.reshape(-1, 8, 8).astype(np.uint8),
        labels,
        train_size=DIGITS_TRAINING_EXAMPLES,
        stratify=labels,
        random_state=0,
    )
    source = "Optical Recognition of Handwritten Digits (Alpaydin, Kaynak 1998), by scikit-learn"
    return Images(train_images, train_labels), Images(test_images, test_labels), 16, source


def _torchvision(name: str, root: Path, *, download: bool) -> tuple[Images, Images, str]:
    from torchvision import datasets  # noqa: PLC0415  (imports torch)

    kind = {
        "mnist": datasets.MNIST,
        "fashion_mnist": datasets.FashionMNIST,
        "cifar10": datasets.CIFAR10,
    }[name]
    if download:
        try:
            kind(str(root), train=True, download=True)
        except (OSError, RuntimeError) as error:
            raise DataError(
                f"{name} could not be downloaded into {root}: {error}. On a machine without internet, "
                "copy a folder in torchvision's layout there and name it as data_root in the config or "
                "as CGPIPE_DATA_ROOT in the environment"
            ) from error
    if name == "cifar10":
        names = (kind.meta["filename"], kind.meta["md5"])
        _check_md5(root / kind.base_folder, dict([*kind.train_list, *kind.test_list, names]))
    else:
        _check_idx(root / kind.__name__ / "raw", dict(kind.resources), name)
        old = root / kind.__name__ / "processed"
        if old.exists():
            # torchvision would read it in the place of the files that were checked.
            raise DataError(f"{old} is of an old torchvision and cannot be checked: remove it")
    parts = []
    for train in (True, False):
        loaded = kind(str(root), train=train, download=False)
        parts.append(Images(np.asarray(loaded.data, np.uint8), np.asarray(loaded.targets, np.int64)))
    source = {
        "mnist": "MNIST (LeCun, Cortes, Burges 1998)",
        "fashion_mnist": "Fashion-MNIST (Xiao, Rasul, Vollgraf 2017)",
        "cifar10": "CIFAR-10 (Krizhevsky 2009)",
    }[name]
    return parts[0], parts[1], f"{source}, by torchvision"


def _check_idx(folder: Path, compressed_md5: Mapping[str, str], name: str) -> None:
    """Check uncompressed IDX files by their own sum, or against the .gz that they came in."""
    raw_md5 = MNIST_RAW_MD5 if name == "mnist" else {}
    files = [Path(compressed).stem for compressed in compressed_md5]
    _check_present(folder, files)
    for compressed, md5 in compressed_md5.items():
        raw = folder / Path(compressed).stem
        if raw.name in raw_md5:
            _check_md5(folder, {raw.name: raw_md5[raw.name]})
            continue
        _check_md5(folder, {compressed: md5})
        with gzip.open(folder / compressed) as archive:
            published = hashlib.file_digest(archive, "md5").hexdigest()
        _check_md5(folder, {raw.name: published})


def _check_present(folder: Path, files: list[str]) -> None:
    missing = [file for file in files if not (folder / file).is_file()]
    if missing:
        raise DataError(
            f"{folder}: {', '.join(missing)} not found. data_root (or CGPIPE_DATA_ROOT) must be a folder "
            "in torchvision's layout; leave both unset to download into results/downloads"
        )


def _check_md5(folder: Path, published: Mapping[str, str]) -> None:
    _check_present(folder, list(published))
    for file, md5 in published.items():
        with (folder / file).open("rb") as raw:
            found = hashlib.file_digest(raw, "md5").hexdigest()
        if found != md5:
            size = (folder / file).stat().st_size
            raise DataError(
                f"{folder / file} ({size:,} bytes) has MD5 {found}, but {md5} was published: it is "
                "truncated or altered. Remove it and download or copy it again"
            )
