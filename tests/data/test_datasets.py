import errno
import gzip
import hashlib
import io
import logging
import os
import pickle
import shutil
import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torchvision

from cgpipe.data import published
from cgpipe.data.datasets import checksum, load
from cgpipe.data.errors import DataError
from cgpipe.data.published import MNIST_RAW_MD5

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
    sizes = {"train_example": 1000, "height": 8, "width": 8, "test_example": 797, "channel": 1}
    assert dict(digits.sizes) == sizes
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
    for name in (f"{part}_{kind}" for part in ("train", "test") for kind in ("images", "labels")):
        changed = digits.copy(deep=True)
        changed[name][(-1,) * changed[name].ndim] += 1
        assert checksum(changed) != known
        assert checksum(digits.assign({name: digits[name].astype(np.int16)})) != known
    transposed = digits.transpose("width", "height", ...)
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
        monkeypatch.setitem(published.MNIST_RAW_MD5, name, md5(content))
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


# --- Fashion-MNIST, and where files lie -------------------------------------------------------------

KINDS = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST"}


@pytest.fixture(params=KINDS)
def kind(request, monkeypatch):
    """Name of a dataset whose small files are those that were published."""
    sums = published.PUBLISHED[request.param].md5
    for name, content in raw_files().items():
        monkeypatch.setitem(sums, name, md5(content))
    return request.param


def plain(root, folder, names=lambda name: name, pack=lambda content: content):
    """Write the four small files into a folder."""
    (root / folder).mkdir(parents=True, exist_ok=True)
    for name, content in raw_files().items():
        (root / folder / names(name)).write_bytes(pack(content))


def with_gz(name):
    return f"{name}.gz"


def with_dot(name):
    return name.replace("-idx", ".idx")


def in_folders_of_their_names(root, folder):
    for name, content in raw_files().items():
        (root / folder / name).mkdir(parents=True)
        (root / folder / name / name).write_bytes(content)


