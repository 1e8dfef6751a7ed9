"""Only what is invalidated reruns."""

import copy
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import warm
import xarray as xr
import yaml
from trees import SMALL, Tree, new_tree

from cgpipe.figures.registry import FIGURES as REGISTRY
from cgpipe.figures.registry import OF_RUNS
from cgpipe.pipeline.config.mystery import SHOWN
from cgpipe.pipeline.config.reference import leaves
from cgpipe.pipeline.fingerprint import code_hash
from cgpipe.pipeline.records import record_of

RULES = {name: name if name.startswith("figure") else f"figure_{name}" for name in REGISTRY}
FIGURES = dict.fromkeys((RULES[name] for name in (*OF_RUNS, "claims")), 1)


def figures_of(*artifacts: str, plain: bool = True) -> dict[str, int]:
    """Rules of the figures that plot an artifact, of plain SGD or at all levels of winsorization."""
    chosen = [name for name, of in OF_RUNS.items() if of.artifact in artifacts and of.plain == plain]
    return {RULES[name]: 1 for name in chosen}


CLAIMS = {"claims": 1, "figure_claims": 1}
FROM_SAMPLED_WORLDS = {"nullworlds": 2, **figures_of("nullworlds"), **CLAIMS}
FROM_EXACT_WORLDS = {"nullworlds_exact": 1, **figures_of("nullworlds_exact"), **CLAIMS}
FROM_WORLDS_OF_WAY = {"nullworlds_displacement": 1, **figures_of("nullworlds_displacement"), **CLAIMS}
FROM_NULLWORLDS = {**FROM_SAMPLED_WORLDS, **FROM_EXACT_WORLDS, **FROM_WORLDS_OF_WAY}
FROM_GRADIENTS = {"gradients": 2, **FROM_SAMPLED_WORLDS}
FROM_CONTRIBUTIONS = {"contributions": 2, "coherence": 2, **figures_of("coherence"), **FROM_EXACT_WORLDS}
FROM_BURSTS = {"bursts": 2, **figures_of("bursts")}
FROM_HELDOUT = {"heldout": 2, **figures_of("heldout")}
FROM_SIMILARITY = {"similarity": 2, **figures_of("similarity")}
FROM_SNAPSHOTS = {
    **FROM_GRADIENTS,
    **FROM_CONTRIBUTIONS,
    **FROM_BURSTS,
    "displacement": 1,
    **FROM_WORLDS_OF_WAY,
    **FROM_HELDOUT,
    **FROM_SIMILARITY,
}
FROM_CLIPPING = {"clipping": 2, "figure_clipping": 1}
FROM_TRAIN_OF_LABEL_NOISE = {"train": 2, "runs": 1, **figures_of("history"), **FROM_SNAPSHOTS}
# Of one run more; clipping is of all its runs.
OF_WINSORIZATION = {**figures_of("history", plain=False), **FROM_CLIPPING, "clipping": 1, **CLAIMS}
FROM_TRAIN = {
    "train": 6,
    "twins": 1,
    "train_without_snapshots": 1,
    "train_pair_1": 1,
    "runs": 1,
    **FROM_SNAPSHOTS,
    **FROM_CLIPPING,
    **FIGURES,
}
FROM_CORRUPT = {"corrupt": 4, **FROM_TRAIN}
ALL = {"data": 1, **FROM_CORRUPT}

# What a figure of another experiment needs first, of its one run of plain SGD.
ANALYSES: dict[str, Mapping[str, int]] = {
    "history": {},
    "nullworlds": {"gradients": 1, "nullworlds": 1},
    "nullworlds_exact": {"contributions": 1, "bursts": 1, "nullworlds_exact": 1},
    "nullworlds_displacement": {"displacement": 1, "nullworlds_displacement": 1},
    "coherence": {"contributions": 1, "coherence": 1},
    "bursts": {"bursts": 1},
    "clipping": {"clipping_pair_1": 1},
    "heldout": {"heldout": 1},
    "similarity": {"similarity": 1},
    "twins": {},
}

