"""Whatever stops a training on Slurm, the results are bitwise those of a run that nothing stopped."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from slurm.conftest import Scheduled

pytestmark = pytest.mark.slurm

MOMENTS = {
    "before the first step": "winsorization c = 1",
    "between two logged steps": "step 3000 of",
    "late": "step 20000 of",
}


def training_job(of: Scheduled) -> str:
    """Slurm's number of the job that trains."""
    jobs = of.jobs("%i", "%T", "%k")
    running = [job for job, state, comment in jobs if state == "RUNNING" and "train" in comment]
    assert len(running) == 1, jobs
    return running[0]


def trainer(of: Scheduled) -> int:
    """Process that trains in a tree."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                command = (entry / "cmdline").read_bytes().split(b"\0")
                here = (entry / "cwd").readlink()
            except OSError:
                continue
            if command[1:4] == [b"-m", b"cgpipe", b"train"] and here == of.tree.folder:
                return int(entry.name)
    raise AssertionError("no process trains")


def cancelled(of: Scheduled) -> None:
    of.cluster.call("scancel", training_job(of))


def requeued(of: Scheduled) -> None:
    of.cluster.call("scontrol", "requeue", training_job(of))


def killed(of: Scheduled) -> None:
    os.kill(trainer(of), signal.SIGKILL)


def preempted(of: Scheduled) -> None:
    job = training_job(of)
    of.cluster.call("sbatch", "-p", "urgent", "--exclusive", "-o", "/dev/null", "--wrap", "sleep 3")
    states = lambda: dict(of.cluster.jobs("%i", "%T"))  # noqa: E731
    of.cluster.wait(lambda: states()[job] != "RUNNING", "the preemption")


def out_of_time(of: Scheduled) -> None:
    of.cluster.call("scontrol", "update", f"jobid={training_job(of)}", "TimeLimit=1")


def node_restarted(of: Scheduled) -> None:
    of.cluster.stop_node()
    time.sleep(2)
    of.cluster.start_node()


FAULTS: dict[str, tuple[Callable[[Scheduled], None], tuple[str, ...]]] = {
    "`scancel`": (cancelled, ("before the first step", "between two logged steps", "late")),
    "`scontrol requeue`": (requeued, ("between two logged steps",)),
    "preempted": (preempted, ("between two logged steps",)),
    "`kill -9` of the trainer": (killed, ("before the first step", "late")),
    "time limit": (out_of_time, ("before the first step",)),
    "slurmd stopped and started": (node_restarted, ("between two logged steps",)),
}
CASES = [(fault, moment) for fault, (_, moments) in FAULTS.items() for moment in moments]


@pytest.fixture(scope="module")
def matrix() -> Iterator[list[tuple[str, str, str]]]:
    """What was found; written to the file that RELIABILITY names, if it does."""
    rows: list[tuple[str, str, str]] = []
    yield rows
    if path := os.environ.get("RELIABILITY"):
        write(Path(path), rows)


def write(path: Path, rows: list[tuple[str, str, str]]) -> None:
    """Put the table between the markers of a document."""
    table = ["| fault | moment | outcome | runs |", "|---|---|---|---|"]
    table += [f"| {' | '.join(row)} | {rows.count(row)} |" for row in dict.fromkeys(rows)]
    before, begin, rest = path.read_text(encoding="utf-8").partition("<!-- begin matrix -->\n")
    _, end, after = rest.partition("<!-- end matrix -->")
    assert begin
    assert end
    path.write_text("".join([before, begin, "\n".join(table), "\n", end, after]), encoding="utf-8")


@pytest.mark.parametrize(("fault", "moment"), CASES)
def test_a_disturbed_run_ends_as_if_it_had_not_been(
    fault: str,
    moment: str,
    long: Scheduled,
    undisturbed: dict[str, bytes],
    matrix: list[tuple[str, str, str]],
) -> None:
    running = long.start()
    long.wait_for_training(MOMENTS[moment], running)
    FAULTS[fault][0](long)
    assert running.wait(timeout=400) == 0, long.text()
    assert long.results() == undisturbed
    went_on = "going on from a checkpoint at step" in long.log()
    if moment != "before the first step" and fault != "slurmd stopped and started":
        assert went_on, long.text()
    outcome = "went on from its checkpoint" if went_on else "began again" if MOMENTS[moment] else ""
    if fault == "slurmd stopped and started":
        outcome = "ran on"
    matrix.append((fault, moment, f"{outcome}; same bytes"))


def test_a_killed_snakemake_is_started_again(
    long: Scheduled, undisturbed: dict[str, bytes], matrix: list[tuple[str, str, str]]
) -> None:
    running = long.start()
    long.wait_for_training(MOMENTS["between two logged steps"], running)
    running.kill()
    running.wait()
    os.kill(trainer(long), signal.SIGSTOP)  # or it might end before the others are tried
    status, said = long.run()
    assert status != 0
    assert "--unlock" in said  # what to do
    unlock = subprocess.run(
        long.command("--unlock"), cwd=long.tree.folder, env=long.environment(), check=False
    )
    assert unlock.returncode == 0
    # The job that the killed snakemake left behind still trains; a second one does not get in its way.
    status, said = long.run("--retries", "0")
    assert status != 0
    assert "is held by another process that trains this run" in said + long.log()
    long.cancel_all()
    status, said = long.run()
    assert status == 0, said
    assert "going on from a checkpoint at step" in long.log()
    assert long.results() == undisturbed
    matrix.append(("snakemake killed", "between two logged steps", "went on from its checkpoint; same bytes"))
