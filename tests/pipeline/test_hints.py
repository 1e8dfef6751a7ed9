"""What errors of the settings say is to be written instead."""

import pytest

from cgpipe.pipeline.config.files import ConfigError
from cgpipe.pipeline.config.hints import USUAL
from cgpipe.pipeline.config.load import load
from cgpipe.pipeline.config.reference import leaves


def settings(top=None, **experiment):
    one = {"network": {"dense": [8]}, "steps": 5, **experiment}
    return {"name": "tiny", "dataset": "digits", "experiments": {"one": one}, **(top or {})}


def mistakes(given):
    with pytest.raises(ConfigError) as caught:
        load(given)
    return [line.removeprefix("  - ") for line in str(caught.value).split("\n")[1:]]


def hint(line):
    """What is said of a key that there is not, between its path and what is allowed."""
    path, _, rest = line.partition(": there is no such key")
    assert path
    return rest.partition("; allowed here: ")[0].strip(" ()")


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("steps", "steps belongs below experiments.NAME"),
        ("noise", "noise belongs below experiments.NAME"),
        ("momentum", "momentum belongs below experiments.NAME"),
        ("Batch-Size", "batch_size belongs below experiments.NAME"),
        ("lr", "learning_rate belongs below experiments.NAME"),
        ("selection", "selection belongs below corruption"),
        ("dpi", "dpi belongs below figures.style"),
        ("figure1", "figure1 belongs below figures"),
        ("compare_with", "compare_with belongs below figures.NAME"),
        (
            "examples",
            "examples belongs below experiments.NAME, below gradients, below heldout or below similarity",
        ),
        ("experiment", "did you mean experiments?"),
        ("seeds", "did you mean seed?"),
        ("Seed", "did you mean seed?"),
        ("gpu", "did you mean device?"),
        ("nothing_like_it", ""),
    ],
)
def test_of_a_key_at_the_top_its_place_is_told(key, told):
    (line,) = mistakes(settings({key: 1}))
    assert hint(line) == told


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("heldout", "heldout belongs at the top"),
        ("gradients", "gradients belongs at the top"),
        ("seed", "seed belongs at the top"),
        ("selection", "selection belongs below corruption"),
        ("lr", "did you mean learning_rate?"),
        ("epochs", "did you mean steps? An epoch is examples / batch_size of them"),
        ("optimizer", "all runs are SGD: see learning_rate, momentum, weight_decay and update"),
        ("batchsize", "did you mean batch_size?"),
    ],
)
def test_of_a_key_of_an_experiment_its_place_is_told(key, told):
    (line,) = mistakes(settings(**{key: 1}))
    assert hint(line) == told


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("dpi", "dpi belongs below figures.style"),
        ("claims", "made whenever there is a section claims: leave it out"),
        ("mystery", "made whenever there is a section mystery: leave it out"),
        (
            "easy_and_hard",
            "made whenever there is a section mystery that names one of seeds, easy, hard, unselected: "
            "leave it out",
        ),
        (
            "beginnings",
            "made whenever there is a section mystery that names one of random_start, adversarial_start, "
            "widths: leave it out",
        ),
    ],
)
def test_of_a_figure_without_a_section_it_is_told_when_it_is_made(key, told):
    (line,) = mistakes(settings({"figures": {key: {"experiment": "one"}}}))
    assert hint(line) == told


@pytest.mark.parametrize("at", ["top", "experiment"])
def test_a_folder_of_images_is_named_by_folder(at):
    dataset = {"path": "images"}
    given = settings({"dataset": dataset}) if at == "top" else settings(dataset=dataset)
    missing, extra = sorted(mistakes(given))
    assert "dataset.folder: not given" in missing
    assert hint(extra) == "did you mean folder?"
    assert extra.endswith("; allowed here: folder, size")


def test_the_keys_that_are_suggested_are_there():
    there = {part for path, _ in leaves() for part in path.split(".")} | {"folder"}
    assert {*USUAL.values()} <= there


SECTION = "allowed: a section of keys and values. Write "


@pytest.mark.parametrize(
    ("network", "told"),
    [
        ("lenet5", f"given 'lenet5' (text); {SECTION}{{lenet5: {{}}}}"),
        ("resnet", f"given 'resnet' (text); {SECTION}{{resnet18: {{}}}}"),
        ("mlp", f"given 'mlp' (text); {SECTION}{{dense: [2048]}}"),
        ("net.py:build", f"given 'net.py:build' (text); {SECTION}{{module: \"net.py:build\"}}"),
        ([64, 32], f"given [64, 32]; {SECTION}{{dense: [64, 32]}}"),
        (64, f"given 64; {SECTION}{{dense: [64]}}"),
        ([], f"given []; {SECTION}{{dense: [2048]}}"),
    ],
)
def test_a_network_is_shown_as_a_section(network, told):
    assert mistakes(settings(network=network)) == [f"experiments.one.network: {told}"]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"lenet5": True}, f"network.lenet5: given True; {SECTION}{{}}"),
        ({"dense": 64}, "network.dense: given 64; allowed: a list. Write [64]"),
        ({"dense": "64,32"}, "network.dense: given '64,32' (text); allowed: a list. Write [64, 32]"),
        ({"dense": "2,048"}, "network.dense: given '2,048' (text); allowed: a list. Write [2048]"),
        ({"dense": "wide"}, "network.dense: given 'wide' (text); allowed: a list"),
    ],
)
def test_what_is_wrong_below_a_network_is_shown(given, told):
    assert mistakes(settings(network=given)) == [f"experiments.one.{told}"]


