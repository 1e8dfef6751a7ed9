"""Only what is invalidated reruns."""

import copy
import os
import re
import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from trees import SMALL, Tree, new_tree

from cgpipe.runtime.config import leaves

FIGURES = {
    "figure1": 1,
    "figure2": 1,
    "figure2_exact": 1,
    "figure3": 1,
    "figure3_exact": 1,
    "figure4": 1,
    "figure_coherence": 1,
    "figure_activity": 1,
    "figure_claims": 1,
}
PUBLISHED = {"text": 1, "publish": 1}
CLAIMS = {"claims": 1, "figure_claims": 1}
FROM_SAMPLED_WORLDS = {"nullworlds": 1, "figure2": 1, "figure3": 1}
FROM_EXACT_WORLDS = {"nullworlds_exact": 1, "figure2_exact": 1, "figure3_exact": 1, **CLAIMS}
FROM_NULLWORLDS = {**FROM_SAMPLED_WORLDS, **FROM_EXACT_WORLDS}
FROM_GRADIENTS = {"gradients": 1, **FROM_SAMPLED_WORLDS}
FROM_CONTRIBUTIONS = {"contributions": 2, "coherence": 2, "figure_coherence": 1, **FROM_EXACT_WORLDS}
FROM_SNAPSHOTS = {**FROM_GRADIENTS, **FROM_CONTRIBUTIONS}
FROM_TRAIN_OF_LABEL_NOISE = {"train": 2, "figure1": 1, **FROM_SNAPSHOTS}
FROM_TRAIN = {
    "train": 4,
    "train_without_snapshots": 1,
    "train_pair_together": 1,
    **FROM_SNAPSHOTS,
    "activity": 2,
    **FIGURES,
}
FROM_CORRUPT = {"corrupt": 2, **FROM_TRAIN}
ALL = {"data": 1, **FROM_CORRUPT}

