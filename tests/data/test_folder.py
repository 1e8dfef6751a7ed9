"""One's own images, in the layout of torchvision's ImageFolder."""

import os
import re
import shutil
import struct
import zlib

import numpy as np
import pytest
from folders import write_folder
from PIL import Image
from torchvision.datasets import ImageFolder
from torchvision.datasets.folder import IMG_EXTENSIONS

from cgpipe.data.datasets import checksum, load, load_folder
from cgpipe.data.errors import DataError
from cgpipe.data.folder import ENDINGS, listed
from cgpipe.data.shapes import Shape


@pytest.fixture
def folder(digits, tmp_path):
    return write_folder(tmp_path / "digits", digits)


@pytest.fixture(scope="session")
def cifar10(mnist_root):
    if not (mnist_root / "cifar-10-batches-py").is_dir():
        pytest.skip("needs cifar10: set CGPIPE_DATA_ROOT to a folder that holds it")
    return load("cifar10", mnist_root)


def colours(to, size=(8, 8), mode="RGB"):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (*size[::-1], 3), dtype=np.uint8)).convert(mode).save(to)


# --- as they are ------------------------------------------------------------------------------------


def test_files_and_classes_are_those_of_torchvision(folder):
    deeper = folder / "train/class 1/deeper"
    deeper.mkdir()
    shutil.move(folder / "train/class 1/3.png", deeper / "A.PNG")
    (folder / "train/class 1/notes.txt").write_text("no image")
    (folder / "train/README").write_text("no class")
    listing = listed(folder)
    for part in ("train", "test"):
        theirs = ImageFolder(str(folder / part))
        assert [(str(path), label) for path, label in getattr(listing, part)] == theirs.samples
        assert listing.classes == theirs.classes
    assert set(ENDINGS) == set(IMG_EXTENSIONS)


def test_grey_images_are_stored_as_they_are(folder, digits):
    loaded = load_folder(folder)
    assert dict(loaded.sizes) == {
        "train_example": 24, "height": 8, "width": 8, "test_example": 24, "channel": 1, "class": 3
    }  # fmt: skip
    assert loaded["class"].to_numpy().tolist() == ["class 0", "class 1", "class 2"]
    for part in ("train", "test"):
        labels = digits[f"{part}_labels"].to_numpy()
        chosen = np.concatenate([np.flatnonzero(labels == label)[:8] for label in range(3)])
        assert np.array_equal(loaded[f"{part}_images"], 15 * digits[f"{part}_images"].to_numpy()[chosen])
        assert np.array_equal(loaded[f"{part}_labels"], labels[chosen])
        assert (loaded[f"{part}_images"].dtype, loaded[f"{part}_labels"].dtype) == (np.uint8, np.int64)
    assert loaded.attrs["pixel_max"] == 255
    assert loaded.attrs["checksum"] == checksum(loaded)
    assert loaded.attrs["files_sha256"] == listed(folder).checksum()
    assert listed(folder).shape() == Shape(24, 8, 8, 1, 3, 24)


def test_images_in_colour_are_stored_as_they_are(cifar10, tmp_path):
    loaded = load_folder(write_folder(tmp_path, cifar10, classes=2))
    labels = cifar10["train_labels"].to_numpy()
    chosen = np.concatenate([np.flatnonzero(labels == label)[:8] for label in range(2)])
    assert np.array_equal(loaded["train_images"], cifar10["train_images"][chosen])
    assert loaded["train_images"].dims == ("train_example", "height", "width", "channel")
    assert listed(tmp_path).shape() == Shape(16, 32, 32, 3, 2, 16)


def test_val_serves_as_test_where_there_is_no_test(folder):
    expected = load_folder(folder)
    (folder / "test").rename(folder / "val")
    assert load_folder(folder)["test_images"].equals(expected["test_images"])


@pytest.mark.parametrize(("mode", "kind"), [("1", "L"), ("P", "RGB"), ("CMYK", "RGB"), ("YCbCr", "RGB")])
def test_other_modes_become_grey_or_colour(folder, mode, kind):
    for path, _ in listed(folder).train + listed(folder).test:
        path.unlink()
        colours(path.with_suffix(".tif"), mode=mode)
    listing = listed(folder)
    with Image.open(listing.train[0][0]) as image:
        assert image.mode == mode
        expected = np.asarray(image.convert(kind))
    assert np.array_equal(load_folder(folder)["train_images"][0], expected)


def resized(image, size):
    """The middle of an image whose shorter side gets a size: in float64, means weighted by triangles.

    A triangle is two output pixels wide, and those at the edge of the square reach beyond it.
    """
    scale = min(image.shape) / size

    def weights(length):
        centre = length / 2 + (np.arange(size) + 0.5 - size / 2) * scale
        distance = np.abs(np.arange(length) + 0.5 - centre[:, None]) / scale
        triangle = np.clip(1 - distance, 0, None)
        return triangle / triangle.sum(1, keepdims=True)

    rows, columns = map(weights, image.shape)
    return rows @ image.astype(np.float64) @ columns.T


