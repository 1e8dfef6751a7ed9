import copy
import re
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import PRIVATE, private
from pydantic import ValidationError

from cgpipe.data.corruption import corruption
from cgpipe.data.shapes import DATASETS
from cgpipe.figures.registry import OF_RUNS
from cgpipe.learning.rules import update_rule
from cgpipe.names import CLIPPING, MOST_PAIRED, REMEMBERING, UpdateName
from cgpipe.pipeline.config.experiments import is_mixed
from cgpipe.pipeline.config.files import ConfigError
from cgpipe.pipeline.config.load import advice, load
from cgpipe.pipeline.config.models import Config
from cgpipe.pipeline.config.reference import leaves


def complete():
    """Settings without a mistake, in which every section is given."""
    return {
        "name": "tiny",
        "seed": 3,
        "dataset": "digits",
        "data_root": None,
        "device": "cpu",
        "corruption": {"selection": "bernoulli"},
        "experiments": {
            "label_noise": {
                "network": {"dense": [40, 32]},
                "learning_rate": 0.5,
                "dataset": "digits",
                "schedule": "cosine",
                "momentum": 0.0,
                "weight_decay": 0.01,
                "marks": [2, 1.5, 0.25],
                "start": "before",
                "examples": 500,
                "batch_size": 50,
                "steps": 20,
                "noise": [0, 0.25, 0.5],
                "winsor": [0],
                "replicates": [0, 2],
                "snapshots": True,
            },
            "before": {
                "network": {"dense": [40, 32]},
                "init": "official",
                "dataset": "digits",
                "examples": 100,
                "steps": 5,
                "noise": [1],
                "update": "dp_sgd",
                "clip_norm": 1.0,
                "noise_multiplier": 0.5,
                "replicates": [0, 1, 2],
            },
            "winsorization": {
                "network": {"dense": [8]},
                "dataset": "digits",
                "examples": 900,
                "steps": 5,
                "winsor": [0, 1, 2],
                "replicates": [1],
                "snapshots": False,
            },
            "full_batch": {
                "network": {"dense": [8]},
                "dataset": "digits",
                "examples": 900,
                "steps": 5,
                "batch_size": 900,
                "replicates": [1],
            },
        },
        "gradients": {"examples": 50, "weights": 30},
        "contributions": {"stiffness_examples": 40},
        "nullworlds": {"shown": 2, "count": 99, "level": 0.9},
        "figures": {
            "figure1": {"experiment": "label_noise", "learned": "first"},
            "figure2": {"experiment": "label_noise"},
            "figure2_exact": {"experiment": "label_noise"},
            "figure3": {"experiment": "label_noise"},
            "figure3_exact": {"experiment": "label_noise"},
            "coherence": {"experiment": "label_noise"},
            "figure4": {"experiment": "winsorization"},
            "style": {"width": 5.0, "font_size": 7, "dpi": 100, "palette": "deep"},
        },
        "claims": {
            "label_noise": "label_noise",
            "winsorization": "winsorization",
            "full_batch": "full_batch",
            "minibatch": "winsorization",
        },
    }


def minimal(**experiment):
    return {
        "name": "tiny",
        "dataset": "digits",
        "experiments": {"one": {"network": {"dense": [8]}, "steps": 5, **experiment}},
    }


def mistakes(given_settings):
    """The lines of the error, without the bullets."""
    with pytest.raises(ConfigError) as caught:
        load(given_settings)
    first, *lines = str(caught.value).split("\n")
    count = len(lines)
    assert first == f"{count} mistake{'s' if count > 1 else ''} in the config:"
    assert all(line.startswith("  - ") for line in lines)
    return [line.removeprefix("  - ") for line in lines]


def mistake(given_settings):
    (only,) = mistakes(given_settings)
    return only


# --- without mistakes -----------------------------------------------------------------------------


def test_complete_settings_are_taken_as_they_are():
    config = load(complete())
    assert config.model_dump(exclude_unset=True) == complete()


def test_what_is_left_out_has_the_default_of_the_paper():
    config = load(minimal())
    one = config.experiments["one"]
    assert (one.learning_rate, one.batch_size, one.init, one.examples) == (0.1, 100, "xavier", 1_000)
    assert (one.noise, one.winsor) == ([0, 0.25, 0.5, 0.75, 1], [0])
    assert config.corruption.selection == "exact"
    assert (config.gradients.examples, config.gradients.weights) == (400, 300)
    assert (config.nullworlds.shown, config.nullworlds.count, config.nullworlds.level) == (3, 10_000, 0.95)
    assert config.figures.figure1 is None


def test_the_settings_given_are_not_changed_and_the_config_cannot_be():
    given_settings = complete()
    config = load(given_settings)
    assert given_settings == complete()
    with pytest.raises(ValidationError, match="frozen"):
        config.seed = 4


def test_a_linear_classifier_needs_no_hidden_layer():
    experiment = load(minimal(network={"dense": []})).experiments["one"]
    assert experiment.network.dense == []


def test_every_leaf_is_described():
    paths = [path for path, _ in leaves()]
    assert len(paths) == len(set(paths)) > 20
    assert {"seed", "experiments.*.learning_rate", "figures.figure1.learned"} <= set(paths)
    assert all(field.description for _, field in leaves())


# --- with mistakes --------------------------------------------------------------------------------


def test_all_mistakes_are_told_at_once_each_with_path_given_and_allowed():
    wrong = complete()
    wrong["sead"] = 3
    wrong["dataset"] = "mnits"
    wrong["device"] = "gpu"
    wrong["experiments"]["label_noise"]["noise"] = [0.5, 1.5]
    wrong["experiments"]["label_noise"]["learning_rate"] = "1e-3"
    wrong["experiments"]["winsorization"]["winsor"] = [0, 50]
    wrong["experiments"]["winsorization"]["netwrk"] = wrong["experiments"]["winsorization"].pop("network")
    wrong["nullworlds"]["level"] = 95
    told = "\n".join(sorted(mistakes(wrong)))
    expected = [
        "dataset: given 'mnits' (text); allowed: 'digits', 'mnist', 'fashion_mnist', 'cifar10' or "
        "{folder: PATH, size: 32} (did you mean mnist?)",
        "device: given 'gpu' (text); allowed: 'auto', 'cpu' or 'cuda'",
        "experiments.label_noise.learning_rate: given '1e-3' (text); allowed: a valid number. "
        "YAML reads 1e-3 as text: write 1.0e-3",
        "experiments.label_noise.noise.1: given 1.5; allowed: less than or equal to 1",
        "experiments.winsorization.network: not given, and it has no default: The network, by exactly one",
        "experiments.winsorization.netwrk: there is no such key (did you mean network?); allowed here: netw",
        "experiments.winsorization.winsor.1: given 50; allowed: c with 2c below batch_size, "
        "which is 100, so at most 49",
        "nullworlds.level: given 95; allowed: less than 1",
        "sead: there is no such key (did you mean seed?); allowed here: name, seed, dataset,",
    ]
    assert len(told.split("\n")) == len(expected)
    for line, start in zip(told.split("\n"), expected, strict=True):
        assert line.startswith(start)


