import importlib
import json
import pkgutil
import re
from dataclasses import MISSING, fields
from pathlib import Path

import pytest
import yaml
from hypothesis import assume, example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter

import cgpipe.pipeline.stages
from cgpipe.figures.registry import FIGURES, OF_RUNS
from cgpipe.pipeline import layout, plan
from cgpipe.pipeline.canonical import canonical
from cgpipe.pipeline.config.datasets import expanded
from cgpipe.pipeline.config.load import load

AT = {
    "experiment": "noisy",
    "dataset": "",
    "examples": "",
    "noise": "012.5",
    "winsor": "2",
    "replicate": "1",
    "source": "exact",
}
STAGES = (
    "data",
    "corrupt",
    "train",
    "gradients",
    "contributions",
    "coherence",
    "bursts",
    "displacement",
    "clipping",
    "difficulty",
    "heldout",
    "similarity",
    "twins",
    "nullworlds",
    "runs",
    "claims",
    "mystery",
)

ALL_FIGURES = [f"figure {figure}" for figure in FIGURES]


def base(**changed):
    return {
        "name": "tiny",
        "seed": 3,
        "dataset": "digits",
        "experiments": {
            "noisy": {
                "network": {"dense": [40]},
                "steps": 5,
                "noise": [0.5, 0, 0.125, 1],
                "winsor": [2, 0],
                "replicates": 2,
            },
            "other": {"network": {"dense": []}, "steps": 7, "noise": [0.3], "replicates": 1},
        },
        "figures": {figure: {"experiment": "noisy"} for figure in OF_RUNS if figure != "twins"},
        "claims": {},
        "mystery": {},
        "heldout": {"examples": 30},
        **changed,
    }


def with_twin(settings):
    """With an experiment and its twin, which one stage compares."""
    original = {**settings["experiments"]["noisy"], "examples": 500}
    pair = {"original": original, "twin": {**original, "twin": {"of": "original", "replaced": 2}}}
    return settings | {
        "experiments": settings["experiments"] | pair,
        "figures": settings["figures"] | {"twins": {"experiment": "twin"}},
    }


def specs(settings):
    """The settings of each stage, as text."""
    config = load(with_twin(settings))
    of_twin = {"twins": AT | {"experiment": "twin"}}
    planned = {
        **{stage: plan.settings(config, stage, of_twin.get(stage, AT)) for stage in plan.SETTINGS},
        **{f"figure {figure}": plan.figure(config, figure) for figure in FIGURES},
    }
    return {stage: canonical(settings) for stage, settings in planned.items()}


# --- slug -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("noise", "expected"),
    [
        (0, "000"),
        (0.0, "000"),
        (0.01, "001"),
        (0.07, "007"),
        (0.125, "012.5"),
        (0.25, "025"),
        (0.29, "029"),
        (0.5, "050"),
        (0.999, "099.9"),
        (1, "100"),
        (1.0, "100"),
        (1e-7, "000.00001"),
    ],
)
def test_the_slug_of_a_noise_level_is_its_per_cent(noise, expected):
    assert plan.slug(noise) == expected


@given(st.floats(0, 1), st.floats(0, 1))
def test_levels_that_differ_have_slugs_that_differ(a, b):
    assume(a != b)
    assert plan.slug(a) != plan.slug(b)


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_near_levels_have_slugs_that_differ_and_sort_alike(a, b):
    assume(a < b)
    assert plan.slug(a / 1000) < plan.slug(b / 1000)


@given(st.floats(0, 1))
@example(-0.0)
def test_a_slug_is_three_digits_and_what_is_left_of_the_per_cent(noise):
    whole, _, rest = plan.slug(noise).partition(".")
    assert len(whole) == 3
    assert whole.isdecimal()
    assert not rest or (rest.isdecimal() and not rest.endswith("0"))
    assert float(plan.slug(noise)) == pytest.approx(100 * noise, rel=1e-14)


# --- runs -----------------------------------------------------------------------------------------


def test_runs_are_every_level_with_every_other_in_ascending_order():
    runs = plan.runs(load(base()), "noisy")
    assert runs == [
        plan.RunPath("noisy", noise, c, replicate)
        for noise in ("000", "012.5", "050", "100")
        for c in ("0", "2")
        for replicate in ("0", "1")
    ]