NETWORKS: dict[str, dict[str, Any]] = {
    "dense": {"dense": [17]},
    "conv_small": {"conv_small": {}},
    "alexnet_small.channels": {"alexnet_small": {"channels": 8}},
    "resnet18": {"resnet18": {}},
    "module": {"module": "torch.nn:Flatten"},
    "args": {"module": "torch.nn:Flatten", "args": {"start_dim": 1}},
}
EARLY = {
    **SMALL["experiments"]["bare"],
    "batch_size": 50,
    "examples": 300,
    "noise": [0],
    "subset": "shared",
}
EASY = {**EARLY, "examples": 50, "choose": {"of": "early", "which": "easy"}}
TWIN = {"of": "label_noise", "replaced": 2}
ON_MNIST = {**SMALL["experiments"]["label_noise"], "dataset": "mnist"}
OF_MNIST = {"data": 1, "corrupt": 2, **FROM_TRAIN_OF_LABEL_NOISE}

# Of the claims of the second paper: they, their figures, and those figures that their verdicts stand below.


def of_claims(*roles: str) -> dict[str, int]:
    """Rules that test the claims of the second paper and draw them, if these roles are played."""
    drawn = [name for name, of in REGISTRY.items() if of.claims or name == "mystery"]
    shown = [name for name in drawn if name not in SHOWN or {*SHOWN[name]} & {*roles}]
    return {"mystery": 1, **{RULES[name]: 1 for name in shown}}


PLAYED = {**SMALL["experiments"]["label_noise"], "noise": [0.0], "marks": [1.0], "steps": 40}


def playing(
    roles: Mapping[str, Any], made: Mapping[str, int], **experiments: Mapping[str, Any]
) -> tuple[None, dict[str, Any], dict[str, int]]:
    """SMALL with a section `mystery`, and the experiments that play a part in it."""
    played = {name: {**PLAYED, **changed} for name, changed in experiments.items()}
    settings = {**SMALL, "mystery": dict(roles), "experiments": {**SMALL["experiments"], **played}}
    return None, settings, {**made, "runs": 1, **of_claims(*roles)}


SEEDS = {"subset": "shared"}
OF_SEEDS = {"difficulty": 1, "similarity": 1}


def chosen(which: str) -> tuple[None, dict[str, Any], dict[str, int]]:
    """As `playing`, for what trains on the easy or the hard examples."""
    return playing(
        {"seeds": "seeds", which: "chosen"},
        {"corrupt": 1, "train": 2, **OF_SEEDS},
        seeds=SEEDS,
        chosen={"choose": {"of": "seeds", "which": which}, "examples": 100},
    )


