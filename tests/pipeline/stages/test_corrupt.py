"""Stage `corrupt`: which examples a replicate trains on, and the labels that it trains on."""

import numpy as np
import pytest
import torch

from cgpipe.data.corruption import corruption
from cgpipe.data.images import flat_images, shaped_images
from cgpipe.pipeline.artifacts import Provenance, read_netcdf
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
    def function(noise, replicate=0, examples=None, seed=3):
        spec = corrupt.Spec(noise, replicate, seed, "exact", examples=examples)
        path = tmp_path / "corrupted.nc"
        corrupt.run(spec, Provenance("corrupt", "{}", ""), dataset=dataset, corrupted=path)
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