def test_the_order_in_which_levels_are_given_does_not_matter():
    other = base()
    other["experiments"]["noisy"]["noise"] = [0.125, 1, 0, 0.5]
    other["experiments"]["noisy"]["winsor"] = [0, 2]
    other["experiments"]["noisy"]["replicates"] = [1, 0]
    assert plan.runs(load(base()), "noisy") == plan.runs(load(other), "noisy")


def test_runs_of_both_groups_and_of_plain_sgd():
    config = load(base())
    mixed = plan.runs(config, "noisy", mixed=True)
    assert {run.noise for run in mixed} == {"012.5", "050"}
    assert {run.winsor for run in mixed} == {"0", "2"}
    plain = plan.runs(config, "noisy", plain=True)
    assert {run.winsor for run in plain} == {"0"}
    assert {run.noise for run in plain} == {"000", "012.5", "050", "100"}
    assert set(mixed) & set(plain) == set(plan.runs(config, "noisy", mixed=True, plain=True))


def test_levels_that_are_known_to_have_no_corrupt_example_are_not_of_both_groups():
    few = base()
    few["experiments"]["noisy"]["noise"] = [0.0004, 0.001, 0.0015, 0.5, 0.9999]
    for selection, levels in (
        ("exact", {"000.15", "050", "099.99"}),
        ("bernoulli", {"000.04", "000.1", "000.15", "050", "099.99"}),
    ):
        config = load(few | {"corruption": {"selection": selection}})
        assert {run.noise for run in plan.runs(config, "noisy", mixed=True)} == levels
        assert len({run.noise for run in plan.runs(config, "noisy")}) == 5


def test_all_runs_are_those_of_all_experiments_once():
    config = load(base())
    everything = list(plan.all_runs(config))
    assert everything == [*plan.runs(config, "noisy"), *plan.runs(config, "other")]
    assert len(everything) == len(set(everything)) == 17


def test_figures_are_those_that_are_wanted_of_the_runs_that_they_show():
    wanted = {"figure4": {"experiment": "other"}, "figure1": {"experiment": "noisy"}}
    config = load(base(figures=wanted, claims=None, mystery=None))
    assert plan.all_figures(config) == ["figure1", "figure4"]
    assert plan.figure_runs(config, "figure4") == plan.runs(config, "other")
    assert plan.figure_runs(config, "figure1") == plan.runs(config, "noisy", plain=True)
    assert plan.all_figures(load(base(figures={}, claims=None, mystery=None))) == []
    assert plan.all_figures(load(base(figures={}, claims={}, mystery=None))) == ["claims"]
    assert plan.all_figures(load(base(figures={}, claims=None, mystery={}))) == ["mystery"]


@pytest.mark.parametrize(
    ("config", "figures"),
    [
        ("mystery", {"mystery", "easy_and_hard", "beginnings"}),
        ("mystery-demo", {"mystery", "easy_and_hard", "beginnings"}),
        ("mystery-full", {"mystery"}),
    ],
)
def test_figures_of_the_second_papers_claims_are_of_roles_that_are_played(config, figures):
    path = Path(__file__).parents[2] / f"config/{config}.yaml"
    settings = load(yaml.safe_load(path.read_text(encoding="utf-8")))
    assert {*plan.all_figures(settings)} - {*settings.figures.wanted()} == figures


def test_other_labels_are_another_training():
    at = {"experiment": "noisy", "noise": "050", "winsor": "2", "replicate": "1"}

    def labels(**changed):
        experiments = {**base()["experiments"]}
        experiments["noisy"] = {**experiments["noisy"], **changed}
        config = load(base(experiments=experiments, figures={}))
        return plan.settings(config, "train", at)["labels"]

    assert labels() == ""
    assert labels(examples=500) == "examples-500/"
    assert labels(examples=500, subset="shared") == "examples-500/shared"
    assert labels(copies=2, zeroed=0.25) == "copies-2/zeroed-0.25/"


def test_a_figure_of_controls_shows_their_runs_too():
    settings = base(figures={"controls": {"experiment": "noisy", "controls": ["random"]}})
    noisy = settings["experiments"]["noisy"]
    settings["experiments"]["random"] = {**noisy, "noise": [0.5, 1], "winsor": [2], "update": "random_drop"}
    config = load(settings)
    shown = [*plan.runs(config, "noisy", mixed=True), *plan.runs(config, "random", mixed=True)]
    assert plan.figure_runs(config, "controls") == shown
    assert plan.RunPath("random", "050", "2", "1") in shown


