"""Jobs that use a GPU, on one machine."""

import os
import re
from pathlib import Path

import pytest
from trees import Tree, new_tree

from cgpipe.pipeline import gpus

HISTORIES = [
    f"results/small/{of}/noise-050/winsor-0/replicate-0/history.nc" for of in ("label_noise", "bare")
]


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """The small workflow, in which only trainings and what follows is to be done."""
    tree = new_tree(tmp_path_factory.mktemp("gpus") / "tree")
    tree.snakemake(*(f"results/small/corrupted/{of}noise-050/replicate-0.nc" for of in ("", "examples-900/")))
    return tree


@pytest.fixture
def one_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine with one GPU, or one that seems to have it."""
    if gpus.device_files():
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
        return
    driver = tmp_path / "nvidia-smi"
    driver.write_text("#!/bin/sh\necho 'GPU 0: NVIDIA (UUID: GPU-a)'\n", encoding="utf-8")
    driver.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def started_at_once(tree: Tree, *options: str) -> list[int]:
    """Of two trainings that could run beside each other."""
    done = tree.snakemake(
        "--cores", "8", "--forcerun", "train", "train_without_snapshots", *options, "--", *HISTORIES
    )
    return [int(n) for n in re.findall(r"^Execute (\d+) jobs", done.stdout + done.stderr, re.MULTILINE)]


@pytest.mark.usefixtures("one_gpu")
def test_one_gpu_serves_one_job_at_a_time(ready: Tree) -> None:
    # Other resources that the user gives leave it so.
    assert started_at_once(ready, "--resources", "mem_mb=1000000") == [1, 1]


@pytest.mark.usefixtures("one_gpu")
def test_one_gpu_is_shared_on_request(ready: Tree) -> None:
    assert started_at_once(ready, "--resources", "gpu=2") == [2]


@pytest.mark.usefixtures("one_gpu")
def test_what_runs_on_the_cpu_does_not_wait_for_a_gpu(ready: Tree) -> None:
    assert started_at_once(ready, "--config", "device=cpu") == [2]


def test_without_a_gpu_nothing_waits(ready: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert started_at_once(ready) == [2]
