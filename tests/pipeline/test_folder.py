"""The key `dataset`, where it is a folder of images."""

import os
import shutil
from pathlib import Path

import pytest
from folders import write_folder

from cgpipe.pipeline import plan
from cgpipe.pipeline.config.datasets import shape_of
from cgpipe.pipeline.config.load import ConfigError, load

ALLOWED = "allowed: a folder of images, with a folder for each class in train and the same in test (or val); "


@pytest.fixture
def folder(digits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IMAGES", str(tmp_path))
    return write_folder(tmp_path / "digits", digits)


def settings(dataset, **experiment):
    one = {"network": {"dense": [8]}, "steps": 5, "batch_size": 10, **experiment}
    few = {"examples": 20}, {"stiffness_examples": 20}
    return {
        "name": "tiny",
        "dataset": dataset,
        "experiments": {"one": one},
        **dict(zip(("gradients", "contributions"), few, strict=True)),
    }


def mistake(given):
    with pytest.raises(ConfigError) as caught:
        load(given)
    first, line = str(caught.value).split("\n")
    assert first == "1 mistake in the config:"
    return line.removeprefix("  - ")


@pytest.mark.parametrize("path", ["digits", "$IMAGES/digits", "./digits/"])
def test_its_size_is_known_when_settings_are_checked(folder, path):
    config = load(settings({"folder": path, "size": 4}, batch_size="all"))
    assert config.dataset.path == folder
    one = config.experiments["one"]
    assert (one.examples, one.batch_size) == (24, 24)
    assert shape_of(config.dataset)[1:4] == (4, 4, 1)
    assert shape_of(load(settings({"folder": path})).dataset)[1:4] == (8, 8, 1)
    assert plan.labels_at(config, {"experiment": "one", "noise": "050", "replicate": "0"})["examples"] == ""
    assert load(config.model_dump()) == config


def test_a_batch_has_at_most_all_of_its_images(folder):
    assert mistake(settings({"folder": "digits"}, batch_size=25)).endswith(
        "allowed: at most 24, the training examples of digits"
    )
    config = load(settings({"folder": "digits"}, examples=15))
    at = {"experiment": "one", "noise": "050", "replicate": "0"}
    assert plan.labels_at(config, at)["examples"] == "examples-15/"


def test_figures_know_the_number_of_its_classes(folder):
    given = settings({"folder": "digits"}, winsor=[0, 2])
    given["figures"] = {"figure4": {"experiment": "one"}}
    assert plan.figure(load(given), "figure4")["options"]["classes"] == 3


def test_stage_data_reads_what_is_in_it_and_not_where_it_lies(folder):
    Path(".snakemake").mkdir()
    known = plan.settings(load(settings({"folder": "digits", "size": 4})), "data", {"dataset": ""})
    assert known == {"dataset": {"files": known["dataset"]["files"], "size": 4}}
    shutil.copytree("digits", "moved", copy_function=shutil.copyfile)
    assert plan.settings(load(settings({"folder": "moved", "size": 4})), "data", {"dataset": ""}) == known
    image = folder / "train/class 0/0.png"
    os.utime(image)
    assert plan.settings(load(settings({"folder": "digits", "size": 4})), "data", {"dataset": ""}) == known
    shutil.copyfile(folder / "train/class 0/1.png", image)
    assert plan.settings(load(settings({"folder": "digits", "size": 4})), "data", {"dataset": ""}) != known


@pytest.mark.parametrize(
    ("dataset", "told"),
    [
        ({}, "dataset.folder: not given, and it has no default: Folder that holds `train` and `test`"),
        ({"folder": ""}, "dataset.folder: given '' (text); allowed: String should have at least 1 character"),
        ({"folder": 3}, "dataset.folder: given 3; allowed: text"),
        (
            {"foldr": "digits", "folder": "digits"},
            "dataset.foldr: there is no such key (did you mean folder?); allowed here: folder, size",
        ),
        ({"folder": "digits", "size": 0}, "dataset.size: given 0; allowed: greater than or equal to 1"),
        ({"folder": "digits", "size": "4"}, "dataset.size: given '4' (text); allowed: a valid integer"),
        ({"folder": "none"}, f"dataset.folder: given 'none' (text); {ALLOWED}there is no folder "),
        (
            {"folder": "digits", "size": 9},
            f"dataset.folder: given 'digits' (text); {ALLOWED}{{digits}}/train/class 0/0.png has 8×8 pixels",
        ),
        (
            ["digits"],
            "dataset: given ['digits']; allowed: 'digits', 'mnist', 'fashion_mnist', 'cifar10' or {fol",
        ),
    ],
)
def test_what_is_wrong_is_told_in_one_line(folder, dataset, told):
    assert mistake(settings(dataset)).startswith(told.format(digits=folder) if "{d" in told else told)


def test_a_first_image_that_is_none_is_named(folder):
    image = folder / "train/class 0/0.png"
    image.write_text("no image")
    assert f"{ALLOWED}{image} cannot be read as an image" in mistake(settings({"folder": "digits"}))


def test_the_size_of_a_dataset_with_a_name_is_in_the_table():
    assert shape_of("cifar10")[1:4] == (32, 32, 3)
