"""A Slurm for the session, and snakemake on it."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from trees import SMALL, Tree, new_tree

from slurm.cluster import Cluster

QUICK = ["--slurm-init-seconds-before-status-checks", "2", "--latency-wait", "5"]


class Scheduled:
    """A tree whose snakemake submits to a cluster."""

    def __init__(self, tree: Tree, cluster: Cluster) -> None:
        self.tree, self.cluster = tree, cluster
        self.said = tree.folder / "snakemake.log"

    def command(self, *arguments: str) -> list[str]:
        config = ["--configfile", "config/small.yaml"]
        return [
            sys.executable,
            "-m",
            "snakemake",
            "--cores",
            "8",
            "--profile",
            "slurm",
            *config,
            *QUICK,
            *arguments,
        ]

    def environment(self, **more: str) -> dict[str, str]:
        return {**self.cluster.environment, "PYTHONPATH": str(self.tree.folder), **more}

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Start snakemake; what it says goes into a file."""
        with self.said.open("a", encoding="utf-8") as log:
            return subprocess.Popen(
                self.command(*arguments),
                cwd=self.tree.folder,
                env=self.environment(**environment),
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
            )

    def run(self, *arguments: str, **environment: str) -> tuple[int, str]:
        """Run snakemake to its end: exit status, and what it said."""
        status = self.start(*arguments, **environment).wait(timeout=600)
        return status, self.text()

    def jobs(self, *columns: str) -> list[list[str]]:
        """Slurm's jobs of this tree alone."""
        here = str(self.tree.folder)
        return [row[:-1] for row in self.cluster.jobs(*columns, "%Z") if row[-1] == here]

    def cancel_all(self) -> None:
        """Cancel what a snakemake left behind."""

        def left() -> list[str]:
            ended = ("CANCELLED", "COMPLETED", "FAILED", "TIMEOUT")
            return [job for job, state in self.jobs("%i", "%T") if state not in ended]

        if jobs := left():
            self.cluster.call("scancel", *jobs)
        self.cluster.wait(lambda: not left(), "scancel")

    def text(self) -> str:
        return self.said.read_text(encoding="utf-8")

    def log(self) -> str:
        """What the long training said so far, in all its attempts since its log was begun."""
        path = self.tree.results / "logs/train/long/noise-050/winsor-1/replicate-0.log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def wait_for_training(self, line: str, running: subprocess.Popen[str]) -> None:
        """Wait until the long training has said something."""
        end = time.monotonic() + 120
        while line not in self.log():
            assert running.poll() is None, self.text()
            assert time.monotonic() < end, self.text() + self.log()
            time.sleep(0.05)

    def results(self) -> dict[str, bytes]:
        folder = self.tree.results / "long/noise-050/winsor-1/replicate-0"
        return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


# One run that takes long enough to be disturbed.
LONG: dict[str, Any] = {
    **SMALL,
    "experiments": {
        "long": {
            "hidden": [256, 256],
            "steps": 30_000,
            "batch_size": 50,
            "noise": [0.5],
            "winsor": [1],
            "replicates": 1,
        }
    },
    "figures": {},
    "claims": None,
}


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A Slurm of one node: the one that runs, or one of its own."""
    if found := Cluster.running():
        yield found
        return
    cluster = Cluster(tmp_path_factory.mktemp("slurm"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def small(cluster: Cluster, tmp_path: Path) -> Scheduled:
    """The small workflow, in a fresh tree."""
    return Scheduled(new_tree(tmp_path / "tree"), cluster)


@pytest.fixture
def long(cluster: Cluster, tmp_path: Path) -> Scheduled:
    """The long run, in a fresh tree."""
    tree = new_tree(tmp_path / "tree")
    tree.configure(LONG)
    return Scheduled(tree, cluster)


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Results of the long run without Slurm and without a fault."""
    tree = new_tree(tmp_path_factory.mktemp("undisturbed") / "tree")
    tree.configure(LONG)
    tree.snakemake()
    folder = tree.results / "long/noise-050/winsor-1/replicate-0"
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