def test_a_run_begins_from_the_end_of_the_run_of_its_replicate():
    settings = base()
    noisy = settings["experiments"]["noisy"]
    settings["experiments"]["after"] = {**noisy, "start": "before", "winsor": [0, 2]}
    settings["experiments"]["before"] = {**noisy, "noise": [0.125], "winsor": [0], "snapshots": True}
    config = load(settings)
    for run in plan.runs(config, "after"):
        assert plan.start_of(config, run) == ("before", "012.5", "0", run.replicate)
        # That it starts from another run is seen before that one is made.
        assert plan.settings(config, "train", run._asdict())["start"] == "before/noise-012.5"
    assert {plan.start_of(config, run) for run in plan.runs(config, "before")} == {None}


# --- where the raw files are -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("~", "/home/of/me"),
        ("~/data sets", "/home/of/me/data sets"),
        ("$HOME/data", "/home/of/me/data"),
        ("${SCRATCH}/data", "/scratch/data"),
        ("$SCRATCH$UNSET/$UNSET", "/scratch$UNSET/$UNSET"),
        ("~nobody-of-this-name/data", "{here}/~nobody-of-this-name/data"),
        ("data", "{here}/data"),
        ("./data/", "{here}/data"),
        ("../data", "{here}/../data"),
        ("/a/~/data", "/a/~/data"),
        ("/{a} $b 'c'", "/{a} $b 'c'"),
    ],
)
def test_home_and_variables_in_data_root_are_replaced(monkeypatch, tmp_path, given, expected):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/of/me")
    monkeypatch.setenv("SCRATCH", "/scratch")
    for unset in ("UNSET", "b"):
        monkeypatch.delenv(unset, raising=False)
    expected = expected.replace("{here}", str(tmp_path))
    assert str(expanded(given)) == expected


# --- settings of the stages -----------------------------------------------------------------------


def stage_modules():
    modules = (
        importlib.import_module(m.name)
        for m in pkgutil.iter_modules(cgpipe.pipeline.stages.__path__, "cgpipe.pipeline.stages.")
    )
    return {module.__name__.rsplit(".", 1)[1]: module for module in modules if hasattr(module, "Spec")}


def test_every_stage_has_its_settings_planned():
    assert set(stage_modules()) == {*STAGES, "figures"}
    assert set(specs(base())) == {*STAGES, *ALL_FIGURES}


@pytest.mark.parametrize("stage", STAGES)
def test_the_settings_of_a_stage_are_the_fields_of_its_spec(stage):
    planned = json.loads(specs(base())[stage])
    assert set(planned) == {field.name for field in fields(stage_modules()[stage].Spec)}


def test_the_settings_of_the_figures_are_the_fields_of_their_spec():
    spec_fields = fields(stage_modules()["figures"].Spec)
    required = {f.name for f in spec_fields if f.default is MISSING and f.default_factory is MISSING}
    planned = {figure: set(json.loads(specs(base())[figure])) for figure in ALL_FIGURES}
    assert all(required <= keys for keys in planned.values())
    assert set().union(*planned.values()) == {f.name for f in spec_fields}


@pytest.mark.parametrize("stage", [*STAGES, *ALL_FIGURES])
def test_a_stage_reads_its_settings_back_as_they_were_planned(stage):
    module = stage_modules()["figures" if stage in ALL_FIGURES else stage]
    adapter = TypeAdapter(module.Spec)
    text = specs(base())[stage]
    read = adapter.validate_json(text)
    written = {k: v for k, v in json.loads(adapter.dump_json(read)).items() if k in json.loads(text)}
    assert written == json.loads(text)


def test_settings_are_those_of_the_path():
    config = load(base())
    planned = plan.settings(config, "train", AT)
    assert (planned["noise"], planned["winsor"], planned["replicate"]) == (0.125, 2, 1)
    assert (planned["network"], planned["steps"], planned["seed"]) == ({"dense": [40]}, 5, 3)
    assert plan.settings(config, "train", {**AT, "experiment": "other", "noise": "030"})["steps"] == 7
    labels = {"dataset": "", "examples": "", "noise": "100", "replicate": "0"}
    assert plan.settings(config, "corrupt", labels)["noise"] == 1.0


