"""Experiments that name others."""

import pytest

from cgpipe.pipeline.config.files import ConfigError
from cgpipe.pipeline.config.load import load

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