# For every leaf of the schema: a path in SMALL, another value, and exactly the jobs that read it or
# follow from them.
FLIPS: dict[str, tuple[str | None, Any, Mapping[str, int]]] = {
    "name": ("name", "other", ALL),
    "seed": ("seed", 2, FROM_CORRUPT),
    "dataset": ("dataset", "mnist", ALL),
    # Where a dataset lies is not what it is.
    "data_root": ("data_root", "elsewhere", {}),
    "device": ("device", "cpu", FROM_TRAIN),
    "kernel": ("kernel", "required", FROM_TRAIN),
    "corruption.selection": ("corruption.selection", "bernoulli", FROM_CORRUPT),
    # The experiments have their own.
    "replicates": ("replicates", 2, {}),
    **{
        f"experiments.*.network.{key}": (
            "experiments.label_noise.network",
            network,
            FROM_TRAIN_OF_LABEL_NOISE,
        )
        for key, network in NETWORKS.items()
    },
    **{
        f"experiments.*.{key}": ("experiments.label_noise", {**ON_MNIST, **changed}, OF_MNIST)
        for key, changed in {
            "network.lenet5": {"network": {"lenet5": {}}},
            "network.vgg11": {"network": {"vgg11": {}}},
            "dataset": {},
        }.items()
    },
    "experiments.*.init": ("experiments.label_noise.init", "official", FROM_TRAIN_OF_LABEL_NOISE),
    "experiments.*.learning_rate": (
        "experiments.label_noise.learning_rate",
        0.3,
        FROM_TRAIN_OF_LABEL_NOISE,
    ),
    "experiments.*.schedule": ("experiments.pair.schedule", "cosine", {"train_pair_1": 1, "runs": 1}),
    "experiments.*.momentum": ("experiments.pair.momentum", 0.5, {"train_pair_1": 1, "runs": 1}),
    "experiments.*.weight_decay": ("experiments.pair.weight_decay", 0.1, {"train_pair_1": 1, "runs": 1}),
    "experiments.*.examples": (
        "experiments.label_noise.examples",
        800,
        {"corrupt": 2, **FROM_TRAIN_OF_LABEL_NOISE},
    ),
    # The only replicate is replicate 0, whose examples are shared: it trains again on the same.
    "experiments.*.subset": ("experiments.label_noise.subset", "shared", FROM_TRAIN_OF_LABEL_NOISE),
    **{
        f"experiments.*.{key}": (
            f"experiments.pair.{key}",
            value,
            {"corrupt": 1, "train_pair_1": 1, "runs": 1},
        )
        for key, value in {"copies": 2, "zeroed": 0.25}.items()
    },
    **{
        f"experiments.*.choose.{key}": (
            "experiments",
            {**SMALL["experiments"], "early": EARLY, "easy": EASY},
            {"corrupt": 2, "train_without_snapshots": 2, "difficulty": 1, "runs": 1},
        )
        for key in ("of", "which")
    },
    **{
        f"experiments.*.twin.{key}": (
            "experiments",
            {**SMALL["experiments"], "twin": {**SMALL["experiments"]["label_noise"], "twin": TWIN}},
            {"corrupt": 2, "train": 2, "runs": 1},
        )
        for key in ("of", "replaced")
    },
    "experiments.*.normalize": ("experiments.label_noise.normalize", False, FROM_TRAIN_OF_LABEL_NOISE),
    "experiments.*.batch_size": ("experiments.label_noise.batch_size", 40, FROM_TRAIN_OF_LABEL_NOISE),
    "experiments.*.steps": ("experiments.label_noise.steps", 13, FROM_TRAIN_OF_LABEL_NOISE),
    "experiments.*.update": (
        "experiments.pair.update",
        "trimmed_mean",
        {"train_pair_1": 1, "runs": 1},
    ),
    **{
        f"experiments.*.{key}": (
            "experiments.pair",
            {**SMALL["experiments"]["pair"], "update": "dp_sgd", "winsor": [0], **private},
            {"train": 1, "runs": 1},
        )
        for key, private in {
            "clip_norm": {"clip_norm": 1.0, "noise_multiplier": 1.0},
            "noise_multiplier": {"clip_norm": 0.5, "noise_multiplier": 2.0},
        }.items()
    },
    "experiments.*.marks": ("experiments.pair.marks", [2.0], {"train_pair_1": 1, "runs": 1}),
    "experiments.*.start": (
        "experiments",
        {
            **SMALL["experiments"],
            "pair": {**SMALL["experiments"]["pair"], "start": "first"},
            "first": {**SMALL["experiments"]["winsorization"], "winsor": [0]},
        },
        {"train": 1, "train_pair_1": 1, "runs": 1},
    ),
    "experiments.*.noise": (
        "experiments.label_noise.noise",
        [0, 0.5, 0.75],
        {
            "corrupt": 1,
            "train": 1,
            "runs": 1,
            **figures_of("history"),
            **FROM_SNAPSHOTS,
            **dict.fromkeys(("gradients", "nullworlds", "contributions", "coherence", "bursts"), 1),
            "heldout": 1,
            "similarity": 1,
        },
    ),
    "experiments.*.winsor": (
        "experiments.winsorization.winsor",
        [0, 3],
        {"train": 1, "runs": 1, **OF_WINSORIZATION},
    ),
    "experiments.*.replicates": (
        "experiments.winsorization.replicates",
        2,
        {"corrupt": 1, "train": 2, "runs": 1, **OF_WINSORIZATION, "clipping": 2},
    ),
    # In whose company a run is trained is not what it is.
    "experiments.*.runs_per_job": ("experiments.pair.runs_per_job", 1, {}),
    "experiments.*.snapshots": ("experiments.bare.snapshots", True, {"train": 1, "runs": 1, **CLAIMS}),
    # Figure 2, exact, has what to expect of so many examples.
    "gradients.examples": ("gradients.examples", 61, {**FROM_GRADIENTS, "figure2_exact": 1}),
    "gradients.weights": ("gradients.weights", 41, FROM_GRADIENTS),
    "gradients.draws": ("gradients.draws", 2, FROM_GRADIENTS),
    "contributions.stiffness_examples": ("contributions.stiffness_examples", 51, FROM_CONTRIBUTIONS),
    "clipping.levels": ("clipping.levels", [1, 3], FROM_CLIPPING),
    "clipping.batches": ("clipping.batches", 3, FROM_CLIPPING),
    "similarity.examples": ("similarity.examples", 41, FROM_SIMILARITY),
    "heldout.examples": ("heldout.examples", 61, FROM_HELDOUT),
    "nullworlds.shown": ("nullworlds.shown", 1, FROM_NULLWORLDS),
    "nullworlds.count": ("nullworlds.count", 201, FROM_NULLWORLDS),
    "nullworlds.level": ("nullworlds.level", 0.8, FROM_NULLWORLDS),
    **{
        f"figures.{name}.experiment": (
            f"figures.{name}.experiment",
            "winsorization" if entry.plain else "pair",
            {RULES[name]: 1, **ANALYSES[entry.artifact]},
        )
        for name, entry in OF_RUNS.items()
    },
    # There is no other twin.
    "figures.twins.experiment": ("figures.twins", None, {}),
    "figures.figure1.learned": ("figures.figure1.learned", "last", {"figure1": 1}),
    **{
        f"figures.{name}.compare_with": (f"figures.{name}.compare_with", "Snakefile", {RULES[name]: 1})
        for name, entry in OF_RUNS.items()
        if entry.levels
    },
    # The runs of "pair" have the content of those of "winsorization", and would be plotted and judged alike.
    "figures.figure4.experiment": ("figures.figure4.experiment", "label_noise", {"figure4": 1}),
    "figures.activity.experiment": ("figures.activity.experiment", "label_noise", {"figure_activity": 1}),
    "figures.matched.experiment": ("figures.matched.experiment", "pair", {}),
    "figures.controls.experiment": ("figures.controls.experiment", "pair", {}),
    "figures.controls.controls": ("figures.controls.controls", ["pair"], {}),
    "figures.networks.others": (
        "figures.networks.others",
        ["pair"],
        {"figure_networks": 1, **ANALYSES["coherence"]},
    ),
    "figures.real_and_random.others": (
        "figures.real_and_random.others",
        ["pair"],
        {"figure_real_and_random": 1, **ANALYSES["heldout"]},
    ),
    "figures.stopping.others": ("figures.stopping.others", ["pair"], {"figure_stopping": 1}),
    "figures.frontier.others": ("figures.frontier.others", ["pair"], {"figure_frontier": 1}),
    "figures.style.width": ("figures.style.width", 6.5, FIGURES),
    "figures.style.font_size": ("figures.style.font_size", 9.0, FIGURES),
    "figures.style.dpi": ("figures.style.dpi", 60, FIGURES),
    "figures.style.palette": ("figures.style.palette", "deep", FIGURES),
    "claims.label_noise": (
        "claims.label_noise",
        "winsorization",
        {
            **{
                rule: 1
                for of, rules in ANALYSES.items()
                for rule in rules
                if of not in ("clipping", "heldout", "similarity")
            },
            **CLAIMS,
        },
    ),
    "claims.winsorization": ("claims.winsorization", "pair", CLAIMS),
    "claims.full_batch": ("claims", {**SMALL["claims"], "full_batch": None, "minibatch": None}, CLAIMS),
    "claims.minibatch": ("claims.minibatch", "pair", CLAIMS),
    "claims.seen": ("claims.seen", [0], CLAIMS),
    "mystery.networks": playing(
        {"networks": ["played"]},
        {"corrupt": 1, "train": 3, "heldout": 3, "displacement": 2},
        played={"noise": [0, 0.5, 1]},
    ),
    "mystery.seeds": playing({"seeds": "seeds"}, {"train": 1, **OF_SEEDS}, seeds=SEEDS),
    "mystery.easy": chosen("easy"),
    "mystery.hard": chosen("hard"),
    "mystery.unselected": playing({"unselected": "played"}, {"train": 1}, played={}),
    "mystery.similarity": playing(
        {"similarity": "played"}, {"corrupt": 1, "train": 3, "similarity": 3}, played={"noise": [0, 0.5, 1]}
    ),
    "mystery.plain": ("mystery", {"plain": "winsorization"}, of_claims()),
    "mystery.modified": playing(
        {"modified": ["played"]}, {"train": 1}, played={"noise": [0.5], "update": "m3"}
    ),
    "mystery.mean_of_three": playing(
        {"mean_of_three": "played"}, {"train": 1}, played={"noise": [0.5], "update": "ra3"}
    ),
    "mystery.winsorized": ("mystery", {"winsorized": "winsorization"}, of_claims()),
    "mystery.private": playing(
        {"private": ["played"]},
        {"train": 1},
        played={"noise": [0.5], "update": "dp_sgd", "clip_norm": 1.0, "noise_multiplier": 1.0},
    ),
    "mystery.twins": playing(
        {"twins": ["played"]},
        {"corrupt": 3, "train": 4, "twins": 2},
        other={"noise": [0, 1]},
        played={"noise": [0, 1], "twin": {"of": "other", "replaced": 1}},
    ),
    "mystery.random_start": playing({"random_start": "played"}, {"train": 1, "heldout": 1}, played={}),
    "mystery.adversarial_start": playing(
        {"adversarial_start": "played"},
        {"train": 2, "heldout": 1},
        other={},
        played={"start": "other"},
    ),
    "mystery.widths": playing({"widths": ["played"]}, {"train": 1, "heldout": 1}, played={}),
}