# For every leaf of the schema: a path in SMALL, another value, and exactly the jobs that read it or
# follow from them.
FLIPS: dict[str, tuple[str, Any, Mapping[str, int]]] = {
    "name": ("name", "other", ALL),
    "seed": ("seed", 2, FROM_CORRUPT),
    "dataset": ("dataset", "mnist", ALL),
    # Where a dataset lies is not what it is.
    "data_root": ("data_root", "elsewhere", {}),
    "device": ("device", "cpu", FROM_TRAIN),
    "kernel": ("kernel", "required", FROM_TRAIN),
    "corruption.selection": ("corruption.selection", "bernoulli", FROM_CORRUPT),
    "experiments.*.hidden": ("experiments.label_noise.hidden", [17], FROM_TRAIN_OF_LABEL_NOISE),
    "experiments.*.init": ("experiments.label_noise.init", "official", FROM_TRAIN_OF_LABEL_NOISE),
    "experiments.*.learning_rate": (
        "experiments.label_noise.learning_rate",
        0.3,
        FROM_TRAIN_OF_LABEL_NOISE,
    ),
    "experiments.*.batch_size": ("experiments.label_noise.batch_size", 40, FROM_TRAIN_OF_LABEL_NOISE),
    "experiments.*.steps": ("experiments.label_noise.steps", 13, FROM_TRAIN_OF_LABEL_NOISE),
    "experiments.*.update": ("experiments.pair.update", "trimmed_mean", {"train_pair_together": 1}),
    "experiments.*.noise": (
        "experiments.label_noise.noise",
        [0, 0.5, 0.75],
        {"corrupt": 1, "train": 1, "figure1": 1, **FROM_SNAPSHOTS, "contributions": 1, "coherence": 1},
    ),
    "experiments.*.winsor": (
        "experiments.winsorization.winsor",
        [0, 3],
        {"train": 1, "figure4": 1, "activity": 1, "figure_activity": 1, **CLAIMS},
    ),
    "experiments.*.replicates": (
        "experiments.winsorization.replicates",
        2,
        {"corrupt": 1, "train": 2, "figure4": 1, "activity": 2, "figure_activity": 1, **CLAIMS},
    ),
    "experiments.*.together": ("experiments.bare.together", True, {"train_bare_together": 1, **CLAIMS}),
    "experiments.*.snapshots": ("experiments.bare.snapshots", True, {"train": 1, **CLAIMS}),
    # Figure 2, exact, has what to expect of so many examples.
    "gradients.examples": ("gradients.examples", 61, {**FROM_GRADIENTS, "figure2_exact": 1}),
    "gradients.weights": ("gradients.weights", 41, FROM_GRADIENTS),
    "contributions.stiffness_examples": ("contributions.stiffness_examples", 51, FROM_CONTRIBUTIONS),
    "nullworlds.drawn": ("nullworlds.drawn", 1, FROM_NULLWORLDS),
    "nullworlds.worlds": ("nullworlds.worlds", 201, FROM_NULLWORLDS),
    "nullworlds.level": ("nullworlds.level", 0.8, FROM_NULLWORLDS),
    "figures.figure1.experiment": ("figures.figure1.experiment", "winsorization", {"figure1": 1}),
    "figures.figure1.learned": ("figures.figure1.learned", "last", {"figure1": 1}),
    "figures.figure1.beside": ("figures.figure1.beside", "Snakefile", {"figure1": 1}),
    "figures.figure4.beside": ("figures.figure4.beside", "Snakefile", {"figure4": 1}),
    "figures.figure2.experiment": (
        "figures.figure2.experiment",
        "winsorization",
        {"gradients": 1, "nullworlds": 1, "figure2": 1},
    ),
    "figures.figure2_exact.experiment": (
        "figures.figure2_exact.experiment",
        "winsorization",
        {"contributions": 1, "nullworlds_exact": 1, "figure2_exact": 1},
    ),
    "figures.figure3.experiment": (
        "figures.figure3.experiment",
        "winsorization",
        {"gradients": 1, "nullworlds": 1, "figure3": 1},
    ),
    "figures.figure3_exact.experiment": (
        "figures.figure3_exact.experiment",
        "winsorization",
        {"contributions": 1, "nullworlds_exact": 1, "figure3_exact": 1},
    ),
    "figures.coherence.experiment": (
        "figures.coherence.experiment",
        "winsorization",
        {"contributions": 1, "coherence": 1, "figure_coherence": 1},
    ),
    "figures.activity.experiment": (
        "figures.activity.experiment",
        "pair",
        {"activity": 2, "figure_activity": 1},
    ),
    "figures.figure4.experiment": ("figures.figure4.experiment", "label_noise", {"figure4": 1}),
    "figures.style.width": ("figures.style.width", 6.5, FIGURES),
    "figures.style.font_size": ("figures.style.font_size", 9.0, FIGURES),
    "figures.style.dpi": ("figures.style.dpi", 60, FIGURES),
    "figures.style.palette": ("figures.style.palette", "deep", FIGURES),
    "claims.label_noise": (
        "claims.label_noise",
        "winsorization",
        {"contributions": 1, "coherence": 1, "nullworlds_exact": 1, **CLAIMS},
    ),
    "claims.winsorization": ("claims.winsorization", "label_noise", CLAIMS),
    "claims.full_batch": ("claims.full_batch", None, CLAIMS),
    "publish.folder": ("publish", {"folder": "published", "template": "config/small.yaml"}, PUBLISHED),
    "publish.template": ("publish", {"folder": "published", "template": "Snakefile"}, PUBLISHED),
    "publish.beside": (
        "publish",
        {"folder": "published", "template": "Snakefile", "beside": ["config/small.yaml"]},
        PUBLISHED,
    ),
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """SMALL with another value at a path."""
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


@pytest.mark.parametrize("leaf", FLIPS)
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
    assert tree.planned() == Counter({"train": 4, **FROM_SNAPSHOTS, "activity": 2, **FIGURES})


def test_swapped_numbers_of_one_stage_are_seen(tree: Tree) -> None:
    settings = copy.deepcopy(SMALL)
    settings["gradients"] = {"examples": 40, "weights": 60}
    tree.configure(settings)
    assert tree.planned() == Counter({**FROM_GRADIENTS, "figure2_exact": 1})


def test_changing_c_reruns_no_corruption(tree: Tree) -> None:
    tree.configure(changed("experiments.winsorization.winsor", [0, 1, 4]))
    assert tree.planned() == Counter(
        {"train": 2, "figure4": 1, "activity": 2, "figure_activity": 1, **CLAIMS}
    )


def test_touching_every_file_reruns_nothing(tree: Tree) -> None:
    # Newest first in the order of the data, so that every input is newer than what was made of it.
    order = ["claims.", "nullworlds", "coherence.nc", "contributions.nc", "gradients.nc", "history.nc"]
    order += ["snapshots", "replicate-0.nc", "dataset.nc"]
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
    module = tree.folder / "cgpipe" / "learning" / "networks.py"
    edit(module, r"inputs\[number\], 0, ", "inputs[number], 1, ")
    # Stages gradients and contributions import it too; the data and the corruption do not.
    assert tree.planned() == Counter(FROM_TRAIN)


def test_edited_module_of_the_null_worlds_reruns_these_and_what_follows(tree: Tree) -> None:
    edit(tree.folder / "cgpipe" / "inference" / "nullworlds.py", "10_000_000", "11_000_000")
    assert tree.planned() == Counter(FROM_NULLWORLDS)


def test_edited_figure_redraws_figures_alone(tree: Tree) -> None:
    edit(tree.folder / "cgpipe" / "figures" / "figure1.py", "0.72", "0.8")
    assert tree.planned() == Counter(FIGURES)


def test_edited_comments_docstrings_and_layout_rerun_nothing(tree: Tree) -> None:
    module = tree.folder / "cgpipe" / "learning" / "training.py"
    edit(module, r'^""".*"""$', '"""Another docstring."""\n\n# A comment.')
    edit(module, r"^    right = correct.cpu\(\).numpy\(\)$", r"    # why\n\g<0>  # how")
    assert tree.planned() == Counter()


def test_a_deleted_figure_and_a_deleted_run_are_made_again(tree: Tree) -> None:
    (tree.results / "figures" / "figure1.png").unlink()
    shutil.rmtree(tree.results / "winsorization" / "noise-050" / "winsor-2")
    assert tree.planned() == Counter(
        {"figure1": 1, "train": 1, "figure4": 1, "activity": 1, "figure_activity": 1, **CLAIMS}
    )


def test_what_reran_to_the_same_content_stops_there(tree: Tree) -> None:
    """The stage reruns for its new code, writes what it wrote, and a killed run leaves no stale figure."""
    module = tree.folder / "cgpipe" / "inference" / "nullworlds.py"
    edit(module, r"zeros\(examples, np\.bool_\)", "zeros(examples, dtype=np.bool_)")
    worlds = "results/small/label_noise/noise-050/winsor-0/replicate-0/nullworlds.nc"
    # As if killed after the null worlds were made, and before the figures were drawn.
    tree.snakemake(worlds)
    assert tree.planned() == Counter({"figure2": 1, "figure3": 1, **FROM_EXACT_WORLDS})