def test_a_network_that_is_left_empty_is_shown():
    (told,) = mistakes(settings(network={"lenet5": None}))
    assert told.endswith("alexnet_small, vgg11, resnet18, module; write {lenet5: {}}")
    (told,) = mistakes(settings(network={"dense": None}))
    assert told.endswith("alexnet_small, vgg11, resnet18, module")


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("noise", 0.5, "a list. Write [0.5]"),
        ("noise", "50%", "a list. Write [0.5]"),
        ("noise", "0, 50 %", "a list. Write [0, 0.5]"),
        ("noise", "0,5", "a list. Write [0.5]"),
        ("noise", "none", "a list"),
        ("noise", True, "a list"),
        ("winsor", 2, "a list. Write [2]"),
        ("marks", "1, 0.5", "a list. Write [1, 0.5]"),
        ("steps", "60,000", "a valid integer. Write 60000"),
        ("steps", "60 000", "a valid integer. Write 60000"),
        ("steps", "1,000,000", "a valid integer. Write 1000000"),
        ("steps", "60,5", "a valid integer"),
        ("steps", "50%", "a valid integer"),
        ("steps", 60.0, "a valid integer. Write 60"),
        ("batch_size", "60,000", "a whole number of at least 1, or all. Write 60000"),
        ("learning_rate", "0,1", "a valid number. Write 0.1"),
        ("learning_rate", "10 %", "a valid number. Write 0.1"),
        ("learning_rate", "1,000.5", "a valid number. Write 1000.5"),
        ("learning_rate", "1e999999%", "a valid number"),
        ("learning_rate", f"{'9' * 30}%", "a valid number"),
        ("learning_rate", "%", "a valid number"),
        ("zeroed", 50, "less than 1. For 50 % write 0.5"),
        ("zeroed", 1, "less than 1"),
        ("momentum", 90, "less than 1"),
        ("init", "Glorot", "'xavier' or 'official' (did you mean xavier?)"),
        ("twin", "two", "a section of keys and values. Write {of: two}"),
        ("choose", "two", "a section of keys and values. Write {of: two, which: easy}"),
    ],
)
def test_a_value_is_shown_as_it_is_to_be_written(key, value, told):
    (line,) = mistakes(settings(**{key: value}))
    assert line.startswith(f"experiments.one.{key}: given {value!r}")
    assert line.partition("allowed: ")[2] == told


def test_a_level_in_per_cent_is_shown_as_a_share():
    (line,) = mistakes(settings(noise=[0, 25]))
    assert line == "experiments.one.noise.1: given 25; allowed: less than or equal to 1. For 25 % write 0.25"
    (line,) = mistakes(settings(noise=[0, "50%"]))
    assert line == "experiments.one.noise.1: given '50%' (text); allowed: a valid number. Write 0.5"


@pytest.mark.parametrize("given", ["sgd", "SGD", "plain SGD", "mean"])
def test_plain_sgd_is_winsorized_mean(given):
    (line,) = mistakes(settings(update=given))
    assert line.endswith("(did you mean winsorized_mean, with winsor: [0], for plain SGD?)")


@pytest.mark.parametrize(
    ("top", "told"),
    [
        (
            {"device": "gpu"},
            "device: given 'gpu' (text); allowed: 'auto', 'cpu' or 'cuda' (did you mean cuda?)",
        ),
        ({"corruption": "exact"}, f"corruption: given 'exact' (text); {SECTION}{{selection: exact}}"),
        (
            {"figures": {"figure1": "one"}},
            f"figures.figure1: given 'one' (text); {SECTION}{{experiment: one}}",
        ),
        (
            {"mystery": {"networks": "one"}},
            "mystery.networks: given 'one' (text); allowed: a list. Write [one]",
        ),
        (
            {"nullworlds": {"level": 95}},
            "nullworlds.level: given 95; allowed: less than 1. For 95 % write 0.95",
        ),
    ],
)
def test_other_values_are_shown_too(top, told):
    assert mistakes(settings(top)) == [told]


def test_the_case_of_a_word_is_not_a_reason_for_no_suggestion():
    (line,) = mistakes(settings({"dataset": "MNIST"}))
    assert line.endswith("(did you mean mnist?)")


def test_what_was_not_given_is_not_called_none():
    for line, key in zip(mistakes(settings(update="dp_sgd")), ("clip_norm", "noise_multiplier"), strict=True):
        allowed = "allowed: a number above 0, as update is dp_sgd"
        assert line == f"experiments.one.{key}: not given; {allowed}"