def changed(path: str | None, value: Any) -> dict[str, Any]:
    """SMALL with another value at a path; all of it, without one."""
    if path is None:
        assert isinstance(value, dict)
        return value
    settings = copy.deepcopy(SMALL)
    at = settings
    *parents, last = path.split(".")
    for key in parents:
        at = at[key]
    assert at[last] != value
    at[last] = value
    return settings


def edit(path: Path, pattern: str, replacement: str) -> None:
    """Edit a source file, and give it a time stamp of long ago."""
    before = path.read_text(encoding="utf-8")
    after = re.sub(pattern, replacement, before, count=1, flags=re.MULTILINE)
    assert after != before
    path.write_text(after, encoding="utf-8")
    os.utime(path, (1_000_000_000, 1_000_000_000))


def test_every_leaf_of_the_schema_is_flipped_below() -> None:
    assert {path for path, _ in leaves()} == set(FLIPS)


# One leaf for each set of jobs; that the others are read by the same stages takes longer to see.
FIRST = {frozenset(Counter(expected).items()): leaf for leaf, (_, _, expected) in reversed(FLIPS.items())}
OF_LEAVES = [
    pytest.param(leaf, marks=() if leaf in FIRST.values() else pytest.mark.slow, id=leaf) for leaf in FLIPS
]


