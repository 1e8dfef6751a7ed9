"""A folder of images, in the layout of torchvision's `ImageFolder`: its files, and the images in them.

Imports nothing but Python, and Pillow where an image is opened, so that settings can be checked.
"""

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cgpipe.data.errors import DataError
from cgpipe.data.shapes import Shape

if TYPE_CHECKING:
    from PIL.Image import Image

# Those that torchvision takes.
ENDINGS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
# By Pillow's mode, the one that an image is stored in.
MODES = {"1": "L", "L": "L", "P": "RGB", "RGB": "RGB", "CMYK": "RGB", "YCbCr": "RGB"}
KINDS = {"L": "grey", "RGB": "colour"}


class Listing(NamedTuple):
    """The images of a folder."""

    folder: Path
    classes: list[str]  # in alphabetical order
    train: list[tuple[Path, int]]  # images and their classes, as `ImageFolder` orders them
    test: list[tuple[Path, int]]

    def shape(self, size: int | None = None) -> Shape:
        """Size of the dataset, by its first image; errors and `size` are those of `Reader`."""
        image = Reader(self, size).first
        size_of_images = image.height, image.width, len(image.getbands())
        return Shape(len(self.train), *size_of_images, len(self.classes), len(self.test))

    def checksum(self, notes: Path | None = None) -> str:
        """SHA-256 by which the files are known, of the name and the bytes of each.

        Parameters
        ----------
        notes : Path, optional
            A folder to note it in. It is read there while all files have the same size and times, the time
            of the last change of any kind among them, which no program can set.

        Raises
        ------
        DataError
            If a file cannot be read.
        """
        files = [path for path, _ in self.train + self.test]
        note = None
        with suppress(OSError):  # a note saves time alone
            if notes:
                notes.mkdir(exist_ok=True)
                seen = ((path, path.stat()) for path in files)
                times = "\n".join(
                    f"{path} {of.st_size} {of.st_mtime_ns} {of.st_ctime_ns} {of.st_ino}" for path, of in seen
                )
                note = notes / hashlib.sha256(os.fsencode(times)).hexdigest()
                if note.exists() and re.fullmatch(
                    "[0-9a-f]{64}", noted := note.read_text("ascii", "replace")
                ):
                    return noted
        digest = hashlib.sha256()
        for path in files:
            digest.update(self.entry(path, content_of(path)))
        if note:
            with suppress(OSError):
                part = note.with_suffix(f".{os.getpid()}")
                part.write_text(digest.hexdigest(), encoding="ascii")
                part.replace(note)
        return digest.hexdigest()

    def entry(self, path: Path, content: bytes) -> bytes:
        """What a file adds to the checksum."""
        name = os.fsencode(path.relative_to(self.folder))
        return name + b"\n" + hashlib.sha256(content).digest()


class Reader:
    """Reads the images of a folder, all grey or all colour, with 8 bits for each value.

    Parameters
    ----------
    listing : Listing
        Of the folder.
    size : int, optional
        Height and width that each image is given: its shorter side is resized to it, with antialiasing
        (Pillow's bilinear filter), and the middle is kept. Images are never enlarged. Without it all must
        have one size.

    Attributes
    ----------
    first : Image
        The first image, which all others must be like.

    Raises
    ------
    DataError
        If the first image cannot be read; as for `read`.
    """

    def __init__(self, listing: Listing, size: int | None = None) -> None:
        self.path, self.size = listing.train[0][0], size
        content = content_of(self.path)
        self.first = opened(self.path, content)
        self.first = self.read(self.path, content)

    def read(self, path: Path, content: bytes) -> "Image":
        """The image in a file.

        Parameters
        ----------
        path : Path
            Of the file, for messages.
        content : bytes
            Of the file.

        Returns
        -------
        Image
            Of mode L or RGB.

        Raises
        ------
        DataError
            If it cannot be read, is grey and the first is in colour or the other way round, is smaller than
            `size`, or has another size than the first where there is no `size`.
        """
        from PIL import Image, ImageOps  # noqa: PLC0415

        image = opened(path, content)
        if image.mode != self.first.mode:
            raise DataError(
                f"{self.path} is {KINDS[self.first.mode]}, and {path} is {KINDS[image.mode]}: give images "
                "that are all grey, or all in colour"
            )
        if self.size is None:
            if image.size != self.first.size:
                raise DataError(
                    f"{self.path} has {_pixels(self.first)}, and {path} has {_pixels(image)}: give size, to "
                    "which all are resized, or images of one size"
                )
            return image
        if min(image.size) < self.size:
            raise DataError(
                f"{path} has {_pixels(image)}, and images are not enlarged: give a size of at most "
                f"{min(image.size)}, or leave this image out"
            )
        return ImageOps.fit(image, (self.size, self.size), Image.Resampling.BILINEAR)


