import gzip
import hashlib
import pickle
import shutil
import struct

import numpy as np
import pytest
import torchvision

from cgpipe.data import datasets
from cgpipe.data.datasets import MNIST_RAW_MD5, DataError, checksum, load

RAW = tuple(MNIST_RAW_MD5)


def idx(array):
    """An array of bytes in the format of MNIST's files."""
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def md5(content):
    return hashlib.md5(content).hexdigest()


def images(count, seed):
    return np.random.default_rng(seed).integers(0, 256, (count, 28, 28), dtype=np.uint8)


def raw_files():
    """Four small files as those of MNIST: 6 training and 4 test images."""
    return {
        "train-images-idx3-ubyte": idx(images(6, 0)),
        "train-labels-idx1-ubyte": idx(np.array([3, 1, 4, 1, 5, 9], np.uint8)),
        "t10k-images-idx3-ubyte": idx(images(4, 1)),
        "t10k-labels-idx1-ubyte": idx(np.array([2, 6, 5, 3], np.uint8)),
    }


# --- digits ---------------------------------------------------------------------------------------


def test_digits_are_split_into_1000_and_797(digits):
    assert dict(digits.sizes) == {"train_example": 1000, "height": 8, "width": 8, "test_example": 797}
    assert digits["train_images"].dims == ("train_example", "height", "width")
    assert digits["test_labels"].dims == ("test_example",)
    assert digits["train_images"].dtype == digits["test_images"].dtype == np.uint8
    assert digits["train_labels"].dtype == digits["test_labels"].dtype == np.int64
    assert digits.attrs["dataset"] == "digits"
    assert digits.attrs["pixel_max"] == digits["train_images"].max() == digits["test_images"].max() == 16


def test_digits_are_those_of_scikit_learn_each_with_its_label(digits):
    from sklearn.datasets import load_digits

    published = load_digits()
    expected = sorted(zip(published.data.astype(int).tolist(), published.target.tolist(), strict=True))
    found = [
        (image.ravel().tolist(), int(label))
        for part in ("train", "test")
        for image, label in zip(
            digits[f"{part}_images"].to_numpy(), digits[f"{part}_labels"].to_numpy(), strict=True
        )
    ]
    assert sorted(found) == expected


def test_the_split_of_digits_is_by_class(digits):
    in_training = np.bincount(digits["train_labels"])
    of_all = in_training + np.bincount(digits["test_labels"])
    assert np.abs(in_training - of_all * 1000 / 1797).max() < 1


def test_the_split_of_digits_never_moves(digits):
    assert load("digits").identical(digits)
    assert digits.attrs["checksum"] == "a4e90c57202cc5fff60fe8838d0d986654d692922ba0d5174139cc38e34d94fe"


def test_the_checksum_sees_every_change(digits):
    known = digits.attrs["checksum"]
    assert checksum(digits.assign_attrs(pixel_max=3)) == known
    for name in digits.data_vars:
        changed = digits.copy(deep=True)
        changed[name][(-1,) * changed[name].ndim] += 1
        assert checksum(changed) != known
        assert checksum(digits.assign({name: digits[name].astype(np.int16)})) != known
    transposed = digits.transpose("width", "height", "train_example", "test_example")
    assert checksum(transposed) != known


def test_an_unknown_dataset_is_refused_with_those_that_are_known():
    with pytest.raises(ValueError, match="'imagenet': give digits, mnist, fashion_mnist or cifar10"):
        load("imagenet")


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10"])
def test_a_dataset_of_files_needs_a_folder(name):
    with pytest.raises(ValueError, match=f"{name} needs a folder: give root"):
        load(name)


# --- MNIST ----------------------------------------------------------------------------------------


def test_mnist_is_what_was_published(mnist):
    assert mnist["train_images"].shape == (60_000, 28, 28)
    assert mnist["test_images"].shape == (10_000, 28, 28)
    assert mnist["train_images"].dtype == mnist["test_images"].dtype == np.uint8
    assert mnist["train_labels"].shape == (60_000,)
    assert mnist["test_labels"].shape == (10_000,)
    assert mnist.attrs["pixel_max"] == mnist["train_images"].max() == 255
    expected = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(mnist["train_labels"]).tolist() == expected
    assert mnist["train_labels"][:5].to_numpy().tolist() == [5, 0, 4, 1, 9]
    assert checksum(mnist) == mnist.attrs["checksum"]


def link_all_but(mnist_root, tmp_path, left_out):
    """A folder with MNIST's files save one; returns where that one belongs."""
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for name in RAW:
        if name != left_out:
            (folder / name).symlink_to(mnist_root.absolute() / "MNIST" / "raw" / name)
    return folder / left_out