@pytest.mark.parametrize("leaf", OF_LEAVES)
def test_flipping_a_leaf_reruns_exactly_what_reads_it(finished: Tree, leaf: str) -> None:
    path, value, expected = FLIPS[leaf]
    # A dry run changes nothing, so one finished tree serves; each flip has a config of its own.
    config = finished.folder / "config" / f"flip-{leaf.replace('*', 'x')}.yaml"
    config.write_text(yaml.safe_dump(changed(path, value)), encoding="utf-8")
    assert finished.planned("--configfile", str(config)) == Counter(expected)


def test_finished_tree_has_nothing_to_do(finished: Tree) -> None:
    assert finished.planned() == Counter()


def test_reordered_yaml_reruns_nothing(tree: Tree) -> None:
    def backwards(of: Any) -> Any:
        return {k: backwards(of[k]) for k in reversed(of)} if isinstance(of, dict) else of

    settings = backwards(SMALL)
    settings["experiments"]["label_noise"]["noise"] = [0.5, 0]
    settings["experiments"]["winsorization"]["winsor"] = [2, 0]
    text = yaml.safe_dump(settings, sort_keys=False)
    assert text.index("figures") < text.index("experiments")
    (tree.folder / "config" / "small.yaml").write_text(text, encoding="utf-8")
    assert tree.planned() == Counter()


def test_two_swapped_values_rerun_what_reads_them(tree: Tree) -> None:
    settings = copy.deepcopy(SMALL)
    a, b = (settings["experiments"][name] for name in ("label_noise", "winsorization"))
    a["learning_rate"], b["learning_rate"] = b["learning_rate"], a["learning_rate"]
    tree.configure(settings)
    assert tree.planned() == Counter(
        {"train": 4, "runs": 1, **FROM_SNAPSHOTS, **FROM_CLIPPING, **FIGURES, "figure_twins": 0}
    )


def test_swapped_numbers_of_one_stage_are_seen(tree: Tree) -> None:
    settings = copy.deepcopy(SMALL)
    settings["gradients"] |= {"examples": 40, "weights": 60}
    tree.configure(settings)
    assert tree.planned() == Counter({**FROM_GRADIENTS, "figure2_exact": 1})


def test_changing_c_reruns_no_corruption(tree: Tree) -> None:
    tree.configure(changed("experiments.winsorization.winsor", [0, 1, 4]))
    assert tree.planned() == Counter({"train": 2, "runs": 1, **OF_WINSORIZATION, "clipping": 2})