@pytest.mark.parametrize(
    ("given", "part", "examples"),
    [({}, "", None), ({"examples": 1_000}, "", None), ({"examples": 700}, "examples-700/", 700)],
)
def test_labels_of_a_subset_lie_apart_and_those_of_all_examples_do_not(given, part, examples):
    settings = base(figures={})
    settings["experiments"]["noisy"] |= given
    at = plan.labels_at(load(settings), AT)
    assert at == {"dataset": "", "examples": part, "noise": "012.5", "replicate": "1"}
    assert plan.settings(load(settings), "corrupt", at)["examples"] == examples
    assert plan.labels_at(load(settings), {**AT, "experiment": "other"})["examples"] == ""


@pytest.mark.parametrize(
    ("given", "part", "examples"),
    [
        ({"copies": 3}, "copies-3/", {"copies": 3}),
        ({"zeroed": 0.25, "examples": 50}, "examples-50/zeroed-0.25/", {"examples": 50, "zeroed": 0.25}),
        ({"zeroed": 1e-9}, "zeroed-1e-09/", {"zeroed": 1e-9}),
        (
            {"twin": {"of": "early", "replaced": 2}, "examples": 700, "noise": [0]},
            "examples-700/replaced-2/",
            {"examples": 700, "replaced": 2},
        ),
        (
            {"choose": {"of": "early", "which": "easy"}, "examples": 60, "noise": [0]},
            "chosen-easy-of-early/examples-60/",
            {"chosen": "easy-of-early", "examples": 60},
        ),
    ],
)
def test_labels_of_other_examples_lie_apart_and_their_place_says_of_which(given, part, examples):
    settings = base(figures={}, claims=None)
    early = {**settings["experiments"]["noisy"], "examples": 700, "steps": 40, "noise": [0]}
    early |= {"winsor": [0], "batch_size": 50}
    settings["experiments"]["early"] = {**early, "subset": "shared"}
    settings["experiments"]["noisy"] = {**early, "noise": [0, 0.125], "subset": "shared", **given}
    if "examples" not in given:
        settings["experiments"]["noisy"]["examples"] = "all"
    config = load(settings)
    at = plan.labels_at(config, {**AT, "noise": "000"})
    assert at == {"dataset": "", "examples": part, "noise": "000", "replicate": "0"}
    assert plan.settings(config, "corrupt", at)["examples"] == examples
    assert re.fullmatch(layout.EXAMPLES, part)
    assert layout.part_of_path(dict(sorted(examples.items()))) == part
    assert layout.chosen_of(part) == ("early" if "choose" in given else None)
    size = {"copies-3/": 3_000, "zeroed-1e-09/": 1_000}.get(part, given.get("examples"))
    assert plan.settings(config, "train", {**AT, "noise": "000"})["examples"] == size


def test_the_dataset_of_one_experiment_lies_apart():
    settings = base(figures={})
    settings["experiments"]["other"] |= {"dataset": "cifar10", "examples": 700}
    config = load(settings)
    at = plan.labels_at(config, {**AT, "experiment": "other"})
    assert (at["dataset"], at["examples"]) == ("datasets/cifar10/", "examples-700/")
    assert plan.settings(config, "data", at) == {"dataset": "cifar10"}
    assert plan.settings(config, "data", AT) == {"dataset": "digits"}
    assert plan.labels_at(config, AT)["dataset"] == ""
    settings["experiments"]["other"]["dataset"] = "digits"
    assert plan.labels_at(load(settings), {**AT, "experiment": "other"})["dataset"] == ""


def test_levels_of_both_groups_depend_on_the_subset():
    few = base(figures={})
    few["experiments"]["noisy"] |= {"noise": [0.002, 0.5], "examples": 500}
    assert {run.noise for run in plan.runs(load(few), "noisy", mixed=True)} == {"050"}


@pytest.mark.parametrize(("key", "value"), [("noise", "033"), ("noise", "12.5"), ("experiment", "unknown")])
def test_a_path_that_is_not_in_the_settings_is_refused(key, value):
    with pytest.raises(KeyError, match=f"{value} is not among the"):
        plan.settings(load(base()), "train", {**AT, key: value})


ALL = {*STAGES, *ALL_FIGURES}


