"""Stage `corrupt`: which examples a replicate trains on, and the labels that it trains on."""

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
import xarray as xr

from cgpipe.data.corruption import corruption
from cgpipe.data.images import flat_images, shaped_images
from cgpipe.pipeline.artifacts import ArtifactError, Provenance, read_netcdf, write_netcdf
from cgpipe.pipeline.stages import corrupt, data
from cgpipe.pipeline.stages.device import TrainingImages
from cgpipe.pipeline.streams import stream


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    path = folder / "dataset.nc"
    made = Provenance("data", "{}", "")
    data.run(data.Spec("digits"), made, dataset=path, data_root=None, downloads=folder)
    return path


@pytest.fixture
def labels(dataset, tmp_path):
    def function(noise, replicate=0, examples=None, seed=3, difficulty=None):
        spec = corrupt.Spec(noise, replicate, seed, "exact", examples=examples)
        path = tmp_path / "corrupted.nc"
        # As planned: without what has its default.
        given = {k: v for k, v in asdict(spec).items() if k != "examples"} | {"examples": examples}
        if isinstance(examples, corrupt.Examples):
            given["examples"] = {k: v for k, v in asdict(examples).items() if v}
        made = Provenance("corrupt", json.dumps(given), "")
        corrupt.run(spec, made, dataset=dataset, corrupted=path, difficulty=difficulty)
        return read_netcdf(path, "corrupt")

    return function


def test_all_levels_of_noise_of_a_replicate_have_the_same_balanced_subset(labels, dataset):
    true = read_netcdf(dataset, "data")["train_labels"].values
    levels = [labels(noise, examples=205) for noise in (0, 0.5, 1)]
    for noise, level in zip((0, 0.5, 1), levels, strict=True):
        assert np.array_equal(level["index"], levels[0]["index"])
        assert np.array_equal(level["label_true"], true[level["index"]])
        assert np.array_equal(level["label_train"], level["label_true"][level["permutation"]])
        sizes = np.bincount(level["label_train"])
        assert sorted(sizes) == 5 * [20] + 5 * [21]
        rng = stream(3, "corruption", 0)
        assert np.array_equal(level["permutation"], corruption(true[:205], noise, rng=rng).permutation)


def test_replicates_and_seeds_have_subsets_of_their_own(labels):
    subsets = [labels(0.5, *of)["index"].values for of in ((0, 205, 3), (1, 205, 3), (0, 205, 4))]
    assert len({subset.tobytes() for subset in subsets}) == 3


def test_without_a_subset_all_examples_have_the_labels_of_the_stream(labels, dataset):
    true = read_netcdf(dataset, "data")["train_labels"].values
    level = labels(0.5)
    assert np.array_equal(level["index"], np.arange(len(true)))
    expected = corruption(true, 0.5, rng=stream(3, "corruption", 0))
    assert np.array_equal(level["label_train"], expected.label_train)
    assert level.equals(labels(0.5, examples=len(true)))


def test_images_are_those_of_the_labels(labels, dataset):
    images = read_netcdf(dataset, "data")
    on_device = TrainingImages(images, torch.device("cpu"))
    level, other = labels(0.5, examples=30), labels(0.25, examples=30)
    assert np.array_equal(on_device.of(level), flat_images(images, "train")[level["index"]])
    assert on_device.of(other) is on_device.of(level)
    shaped = TrainingImages(images, torch.device("cpu"), normalize=True, flat=False)
    assert np.array_equal(shaped.of(level), shaped_images(images, "train", normalize=True)[level["index"]])


def test_more_examples_than_there_are_are_refused(labels):
    with pytest.raises(ValueError, match="1001 examples of 1000: ask for 1 to 1000"):
        labels(0.5, examples=1_001)


# --- other than all once, or a number of them -----------------------------------------------------------


def test_a_number_of_examples_is_the_same_in_either_way_to_say_it(labels):
    assert labels(0.5, examples=205).equals(labels(0.5, examples=corrupt.Examples(examples=205)))


def test_a_twin_has_the_labels_of_the_other_at_all_places(labels):
    level = labels(0.5, 1, 100)
    twin = labels(0.5, 1, corrupt.Examples(examples=100, replaced=7))
    assert (level["index"] != twin["index"]).sum() == 7
    assert not set(twin["index"].values[level["index"] != twin["index"]]) & set(level["index"].values)
    assert level.drop_vars("index").equals(twin.drop_vars("index"))