def half_packed(root, folder):
    plain(root, folder)
    for name in RAW[:2]:
        path = root / folder / name
        path.with_name(f"{name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()


def one_archive(root, folder, name="{}.tar.gz", pack=gzip.compress):
    (root / folder).mkdir(parents=True, exist_ok=True)
    with tarfile.open(root / folder / name.format(folder), "w:gz") as archive:
        for file, content in raw_files().items():
            member = tarfile.TarInfo(f"{folder}/raw/{file}.gz")
            packed = pack(content)
            member.size = len(packed)
            archive.addfile(member, io.BytesIO(packed))


ARRANGED = {
    "torchvision's layout": lambda root, kind: plain(root, f"{kind}/raw"),
    "archives alone": lambda root, kind: plain(root, f"{kind}/raw", with_gz, gzip.compress),
    "some packed": lambda root, kind: half_packed(root, f"{kind}/raw"),
    "named as packed, but not": lambda root, kind: plain(root, f"{kind}/raw", with_gz),
    "packed, but not named so": lambda root, kind: plain(root, f"{kind}/raw", pack=gzip.compress),
    "all in the root": lambda root, kind: plain(root, "."),
    "archives in the root": lambda root, kind: plain(root, ".", with_gz, gzip.compress),
    "the root is MNIST": lambda root, kind: plain(root, "raw"),
    "no raw": plain,
    "twice MNIST": lambda root, kind: plain(root, f"{kind}/{kind}/raw"),
    "twice raw": lambda root, kind: plain(root, f"{kind}/raw/raw"),
    "the root is one above": lambda root, kind: plain(root, f"some data/{kind}/raw"),
    "another name": lambda root, kind: plain(root, "handwritten"),
    "lower case": lambda root, kind: plain(root, f"{kind.lower()}/RAW", str.upper),
    "with a hyphen, one above": lambda root, kind: plain(root, "data/" + kind.replace("nM", "n-m")),
    "a dot in the names": lambda root, kind: plain(root, kind, with_dot),
    "a dot in the names, packed": lambda root, kind: plain(
        root, ".", lambda name: with_gz(with_dot(name)), gzip.compress
    ),
    "each in a folder": lambda root, kind: in_folders_of_their_names(root, f"{kind}/raw"),
    "one archive": one_archive,
    "one archive in the root": lambda root, kind: one_archive(
        root, ".", f"{published.PUBLISHED[NAMES[kind]].archive}.tgz"
    ),
}
NAMES = {kind: name for name, kind in KINDS.items()}


def snapshot(root):
    return {path: path.stat().st_mtime_ns for path in [root, *root.rglob("*")]}


@pytest.mark.parametrize("arranged", ARRANGED)
def test_the_files_are_taken_wherever_their_sums_say_what_they_are(tmp_path, kind, arranged):
    root = tmp_path / "data"
    root.mkdir()
    ARRANGED[arranged](root, KINDS[kind])
    before = snapshot(root)
    loaded = load(kind, root)
    assert np.array_equal(loaded["train_images"], images(6, 0))
    assert np.array_equal(loaded["test_images"], images(4, 1))
    assert loaded["train_labels"].to_numpy().tolist() == [3, 1, 4, 1, 5, 9]
    assert loaded["test_labels"].to_numpy().tolist() == [2, 6, 5, 3]
    assert loaded.attrs["dataset"] == kind
    assert snapshot(root) == before  # nothing is written


def test_both_datasets_in_one_folder_are_told_apart(tmp_path, monkeypatch):
    """Their files have the same names."""
    for name, content in raw_files().items():
        other = content[:-1] + b"\x07"
        for kind, of in (("mnist", content), ("fashion_mnist", other)):
            (tmp_path / kind).mkdir(exist_ok=True)
            (tmp_path / kind / name).write_bytes(of)
            monkeypatch.setitem(published.PUBLISHED[kind].md5, name, md5(of))
    labels = {kind: int(load(kind, tmp_path)["test_labels"][-1]) for kind in KINDS}
    assert labels == {"mnist": 3, "fashion_mnist": 7}
    with pytest.raises(DataError, match=rf"{RAW[0]} is of mnist\. "):
        load("fashion_mnist", tmp_path / "mnist")


@pytest.mark.parametrize("name", RAW)
def test_a_damaged_file_is_made_good_by_its_archive(tmp_path, kind, name, caplog):
    plain(tmp_path, "raw")
    path = tmp_path / "raw" / name
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=rf"{name} .* truncated or altered"):
        load(kind, tmp_path)
    path.with_name(f"{name}.gz").write_bytes(gzip.compress(raw_files()[name]))
    with caplog.at_level(logging.INFO, "cgpipe"):
        assert np.array_equal(load(kind, tmp_path)["train_images"], images(6, 0))
    warning, info = caplog.messages
    assert warning.endswith("Another copy, which is right, was read")
    assert name in warning
    assert info == f"read {kind} from {tmp_path / 'raw'}"


@pytest.mark.parametrize("damage", ["cut", "altered", "empty", "a web page"])
def test_an_archive_that_is_not_what_was_published_is_refused(tmp_path, kind, damage):
    plain(tmp_path, "raw", with_gz, gzip.compress)
    path = tmp_path / "raw" / f"{RAW[2]}.gz"
    content = path.read_bytes()
    path.write_bytes(
        {
            "cut": content[: len(content) // 2],
            "altered": gzip.compress(raw_files()[RAW[2]][:-1] + b"\x07"),
            "empty": b"",
            "a web page": b"<html>404",
        }[damage]
    )
    with pytest.raises(DataError, match=rf"{RAW[2]}\.gz \(.* truncated or altered") as caught:
        load(kind, tmp_path)
    assert str(caught.value).count("ubyte") == 1


def test_what_lies_there_and_what_is_wanted_is_told(tmp_path, kind):
    (tmp_path / "mnist.npz").write_bytes(b"")
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(DataError) as caught:
        load(kind, tmp_path)
    said = str(caught.value)
    assert f"{tmp_path}/{KINDS[kind]}/raw: {', '.join(RAW)} not found, plain or packed" in said
    assert f"In {tmp_path} there is elsewhere/, mnist.npz." in said
    (tmp_path / KINDS[kind]).mkdir()
    with pytest.raises(DataError, match=f"In {tmp_path}/{KINDS[kind]} there is nothing"):
        load(kind, tmp_path)
    for n in range(30):
        (tmp_path / KINDS[kind] / f"{n:02}.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"00\.png, .*, 11\.png and 18 more\."):
        load(kind, tmp_path)


def test_a_root_that_is_not_there_or_is_a_file_is_told(tmp_path, kind):
    with pytest.raises(DataError, match=f"There is no folder {tmp_path}/nowhere"):
        load(kind, tmp_path / "nowhere")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DataError, match=f"{tmp_path}/file is a file, not a folder"):
        load(kind, tmp_path / "file")


@pytest.mark.parametrize("odd", ["link", "folder", "pipe", "unreadable"])
def test_what_is_no_file_or_cannot_be_read_is_told(tmp_path, kind, odd, monkeypatch):
    plain(tmp_path, "raw")
    path = tmp_path / "raw" / RAW[0]
    path.unlink()
    if odd == "link":
        path.symlink_to(tmp_path / "gone")
        said = f"{path}, a link to {tmp_path}/gone, cannot be read: No such file or directory"
    elif odd == "folder":
        path.mkdir()
        said = f"{RAW[0]} not found, plain or packed"
    elif odd == "pipe":
        os.mkfifo(path)
        said = f"{path} is no regular file"
    else:
        path.write_bytes(b"")
        read = Path.read_bytes

        def unreadable(of):
            if of == path:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(of))
            return read(of)

        monkeypatch.setattr(Path, "read_bytes", unreadable)  # root may read all
        said = f"{path} cannot be read: Permission denied"
    with pytest.raises(DataError) as caught:
        load(kind, tmp_path)
    assert said in str(caught.value)
    plain(tmp_path, "other")
    assert np.array_equal(load(kind, tmp_path)["train_images"], images(6, 0))