def test_copies_have_no_privacy_of_their_own():
    load(minimal(update="dp_sgd", examples=100, **PRIVATE))
    told = mistake(minimal(update="dp_sgd", examples=100, copies=2, **PRIVATE))
    assert told.startswith(
        "experiments.one.update: given 'dp_sgd' (text); allowed: dp_sgd only with copies: 1"
    )


@pytest.mark.parametrize("text", ["1e-3", "1E-3", "5e-4", "2.5e-3", "1e3", "1e+3", "-1e-3", "1_0e-2", "0.1"])
def test_a_number_that_was_read_as_text_is_shown_as_yaml_reads_it(text):
    told = mistake(minimal(learning_rate=text))
    assert f"given '{text}' (text); allowed: a valid number" in told
    written = re.search(r"write (\S+)$", told).group(1)
    assert yaml.safe_load(written) == float(text)


def test_1e_minus_3_is_to_be_written_1_0e_minus_3():
    assert mistake(minimal(learning_rate="1e-3")).endswith("YAML reads 1e-3 as text: write 1.0e-3")


def test_a_whole_number_that_was_read_as_text_is_shown_without_quotes():
    assert mistake(minimal(steps="1e3")).endswith("It was read as text: write 1000")
    assert mistake(minimal(steps="12")).endswith("write 12")
    assert "write" not in mistake(minimal(steps="12.5"))


@pytest.mark.parametrize("text", ["inf", "-inf", "nan", "Infinity", "fast", ""])
@pytest.mark.parametrize("key", ["learning_rate", "steps"])
def test_text_that_is_no_number_is_refused_without_advice(key, text):
    told = mistake(minimal(**{key: text}))
    assert told.startswith(f"experiments.one.{key}: given '{text}' (text); allowed: a valid")
    assert "write" not in told


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize(
    "path",
    [
        ("experiments", "one", "learning_rate"),
        ("experiments", "one", "steps"),
        ("nullworlds", "level"),
        ("figures", "style", "width"),
        ("seed",),
    ],
)
def test_numbers_that_are_not_finite_are_refused(path, value):
    assert mistake(replaced(minimal(), path, value)).startswith(f"{'.'.join(path)}: given {value}; allowed: ")


@pytest.mark.parametrize("value", [1.5, -0.25, float("nan"), True, "0.5", None])
def test_a_noise_level_that_is_no_share_is_refused_with_its_place(value):
    assert mistake(minimal(noise=[0.5, value])).startswith("experiments.one.noise.1: given ")


@pytest.mark.parametrize(
    ("key", "levels"), [("noise", [0.5, 0, 0.5]), ("winsor", [1, 1]), ("replicates", [0, 3, 3])]
)
def test_a_level_is_given_once(key, levels):
    place, again = len(levels) - 1, levels[-1]
    told = mistake(minimal(**{key: levels}))
    assert told == f"experiments.one.{key}.{place}: given {again}; allowed: each once"


@pytest.mark.parametrize("key", ["noise", "winsor", "replicates"])
def test_a_list_of_levels_is_not_empty(key):
    assert mistake(minimal(**{key: []})).startswith(f"experiments.one.{key}: given []; allowed: ")


def test_replicates_are_a_number_of_them_or_a_list():
    for replicates, each in ((2, [0, 1]), ([4, 0], [4, 0]), (["3"], [3])):
        assert load(minimal(replicates=replicates)).experiments["one"].replicates == each
    assert load(minimal()).experiments["one"].replicates == [0, 1, 2]
    for replicates, each in ((2, [0, 1]), ([4], [4])):
        of_all = {"replicates": replicates}
        assert load(minimal() | of_all).experiments["one"].replicates == each
        assert load(minimal(replicates=[5]) | of_all).experiments["one"].replicates == [5]
    assert mistake(minimal() | {"replicates": [1, 1]}) == "replicates.1: given 1; allowed: each once"


@pytest.mark.parametrize(("given", "place"), [(0, ""), (True, ""), (2.0, ""), ("2", ""), ([0, -1], ".1")])
def test_replicates_that_are_none_are_refused(given, place):
    told = mistake(minimal(replicates=given))
    assert told.startswith(f"experiments.one.replicates{place}: given ")
    assert told.endswith(
        "greater than or equal to 0"
        if place
        else "1 to 1000, or a list of replicates from 0 on, such as [3, 4]"
    )


@pytest.mark.parametrize(
    ("batch", "levels", "beyond"), [(100, [0, 49, 50], [2]), (9, [4, 5, 6], [1, 2]), (1, [1], [0])]
)
def test_clipping_everything_is_refused_with_the_c_that_is_allowed(batch, levels, beyond):
    told = mistakes(minimal(winsor=levels, batch_size=batch))
    allowed = f"c with 2c below batch_size, which is {batch}, so at most {(batch - 1) // 2}"
    assert told == [f"experiments.one.winsor.{k}: given {levels[k]}; allowed: {allowed}" for k in beyond]
    load(minimal(winsor=[c for c in levels if 2 * c < batch] or [0], batch_size=batch))


def test_the_default_batch_size_bounds_c_too():
    assert "2c below batch_size, which is 100" in mistake(minimal(winsor=[60]))


@pytest.mark.parametrize(
    ("section", "given_section", "said"),
    [
        (
            "experiments",
            {"one": {"network": {"dense": [8]}, "steps": 5, "batch_size": 1001}},
            "experiments.one.batch_size: given 1001; allowed: at most 1000, the training examples of digits",
        ),
        ("gradients", {"examples": 1001}, "gradients.examples: given 1001; allowed: at most 1000"),
    ],
)
def test_more_examples_than_the_dataset_has_are_refused(section, given_section, said):
    assert said in mistake({**minimal(), section: given_section})


def test_no_experiment_is_refused():
    assert mistake({**minimal(), "experiments": {}}).startswith("experiments: given {}; allowed: ")
    assert mistake({**complete(), "experiments": {}}) == "experiments: given {}; allowed: at least one"