@pytest.mark.parametrize("name", RAW)
def test_a_truncated_file_of_mnist_is_refused_by_name(mnist_root, tmp_path, name):
    copy = link_all_but(mnist_root, tmp_path, name)
    shutil.copyfile(mnist_root / "MNIST" / "raw" / name, copy)
    with copy.open("rb+") as file:
        file.truncate(copy.stat().st_size * 2 // 3)
    with pytest.raises(DataError, match=f"{name} .* truncated or altered"):
        load("mnist", tmp_path)


@pytest.mark.parametrize("name", ["train-labels-idx1-ubyte", "t10k-images-idx3-ubyte"])
def test_an_altered_byte_of_mnist_is_refused_by_name(mnist_root, tmp_path, name):
    copy = link_all_but(mnist_root, tmp_path, name)
    content = bytearray((mnist_root / "MNIST" / "raw" / name).read_bytes())
    content[-1] ^= 1
    copy.write_bytes(content)
    with pytest.raises(DataError, match=f"{name} .* truncated or altered"):
        load("mnist", tmp_path)


@pytest.fixture
def small_mnist(tmp_path, monkeypatch):
    """A folder in the layout of MNIST, whose small files are those that were published."""
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for name, content in raw_files().items():
        (folder / name).write_bytes(content)
        monkeypatch.setitem(datasets.MNIST_RAW_MD5, name, md5(content))
    return tmp_path


def test_mnist_needs_no_compressed_files(small_mnist):
    loaded = load("mnist", small_mnist)
    assert np.array_equal(loaded["train_images"], images(6, 0))
    assert np.array_equal(loaded["test_images"], images(4, 1))
    assert loaded["train_labels"].to_numpy().tolist() == [3, 1, 4, 1, 5, 9]
    assert loaded["test_labels"].to_numpy().tolist() == [2, 6, 5, 3]
    assert loaded.attrs["pixel_max"] == 255


@pytest.mark.parametrize("name", RAW)
def test_a_missing_file_of_mnist_is_named(small_mnist, name):
    (small_mnist / "MNIST" / "raw" / name).unlink()
    with pytest.raises(DataError, match=f"raw: {name} not found"):
        load("mnist", small_mnist)


def test_all_missing_files_are_named_at_once(tmp_path):
    with pytest.raises(DataError, match=", ".join(RAW)):
        load("mnist", tmp_path)


@pytest.mark.parametrize("name", RAW)
def test_an_altered_small_file_is_refused_by_name(small_mnist, name):
    path = small_mnist / "MNIST" / "raw" / name
    path.write_bytes(path.read_bytes()[:-1] + b"\x07")
    with pytest.raises(DataError, match=f"{name} .* truncated or altered"):
        load("mnist", small_mnist)


def test_files_that_older_versions_of_torchvision_left_are_not_believed(small_mnist):
    # torchvision prefers these to the raw files, and they have no published checksum.
    import torch

    folder = small_mnist / "MNIST" / "processed"
    folder.mkdir()
    forged = (torch.zeros(6, 28, 28, dtype=torch.uint8), torch.zeros(6, dtype=torch.int64))
    torch.save(forged, folder / "training.pt")
    torch.save(forged, folder / "test.pt")
    try:
        loaded = load("mnist", small_mnist)
    except DataError:
        return
    assert np.array_equal(loaded["train_images"], images(6, 0))


def test_a_failed_download_says_how_to_do_without(tmp_path, monkeypatch):
    def unreachable(_):
        raise OSError("no route to host")

    monkeypatch.setattr(torchvision.datasets.MNIST, "download", unreachable)
    with pytest.raises(DataError, match=r"(?s)no route to host.*data_root.*CGPIPE_DATA_ROOT"):
        load("mnist", tmp_path, download=True)


def test_nothing_is_downloaded_unasked(tmp_path, monkeypatch):
    def forbidden(_):
        pytest.fail("a download was tried")

    monkeypatch.setattr(torchvision.datasets.MNIST, "download", forbidden)
    with pytest.raises(DataError, match="not found"):
        load("mnist", tmp_path)


# --- Fashion-MNIST --------------------------------------------------------------------------------


@pytest.fixture
def small_fashion(tmp_path, monkeypatch):
    """A folder in the layout of Fashion-MNIST, whose small archives are those that were published."""
    folder = tmp_path / "FashionMNIST" / "raw"
    folder.mkdir(parents=True)
    published = []
    for name, content in raw_files().items():
        archive = gzip.compress(content, mtime=0)
        (folder / name).write_bytes(content)
        (folder / f"{name}.gz").write_bytes(archive)
        published.append((f"{name}.gz", md5(archive)))
    monkeypatch.setattr(torchvision.datasets.FashionMNIST, "resources", published)
    return tmp_path


def test_fashion_mnist_is_read_where_its_archives_vouch_for_it(small_fashion):
    loaded = load("fashion_mnist", small_fashion)
    assert np.array_equal(loaded["train_images"], images(6, 0))
    assert loaded["test_labels"].to_numpy().tolist() == [2, 6, 5, 3]
    assert loaded.attrs["dataset"] == "fashion_mnist"


@pytest.mark.parametrize("name", RAW)
def test_a_raw_file_of_fashion_mnist_that_is_not_in_its_archive_is_refused(small_fashion, name):
    path = small_fashion / "FashionMNIST" / "raw" / name
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=rf"{name} .* truncated or altered"):
        load("fashion_mnist", small_fashion)