def test_folders_that_may_not_be_entered_are_passed_over(tmp_path, kind, monkeypatch):
    plain(tmp_path, "data/raw")
    (tmp_path / "closed").mkdir()
    listed, seen = Path.iterdir, os.path.isdir

    def closed(of):
        if of.name == "closed":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(of))

    monkeypatch.setattr(Path, "iterdir", lambda of: closed(of) or listed(of))
    monkeypatch.setattr(os.path, "isdir", lambda of: Path(of).name != "closed" and seen(of))
    assert np.array_equal(load(kind, tmp_path)["train_images"], images(6, 0))
    with pytest.raises(DataError, match=f"There is no folder {tmp_path}/closed"):
        load(kind, tmp_path / "closed")


def test_folders_that_link_to_themselves_end(tmp_path, kind):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "raw").symlink_to(tmp_path / "raw")
    (tmp_path / "raw" / RAW[0]).symlink_to(RAW[0])
    with pytest.raises(DataError, match="not found"):
        load(kind, tmp_path)


def test_a_download_that_was_cut_off_is_made_again(tmp_path, kind, monkeypatch):
    folder = tmp_path / KINDS[kind] / "raw"
    plain(tmp_path, f"{KINDS[kind]}/raw", with_gz, lambda content: gzip.compress(content)[:-9])
    asked = []

    def download(of):
        asked.append(of.root)
        for name, content in raw_files().items():
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
            (folder / name).write_bytes(content)

    monkeypatch.setattr(getattr(torchvision.datasets, KINDS[kind]), "download", download)
    for _ in range(2):  # the second time all is there
        assert np.array_equal(load(kind, tmp_path, download=True)["train_images"], images(6, 0))
    assert asked == [str(tmp_path)]


def test_what_torchvision_takes_for_downloaded_but_is_damaged_is_named(tmp_path, kind):
    plain(tmp_path, f"{KINDS[kind]}/raw", pack=lambda content: content[:-1])
    with pytest.raises(DataError, match=rf"{RAW[0]} .* truncated or altered"):
        load(kind, tmp_path, download=True)


@pytest.mark.parametrize("name", ["fashion_mnist", "cifar10"])
def test_other_datasets_are_what_was_published(mnist_root, name):
    if not (mnist_root / published.PUBLISHED[name].layout).is_dir():
        pytest.skip(f"needs {name}: set CGPIPE_DATA_ROOT to a folder in torchvision's layout that holds it")
    loaded = load(name, mnist_root)
    each = (6_000, 1_000) if name == "fashion_mnist" else (5_000, 1_000)
    for part, count in zip(("train", "test"), each, strict=True):
        assert np.bincount(loaded[f"{part}_labels"]).tolist() == [count] * 10
    first = {"fashion_mnist": [9, 0, 0, 3, 0], "cifar10": [6, 9, 9, 4, 1]}[name]
    assert loaded["train_labels"][:5].to_numpy().tolist() == first
    theirs = getattr(torchvision.datasets, published.PUBLISHED[name].name)(str(mnist_root), train=False)
    assert np.array_equal(loaded["test_images"], theirs.data)
    assert np.array_equal(loaded["test_labels"], theirs.targets)