@pytest.mark.parametrize("shape", [(40, 40), (41, 53), (64, 24), (24, 31)])
def test_images_of_any_size_are_resized_alike(folder, shape):
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, shape, dtype=np.uint8)
    Image.fromarray(image).save(folder / "train/class 0/0.png")
    loaded = load_folder(folder, 7)
    assert loaded.sizes["height"] == loaded.sizes["width"] == 7
    assert np.abs(loaded["train_images"][0].to_numpy() - resized(image, 7)).max() <= 1
    assert listed(folder).shape(7) == Shape(24, 7, 7, 1, 3, 24)


def test_an_image_that_has_the_size_is_not_changed(folder):
    assert load_folder(folder, 8).equals(load_folder(folder))


def test_a_folder_is_known_by_names_and_bytes_alone(folder, tmp_path):
    known = listed(folder).checksum()
    shutil.copytree(folder, tmp_path / "copy", copy_function=shutil.copyfile)
    assert listed(tmp_path / "copy").checksum() == known
    (folder / "README").write_text("no image")
    assert listed(folder).checksum() == known
    (folder / "train/class 0/0.png").rename(folder / "train/class 0/0a.png")
    assert listed(folder).checksum() != known


def test_a_note_spares_reading_until_a_file_is_another(folder, tmp_path, monkeypatch):
    notes = tmp_path / "notes"
    known = listed(folder).checksum(notes)
    assert [note.read_text() for note in notes.iterdir()] == [known]
    with monkeypatch.context() as patched:
        patched.setattr("cgpipe.data.folder.content_of", None)
        assert listed(folder).checksum(notes) == known
    image = folder / "train/class 0/0.png"
    colours(image)
    changed = listed(folder).checksum(notes)
    assert changed == listed(folder).checksum() != known
    os.utime(image, (1, 1))
    assert listed(folder).checksum(notes) == changed
    assert listed(folder).checksum(tmp_path / "no/such") == changed


def test_a_file_of_the_same_size_and_time_is_another(folder, tmp_path):
    notes, image = tmp_path / "notes", folder / "train/class 0/0.png"
    before, known = image.stat(), listed(folder).checksum(notes)
    content = bytearray(image.read_bytes())
    content[-20] ^= 1
    replacement = tmp_path / "unpacked"
    replacement.write_bytes(content)
    os.utime(replacement, ns=(before.st_atime_ns, before.st_mtime_ns))
    replacement.replace(image)  # as unzip, rsync -t and cp -p do
    assert (image.stat().st_size, image.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert listed(folder).checksum(notes) == listed(folder).checksum() != known


@pytest.mark.parametrize("damage", [b"", b"0123", b"\xff" * 64])
def test_a_note_that_is_cut_short_or_damaged_is_not_believed(folder, tmp_path, damage):
    known = listed(folder).checksum(tmp_path)
    (note,) = tmp_path.glob("?" * 64)
    note.write_bytes(damage)
    assert listed(folder).checksum(tmp_path) == known
    assert note.read_text() == known


# --- as they should not be --------------------------------------------------------------------------


def one_error(folder, size=None):
    with pytest.raises(DataError) as caught:
        load_folder(folder, size)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_folder_that_is_missing_is_named(folder, tmp_path):
    assert one_error(tmp_path / "none") == f"there is no folder {tmp_path}/none"
    shutil.rmtree(folder / "test")
    assert one_error(folder) == f"there is no folder {folder}/test or val"
    shutil.rmtree(folder / "train")
    assert one_error(folder) == f"there is no folder {folder}/train"


def test_a_folder_that_cannot_be_looked_into_is_named(folder, monkeypatch):
    closed = folder / "test/class 1"
    scandir = os.scandir

    def denied(path):
        if str(path) == str(closed):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", denied)
    assert one_error(folder) == f"{closed} cannot be read: Permission denied"
    assert one_error(folder / ("x" * 300)).endswith("x/test cannot be read: File name too long")


def test_classes_that_are_not_in_both_parts_are_named(folder):
    shutil.move(folder / "train/class 1", folder / "train/class x")
    assert one_error(folder) == (
        f"{folder}/train has class x, which {folder}/test has not; {folder}/test has class 1, which "
        f"{folder}/train has not"
    )


def test_one_class_is_too_few(folder):
    for part in ("train", "test"):
        for label in (1, 2):
            shutil.rmtree(folder / part / f"class {label}")
    assert one_error(folder) == f"{folder}/train has a folder for 1 class: two or more are needed"


def test_a_class_without_an_image_is_named(folder):
    empty = folder / "test/class 2"
    for path in empty.iterdir():
        path.rename(path.with_suffix(".gif"))
    assert one_error(folder).startswith(
        f"{empty} holds no image: none of its files ends with .jpg, .jpeg, .png"
    )


@pytest.mark.parametrize("where", ["train/class 0/0.png", "test/class 2/5.png"])
@pytest.mark.parametrize("content", [b"", b"no image", "cut"])
def test_an_image_that_cannot_be_read_is_named(folder, where, content):
    path = folder / where
    path.write_bytes(path.read_bytes()[:-30] if content == "cut" else content)
    assert one_error(folder).startswith(f"{path} cannot be read as an image: ")


def test_a_file_that_cannot_be_opened_is_named(folder):
    path = folder / "train/class 1/2.png"
    path.unlink()
    path.symlink_to("nowhere")
    assert one_error(folder) == f"{path} cannot be read: No such file or directory"
    with pytest.raises(DataError, match=re.escape(str(path))):
        listed(folder).checksum()


def test_grey_among_colour_is_named_and_so_is_colour_among_grey(folder):
    colours(folder / "train/class 1/2.png")
    said = (
        f"{folder}/train/class 0/0.png is grey, and {folder}/train/class 1/2.png is colour: give images that"
    )
    assert one_error(folder).startswith(said)
    colours(folder / "train/class 0/0.png")
    said = f"{folder}/train/class 0/0.png is colour, and {folder}/train/class 0/1.png is grey"
    assert one_error(folder).startswith(said)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "I;16", "F"])
