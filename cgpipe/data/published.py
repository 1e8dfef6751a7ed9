"""The published files of a dataset, wherever they lie and however they are packed.

Nothing is believed that is not checked: a file is known by its content, which has the MD5 sum of what was
published, unpacked. So it may lie in another folder than torchvision puts it in, or packed, and one that has
another sum is refused by name. Nothing is written but by torchvision, when it downloads.
"""

import gzip
import hashlib
import io
import logging
import os
import re
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from cgpipe.data.errors import DamagedError, DataError

log = logging.getLogger(__name__)

# MD5 of the unpacked files: torchvision lists those of the .gz alone.
MNIST_RAW_MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
FASHION_MNIST_RAW_MD5 = {
    "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
    "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
    "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
    "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
}
CIFAR10_MD5 = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}
DEEPEST = 3  # folders below the root to look into
SHOWN = 12  # entries of a folder, in a message
ALTERED = "it is truncated or altered. Remove it and download or copy it again"


class Published(NamedTuple):
    """The files of a dataset."""

    name: str  # as torchvision calls it
    layout: str  # folder of the unpacked files, in torchvision's layout
    md5: Mapping[str, str]  # of each unpacked file
    archive: str  # name, without its ending, of one that holds all of them
    source: str


PUBLISHED = {
    "mnist": Published("MNIST", "MNIST/raw", MNIST_RAW_MD5, "MNIST", "MNIST (LeCun, Cortes, Burges 1998)"),
    "fashion_mnist": Published(
        "FashionMNIST",
        "FashionMNIST/raw",
        FASHION_MNIST_RAW_MD5,
        "fashion-mnist",
        "Fashion-MNIST (Xiao, Rasul, Vollgraf 2017)",
    ),
    "cifar10": Published(
        "CIFAR10", "cifar-10-batches-py", CIFAR10_MD5, "cifar-10-python", "CIFAR-10 (Krizhevsky 2009)"
    ),
}


def contents(name: str, root: Path, *, download: bool) -> dict[str, bytes]:
    """Unpacked content of each file of a dataset, in the order in which PUBLISHED has them.

    Parameters
    ----------
    name : str
        Of the dataset, one of PUBLISHED.
    root : Path
        Folder in torchvision's layout, or as `load` says.
    download : bool
        Whether torchvision may download into `root` what is not there.

    Raises
    ------
    DataError
        If a file is missing, cannot be read, is truncated or does not have its published checksum.
    """
    try:
        return _read(name, root)
    except DataError as problem:
        if not download:
            raise
        try:
            _download(name, root)
        except DataError as error:
            # torchvision takes damaged files for good ones, and fails to read them.
            raise (problem if isinstance(problem, DamagedError) else error) from error
        return _read(name, root)


def _download(name: str, root: Path) -> None:
    from torchvision import datasets  # noqa: PLC0415  (imports torch)

    try:
        getattr(datasets, PUBLISHED[name].name)(str(root), train=True, download=True)
    except (OSError, RuntimeError, ValueError, AssertionError) as error:
        raise DataError(
            f"{name} could not be downloaded into {root}: {error}. On a machine without internet, "
            "copy a folder in torchvision's layout there and name it as data_root in the config or "
            "as CGPIPE_DATA_ROOT in the environment"
        ) from error