def listed(folder: Path) -> Listing:
    """List the images of a folder.

    Parameters
    ----------
    folder : Path
        Holds `train` and `test` (or else `val`). Each holds a folder for each class, named as the class, with
        images in it or further down.

    Returns
    -------
    Listing
        Files with other endings than those of images are left out, and names that begin with a dot.

    Raises
    ------
    DataError
        If a folder is missing, there are fewer than two classes, one has no image, or those of the two parts
        differ.
    """
    try:
        return _listed(folder)
    except OSError as error:
        raise DataError(f"{error.filename} cannot be read: {error.strerror}") from error


def opened(path: Path, content: bytes) -> "Image":
    """The image in the content of a file, of mode L or RGB; a DataError names the file."""
    from PIL import Image  # noqa: PLC0415

    try:
        image = Image.open(BytesIO(content))
        deep = _has_more_bits(image)
        image.load()
    except Exception as error:  # decoders raise anything
        raise DataError(f"{path} cannot be read as an image: {error}") from error
    if deep or image.mode not in MODES or image.has_transparency_data:
        more = " with more bits" * (deep and image.mode in MODES)
        more += " with transparency" * image.has_transparency_data
        raise DataError(
            f"{path} is an image of mode {image.mode}{more}: give images of 8 bits for each value, grey or "
            "in colour, without transparency"
        )
    return image.convert(MODES[image.mode])


def content_of(path: Path) -> bytes:
    """The bytes of a file; a DataError names it."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error


def _listed(folder: Path) -> Listing:
    train = folder / "train"
    test = next((path for path in (folder / "test", folder / "val") if path.is_dir()), folder / "test")
    for path in (folder, train, test):
        if not path.is_dir():
            or_val = " or val" if path == test else ""
            raise DataError(f"there is no folder {path}{or_val}")
    classes = [_classes(part) for part in (train, test)]
    if lacking := [
        f"{there} has {', '.join(sorted(more))}, which {other} has not"
        for there, other, more in (
            (train, test, {*classes[0]} - {*classes[1]}),
            (test, train, {*classes[1]} - {*classes[0]}),
        )
        if more
    ]:
        raise DataError("; ".join(lacking))
    if len(classes[0]) < 2:
        raise DataError(f"{train} has a folder for {len(classes[0])} class: two or more are needed")
    return Listing(folder, classes[0], *(_images(part, classes[0]) for part in (train, test)))


def _has_more_bits(image: "Image") -> bool:
    """Whether an image that was not loaded yet has more than 8 bits for each value, which Pillow cuts off."""
    for tile in getattr(image, "tile", ()):
        args = tile[3] if isinstance(tile[3], tuple) else (tile[3],)
        largest = args[1] if tile[0].startswith("ppm") and len(args) > 1 else 0  # a netpbm's maxval
        if largest > 255 or ";16" in str(args[0]):
            return True
    return False


def _classes(part: Path) -> list[str]:
    names = sorted(path.name for path in part.iterdir() if path.is_dir() and not _hidden(path.name))
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise DataError(f"{part} has a folder whose name is no UTF-8, {name!r}: rename it") from None
    return names


def _hidden(name: str) -> bool:
    return name.startswith(".")


def _images(part: Path, classes: list[str]) -> list[tuple[Path, int]]:
    images: list[tuple[Path, int]] = []
    for label, name in enumerate(classes):
        paths = [
            Path(folder, file) for folder, files in sorted(_walked(part / name)) for file in sorted(files)
        ]
        found = [(path, label) for path in paths if path.name.lower().endswith(ENDINGS)]
        if not found:
            raise DataError(f"{part / name} holds no image: none of its files ends with {', '.join(ENDINGS)}")
        images += found
    return images


def _walked(top: Path) -> Iterator[tuple[str, list[str]]]:
    """The folders below a folder and the files in each, hidden ones left out, and each folder once."""
    seen = set()
    for folder, folders, files in os.walk(top, onerror=_raise, followlinks=True):
        if (real := os.path.realpath(folder)) in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not _hidden(name))  # of two links, the first by name
        yield folder, [name for name in files if not _hidden(name)]


def _raise(error: OSError) -> None:
    raise error


def _pixels(image: "Image") -> str:
    return f"{image.width}×{image.height} pixels"