def test_copies_are_corrupted_each_on_its_own(labels):
    level = labels(1, 0, corrupt.Examples(examples=50, copies=4))
    assert np.array_equal(level["index"], np.repeat(labels(1, 0, 50)["index"], 4))
    by_copy = level["label_train"].values.reshape(50, 4)
    assert (by_copy != by_copy[:, :1]).any()
    assert np.array_equal(np.bincount(level["label_train"]), 4 * np.bincount(level["label_true"][::4]))


def test_all_stages_see_the_same_black_pixels_and_replicates_have_their_own(labels, dataset):
    images = read_netcdf(dataset, "data")
    of = corrupt.Examples(examples=40, copies=2, zeroed=0.25)
    seen = [
        TrainingImages(images, torch.device("cpu"), flat=flat).of(labels(noise, replicate, of))
        for noise, replicate, flat in ((0, 0, True), (0.5, 0, False), (0, 1, True))
    ]
    assert np.array_equal(seen[0], seen[1].reshape(80, 64))
    assert not np.array_equal(seen[0], seen[2])
    whole = flat_images(images, "train")[labels(0, 0, of)["index"]]
    lost = (seen[0].numpy() == 0) & (whole > 0)
    assert np.array_equal(seen[0].numpy()[~lost], whole[~lost])
    assert 0 < lost.sum(1).max() <= 16
    copies = seen[0].reshape(40, 2, 64)
    assert (copies[:, 0] != copies[:, 1]).any(1).all()


def test_runs_of_one_size_are_not_mixed_up(labels, dataset):
    images = read_netcdf(dataset, "data")
    on_device = TrainingImages(images, torch.device("cpu"))
    twice = labels(0, 0, corrupt.Examples(examples=500, copies=2))
    assert np.array_equal(on_device.of(twice), flat_images(images, "train")[twice["index"]])
    black = labels(0, 0, corrupt.Examples(zeroed=0.5))
    assert (on_device.of(black) == 0).sum(1).min() >= 32
    assert np.array_equal(on_device.of(labels(0)), flat_images(images, "train"))


@pytest.fixture
def difficulty(labels, dataset, tmp_path):
    """Of 300 examples, of which every fifth is hard."""
    index = labels(0, examples=300)["index"].values
    found = xr.Dataset({"index": ("example", index), "easy": ("example", np.arange(300) % 5 > 0)})
    found = found.assign_attrs(checksum=read_netcdf(dataset, "data").attrs["checksum"])
    for name in found:
        found[name].attrs["long_name"] = name
    path = tmp_path / "difficulty.nc"
    write_netcdf(found, path, title="", provenance=Provenance("difficulty", "{}", ""))
    return path


@pytest.mark.parametrize(("which", "there"), [("easy", 240), ("hard", 60)])
def test_examples_are_drawn_from_the_easy_or_the_hard_ones(labels, difficulty, which, there):
    of = f"{which}-of-base"
    learned = read_netcdf(difficulty, "difficulty")
    group = set(learned["index"].values[learned["easy"].values == (which == "easy")])
    both = [
        labels(0.5, r, corrupt.Examples(chosen=of, examples=40), difficulty=difficulty)["index"].values
        for r in (0, 1)
    ]
    assert all(len(set(one)) == 40 and set(one) <= group for one in both)
    assert not np.array_equal(*both)
    twin = labels(0.5, 0, corrupt.Examples(chosen=of, examples=40, replaced=2), difficulty=difficulty)
    assert set(twin["index"].values) <= group
    everything = labels(0, 0, corrupt.Examples(chosen=of, examples=there), difficulty=difficulty)
    assert set(everything["index"].values) == group
    said = f"{there + 1} {which} examples of base are asked for, and of its 300, {there} are {which}: set"
    with pytest.raises(ValueError, match=said):
        labels(0, 0, corrupt.Examples(chosen=of, examples=there + 1), difficulty=difficulty)


def test_examples_are_chosen_by_what_was_learned_of_the_same_images(labels, difficulty):
    of = corrupt.Examples(chosen="easy-of-base", examples=40)
    with pytest.raises(ValueError, match=r"\(easy-of-base\): give --difficulty"):
        labels(0, 0, of)
    other = xr.load_dataset(difficulty).assign_attrs(checksum="0")
    write_netcdf(other, difficulty, title="", provenance=Provenance("difficulty", "{}", ""))
    with pytest.raises(ArtifactError, match="was made for images with sha256 0"):
        labels(0, 0, of, difficulty=difficulty)