def _read(name: str, root: Path) -> dict[str, bytes]:
    """Unpacked content of each file of a dataset, in the order in which PUBLISHED has them."""
    of = PUBLISHED[name]
    files = {_plain(file): file for file in of.md5}
    known = {md5: dataset for dataset in PUBLISHED for md5 in PUBLISHED[dataset].md5.values()}
    found: dict[str, bytes] = {}
    places: set[str] = set()
    damaged: dict[Path, str] = {}
    others = []
    for path in _candidates(of, root):
        if files.get(_plain(path.name)) in found:
            continue
        try:
            for inner, content in _contents(path):
                file = files.get(_plain(inner))
                if file is None or file in found:
                    continue
                md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
                if md5 == of.md5[file]:
                    found[file] = content
                    places.add(str(path.parent))
                elif md5 in known:
                    others.append(f"{path} is of {known[md5]}")
                else:
                    raise DataError(
                        f"{path} ({len(content):,} bytes{_if_packed(path)}) has MD5 {md5}, but "
                        f"{of.md5[file]} was published: {ALTERED}"
                    )
        except DataError as error:
            damaged[path] = str(error)
        if len(found) == len(of.md5):
            for problem in damaged.values():
                log.warning("%s. Another copy, which is right, was read", problem)
            log.info("read %s from %s", name, ", ".join(sorted(places)))
            return {file: found[file] for file in of.md5}
    lacking = set(of.md5) - set(found) - {files.get(_plain(path.name)) for path in damaged}
    missing = ", ".join(file for file in of.md5 if file in lacking)
    absent = f"{root / of.layout}: {missing} not found, plain or packed. {_lying(of, root)}"
    advice = (
        "data_root (or CGPIPE_DATA_ROOT) must be a folder in torchvision's layout; leave both unset to "
        "download into results/downloads"
    )
    parts = [*([absent] if missing else []), *damaged.values(), *others, advice]
    raise (DamagedError if damaged else DataError)(". ".join(parts))


def _candidates(of: Published, root: Path) -> Iterator[Path]:
    """Files of such names: first where torchvision has them, then in root, in its folders, and in theirs."""
    names = {*map(_plain, of.md5), *(_plain(of.archive + ending) for ending in (".tar", ".tgz"))}
    # Some programs unpack a file into a folder of its own name.
    inner = {*map(_plain, [*of.layout.split("/"), of.archive, of.name, *of.md5])}
    seen = set()
    folders = [root / of.layout, root]
    for depth in range(DEEPEST + 1):
        below = []
        for folder in folders:
            if folder in seen:
                continue
            seen.add(folder)
            try:
                entries = sorted(folder.iterdir())
            except OSError:
                continue
            deeper = [path for path in entries if _is_folder(path)]
            yield from (path for path in entries if _plain(path.name) in names and path not in deeper)
            below += [path for path in deeper if depth == 0 or _plain(path.name) in inner]
        folders = below


def _contents(path: Path) -> Iterator[tuple[str, bytes]]:
    """Name and unpacked content of a file, or of each file of an archive."""
    try:
        if path.exists() and not path.is_file():
            raise DataError(f"{path} is no regular file")  # reading it might never end
        packed = path.read_bytes()
    except OSError as error:
        link = f", a link to {path.readlink()}," if path.is_symlink() else ""
        raise DataError(f"{path}{link} cannot be read: {error.strerror}") from error
    try:
        if _plain(path.name).endswith(("tar", "tgz")):
            with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
                for member in archive:
                    if (file := archive.extractfile(member)) is not None:
                        yield Path(member.name).name, _unpacked(file.read())
        else:
            yield path.name, _unpacked(packed)
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise DataError(f"{path} ({len(packed):,} bytes) cannot be unpacked ({error}): {ALTERED}") from error


def _unpacked(content: bytes) -> bytes:
    # By the content: some programs unpack what they download and leave its name.
    return gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content


def _if_packed(path: Path) -> str:
    return ", unpacked" if path.suffix.lower() in (".gz", ".tgz", ".tar") else ""


def _plain(name: str) -> str:
    """A name without .gz, case and signs: sites differ in them, as in train-images.idx3-ubyte."""
    return re.sub(r"[^a-z0-9]", "", name.lower().removesuffix(".gz"))


def _is_folder(path: Path) -> bool:
    return os.path.isdir(path)  # noqa: PTH112  (false, where Path.is_dir raises an OSError)


def _lying(of: Published, root: Path) -> str:
    """Say what lies where the files of a dataset were expected."""
    if not _is_folder(root):
        return f"{root} is a file, not a folder" if root.is_file() else f"There is no folder {root}"
    layout = root / of.layout
    folder = next(place for place in (layout, layout.parent, root) if _is_folder(place))
    try:
        lying = [path.name + "/" * _is_folder(path) for path in sorted(folder.iterdir())]
    except OSError as error:
        return f"{folder} cannot be read: {error.strerror}"
    more = f" and {len(lying) - SHOWN} more" if len(lying) > SHOWN else ""
    return f"In {folder} there is {', '.join(lying[:SHOWN]) or 'nothing'}{more}"