def test_other_values_than_8_bits_of_grey_or_colour_are_named(folder, mode):
    path = folder / "train/class 1/2.tif"
    if mode in ("RGBA", "LA"):
        colours(path, mode=mode)
    else:
        Image.fromarray(np.ones((8, 8), {"F": np.float32}.get(mode, np.uint16))).save(path)
    transparent = " with transparency" if "A" in mode else ""
    assert one_error(folder).startswith(
        f"{path} is an image of mode {mode}{transparent}: give images of 8 bits"
    )


def png_of_16_bits():
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 0)
    pixels = zlib.compress(8 * (b"\0" + bytes(8 * 6)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("name", "content"), [("a.png", png_of_16_bits()), ("a.ppm", b"P6\n8 8\n65535\n" + bytes(8 * 8 * 6))]
)
def test_colours_of_16_bits_are_named_and_not_cut(folder, name, content):
    path = folder / "train/class 1" / name
    path.write_bytes(content)
    assert one_error(folder).startswith(
        f"{path} is an image of mode RGB with more bits: give images of 8 bits"
    )


def test_hidden_names_are_left_out_and_links_count_nothing_twice(folder):
    before = listed(folder)
    (folder / "train/class 1/again").symlink_to(folder / "train/class 1", target_is_directory=True)
    for hidden in ("train/.cache", "train/class 0/.ipynb_checkpoints"):
        (folder / hidden).mkdir()
        shutil.copy(folder / "train/class 0/0.png", folder / hidden / "0-checkpoint.png")
    (folder / "train/class 0/._0.png").write_bytes(b"of another system")
    assert listed(folder) == before


def test_of_links_to_one_folder_the_first_by_name_counts(folder, tmp_path, monkeypatch):
    """Whatever the order in which the file system lists them."""
    shutil.move(folder / "train/class 1", tmp_path / "kept")
    (folder / "train/class 1").mkdir()
    for name in ("b", "a"):
        (folder / "train/class 1" / name).symlink_to(tmp_path / "kept", target_is_directory=True)
    scandir = os.scandir

    class InOrder:
        backwards = False

        def __init__(self, path):
            with scandir(path) as entries:
                self.entries = iter(sorted(entries, key=lambda of: of.name, reverse=self.backwards))

        def __next__(self):
            return next(self.entries)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(os, "scandir", InOrder)
    for backwards in (False, True):
        monkeypatch.setattr(InOrder, "backwards", backwards)
        found = [path for path, label in listed(folder).train if label == 1]
        assert len(found) == 8
        assert {path.parent.name for path in found} == {"a"}


def test_a_folder_whose_name_is_no_text_is_named(folder):
    for part in ("train", "test"):
        (folder / part / "class 0").rename(folder / part / os.fsdecode(b"caf\xe9"))
    assert one_error(folder).endswith(r"has a folder whose name is no UTF-8, 'caf\udce9': rename it")


def test_images_of_different_sizes_need_a_size(folder):
    colours(folder / "test/class 1/2.png", (9, 8), "L")
    assert one_error(folder) == (
        f"{folder}/train/class 0/0.png has 8×8 pixels, and {folder}/test/class 1/2.png has 9×8 pixels: give "
        "size, to which all are resized, or images of one size"
    )
    assert load_folder(folder, 8).sizes["width"] == 8


def test_images_are_not_enlarged(folder):
    assert one_error(folder, 9) == (
        f"{folder}/train/class 0/0.png has 8×8 pixels, and images are not enlarged: give a size of at most "
        "8, or leave this image out"
    )