def test_what_follows_from_an_error_is_not_reported_too():
    given = {**minimal(dataset="mnist"), "gradients": {"examples": 1_001}}
    load(given)
    assert mistake({**given, "dataset": "mnits"}).startswith("dataset: given 'mnits'")
    del given["experiments"]["one"]["steps"]
    assert mistake(given).startswith("experiments.one.steps: not given, and it has no default")
    slow = {"network": {"dense": [8]}, "steps": 5, "batch_size": 50}
    assert mistake(with_claims(EVERY, full=slow)).endswith("batch_size: all; that of full is 50")


@pytest.mark.parametrize("name", ["", "Paper", "a b", "../up", "_x", "a/b", "x\n", "é"])
def test_a_name_that_is_no_folder_is_refused(name):
    assert "lower-case letters, digits and _" in mistake({**minimal(), "name": name})
    renamed = {**minimal(), "experiments": {name: minimal()["experiments"]["one"]}}
    with pytest.raises(ConfigError, match="lower-case letters, digits and _"):
        load(renamed)


@pytest.mark.parametrize("figure", OF_RUNS)
def test_a_figure_of_an_unknown_experiment_is_refused_with_a_suggestion(figure):
    wrong = {**minimal(), "figures": {figure: {"experiment": "onne"}}}
    allowed = "one of one (did you mean one?)"
    assert mistake(wrong) == f"figures.{figure}.experiment: given 'onne' (text); allowed: {allowed}"


def figure_of(figure, **experiment):
    settings = minimal(network={"dense": [40, 40]}, **experiment)
    return {**settings, "heldout": {"examples": 500}, "figures": {figure: {"experiment": "one"}}}


@pytest.mark.parametrize("figure", ["figure2", "figure3"])
@pytest.mark.parametrize(
    ("experiment", "said"),
    [
        ({"noise": [0, 1]}, "a noise level between 0 and 1"),
        ({"snapshots": False}, "snapshots: true"),
        ({"winsor": [1]}, "winsor level 0, plain SGD"),
    ],
)
def test_figures_of_gradients_need_an_experiment_that_has_them(figure, experiment, said):
    load(figure_of(figure))
    told = mistake(
        replaced(
            figure_of(figure),
            ("experiments", "one"),
            {**figure_of(figure)["experiments"]["one"], **experiment},
        )
    )
    assert figure in told
    assert said in told


@pytest.mark.parametrize("figure", ["figure2_exact", "figure3_exact", "coherence"])
def test_exact_figures_need_snapshots_but_no_sample(figure):
    small = figure_of(figure)
    load(replaced(small, ("experiments", "one", "network", "dense"), [20]))
    assert "snapshots: true" in mistake(figure_of(figure, snapshots=False))
    if figure == "coherence":
        load(figure_of(figure, noise=[0, 1]))
    else:
        assert "a noise level between 0 and 1" in mistake(figure_of(figure, noise=[0, 1]))


AGAIN = [*(f"figure{n}_{of}" for n in (2, 3) for of in ("exact", "displacement")), "strata", "descent"]


@pytest.mark.parametrize("figure", AGAIN)
@pytest.mark.parametrize(
    ("experiment", "has"), [({"momentum": 0.5}, "momentum: 0.5"), ({"update": "ra3"}, "update: ra3")]
)
def test_figures_of_updates_that_are_made_again_need_some_that_can_be(figure, experiment, has):
    told = mistake(figure_of(figure, **experiment))
    assert told.startswith(
        f"figures.{figure}.experiment: given 'one' (text); allowed: an experiment whose up"
    )
    assert told.endswith(f"without momentum, and with another update than rm3 and ra3; one has {has}")


@pytest.mark.parametrize("changed", [{"schedule": "cosine"}, {"weight_decay": 0.01}])
def test_a_fall_of_the_loss_is_predicted_from_a_constant_learning_rate_alone(changed):
    assert "schedule: constant and weight_decay: 0" in mistake(figure_of("descent", **changed))
    load(figure_of("figure2_displacement", **changed))


@pytest.mark.parametrize("figure", [name for name in OF_RUNS if name not in (*AGAIN, "twins")])
def test_other_figures_are_of_any_update(figure):
    load(figure_of(figure, momentum=0.5, winsor=[0, 2]))


def test_the_rules_that_remember_are_those_with_a_state_of_plain_sgd():
    # What is sampled follows from the step.
    states = {name: update_rule(name, 0, 10, **private(name)).state() for name in get_args(UpdateName)}
    rules = [name for name, state in states.items() if state.keys() - {"seed", "updates"}]
    assert tuple(rules) == REMEMBERING


# --- noise levels without corrupt examples ----------------------------------------------------------


@given(st.integers(2, 40), st.floats(0, 1, exclude_min=True, exclude_max=True), st.integers(0, 9))
def test_no_example_is_corrupt_at_an_exact_level_that_is_known_to_have_none(examples, noise, seed):
    labels = np.arange(examples)  # so that every label that is permuted changes
    drawn = [corruption(labels, noise, rng=np.random.default_rng([seed, k])).pristine for k in range(12)]
    assert any(not pristine.all() for pristine in drawn) == is_mixed(noise, "exact", examples)


@pytest.mark.parametrize("figure", ["figure2", "figure2_exact", "figure3", "figure3_exact"])
@pytest.mark.parametrize("noise", [0.0004, 0.001, 0.00149])
def test_a_figure_of_groups_needs_a_level_at_which_none_is_known_to_be_empty(figure, noise):
    told = mistake(figure_of(figure, noise=[0, noise, 1]))
    assert (
        f"figures.{figure}.experiment: given 'one' (text); allowed: an experiment with a noise level" in told
    )
    assert "from 0.0015 on with 1,000 training examples" in told
    load(figure_of(figure, noise=[0, noise, 0.0015, 1]))
    load({**figure_of(figure, noise=[0, noise, 1]), "corruption": {"selection": "bernoulli"}})
    load({**figure_of(figure, noise=[0, noise, 1]), "dataset": "mnist"})


def test_a_level_that_is_known_to_have_no_corrupt_example_is_told_with_its_place():
    (told,) = advice(load(minimal(noise=[0, 0.0004, 0.25, 1])))
    assert told.startswith("experiments.one.noise.1: given 0.0004; round(0.4) = 0 of 1,000 training examples")
    assert "no example is corrupt" in told
    assert "give 0, or at least 0.0015" in told
    (told,) = advice(load(minimal(noise=[0.001, 0.5])))
    assert "round(1) = 1 of 1,000 training examples" in told


