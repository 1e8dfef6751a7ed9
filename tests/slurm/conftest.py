"""A Slurm for the session, snakemake on it, and the table of faults and outcomes."""

import fcntl
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from trees import SMALL, Tree, new_tree

from cgpipe.pipeline.documents import write_between
from slurm.cluster import Cluster

Note = Callable[[str, str, str], None]
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
        status = self.start(*arguments, **environment).wait(timeout=1800)
        return status, self.text()

    def unlock(self) -> None:
        """Remove the lock that a killed snakemake left."""
        self.tree.snakemake("--unlock")

    def checkpoints(self) -> int:
        """How many checkpoints lie beside the long run's results."""
        return len(list((self.tree.results / LONG_RUN).glob(".checkpoint-*")))

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

    def process(self, stage: str) -> int | None:
        """Process of a stage in this tree, if there is one."""
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                try:
                    command = (entry / "cmdline").read_bytes().split(b"\0")
                    here = (entry / "cwd").readlink()
                except OSError:
                    continue
                package = str(self.tree.folder / "cgpipe").encode()
                if command[1:4] == [b"-I", package, stage.encode()] and here == self.tree.folder:
                    return int(entry.name)
        return None

    def text(self) -> str:
        return self.said.read_text(encoding="utf-8")

    def log(self) -> str:
        """What the long training said so far, in all its attempts since its log was begun."""
        path = self.tree.results / "logs/train/long/noise-050/winsor-1/replicate-0.log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def wait_for_training(self, line: str, running: subprocess.Popen[str]) -> None:
        """Wait until the long training has said something."""
        end = time.monotonic() + 300
        while line not in self.log():
            assert running.poll() is None, self.text()
            assert time.monotonic() < end, self.text() + self.log()
            time.sleep(0.05)

    def results(self) -> dict[str, bytes]:
        """Bytes of the long run's results; a checkpoint that is left is an error."""
        folder = self.tree.results / LONG_RUN
        return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


# On the CPU, as the node's GPUs are not there; where a GPU is to be asked for, a test says so.
CPU: dict[str, Any] = {**SMALL, "device": "cpu"}

# One run that takes long enough to be disturbed.
LONG_RUN = "long/noise-050/winsor-1/replicate-0"
LONG: dict[str, Any] = {
    **CPU,
    "experiments": {
        "long": {
            "network": {"dense": [256, 256]},
            "steps": 12_000,
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
    """The small workflow, in a fresh tree; on the CPU, as torch cannot use GPUs that are not there."""
    tree = new_tree(tmp_path / "tree")
    tree.configure({**SMALL, "device": "cpu"})
    return Scheduled(tree, cluster)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tree, Tree]:
    """The long run with all that it reads, and the same, done, without Slurm and without a fault."""
    folder = tmp_path_factory.getbasetemp().parent / "prepared"
    folder.mkdir(exist_ok=True)
    trees = Tree(folder / "before"), Tree(folder / "after")
    # Made by the first of the processes that tests run in; it makes the last folder last.
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not trees[1].folder.exists():
            new_tree(trees[0].folder).configure(LONG)
            stage = trees[0].folder / "cgpipe/pipeline/stages/train.py"
            text = stage.read_text(encoding="utf-8")
            often = text.replace("SECONDS_BETWEEN_SAVES = 10.0", "SECONDS_BETWEEN_SAVES = 0.1")
            assert often != text
            stage.write_text(often, encoding="utf-8")
            trees[0].snakemake("results/small/corrupted/noise-050/replicate-0.nc")
            done = trees[0].copy(folder / "unfinished")
            done.snakemake()
            done.folder.rename(trees[1].folder)
    return trees


@pytest.fixture
def long(cluster: Cluster, prepared: tuple[Tree, Tree], tmp_path: Path) -> Scheduled:
    """The long run, in a tree of its own."""
    return Scheduled(prepared[0].copy(tmp_path / "tree"), cluster)


@pytest.fixture
def undisturbed(prepared: tuple[Tree, Tree], cluster: Cluster) -> dict[str, bytes]:
    """Results of the long run without Slurm and without a fault."""
    return Scheduled(prepared[1], cluster).results()


@pytest.fixture
def note(record_property: Callable[[str, object], None]) -> Note:
    """Note a fault, when it struck, and what came of it, for the table."""
    return lambda fault, moment, outcome: record_property("fault", (fault, moment, outcome))


OUTCOMES: Counter[tuple[str, str, str]] = Counter()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Collect what tests that passed have noted, in whatever process they ran."""
    if report.when == "call" and report.passed:
        OUTCOMES.update(tuple(what) for name, what in report.user_properties if name == "fault")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Write the table into the document that RELIABILITY names, if all went well."""
    path = os.environ.get("RELIABILITY")
    if path and exitstatus == 0 and not hasattr(session.config, "workerinput"):
        rows = [f"| {' | '.join(row)} | {n} |" for row, n in sorted(OUTCOMES.items())]
        table = "\n".join(["| fault | when | outcome | seen |", "|---|---|---|---|", *rows, ""])
        write_between(Path(path), "matrix", table)