def test_mnist_is_read_from_its_archives_one_folder_too_deep(mnist, mnist_root, tmp_path):
    (tmp_path / "unpacked").mkdir()
    for name in RAW:
        content = (mnist_root / "MNIST" / "raw" / name).read_bytes()
        (tmp_path / "unpacked" / f"{name}.gz").write_bytes(gzip.compress(content, 1))
    assert load("mnist", tmp_path).identical(mnist)


# --- CIFAR-10 -------------------------------------------------------------------------------------

CIFAR_FILES = [*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]


@pytest.fixture
def small_cifar(tmp_path, monkeypatch):
    """A folder in the layout of CIFAR-10 with two images in each file."""
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for number, name in enumerate(CIFAR_FILES):
        data = np.full((2, 3072), number, np.uint8)
        data[:, :1024] += 100  # red
        content = pickle.dumps({"data": data, "labels": [number, 9 - number]})
        (folder / name).write_bytes(content)
        monkeypatch.setitem(published.CIFAR10_MD5, name, md5(content))
    return tmp_path


def test_the_sums_of_cifar10_are_those_of_torchvision():
    kind = torchvision.datasets.CIFAR10
    assert dict([*kind.train_list, *kind.test_list]) == published.CIFAR10_MD5


def check_small_cifar(loaded):
    assert loaded["train_images"].dims == ("train_example", "height", "width", "channel")
    assert loaded["train_images"].shape == (10, 32, 32, 3)
    assert loaded["test_images"].shape == (2, 32, 32, 3)
    assert loaded["train_images"][2, 0, 0].to_numpy().tolist() == [101, 1, 1]
    assert loaded["train_labels"].to_numpy().tolist() == [0, 9, 1, 8, 2, 7, 3, 6, 4, 5]
    assert loaded["test_labels"].to_numpy().tolist() == [5, 4]


def test_cifar10_is_read_with_colours_last(small_cifar):
    check_small_cifar(load("cifar10", small_cifar))


@pytest.mark.parametrize(
    "where", ["cifar-10-batches-py", ".", "above", "archive", "unpacked archive", "archive in a folder"]
)
def test_cifar10_is_taken_from_its_folder_or_its_archive(small_cifar, tmp_path, where):
    folder = small_cifar / "cifar-10-batches-py"
    if where == "cifar-10-batches-py":
        root = folder
    elif where == ".":
        root = small_cifar
    elif where == "above":
        root = tmp_path / "above"
        (root / "data").mkdir(parents=True)
        folder.rename(root / "data" / "cifar-10-batches-py")
    else:
        root = tmp_path / "root"
        inner = root / "a folder" if "in a folder" in where else root
        inner.mkdir(parents=True)
        ending, mode = ("tar", "w") if where == "unpacked archive" else ("tar.gz", "w:gz")
        with tarfile.open(inner / f"cifar-10-python.{ending}", mode) as archive:
            archive.add(folder, "cifar-10-batches-py")
        shutil.rmtree(folder)
    check_small_cifar(load("cifar10", root))


def test_an_archive_of_cifar10_that_is_cut_short_is_refused(small_cifar):
    folder = small_cifar / "cifar-10-batches-py"
    path = small_cifar / "cifar-10-python.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(folder, "cifar-10-batches-py")
    shutil.rmtree(folder)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(
        DataError, match=r"cifar-10-python\.tar\.gz \(.* cannot be unpacked .* truncated or altered"
    ):
        load("cifar10", small_cifar)


@pytest.mark.parametrize("name", CIFAR_FILES)
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


@pytest.mark.parametrize("name", CIFAR_FILES)
def test_an_altered_file_of_cifar10_is_refused_before_it_is_unpickled(small_cifar, tmp_path, name):
    sprung = tmp_path / "sprung"
    (small_cifar / "cifar-10-batches-py" / name).write_bytes(pickle.dumps(Trap(sprung)))
    with pytest.raises(DataError, match=f"{name} .* truncated or altered"):
        load("cifar10", small_cifar)
    assert not sprung.exists()
