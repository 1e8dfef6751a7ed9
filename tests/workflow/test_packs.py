"""Runs that one job trains: what is done stays, whatever is packed with whatever."""

import copy
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from trees import SMALL, Tree

PAIR = SMALL["experiments"]["pair"]


def with_pair(**changed: Any) -> dict[str, Any]:
    """Two experiments of the small workflow, the packed one with other settings."""
    settings = copy.deepcopy(SMALL)
    settings["experiments"]["pair"] |= changed
    return settings


def files(tree: Tree, below: str = "") -> dict[Path, tuple[bytes, int]]:
    """Content and time stamp of every artifact of a run."""
    found = (tree.results / "pair" / below).rglob("*.*")
    return {
        path.relative_to(tree.results): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in found
        if path.is_file()
    }


def steps_trained(tree: Tree) -> int:
    """Logged steps of all trainings of the packed experiment, by their logs."""
    logs = (tree.results / "logs/train/pair").rglob("*.log")
    return sum(log.read_text(encoding="utf-8").count(" step ") for log in logs)


def test_a_new_level_in_a_finished_pack_is_trained_alone(tree: Tree) -> None:
    before, steps = files(tree), steps_trained(tree)
    tree.configure(with_pair(noise=[0.5, 0.75], winsor=[0, 2]))
    assert tree.planned() == Counter({"corrupt": 1, "train_pair_1": 1, "runs": 1})
    tree.snakemake()
    after = files(tree)
    assert len(after) == 2 * len(before)
    assert {path: after[path] for path in before} == before
    assert steps_trained(tree) == 2 * steps
    tree.configure(with_pair(noise=[0.5, 0.75], winsor=[0, 2, 3], runs_per_job=25))
    assert tree.planned() == Counter({"train_pair_1": 1, "runs": 1})
    tree.configure(with_pair(winsor=[0, 2, 3]))
    assert tree.planned() == Counter({"train": 1, "runs": 1})


def test_runs_are_analysed_in_packs_too(tree: Tree) -> None:
    """Contributions and coherence of the runs of label noise, which figures and claims are made from."""
    analysed = [tree.results / f"label_noise/noise-{noise}/winsor-0/replicate-0" for noise in ("000", "050")]
    bursts = [run / "bursts.nc" for run in analysed]
    asked = ["all", *(str(path.relative_to(tree.folder)) for path in bursts)]
    tree.snakemake(*asked)
    made = bursts + [run / f"{name}.nc" for run in analysed for name in ("contributions", "coherence")]
    before = {path: path.read_bytes() for path in made}
    settings = copy.deepcopy(SMALL)
    settings["experiments"]["label_noise"]["runs_per_job"] = 5
    tree.configure(settings)
    assert tree.planned() == Counter()
    for path in made:
        path.unlink()
    jobs = tree.planned(*asked)
    assert all(jobs[f"{name}_label_noise_1"] == 1 for name in ("contributions", "coherence", "bursts"))
    assert not {"train", "contributions", "coherence", "bursts", "train_label_noise_1"} & set(jobs)
    tree.snakemake(*asked)
    assert {path: path.read_bytes() for path in made} == before
    assert tree.planned() == Counter()


def test_packs_of_any_size_make_the_same_bytes_and_are_as_good_as_jobs_of_one_run(tree: Tree) -> None:
    before = {path: content for path, (content, _) in files(tree).items()}
    for size in (1, 2, 3):
        tree.configure(with_pair(runs_per_job=size))
        assert tree.planned() == Counter()
    shutil.rmtree(tree.results / "pair")
    for size, jobs in ((1, {"train": 2}), (2, {"train_pair_1": 1})):
        tree.configure(with_pair(runs_per_job=size))
        assert tree.planned() == Counter({**jobs, "runs": 1})
    tree.configure(with_pair(runs_per_job=1))
    tree.snakemake()
    assert {path: content for path, (content, _) in files(tree).items()} == before
    assert tree.planned() == Counter()


def test_a_run_that_diverges_keeps_no_other_from_its_results(fresh: Tree) -> None:
    # After one update, c = 0 has diverged, and the others have not.
    pair = {
        **PAIR,
        "network": {"dense": [8]},
        "learning_rate": 1.0e20,
        "steps": 1,
        "winsor": [0, 23, 24],
        "runs_per_job": 3,
    }
    alone = {**SMALL, "seed": 3, "experiments": {"pair": pair}, "figures": {}, "claims": None}
    fresh.configure(alone)
    done = fresh.snakemake(check=False)
    assert done.returncode != 0
    assert "winsorization c = 0, replicate 0: the run diverged" in done.stdout + done.stderr
    assert not list(fresh.results.glob("pair/**/history.nc"))
    # Now in jobs of their own: the two that are done, and the one that is not.
    assert fresh.planned() == Counter({"train": 1, "train_pair_1": 1, "runs": 1})
    assert fresh.snakemake(check=False).returncode != 0
    made = {path.parent.parent.name for path in fresh.results.glob("pair/**/history.nc")}
    assert made == {"winsor-23", "winsor-24"}
    log = fresh.results / "logs/train/pair/noise-050/winsor-23/replicate-0.log"
    assert log.read_text(encoding="utf-8").count("going on from a checkpoint at step 1\n") == 2
    fresh.configure({**alone, "experiments": {"pair": {**pair, "learning_rate": 0.1}}})
    fresh.snakemake()
    assert not list(fresh.results.glob("pair/**/.*"))


def test_finished_runs_of_a_job_that_was_cut_off_are_packed_again_and_not_trained(tree: Tree) -> None:
    """As after `kill -9`: the results of some are there, and so are the checkpoints of all."""
    before = {path: content for path, (content, _) in files(tree).items()}
    run = tree.results / "pair/noise-050/winsor-0/replicate-0"
    (run / ".checkpoint-0").mkdir()
    (run / ".checkpoint-0" / "state.safetensors").touch()
    shutil.rmtree(tree.results / "pair/noise-050/winsor-2")
    assert tree.planned() == Counter({"train_pair_1": 1, "runs": 1})
    tree.snakemake()
    assert {path: content for path, (content, _) in files(tree).items()} == before
    assert not list(run.glob(".*"))


def test_snakemakes_own_memory_has_to_be_off(tree: Tree) -> None:
    for triggers in (("params", "mtime"), ("input",)):
        done = tree.snakemake("-n", "--rerun-triggers", *triggers, check=False)
        assert done.returncode != 0
        assert "runs_per_job above 1 needs `--rerun-triggers mtime`" in done.stdout + done.stderr
    tree.configure(with_pair(runs_per_job=1))
    tree.snakemake("-n", "--rerun-triggers", "params", "mtime")


@pytest.mark.parametrize(
    ("given", "allowed"), [(0, "greater than"), (-3, "greater than"), ("all", "integer"), (251, "less than")]
)
def test_a_number_of_runs_that_is_none_is_told(tree: Tree, given: Any, allowed: str) -> None:
    tree.configure(with_pair(runs_per_job=given))
    done = tree.snakemake("-n", check=False)
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert f"experiments.pair.runs_per_job: given {given!r}" in said
    assert allowed in said