@pytest.mark.parametrize("installed", [True, False])
def test_dp_sgd_without_opacus_is_told_of(installed, monkeypatch):
    monkeypatch.setattr("cgpipe.pipeline.config.load.find_spec", lambda name: installed or None)
    told = advice(load(minimal(update="dp_sgd", **PRIVATE)))
    assert told == [] if installed else "experiments.one.update: given dp_sgd; it needs Opacus" in told[0]
    assert advice(load(minimal())) == []


def test_a_level_that_may_well_have_no_corrupt_example_is_told():
    (told,) = advice(load({**minimal(noise=[0.0004, 0.5]), "corruption": {"selection": "bernoulli"}}))
    assert "on average 0.4 of 1,000 training examples are chosen" in told
    of_sample = figure_of("figure2", noise=[0.002, 0.5])
    (told,) = advice(load(of_sample))
    assert told.startswith("experiments.one.noise.0: given 0.002; on average at most 0.8 of the 400 examples")
    assert advice(load(figure_of("figure2_exact", noise=[0.002, 0.5]))) == []
    assert advice(load({**of_sample, "gradients": {"examples": 500}})) == []


@pytest.mark.parametrize(
    "config",
    [
        "config",
        "controls",
        "conventions_init",
        "conventions_selection",
        "demo",
        "mnist-small",
        "vision-small",
    ],
)
def test_there_is_nothing_to_tell_of_the_configs_that_come_with_this(config):
    path = Path(__file__).parents[2] / f"config/{config}.yaml"
    assert advice(load(yaml.safe_load(path.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize("figure", ["figure2", "figure3"])
def test_a_sample_of_one_example_has_an_empty_group(figure):
    one = {**figure_of(figure), "gradients": {"examples": 1}}
    assert "gradients.examples of at least 2: in a sample of 1 one group is empty" in mistake(one)
    load({**figure_of(f"{figure}_exact"), "gradients": {"examples": 1}})
    load({**one, "gradients": {"examples": 2}})


def test_the_figure_of_activity_needs_hidden_units_but_neither_snapshots_nor_plain_sgd():
    load(figure_of("activity", winsor=[1], noise=[0], snapshots=False))
    assert "hidden units; one has none" in mistake(
        replaced(figure_of("activity"), ("experiments", "one", "network", "dense"), [])
    )


def test_figure1_draws_plain_sgd_and_figure4_any():
    assert (
        "figures.figure1.experiment: given 'one' (text); allowed: an experiment with winsor level 0"
        in mistake(figure_of("figure1", winsor=[1]))
    )
    load(figure_of("figure4", winsor=[1], snapshots=False, noise=[0]))


def test_no_more_worlds_are_shown_than_there_are():
    told = mistake({**minimal(), "nullworlds": {"shown": 5, "count": 4}})
    assert "nullworlds.count: given 4; allowed: at least as many as are shown, 5" in told


def test_no_more_worlds_are_shown_than_there_are_by_default():
    assert "10001" in mistake({**minimal(), "nullworlds": {"shown": 10_001}})


@pytest.mark.parametrize("value", [True, 2.0, "2", None, [2], {"two": 2}])
def test_what_is_no_whole_number_is_not_made_one(value):
    assert mistake(minimal(steps=value)).startswith("experiments.one.steps: given ")


def test_a_section_that_is_none_is_refused():
    assert mistake({**minimal(), "gradients": 3}).startswith("gradients: given 3; allowed: ")


def test_long_values_are_shown_in_part():
    told = mistake({**minimal(), "name": "x" * 1000 + " "})
    assert "..." in told
    assert len(told) < 300


# --- anything -------------------------------------------------------------------------------------

ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 120),
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.sampled_from(
        ["1e-3", "1e3", "inf", "nan", "-inf", "0x10", "1_000", "label_noise", "digits", "off", ""]
    ),
    st.text(max_size=6),
    st.dates(),
)
ANYTHING = st.recursive(
    ODD,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(max_size=5) | st.sampled_from(["experiment", "network", "shown"]), inner, max_size=3
        )
    ),
    max_leaves=4,
)


def paths_in(tree, path=()):
    if path:
        yield path
    for key in tree if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ():
        yield from paths_in(tree[key], (*path, key))


def replaced(tree, path, value):
    """A copy of nested settings with another value at one place."""
    tree = copy.deepcopy(tree)
    at = tree
    for key in path[:-1]:
        at = at.setdefault(key, {}) if isinstance(at, dict) else at[key]
    at[path[-1]] = value
    return tree


def outcome(tree):
    """The answer to any settings: "config" or "mistakes", and what that has to be."""
    try:
        config = load(tree)
    except ConfigError as error:
        said = str(error)
    else:
        assert load(config.model_dump()) == config
        return "config"
    assert re.match(r"(1 mistake|\d+ mistakes) in the config:\n  - ", said)
    return "mistakes"


@pytest.mark.parametrize("path", list(paths_in(complete())), ids=lambda path: ".".join(map(str, path)))
def test_no_odd_value_at_any_place_is_more_than_a_mistake(path):
    odd = [None, True, -1, 0, 10**30, -0.5, 1e300, float("nan"), float("inf"), "", "x", "1e-3", "inf", "nan"]
    odd += [[], [None], ["1"], {}, {"x": 1}, {1: 2}, {None: "x"}, b"x", object(), {"one", "two"}]
    assert "mistakes" in [outcome(replaced(complete(), path, value)) for value in odd]


@settings(max_examples=300)
@given(st.data())
def test_whatever_is_given_the_answer_is_a_config_or_a_list_of_mistakes(data):
    tree = complete()
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(list(paths_in(tree))))
        action = data.draw(st.sampled_from(["replace", "replace", "remove", "add"]))
        if action == "replace":
            tree = replaced(tree, path, data.draw(ANYTHING))
        elif action == "add" and isinstance(path[-1], str):
            tree = replaced(tree, (*path[:-1], data.draw(st.text(max_size=6))), data.draw(ANYTHING))
        elif action == "remove":
            at = tree
            for key in path[:-1]:
                at = at[key]
            del at[path[-1]]
        if not list(paths_in(tree)):
            break
    assert outcome(tree) in ("config", "mistakes")


# --- what is known of the datasets ----------------------------------------------------------------


def test_every_dataset_that_may_be_named_has_a_shape():
    names, _ = get_args(Config.model_fields["dataset"].annotation)
    assert get_args(names) == tuple(DATASETS)