@pytest.mark.parametrize("name", RAW)
def test_an_altered_archive_of_fashion_mnist_is_refused(small_fashion, name):
    folder = small_fashion / "FashionMNIST" / "raw"
    forged = raw_files()[name][:-1] + b"\x07"
    (folder / name).write_bytes(forged)
    (folder / f"{name}.gz").write_bytes(gzip.compress(forged, mtime=0))
    with pytest.raises(DataError, match=rf"{name}\.gz .* truncated or altered"):
        load("fashion_mnist", small_fashion)


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_a_missing_file_of_fashion_mnist_is_named(small_fashion, ending):
    name = f"t10k-labels-idx1-ubyte{ending}"
    (small_fashion / "FashionMNIST" / "raw" / name).unlink()
    with pytest.raises(DataError, match=f"raw: {name} not found"):
        load("fashion_mnist", small_fashion)


# --- CIFAR-10 -------------------------------------------------------------------------------------

CIFAR_FILES = [*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]


@pytest.fixture
def small_cifar(tmp_path, monkeypatch):
    """A folder in the layout of CIFAR-10 with two images in each file."""
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    sums = {}
    for number, name in enumerate(CIFAR_FILES):
        data = np.full((2, 3072), number, np.uint8)
        data[:, :1024] += 100  # red
        content = pickle.dumps({"data": data, "labels": [number, 9 - number]})
        (folder / name).write_bytes(content)
        sums[name] = md5(content)
    meta = pickle.dumps({"label_names": list("abcdefghij")})
    (folder / "batches.meta").write_bytes(meta)
    kind = torchvision.datasets.CIFAR10
    monkeypatch.setattr(kind, "train_list", [[name, sums[name]] for name in CIFAR_FILES[:5]])
    monkeypatch.setattr(kind, "test_list", [["test_batch", sums["test_batch"]]])
    monkeypatch.setattr(kind, "meta", {**kind.meta, "md5": md5(meta)})
    return tmp_path


def test_cifar10_is_read_with_colours_last(small_cifar):
    loaded = load("cifar10", small_cifar)
    assert loaded["train_images"].dims == ("train_example", "height", "width", "channel")
    assert loaded["train_images"].shape == (10, 32, 32, 3)
    assert loaded["test_images"].shape == (2, 32, 32, 3)
    assert loaded["train_images"][2, 0, 0].to_numpy().tolist() == [101, 1, 1]
    assert loaded["train_labels"].to_numpy().tolist() == [0, 9, 1, 8, 2, 7, 3, 6, 4, 5]
    assert loaded["test_labels"].to_numpy().tolist() == [5, 4]


@pytest.mark.parametrize("name", [*CIFAR_FILES, "batches.meta"])
def test_a_missing_file_of_cifar10_is_named(small_cifar, name):
    (small_cifar / "cifar-10-batches-py" / name).unlink()
    with pytest.raises(DataError, match=f"{name} not found"):
        load("cifar10", small_cifar)


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, sprung):
        self.sprung = sprung

    def __reduce__(self):
        return (open, (str(self.sprung), "w"))


@pytest.mark.parametrize("name", [*CIFAR_FILES, "batches.meta"])
def test_an_altered_file_of_cifar10_is_refused_before_it_is_unpickled(small_cifar, tmp_path, name):
    sprung = tmp_path / "sprung"
    (small_cifar / "cifar-10-batches-py" / name).write_bytes(pickle.dumps(Trap(sprung)))
    with pytest.raises(DataError, match=f"{name} .* truncated or altered"):
        load("cifar10", small_cifar)
    assert not sprung.exists()