def test_touching_every_file_reruns_nothing(tree: Tree) -> None:
    # Newest first in the order of the data, so that every input is newer than what was made of it.
    order = ["claims.", "nullworlds", "coherence.nc", "contributions.nc", "gradients.nc", "history.nc"]
    order += ["bursts.nc", "displacement.nc", "snapshots", "replicate-0.nc", "dataset.nc"]
    now = 2_000_000_000
    for path in tree.folder.rglob("*"):
        rank = next((k for k, part in enumerate(order) if part in path.name), 0)
        os.utime(path, (now + 100 * rank, now + 100 * rank))
    assert tree.planned() == Counter()


def test_fresh_clone_with_results_moved_over_reruns_nothing(finished: Tree, tmp_path: Path) -> None:
    clone = new_tree(tmp_path / "clone")
    for name in ("results", ".snakemake"):
        shutil.copytree(finished.folder / name, clone.folder / name, copy_function=shutil.copy)
    assert clone.planned() == Counter()


def test_edited_training_module_reruns_training_and_what_follows(tree: Tree) -> None:
    module = tree.folder / "cgpipe" / "networks" / "dense.py"
    edit(module, r"inputs\[number\], 0, ", "inputs[number], 1, ")
    # Stages gradients and contributions import it too; the data and the corruption do not.
    assert tree.planned() == Counter(FROM_TRAIN)


def test_edited_module_of_the_null_worlds_reruns_these_and_what_follows(tree: Tree) -> None:
    edit(tree.folder / "cgpipe" / "inference" / "nullworlds.py", "10_000_000", "11_000_000")
    assert tree.planned() == Counter(FROM_NULLWORLDS)


def test_edited_figure_makes_figures_alone_again(tree: Tree) -> None:
    edit(tree.folder / "cgpipe" / "figures" / "figure1.py", "0.72", "0.8")
    assert tree.planned() == Counter(FIGURES)


def test_edited_comments_docstrings_and_layout_rerun_nothing(tree: Tree) -> None:
    module = tree.folder / "cgpipe" / "learning" / "evaluation.py"
    edit(module, r'^""".*"""$', '"""Another docstring."""\n\n# A comment.')
    edit(module, r"^    right = correct.cpu\(\).numpy\(\)$", r"    # why\n\g<0>  # how")
    assert tree.planned() == Counter()


def test_a_deleted_figure_and_a_deleted_run_are_made_again(tree: Tree) -> None:
    (tree.results / "figures" / "figure1.png").unlink()
    shutil.rmtree(tree.results / "winsorization" / "noise-050" / "winsor-2")
    assert tree.planned() == Counter({"figure1": 1, "train": 1, "runs": 1, **OF_WINSORIZATION})


@pytest.mark.parametrize(
    ("leaf", "gone"),
    [
        # As after jobs of the new settings that failed: Snakemake removed what was there.
        ("gradients.examples", "label_noise/*/*/*/gradients.nc"),
        ("corruption.selection", "corrupted/**/*.nc"),
        # As after results were removed to save space.
        ("figures.style.width", "label_noise/*/*/*/gradients.nc"),
    ],
)
def test_what_was_made_from_files_that_are_gone_is_made_again_if_these_would_differ(
    tree: Tree, leaf: str, gone: str
) -> None:
    path, value, expected = FLIPS[leaf]
    removed = [file.unlink() for file in tree.results.glob(gone)]
    assert removed
    assert tree.planned() == Counter()
    config = tree.folder / "config" / "small.yaml"
    config.write_text(yaml.safe_dump(changed(path, value)), encoding="utf-8")
    assert tree.planned() == Counter(expected)


def test_what_reran_to_the_same_content_stops_there(tree: Tree) -> None:
    """The stage reruns for its new code, writes what it wrote, and a killed run leaves no stale figure."""
    module = tree.folder / "cgpipe" / "inference" / "nullworlds.py"
    edit(module, r"zeros\(examples, np\.bool_\)", "zeros(examples, dtype=np.bool_)")
    worlds = "results/small/label_noise/noise-050/winsor-0/replicate-0/nullworlds.nc"
    # As if killed after the null worlds were made, and before the figures were made.
    tree.snakemake(worlds)
    assert tree.planned() == Counter({**FROM_NULLWORLDS, "nullworlds": 1})


# --- without Snakemake's memory ----------------------------------------------------------------------

FORGOTTEN = (
    "seed",
    "experiments.*.learning_rate",
    "experiments.*.noise",
    "nullworlds.shown",
    "figures.figure1.compare_with",
    "figures.style.width",
    "claims.full_batch",
)