# --- update ----------------------------------------------------------------------------------------------


def test_only_means_that_clip_and_controls_take_another_c():
    for update in ("median", "m3", "rm3", "ra3", "sign_of_sum", "sum_of_signs"):
        told = mistakes(minimal(update=update, winsor=[0, 2]))
        assert told == [f"experiments.one.winsor.1: given 2; allowed: 0, as {update} takes no c"]
        load(minimal(update=update))
    for update in CLIPPING:
        load(minimal(update=update, winsor=[0, 2]))


def test_three_groups_need_three_examples():
    assert "at least 3, for its three groups; it is 2" in mistake(minimal(update="m3", batch_size=2))
    load(minimal(update="m3", batch_size=3))


def test_clipping_by_norm_takes_the_products_of_all_pairs():
    told = mistake({**minimal(update="norm_clip", batch_size=MOST_PAIRED + 1), "dataset": "mnist"})
    assert told.endswith("norm_clip only with a batch_size of at most 2000; it is 2001")
    load({**minimal(update="norm_clip", batch_size=MOST_PAIRED), "dataset": "mnist"})
    for examples, count in (("all", 60_000), (MOST_PAIRED + 1, MOST_PAIRED + 1)):
        of_all = minimal(update="norm_clip", batch_size="all", examples=examples)
        assert mistake({**of_all, "dataset": "mnist"}) == (
            "experiments.one.update: given 'norm_clip' (text); allowed: norm_clip only with a batch_size of "
            f"at most 2000; it is {count}"
        )
        load(of_all if examples == "all" else minimal(update="norm_clip", batch_size="all", examples=900))


@pytest.mark.parametrize("given", [{}, {"clip_norm": 1.0}, PRIVATE])
def test_dp_sgd_needs_a_norm_and_noise_and_no_other_rule_takes_them(given):
    if given == PRIVATE:
        load(minimal(update="dp_sgd", **given))
    else:
        told = mistakes(minimal(update="dp_sgd", **given))
        assert [line.split(": ")[0].rpartition(".")[2] for line in told] == [
            k for k in PRIVATE if k not in given
        ]
        assert all("allowed: a number above 0, as update is dp_sgd" in line for line in told)
    told = mistakes(minimal(update="m3", **given)) if given else []
    assert len(told) == len(given)
    assert all("allowed: nothing, as it is for update: dp_sgd; update is m3" in line for line in told)


@pytest.mark.parametrize("key", PRIVATE)
@pytest.mark.parametrize("value", [0, -1.0, float("inf")])
def test_norm_and_noise_are_above_0(key, value):
    assert mistake(minimal(update="dp_sgd", **{**PRIVATE, key: value})).startswith(f"experiments.one.{key}: ")


def test_dp_sgd_has_no_level_of_winsorization():
    told = mistake(minimal(update="dp_sgd", **PRIVATE, winsor=[0, 1]))
    assert told == "experiments.one.winsor.1: given 1; allowed: 0, as dp_sgd takes no c"


# --- marks, start ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("marks", [[1, 2], [1, 1], [2, 1, 1.5]])
def test_marks_descend(marks):
    assert "losses in descending order, each once" in mistake(minimal(marks=marks))


@pytest.mark.parametrize("mark", [0, -0.5, float("nan"), "2"])
def test_a_mark_is_a_loss_above_0(mark):
    assert mistake(minimal(marks=[2.0, mark])).startswith("experiments.one.marks.1: ")


def starting(start="before", before=None, **experiment):
    """Settings in which experiment one begins from the end of another."""
    one = {"network": {"dense": [8]}, "steps": 5, "start": start, "replicates": [1, 2], **experiment}
    other = {"network": {"dense": [8]}, "steps": 9, "noise": [1], "replicates": 3, **(before or {})}
    return {"name": "tiny", "dataset": "digits", "experiments": {"one": one, "before": other}}


def test_a_run_may_begin_from_the_end_of_another():
    load(starting(noise=[0, 0.5], winsor=[0, 2], examples=300, batch_size=10))
    chain = starting(before={"start": "first"})
    chain["experiments"]["first"] = {"network": {"dense": [8]}, "steps": 1, "noise": [0], "replicates": 9}
    load(chain)


@pytest.mark.parametrize(
    ("before", "told"),
    [
        ({"network": {"dense": [9]}}, "the network of one, .*8.*; before has .*9"),
        ({"dataset": "mnist"}, "the dataset of one, digits; before has mnist"),
        ({"snapshots": False}, "snapshots: true; before has false"),
        ({"noise": [0, 1]}, r"one level of noise and winsor \[0\]; before has noise \[0.0, 1.0\]"),
        ({"winsor": [0, 1]}, r"before has noise .* and winsor \[0, 1\]"),
        ({"winsor": [1]}, r"before has noise .* and winsor \[1\]"),
        ({"replicates": 2}, r"the replicates of one; before lacks \[2\]"),
    ],
)
def test_an_experiment_that_cannot_be_begun_from_is_refused(before, told):
    assert re.fullmatch(
        rf"experiments.one.start: given 'before' \(text\); allowed: an experiment with .*{told}.*",
        mistake(starting(before=before)),
    )


def test_an_experiment_to_begin_from_is_another_that_there_is():
    assert mistake(starting(init="official")) == (
        "experiments.one.init: given 'official' (text); allowed: no init: the last weights of before are the "
        "first of one"
    )
    assert mistake(starting("befor")).endswith(
        "experiments.one.start: given 'befor' (text); allowed: one of one, before (did you mean before?)"
    )
    itself = "allowed: another experiment, which does not begin from {} itself"
    assert mistake(starting("one")).endswith(itself.format("one"))
    told = mistakes(starting(before={"start": "one"}, noise=[0]))
    assert [line.split("; ")[1] for line in told] == [itself.format(name) for name in ("one", "before")]


# --- full batch, contributions, claims --------------------------------------------------------------


def test_all_examples_in_a_batch_are_those_of_the_dataset():
    assert load(minimal(batch_size="all")).experiments["one"].batch_size == 1_000
    mnist = load({**minimal(batch_size="all"), "dataset": "mnist"})
    assert mnist.experiments["one"].batch_size == 60_000
    told = mistake(minimal(batch_size="al"))
    assert told == (
        "experiments.one.batch_size: given 'al' (text); allowed: a whole number of at least 1, or all (did "
        "you mean all?)"
    )
    assert mistake(minimal(batch_size=0)).endswith("given 0; allowed: a whole number of at least 1, or all")
    told = mistakes(minimal(batch_size="all", winsor=[0, 500]))
    assert told == [
        "experiments.one.winsor.1: given 500; allowed: c with 2c below batch_size, which is 1000, so at most "
        "499"
    ]
    load(minimal(batch_size="all", update="m3"))


