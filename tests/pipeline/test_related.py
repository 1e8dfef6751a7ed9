"""Experiments that name others."""

import pytest

from cgpipe.learning.evaluation import logged_steps
from cgpipe.pipeline.config.files import ConfigError
from cgpipe.pipeline.config.load import load
from cgpipe.pipeline.config.related import without_difficulty

BASE = {"network": {"dense": [8]}, "steps": 40, "examples": 200, "batch_size": 20, "noise": [0, 0.5]}


def settings(base=None, **other):
    base = {**BASE, **(base or {})}
    experiments = {"base": base, "other": {**base, **other}}
    return {"name": "tiny", "dataset": "digits", "replicates": 2, "experiments": experiments}


def mistake(*given, **other):
    """The one line of the error, without the path of the experiment."""
    with pytest.raises(ConfigError) as caught:
        load(settings(*given, **other))
    _, line = str(caught.value).split("\n")
    assert line.startswith("  - experiments.other.")
    return line.removeprefix("  - experiments.other.")


def test_a_twin_has_the_settings_of_the_other_and_may_have_fewer_runs():
    twin = {"of": "base", "replaced": 200}
    config = load(settings(twin=twin, noise=[0.5], replicates=[1], runs_per_job=2))
    assert config.experiments["other"].twin.replaced == 200
    assert load(settings(twin={"of": "base"})).experiments["other"].twin.replaced == 1


@pytest.mark.parametrize(
    ("base", "other", "said"),
    [
        (
            {},
            {"twin": {"of": "base", "replaced": 201}},
            "at most 200, the examples of the experiment",
        ),
        (
            {},
            {"learning_rate": 0.3},
            "the settings of base; this one has learning_rate: 0.3",
        ),
        (
            {},
            {"replicates": [0, 7]},
            "whose replicates base has too, [0, 1]; this one has [0, 7]",
        ),
        ({}, {"twin": {"of": "other"}}, "another experiment, which is no twin itself; other is one"),
        ({}, {"twin": {"of": "bas"}}, "one of base, other (did you mean base?)"),
        ({"examples": "all"}, {}, "examples: a number below 1000; base trains on all, and nothing is left"),
    ],
)
def test_a_twin_that_is_none_is_refused(base, other, said):
    told = mistake(base, **{"twin": {"of": "base"}, **other})
    assert told.startswith(("twin.of: given ", "twin.replaced: given 201;"))
    assert said in told


def test_no_more_examples_are_replaced_than_there_are_others():
    many = {"examples": 900}
    load(settings(many, twin={"of": "base", "replaced": 100}))
    told = mistake(many, twin={"of": "base", "replaced": 101})
    assert told.endswith(
        "given 101; allowed: at most 100, the examples that the experiment does not train on"
    )


def test_a_twin_of_chosen_examples_needs_others_to_choose_from():
    chosen = {**BASE, "choose": {"of": "early", "which": "easy"}}
    twin = {**chosen, "twin": {"of": "chosen"}}
    experiments = {"early": {**BASE, **EARLY}, "chosen": chosen, "twin": twin}
    with pytest.raises(ConfigError, match="at most 0, the examples that the experiment does not train on"):
        load(settings() | {"experiments": experiments})


@pytest.mark.parametrize("batch_size", range(1, 101))
def test_a_step_near_two_epochs_is_one_that_stage_difficulty_takes(batch_size):
    epoch, steps = 1_000 // batch_size, 4_000
    there = [step for step in logged_steps(steps) if abs(step - 2 * epoch) <= epoch / 2]
    given = settings({**EARLY, "examples": 1_000, "batch_size": batch_size, "steps": steps})
    (told,) = [*without_difficulty("base", load(given).experiments["base"])] or [""]
    assert bool(there) == (told == "")
    assert "near two epochs" in told or there


EARLY = {"noise": [0], "subset": "shared"}


def test_examples_are_chosen_by_runs_that_share_theirs():
    given = {"choose": {"of": "base", "which": "hard"}, "examples": 100, "noise": [0, 0.5], "subset": "own"}
    assert load(settings(EARLY, **given)).experiments["other"].choose.which == "hard"


@pytest.mark.parametrize(
    ("base", "other", "said"),
    [
        ({"subset": "own"}, {}, "an experiment with subset: shared; base has own"),
        ({"noise": [0, 0.5]}, {}, "an experiment with noise: [0]; base has [0.0, 0.5]"),
        ({"winsor": [0, 2]}, {}, "an experiment with winsor: [0]; base has [0, 2]"),
        ({"copies": 2}, {}, "an experiment with copies: 1; base has 2"),
        ({"steps": 19}, {}, "an experiment of at least two epochs, 20 steps; base has 19"),
        (
            {"examples": 70, "batch_size": 10},
            {"examples": 20},
            "a step near two epochs, of 7 steps each; base logs 10 and 20: give it another batch_size",
        ),
        ({}, {"dataset": "mnist"}, "an experiment on mnist; base is on digits"),
        (
            {},
            {"choose": {"of": "other", "which": "easy"}},
            "draws from all examples; other chooses them",
        ),
        ({}, {"choose": {"of": "base", "which": "easier"}}, "'easy' or 'hard' (did you mean easy?)"),
        ({}, {"choose": {"of": "bass", "which": "easy"}}, "one of base, other (did you mean base?)"),
        ({}, {"examples": 201}, "given 201; allowed: at most 200, those of base"),
        ({}, {"examples": "all"}, "only with examples: a number, to be drawn from the hard ones"),
    ],
)
def test_examples_that_cannot_be_chosen_are_refused(base, other, said):
    told = mistake({**EARLY, **base}, **{"choose": {"of": "base", "which": "hard"}, **other})
    assert told.startswith(("choose", "examples"))
    assert said in told


def test_a_minibatch_is_of_all_copies():
    assert load(settings(copies=3, batch_size="all")).experiments["other"].batch_size == 600
    assert load(settings(copies=3, examples="all", batch_size="all")).experiments["other"].batch_size == 3_000
    load(settings(copies=3, batch_size=600))
    told = mistake(copies=3, batch_size=601)
    assert told == "batch_size: given 601; allowed: at most 600, the examples of the experiment"
    told = mistake(copies=3, examples="all", batch_size=3_001)
    assert told.endswith("at most 3000, the training examples of digits, each 3 times")