@pytest.mark.parametrize(
    ("changed", "reread"),
    [
        ({"name": "another"}, set()),
        ({"data_root": "/elsewhere"}, set()),
        ({"dataset": "mnist"}, {"data", "train"}),  # with more examples
        (
            {"seed": 4},
            {
                "corrupt",
                "train",
                "gradients",
                "contributions",
                "nullworlds",
                "clipping",
                "heldout",
                "similarity",
            },
        ),
        ({"kernel": "required"}, {"train"}),
        (
            {"device": "cpu"},
            {
                "train",
                "gradients",
                "contributions",
                "bursts",
                "displacement",
                "clipping",
                "heldout",
                "similarity",
                "twins",
            },
        ),
        ({"corruption": {"selection": "bernoulli"}}, {"corrupt", "heldout"}),
        ({"gradients": {"weights": 31}}, {"gradients"}),
        ({"contributions": {"stiffness_examples": 31}}, {"contributions"}),
        ({"clipping": {"levels": [3]}}, {"clipping"}),
        ({"clipping": {"batches": 3}}, {"clipping"}),
        ({"heldout": {"examples": 31}}, {"heldout"}),
        ({"similarity": {"examples": 31}}, {"similarity"}),
        ({"claims": {"winsorization": "noisy"}}, {"claims"}),
        ({"claims": {"winsorization": "noisy", "seen": [0]}}, {"claims"}),
        ({"nullworlds": {"count": 77}}, {"nullworlds"}),
        ({"figures": {**base()["figures"], "style": {"dpi": 100}}}, set(ALL_FIGURES)),
        (
            {"figures": {**base()["figures"], "figure1": {"experiment": "noisy", "learned": "last"}}},
            {"figure figure1"},
        ),
    ],
)
def test_only_stages_that_read_a_setting_see_it_change(changed, reread):
    before, after = specs(base()), specs(base(**changed))
    assert set(before) == ALL
    assert {stage for stage in ALL if before[stage] != after[stage]} == reread


def packed(size, wanted):
    settings = base()
    settings["experiments"]["noisy"]["runs_per_job"] = size
    return plan.packs(load(settings), "noisy", wanted)


@given(st.integers(1, 20), st.sets(st.integers(0, 15)))
def test_each_wanted_run_is_in_one_pack_or_left_over(size, places):
    runs = plan.runs(load(base()), "noisy")
    wanted = [run for place, run in enumerate(runs) if place in places]
    packs = packed(size, lambda run: run in wanted)
    in_packs = [run for pack in packs for run in pack]
    assert all(1 < len(pack) <= size for pack in packs)
    assert set(in_packs) <= set(wanted)
    assert len(in_packs) == len(set(in_packs)) >= len(wanted) - (len(wanted) if size == 1 else 1)
    # Replicate after replicate, and in each the order of the runs.
    assert in_packs == sorted(in_packs, key=lambda run: (int(run.replicate), runs.index(run)))


def test_one_experiment_says_nothing_to_the_runs_of_another():
    changed = base()
    changed["experiments"]["other"] |= {"steps": 8, "noise": [0.3, 0.4]}
    assert specs(changed) == specs(base())


# --- spec -----------------------------------------------------------------------------------------


@given(
    st.dictionaries(st.text(), st.integers() | st.floats(allow_nan=False) | st.lists(st.integers())),
    st.randoms(),
)
def test_the_order_of_settings_does_not_change_their_text(settings, random):
    items = list(settings.items())
    random.shuffle(items)
    assert canonical(dict(items)) == canonical(settings)
    assert json.loads(canonical(settings)) == settings
    assert "\n" not in canonical(settings)


def test_the_order_of_keys_in_a_config_does_not_change_any_spec():
    def backwards(tree):
        return {k: backwards(v) for k, v in reversed(tree.items())} if isinstance(tree, dict) else tree

    assert list(backwards(base())) != list(base())
    assert specs(backwards(base())) == specs(base())


def test_whole_numbers_and_floats_of_the_same_value_are_the_same_settings():
    as_floats = base()
    as_floats["experiments"]["noisy"]["noise"] = [0.5, 0.0, 0.125, 1.0]
    as_floats["experiments"]["noisy"]["learning_rate"] = 1.0
    as_integers = base()
    as_integers["experiments"]["noisy"]["learning_rate"] = 1
    assert specs(as_floats) == specs(as_integers)