def test_all_examples_in_a_batch_are_those_of_the_subset():
    one = load(minimal(examples=300, batch_size="all")).experiments["one"]
    assert (one.examples, one.batch_size) == (300, 300)
    told = mistake(minimal(examples=300, batch_size=301))
    assert told == (
        "experiments.one.batch_size: given 301; allowed: at most 300, the examples of the experiment"
    )
    assert "batch_size: given 100; allowed: at most 99" in mistake(minimal(examples=99))
    assert "2c below batch_size, which is 300, so at most 149" in mistake(
        minimal(examples=300, batch_size="all", winsor=[0, 150])
    )
    assert "it is 2" in mistake(minimal(examples=2, batch_size="all", update="m3"))


@pytest.mark.parametrize("batch_size", [100, "all"])
def test_a_subset_is_of_the_training_set(batch_size):
    load(minimal(examples=1_000, batch_size=batch_size))
    told = mistake(minimal(examples=1_001, batch_size=batch_size))
    assert told == (
        "experiments.one.examples: given 1001; allowed: at most 1000, the training examples of digits, or all"
    )
    assert mistake(minimal(examples=0)).endswith("given 0; allowed: a whole number of at least 1, or all")


def test_whether_a_level_has_corrupt_examples_depends_on_the_subset():
    assert advice(load(minimal(noise=[0.0015]))) == []
    (told,) = advice(load(minimal(noise=[0.0015], examples=900)))
    assert "round(1.35) = 1 of 900 training examples are chosen" in told
    load(figure_of("figure3_exact", noise=[0.0015]))
    assert "from 0.00166667 on with 900 training examples" in mistake(
        {
            **figure_of("figure3_exact", noise=[0.0015], examples=900),
            "contributions": {"stiffness_examples": 9},
        }
    )


@pytest.mark.parametrize(
    ("figure", "section", "key"),
    [
        ("figure2", "gradients", "examples"),
        ("figure3", "gradients", "examples"),
        ("figure2_exact", "gradients", "examples"),
        ("figure2_exact", "contributions", "stiffness_examples"),
        ("figure3_exact", "contributions", "stiffness_examples"),
        ("coherence", "contributions", "stiffness_examples"),
        ("real_and_random", "heldout", "examples"),
        ("similarity", "similarity", "examples"),
    ],
)
def test_no_more_is_sampled_than_the_subset_of_a_figure_has(figure, section, key):
    fits = {"gradients": {"examples": 300}, "contributions": {"stiffness_examples": 300}}
    fits |= {"heldout": {"examples": 300}, "similarity": {"examples": 300}}
    few = {**figure_of(figure, examples=300), **fits}
    load(few)
    assert mistake(few | {section: {key: 301}}) == (
        f"figures.{figure}.experiment: given 'one' (text); allowed: an experiment with at least the 301 "
        f"training examples that {section}.{key} samples; one has 300"
    )


def test_stiffness_is_of_examples_that_there_are():
    told = mistake({**minimal(), "contributions": {"stiffness_examples": 1_001}})
    assert told.startswith("contributions.stiffness_examples: given 1001; allowed: at most 1000")
    noise = {"network": {"dense": [8]}, "steps": 5, "examples": 999}
    assert "at least the 1,000 training examples that contributions.stiffness_examples samples" in mistake(
        with_claims({"label_noise": "noise"}, noise=noise)
    )


def with_claims(claims, **experiments):
    one = {"network": {"dense": [8]}, "steps": 5}
    known = {
        "noise": one,
        "clip": {**one, "winsor": [0, 2], "snapshots": False},
        "full": {**one, "batch_size": "all"},
        "mini": {**one, "snapshots": False},
    }
    gradients = {"examples": 100, "weights": 80}
    return {**minimal(), "gradients": gradients, "experiments": known | experiments, "claims": claims}


EVERY = {"label_noise": "noise", "winsorization": "clip", "full_batch": "full", "minibatch": "mini"}


def test_claims_name_experiments_that_can_say_something():
    load(with_claims(EVERY))
    load(with_claims({}))
    load(with_claims(None))
    load(with_claims(EVERY | {"minibatch": "clip"}))
    told = mistake(with_claims(EVERY | {"label_noise": "nois"}))
    assert told == (
        "claims.label_noise: given 'nois' (text); allowed: one of noise, clip, full, mini (did you mean "
        "noise?)"
    )
    assert "one of noise, clip" in mistake(with_claims(EVERY | {"minibatch": "min"}))
    assert "snapshots: true; clip has false" in mistake(with_claims(EVERY | {"label_noise": "clip"}))
    clipped = {"network": {"dense": [8]}, "steps": 5, "winsor": [2]}
    assert "winsor level 0" in mistake(with_claims(EVERY, clip=clipped))


def test_claims_need_the_sample_of_gradients():
    few = {"network": {"dense": [8]}, "steps": 5, "examples": 99, "batch_size": 9}
    settings = {
        **with_claims({"label_noise": "noise"}, noise=few),
        "contributions": {"stiffness_examples": 50},
    }
    assert mistake(settings) == (
        "claims.label_noise: given 'noise' (text); allowed: an experiment with at least the 100 training "
        "examples that gradients.examples samples; noise has 99"
    )


def with_mystery(mystery, **experiments):
    net = {"network": {"dense": [8]}, "steps": 40, "noise": [0, 0.5, 1], "marks": [1.0]}
    known = {
        "net": net,
        "seeds": {**net, "subset": "shared", "noise": [0], "examples": 300},
        "easy": {**net, "noise": [0], "examples": 100, "choose": {"of": "seeds", "which": "easy"}},
        "m3": {**net, "noise": [0.5], "update": "m3"},
        "clip": {**net, "noise": [0.5], "winsor": [1, 2]},
        "dp": {**net, "noise": [0.5], "update": "dp_sgd", "clip_norm": 1.0, "noise_multiplier": 1.0},
    }
    sizes = {"heldout": {"examples": 100}, "similarity": {"examples": 100}}
    return {**minimal(), **sizes, "experiments": known | experiments, "mystery": mystery}


PLAYED = {
    "networks": ["net"],
    "seeds": "seeds",
    "easy": "easy",
    "similarity": "net",
    "plain": "net",
    "modified": ["m3"],
    "winsorized": "clip",
    "private": ["dp"],
}