@pytest.fixture(scope="module")
def forgetful(finished: Tree, tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """A finished tree in another place, without .snakemake; for dry runs."""
    tree = new_tree(tmp_path_factory.mktemp("forgetful") / "tree")
    shutil.copytree(finished.results, tree.results)
    return tree


@pytest.mark.parametrize("leaf", FORGOTTEN)
def test_a_flipped_leaf_reruns_what_reads_it_without_snakemakes_memory(forgetful: Tree, leaf: str) -> None:
    path, value, expected = FLIPS[leaf]
    config = forgetful.folder / "config" / f"flip-{leaf.replace('*', 'x')}.yaml"
    config.write_text(yaml.safe_dump(changed(path, value)), encoding="utf-8")
    assert not list(forgetful.folder.glob(".snakemake/metadata/*"))
    assert forgetful.planned("--configfile", str(config)) == Counter(expected)


def test_nothing_to_do_without_snakemakes_memory(forgetful: Tree) -> None:
    assert forgetful.planned() == Counter()


def test_edited_code_reruns_what_imports_it_without_snakemakes_memory(tree: Tree) -> None:
    shutil.rmtree(tree.folder / ".snakemake")
    for path in sorted(tree.results.rglob("*"), key=lambda of: of.name == "dataset.nc"):
        os.utime(path, (1_500_000_000, 1_500_000_000))
    module = tree.folder / "cgpipe" / "networks" / "dense.py"
    edit(module, r"inputs\[number\], 0, ", "inputs[number], 1, ")
    assert tree.planned() == Counter(FROM_TRAIN)


def test_results_of_other_settings_are_said_to_be_replaced(forgetful: Tree) -> None:
    config = forgetful.folder / "config" / "copied.yaml"
    config.write_text(yaml.safe_dump(changed("experiments.label_noise.learning_rate", 0.3)), encoding="utf-8")
    done = forgetful.snakemake("-n", "--configfile", str(config))
    said = done.stdout + done.stderr
    assert "history.nc was made with learning_rate = 0.25, not 0.3: it is made again and replaced" in said
    assert "give the config another name than small" in said
    # Once for all runs that differ in the same way.
    assert said.count("history.nc was made with learning_rate = 0.25") == 1


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        ("figures/figure1.csv", {"figure1": 1}),
        ("figures/figure1.json", {"figure1": 1}),
        ("claims.csv", CLAIMS),
        ("verdicts.csv", CLAIMS),
        (
            "label_noise/noise-050/winsor-0/replicate-0/nullworlds.nc",
            {**FROM_SAMPLED_WORLDS, "nullworlds": 1},
        ),
    ],
)
def test_edited_results_are_made_again(tree: Tree, damage: str, expected: Mapping[str, int]) -> None:
    path = tree.results / damage
    path.write_bytes(path.read_bytes()[:-70] + b"1" * 70)
    os.utime(path, (1_000_000_000, 1_000_000_000))
    assert tree.planned() == Counter(expected)


def test_another_result_of_the_same_name_reruns_what_was_made_from_it(tree: Tree) -> None:
    """Contributions of another run are put in the place of this one's, and look as old as before."""
    run, other = (
        tree.results / f"label_noise/noise-{noise}/winsor-0/replicate-0" for noise in ("050", "000")
    )
    shutil.copy2(other / "contributions.nc", run / "contributions.nc")
    os.utime(run / "contributions.nc", (1_000_000_000, 1_000_000_000))
    # They say that they are of other noise, and so are made again, and what follows.
    assert tree.planned() == Counter({**FROM_CONTRIBUTIONS, "contributions": 1, "coherence": 1})


def test_a_copy_of_the_clone_runs_its_own_code(tmp_path: Path) -> None:
    """By another clone's Python, in a third folder: the job runs what was planned, and notes it."""
    copy, elsewhere = new_tree(tmp_path / "copy"), tmp_path / "elsewhere"
    elsewhere.mkdir()
    edit(
        copy.folder / "cgpipe" / "pipeline" / "stages" / "corrupt.py", 'f"Labels with', 'f"Edited labels with'
    )
    labels = "results/small/corrupted/noise-050/replicate-0.nc"
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "-s", str(copy.folder / "Snakefile")]
    command += ["--configfile", str(copy.folder / "config/small.yaml"), "--directory", str(elsewhere), labels]
    # An old module's PYTHONPATH, and another Python first on the PATH.
    (elsewhere / "numpy.py").write_text("raise ImportError('not this one')", encoding="utf-8")
    (elsewhere / "python").write_text("#!/bin/sh\nexit 9\n", encoding="utf-8")
    (elsewhere / "python").chmod(0o755)
    profile = elsewhere / "env.sh"
    profile.write_text(f"export PATH={elsewhere}:$PATH PYTHONPATH={elsewhere}\n", encoding="utf-8")
    environment = {**os.environ, "BASH_ENV": str(profile), "SLURM_CONF": os.devnull}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    made = record_of(elsewhere / labels)
    with xr.open_dataset(elsewhere / labels, engine="netcdf4") as written:
        assert written.attrs["title"].startswith("Edited labels with")
    assert made["code"] != code_hash("corrupt")


