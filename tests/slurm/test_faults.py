"""Whatever stops a training on Slurm, the results are bitwise those of a run that nothing stopped."""

import contextlib
import copy
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from slurm.conftest import LONG, Note, Scheduled

pytestmark = pytest.mark.slurm

# What the training has said when a fault strikes.
MOMENTS = {
    "at its start": "winsorization c = 1",
    "between two logged steps": "step 2000 of",
    "late": "step 10000 of",
}
TIMES = int(os.environ.get("TIMES", "1"))
GOES_ON = "goes on from its checkpoint; same bytes"


def training_job(of: Scheduled) -> str:
    """Slurm's number of the job that trains."""
    jobs = of.jobs("%i", "%T", "%k")
    running = [job for job, state, comment in jobs if state == "RUNNING" and "train" in comment]
    assert len(running) == 1, jobs
    return running[0]


def trainer(of: Scheduled) -> int:
    """Process that trains in a tree."""
    process = of.process("train")
    assert process is not None
    return process


def cancelled(of: Scheduled) -> None:
    of.cluster.call("scancel", training_job(of))


def requeued(of: Scheduled) -> None:
    of.cluster.call("scontrol", "requeue", training_job(of))


def killed(of: Scheduled) -> None:
    os.kill(trainer(of), signal.SIGKILL)


def preempted(of: Scheduled) -> None:
    job = training_job(of)
    of.cluster.call("sbatch", "-p", "urgent", "--gres=seat:1", "-o", "/dev/null", "--wrap", "sleep 3")
    states = lambda: dict(of.cluster.jobs("%i", "%T"))  # noqa: E731
    of.cluster.wait(lambda: states()[job] != "RUNNING", "the preemption")


def out_of_time(of: Scheduled) -> None:
    """Within two minutes. The training waits until Slurm, which looks now and then, has sent its signal."""
    of.cluster.call("scontrol", "update", f"jobid={training_job(of)}", "TimeLimit=2")
    process = trainer(of)
    os.kill(process, signal.SIGSTOP)
    try:
        of.cluster.wait(lambda: got(signal.SIGUSR1, process), "the signal ahead of the time limit")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGCONT)


def got(number: signal.Signals, process: int) -> bool:
    """Whether a process that was stopped has been sent a signal; perhaps it was continued, and has ended."""
    try:
        status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    except OSError:
        return True
    pending = re.findall(r"^S[a-z]+Pnd:\s*(\w+)$", status, re.MULTILINE)
    return any(int(signals, 16) >> (number - 1) & 1 for signals in pending)


def node_restarted(of: Scheduled) -> None:
    of.cluster.stop_node()
    time.sleep(2)
    of.cluster.start_node()


FAULTS: dict[str, tuple[Callable[[Scheduled], None], tuple[str, ...]]] = {
    "`scancel` of the job": (cancelled, ("at its start", "between two logged steps", "late")),
    "`scontrol requeue` of the job": (requeued, ("between two logged steps",)),
    "preemption by another job": (preempted, ("between two logged steps",)),
    "`kill -9` of the trainer": (killed, ("at its start", "late")),
    "time limit": (out_of_time, ("at its start",)),
    "slurmd stopped and started": (node_restarted, ("between two logged steps",)),
}
CASES = [(fault, moment) for fault, (_, moments) in FAULTS.items() for moment in moments]


@pytest.mark.parametrize("again", range(TIMES))
@pytest.mark.parametrize(("fault", "moment"), CASES)
def test_a_disturbed_training_ends_as_if_it_had_not_been(
    fault: str, moment: str, again: int, long: Scheduled, undisturbed: dict[str, bytes], note: Note
) -> None:
    options: tuple[str, ...] = ()
    environment = {}
    if fault.startswith("preemption"):
        options, environment = ("--set-resources", "train:gres=seat:1"), {"SBATCH_PARTITION": "spare"}
    elif fault == "time limit":
        # Options of the user leave the signal ahead of it as it is.
        options = ("--default-resources", "mem_mb=1000", "slurm_extra='--nice=7 --no-kill'")
    running = long.start(*options, **environment)
    long.wait_for_training(MOMENTS[moment], running)
    FAULTS[fault][0](long)
    assert running.wait(timeout=400) == 0, long.text()
    assert long.results() == undisturbed
    if fault == "time limit":
        assert "stopped by SIGUSR1" in long.text()
        assert {nice for comment, nice in long.jobs("%k", "%y") if "train" in comment} == {"7"}
    went_on = long.log().count("going on from a checkpoint at step")
    if fault == "slurmd stopped and started":
        assert not went_on
        note(fault, moment, "the job runs on; same bytes")
    elif moment == "at its start":
        note(fault, moment, "begins again, or goes on from its checkpoint; same bytes")
    else:
        assert went_on == 1
        note(fault, moment, GOES_ON)


@pytest.mark.parametrize("again", range(TIMES))
def test_a_killed_snakemake_is_started_again(
    again: int, long: Scheduled, undisturbed: dict[str, bytes], note: Note
) -> None:
    running = long.start()
    long.wait_for_training(MOMENTS["between two logged steps"], running)
    running.kill()
    running.wait()
    os.kill(trainer(long), signal.SIGSTOP)  # or it might end before the others are tried
    status, said = long.run()
    assert status != 0
    assert "--unlock" in said  # what to do
    long.unlock()
    # The job that the killed snakemake left behind still trains; a second one does not get in its way.
    status, said = long.run("--retries", "0")
    assert status != 0
    assert "is held by another process that trains this run" in said + long.log()
    long.cancel_all()
    status, said = long.run()
    assert status == 0, said
    assert "going on from a checkpoint at step" in long.log()
    assert long.results() == undisturbed
    note("`kill -9` of snakemake", "between two logged steps", f"told to unlock, then {GOES_ON}")


def test_a_checkpoint_of_other_settings_is_never_gone_on_from(
    long: Scheduled, undisturbed: dict[str, bytes], note: Note
) -> None:
    running = long.start("--retries", "0")
    long.wait_for_training(MOMENTS["between two logged steps"], running)
    cancelled(long)
    assert running.wait(timeout=400) != 0
    assert long.checkpoints() == 1
    changed = copy.deepcopy(LONG)
    changed["experiments"]["long"] |= {"learning_rate": 0.05, "steps": 2000}
    long.tree.configure(changed)
    status, said = long.run()
    assert status == 0, said
    assert "going on" not in long.log()
    assert long.checkpoints() == 0
    long.tree.configure(LONG)
    status, said = long.run()
    assert status == 0, said
    assert "going on" not in long.log()
    assert long.results() == undisturbed
    note("settings changed after `scancel`", "between two logged steps", "begins again; same bytes")