def test_the_parts_of_the_second_paper_are_played_by_experiments_that_can():
    assert load(with_mystery(PLAYED)).mystery.roles()["networks"] == ("net",)
    assert load(with_mystery({})).mystery.roles() == {}
    assert load(with_mystery(None)).mystery is None


@pytest.mark.parametrize(
    ("role", "name", "allowed"),
    [
        (
            "networks",
            ["seeds"],
            "mystery.networks.0: given 'seeds' (text); allowed: an experiment at noise 0.5",
        ),
        ("networks", ["nett"], "one of net, seeds, easy, m3, clip, dp (did you mean net?)"),
        ("seeds", "net", "an experiment with subset: shared; net has own"),
        ("easy", "seeds", "an experiment with choose: {of: seeds, which: easy}; seeds has None"),
        ("hard", "easy", "an experiment with choose: {of: seeds, which: hard}; easy has {'of': 'seeds'"),
        ("plain", "clip", "an experiment with winsor level 0, plain SGD; clip has [1, 2]"),
        ("modified", ["net"], "an experiment with update: m3 or rm3; net has winsorized_mean"),
        ("mean_of_three", "m3", "an experiment with update: ra3; m3 has m3"),
        ("winsorized", "m3", "an experiment with winsor levels above 0; m3 has [0]"),
        ("private", ["m3"], "an experiment with update: dp_sgd; m3 has m3"),
        ("twins", ["net"], "an experiment with twin; net has none"),
        ("adversarial_start", "net", "an experiment with start; net has none"),
        ("widths", ["m3"], "an experiment at noise 0; m3 has [0.5]"),
    ],
)
def test_an_experiment_that_cannot_play_its_part_is_told_of(role, name, allowed):
    assert any(allowed in line for line in mistakes(with_mystery(PLAYED | {role: name})))


def test_the_second_paper_needs_marks_snapshots_and_enough_examples():
    net = {"network": {"dense": [8]}, "steps": 40, "noise": [0, 0.5, 1]}
    no_marks = mistakes(with_mystery({"networks": ["net"]}, net=net))
    assert no_marks == [
        "mystery.networks.0: given 'net' (text); allowed: an experiment with marks; net has none"
    ]
    bare = {**net, "marks": [1.0], "snapshots": False}
    assert "snapshots: true; net has false" in mistake(with_mystery({"networks": ["net"]}, net=bare))
    few = {**net, "marks": [1.0], "examples": 99, "batch_size": 9}
    assert "at least the 100 training examples that heldout.examples samples; net has 99" in mistake(
        with_mystery({"networks": ["net"]}, net=few)
    )
    marked = {**net, "marks": [1.0]}
    assert mistake(with_mystery({"networks": ["net"]}, net=marked) | {"heldout": {"examples": 798}}) == (
        "mystery.networks.0: given 'net' (text); allowed: an experiment whose dataset has at least the 798 "
        "test examples that heldout.examples samples; that of net has 797"
    )


def test_no_more_held_out_examples_are_sampled_than_the_dataset_of_an_experiment_has():
    def sampling(examples, **experiment):
        return {**figure_of("real_and_random", **experiment), "heldout": {"examples": examples}}

    load(sampling(797))
    assert mistake(sampling(798)) == (
        "figures.real_and_random.experiment: given 'one' (text); allowed: an experiment whose dataset has at "
        "least the 798 test examples that heldout.examples samples; that of one has 797"
    )
    load(sampling(10_000, dataset="mnist"))
    assert "10,001 test examples that heldout.examples samples; that of one has 10,000" in mistake(
        sampling(10_001, dataset="mnist")
    )


def test_replicates_that_were_seen_are_no_experiment():
    assert load(with_claims(EVERY)).claims.seen == []
    claims = load(with_claims(EVERY | {"seen": [0, 2]})).claims
    assert claims.seen == [0, 2]
    assert claims.experiments() == EVERY
    assert "claims.seen.0: given -1" in mistake(with_claims(EVERY | {"seen": [-1]}))


def test_replicates_that_were_seen_are_those_of_an_experiment():
    told = mistakes(with_claims(EVERY | {"seen": [7, 0, 0]}))
    allowed = "a replicate of the experiments of the claims, 0, 1, 2"
    assert told == [
        f"claims.seen.0: given 7; allowed: {allowed}",
        "claims.seen.2: given 0; allowed: each once",
    ]
    assert mistake(with_claims({"seen": [0]})).endswith("only with an experiment, whose replicates were seen")
    load(with_claims(EVERY | {"seen": [7]}, clip={"network": {"dense": [8]}, "steps": 5, "replicates": [7]}))


def test_full_batch_descent_is_compared_with_the_same_network():
    assert "only with minibatch" in mistake(with_claims({"full_batch": "full"}))
    assert "only with full_batch" in mistake(with_claims({"minibatch": "mini"}))
    other = {"network": {"dense": [9]}, "steps": 5, "batch_size": "all"}
    told = mistake(with_claims(EVERY, full=other))
    assert told.endswith("the network of mini, {dense: [8]}, init xavier; it has {dense: [9]}, init xavier")
    fewer = {"network": {"dense": [8]}, "steps": 5, "examples": 500, "batch_size": "all"}
    told = mistake(with_claims(EVERY, full=fewer))
    assert (
        "the training set of mini, 1000 examples of digits, normalize: false; it has 500 examples of" in told
    )
    scaled = {"network": {"dense": [8]}, "steps": 5, "normalize": True, "batch_size": "all"}
    assert "normalize: false; it has 1000 examples of digits, normalize: true" in mistake(
        with_claims(EVERY, full=scaled)
    )
    load(with_claims(EVERY, full=fewer, mini={"network": {"dense": [8]}, "steps": 5, "examples": 500}))
    elsewhere = {**scaled, "normalize": False, "dataset": "mnist", "examples": 1_000}
    assert "it has 1000 examples of mnist, normalize: false" in mistake(with_claims(EVERY, full=elsewhere))
    small = {"network": {"dense": [8]}, "steps": 5, "batch_size": 999}
    assert "batch_size: all; that of full is 999" in mistake(with_claims(EVERY, full=small))
    assert mistake(with_claims(EVERY | {"minibatch": "full"})).endswith(
        "an experiment with larger batches than full, batch_size: 1000; it has 1000"
    )
    full = {"network": {"dense": [8]}, "steps": 5, "batch_size": "all"}
    for more in ({"noise": [0.1]}, {"replicates": 4}, {"replicates": [3]}):
        assert "whose noise levels and replicates mini has too; that has replicates [0, 1, 2]" in mistake(
            with_claims(EVERY, full=full | more)
        )
    load(with_claims(EVERY, full=full | {"replicates": [2]}))