def test_a_job_that_runs_other_code_than_was_planned_stops(finished: Tree, tmp_path: Path) -> None:
    out = tmp_path / "corrupted.nc"
    spec = json.dumps({"noise": 0.5, "replicate": 0, "seed": 1, "selection": "exact"})
    said = runs_stage(
        *("corrupt", "--spec", spec, "--code", "0123456789abcdef"),
        *("--dataset", str(finished.results / "dataset.nc"), "--corrupted", str(out)),
    )
    assert "runs other code" in said
    assert not out.exists()


# --- stages that collect ------------------------------------------------------------------------------


def runs_stage(*arguments: str) -> str:
    """What a stage says that has to fail."""
    done = warm.cgpipe(*arguments)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def history(of: Tree, experiment: str) -> Path:
    return of.results / experiment / "noise-050/winsor-0/replicate-0/history.nc"


@pytest.mark.parametrize(
    ("experiments", "reason"),
    [
        (
            ("pair", "label_noise"),
            "train: examples: 1000 and 900; train: labels:  and examples-900/; train: learning_rate: 0.5 and",
        ),
        (("pair", "winsorization"), "given twice"),
    ],
)
def test_a_figure_refuses_runs_that_do_not_belong_together(
    finished: Tree, tmp_path: Path, experiments: tuple[str, str], reason: str
) -> None:
    runs = [str(history(finished, name)) for name in experiments]
    spec = json.dumps({"figure": "figure1", "style": {}})
    assert reason in runs_stage("figures", "--spec", spec, "--out", str(tmp_path / "figure1"), *runs)
    assert not list(tmp_path.iterdir())


def test_the_claims_refuse_an_analysis_of_another_run(finished: Tree, tmp_path: Path) -> None:
    coherence = history(finished, "label_noise").with_name("coherence.nc")
    said = runs_stage(
        *("claims", "--spec", '{"roles": {}, "seen": []}', "--label-noise", str(history(finished, "pair"))),
        *("--coherence", str(coherence)),
        *("--claims", str(tmp_path / "claims.nc"), "--table", str(tmp_path / "claims.csv")),
        *("--verdicts", str(tmp_path / "verdicts.csv")),
    )
    assert "coherence at noise 0.5, replicate 0, is of another run than the history" in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("replaced", ["contributions.nc", "snapshots.safetensors"])
def test_stages_refuse_what_was_made_from_something_else_than_lies_there(tree: Tree, replaced: str) -> None:
    run, other = (
        tree.results / f"label_noise/noise-{noise}/winsor-0/replicate-0" for noise in ("050", "000")
    )
    shutil.copy2(other / replaced, run / replaced)
    spec = json.dumps({"figure": "figure3_exact", "style": {}})
    out = tree.folder / "out" / "figure"
    said = runs_stage("figures", "--spec", spec, "--out", str(out), str(run / "nullworlds_exact.nc"))
    assert f"was made from another {replaced} than the one that is there now" in said
    assert not out.parent.exists()


def test_an_analysis_refuses_snapshots_of_other_labels(finished: Tree, tmp_path: Path) -> None:
    results = finished.results
    spec = json.dumps({"device": "cpu", "noise": 0.5, "replicate": 0, "seed": 1, "stiffness_examples": 50})
    said = runs_stage(
        *("contributions", "--spec", spec, "--dataset", str(results / "dataset.nc")),
        *("--corrupted", str(results / "corrupted/examples-900/noise-000/replicate-0.nc")),
        *("--snapshots", str(results / "label_noise/noise-050/winsor-0/replicate-0/snapshots.safetensors")),
        *("--contributions", str(tmp_path / "contributions.nc")),
    )
    assert "different results of stage corrupt" in said
    assert not list(tmp_path.iterdir())