def test_claims_about_gradients_need_updates_that_can_be_made_again():
    noise = {"network": {"dense": [8]}, "steps": 5, "momentum": 0.9}
    told = mistake(with_claims(EVERY, noise=noise))
    assert told.startswith(
        "claims.label_noise: given 'noise' (text); allowed: an experiment whose updates can"
    )
    assert told.endswith("noise has momentum: 0.9")
    load(with_claims(EVERY | {"label_noise": None}, noise=noise, clip={**noise, "winsor": [0, 2]}))


def test_a_displacement_takes_two_steps():
    short = {"network": {"dense": [8]}, "steps": 1, "noise": [0, 0.5, 1], "marks": [1.0]}
    allowed = "an experiment of at least 2 steps, for a displacement; "
    for figure in ("figure2_displacement", "figure3_displacement"):
        assert mistake(figure_of(figure) | {"experiments": {"one": short}}).endswith(f"{allowed}one has 1")
    assert mistake(with_claims(EVERY, noise=short)).endswith(f"{allowed}noise has 1")
    assert mistake(with_mystery({"networks": ["net"]}, net=short)).endswith(f"{allowed}net has 1")


def test_the_experiment_that_says_what_is_easy_can():
    early = {"network": {"dense": [8]}, "steps": 40, "marks": [1.0], "subset": "shared", "examples": 300}
    told = mistake(with_mystery({"seeds": "early"}, early={**early, "noise": [0, 0.5]}))
    assert told == (
        "mystery.seeds: given 'early' (text); allowed: an experiment with noise: [0]; early has [0.0, 0.5]"
    )
    told = mistake(with_mystery({"seeds": "early"}, early={**early, "noise": [0], "steps": 5}))
    assert told.endswith("an experiment of at least two epochs, 6 steps; early has 5")


def test_claims_are_of_winsorized_sgd():
    other = {"network": {"dense": [8]}, "steps": 5, "update": "sign_of_sum"}
    assert "update: winsorized_mean; noise has sign_of_sum" in mistake(with_claims(EVERY, noise=other))


# --- figures that compare -------------------------------------------------------------------------


def comparing(figure, section=None, other=None, **experiment):
    settings = figure_of(figure, **{"winsor": [0, 2], "noise": [0, 0.5], **experiment})
    settings["figures"][figure] |= section or {}
    if other is not None:
        settings["experiments"]["other"] = {**settings["experiments"]["one"], **other}
    return settings


@pytest.mark.parametrize("figure", ["matched", "controls"])
@pytest.mark.parametrize(
    ("winsor", "said"), [([0], "winsor levels above 0; one has [0]"), ([2], "winsor level 0, plain SGD")]
)
def test_a_figure_that_compares_needs_plain_and_winsorized_sgd(figure, winsor, said):
    load(comparing(figure))
    assert said in mistake(comparing(figure, winsor=winsor))


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"learning_rate": 0.3}, "the settings of one; this one has learning_rate: 0.3"),
        ({"network": {"conv_small": {}}}, "this one has network: {conv_small: {}}"),
        ({"momentum": 0.9, "weight_decay": 0.1}, "this one has momentum: 0.9, weight_decay: 0.1"),
        ({"dataset": "mnist"}, "this one has dataset: mnist, examples: 60000"),
        (
            {"update": "dp_sgd", "clip_norm": 1.0, "noise_multiplier": 0.3, "winsor": [0]},
            "this one has clip_norm: 1.0, noise_multiplier: 0.3",
        ),
        ({"noise": [0.5, 1]}, "whose noise one has too, [0.0, 0.5]; this one has [0.5, 1.0]"),
        ({"replicates": [0, 7]}, "whose replicates one has too"),
    ],
)
def test_a_control_has_the_settings_of_what_it_is_compared_with(other, said):
    section = {"controls": ["other"]}
    load(comparing("controls", section, {"update": "random_drop", "winsor": [2], "noise": [0.5]}))
    told = mistake(comparing("controls", section, other))
    assert told.startswith("figures.controls.controls.0: given 'other'")
    assert said in told


@pytest.mark.parametrize(("figure", "key"), [("controls", "controls"), ("networks", "others")])
def test_an_experiment_beside_it_is_another_and_there_once(figure, key):
    other = {"update": "random_drop", "winsor": [2]} if figure == "controls" else {}
    load(comparing(figure, {key: ["other"]}, other))
    told = mistake(comparing(figure, {key: ["other", "other"]}, other))
    assert told == f"figures.{figure}.{key}.1: given 'other' (text); allowed: each once"
    told = mistake(comparing(figure, {key: ["one"]}))
    assert told == f"figures.{figure}.{key}.0: given 'one' (text); allowed: further experiments than one"


@pytest.mark.parametrize(("figure", "key"), [("controls", "controls"), ("networks", "others")])
def test_an_unknown_experiment_beside_it_is_refused_with_a_suggestion(figure, key):
    told = mistake(comparing(figure, {key: ["onne"]}))
    assert told == f"figures.{figure}.{key}.0: given 'onne' (text); allowed: one of one (did you mean one?)"


def test_an_experiment_plays_a_part_of_the_mystery_once():
    told = mistake(with_mystery(PLAYED | {"networks": ["net", "net"]}))
    assert told == "mystery.networks.1: given 'net' (text); allowed: each once"


def test_twins_are_shown_of_an_experiment_that_is_one():
    twin = {"twin": {"of": "one"}}
    load(comparing("twins", {"experiment": "other"}, twin, examples=500))
    assert mistake(comparing("twins")).endswith(
        "an experiment that is the twin of another, by its key twin; one is none"
    )
    told = mistake(comparing("twins", {"experiment": "other"}, twin, examples=500, snapshots=False))
    assert told.endswith("an experiment with snapshots: true; other has false")


def test_what_is_clipped_takes_larger_minibatches():
    load(comparing("clipping", batch_size=17))
    assert "a batch_size above 2c, which is 16 at the largest of clipping.levels; one has 16" in mistake(
        comparing("clipping", batch_size=16)
    )
    for levels in ([2, 1], [1, 1]):
        told = mistake({**minimal(), "clipping": {"levels": levels}})
        assert "levels in ascending order, each once" in told
