"""The whole workflow through the scheduler."""

import copy
import re
import shlex

import pytest
from trees import ROOT

from cgpipe.figures.registry import OF_RUNS
from slurm.conftest import CPU, Scheduled

pytestmark = pytest.mark.slurm


def test_everything_runs_through_the_scheduler(small: Scheduled) -> None:
    settings = copy.deepcopy(CPU)
    for of in settings["experiments"].values():
        of["noise"] = [0.5]
    small.tree.configure(settings)
    status, said = small.run()
    assert status == 0, said
    jobs = small.jobs("%i", "%T", "%k")
    assert {state for _, state, _ in jobs} == {"COMPLETED"}
    rules = {re.sub("^rule_", "", comment).partition("_wildcards")[0] for _, _, comment in jobs}
    assert rules == {
        *("corrupt", "train", "train_without_snapshots", "train_pair_1"),
        *("gradients", "contributions", "bursts", "displacement", "clipping", "coherence"),
        *("heldout", "similarity", "twins"),
        *("nullworlds", "nullworlds_exact", "nullworlds_displacement"),
    }
    # Data, figures and claims are made where snakemake runs.
    # All that are of runs, and the claims.
    assert len(list((small.tree.results / "figures").glob("*.png"))) == len(OF_RUNS) + 1


def test_an_unknown_partition_is_told(small: Scheduled) -> None:
    status, said = small.run("--retries", "0", SBATCH_PARTITION="nosuch")
    assert status != 0
    assert "invalid partition specified: nosuch" in said
    assert small.jobs("%i") == []


def test_the_partition_of_the_environment_is_taken(small: Scheduled) -> None:
    status, said = small.run(LABELS, SBATCH_PARTITION="urgent")
    assert status == 0, said
    assert small.jobs("%P", "%T") == [["urgent", "COMPLETED"]]


LABELS = "results/small/corrupted/noise-050/replicate-0.nc"


def test_what_the_user_asks_for_is_taken(small: Scheduled) -> None:
    reservation = (
        "starttime=now",
        "duration=60",
        "users=root",
        "corecnt=1",
        "flags=overlap,flex,ignore_jobs",
    )
    small.cluster.call("scontrol", "create", "reservation", "reservationname=course", *reservation)
    try:
        extra = ("--set-resources", "corrupt:constraint=fast", "corrupt:slurm_extra='--nice=7'")
        status, said = small.run(*extra, "--", LABELS, SBATCH_RESERVATION="course")
        assert status == 0, said
        assert small.jobs("%T", "%f", "%v", "%y") == [["COMPLETED", "fast", "course", "7"]]
    finally:
        small.cluster.call("scontrol", "delete", "reservationname=course")


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("SBATCH_CONSTRAINT", "slow", "Invalid feature specification"),
        ("SBATCH_RESERVATION", "nosuch", "Requested reservation is invalid"),
    ],
)
def test_what_is_not_there_is_told(small: Scheduled, name: str, value: str, told: str) -> None:
    status, said = small.run("--retries", "0", "--", LABELS, **{name: value})
    assert status != 0
    assert told in said
    assert f"`{told}`" in (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")


def test_other_stages_outlive_the_signal_ahead_of_a_time_limit(small: Scheduled) -> None:
    running = small.start("--retries", "0", "--", LABELS)
    small.cluster.wait(
        lambda: small.process("corrupt") is not None or running.poll() is not None, "the job", 180
    )
    ((job, state),) = small.jobs("%i", "%T")
    assert state == "RUNNING", small.text()
    small.cluster.call("scancel", "--signal=USR1", job)  # as then, to the processes of all steps
    assert running.wait(timeout=300) == 0, small.text()
    assert small.jobs("%T") == [["COMPLETED"]]


def test_gpus_are_scheduled(small: Scheduled) -> None:
    """A training waits until a GPU is free; a job that asks for none does not."""
    history = "results/small/label_noise/noise-050/winsor-0/replicate-0/history.nc"
    taken = small.cluster.call("sbatch", "--parsable", "--gpus=2", "-o", "/dev/null", "--wrap", "sleep 300")

    def state(rule: str) -> str:
        jobs = small.jobs("%k", "%T", "%r")
        return "".join(
            f"{state} {why}" for comment, state, why in jobs if comment.startswith(f"rule_{rule}_")
        )

    try:
        small.cluster.wait(lambda: of(small, taken, "%T") == [["RUNNING"]], "both GPUs", 180)
        running = small.start("--set-resources", "train:gpu=1", "--", history)
        # Other tests may have queued theirs before.
        queued = ("PENDING Resources", "PENDING Priority")
        small.cluster.wait(lambda: state("train") in queued, "the training to be queued", 120)
        assert state("corrupt").startswith("COMPLETED")
    finally:
        small.cluster.call("scancel", taken.strip())
    assert running.wait(timeout=300) == 0, small.text()
    assert state("train").startswith("COMPLETED")


def of(scheduled: Scheduled, job: str, *columns: str) -> list[list[str]]:
    """One of Slurm's jobs."""
    return [row[1:] for row in scheduled.cluster.jobs("%i", *columns) if row[0] == job.strip()]


def test_short_jobs_are_packed_into_one_allocation(small: Scheduled) -> None:
    """With the options that docs/cluster.md gives: one GPU, and one training after the other."""
    guide = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
    packing = guide.partition("## Packing")[2].partition("```bash\n")[2].partition("```")[0]
    options = shlex.split(packing.replace("\\\n", " "))
    assert options[:5] == ["snakemake", "--cores", "8", "--profile", "slurm"]
    runs = (
        "label_noise/noise-050/winsor-0",
        "winsorization/noise-050/winsor-0",
        "winsorization/noise-050/winsor-2",
    )
    histories = [f"results/small/{run}/replicate-0/history.nc" for run in runs]
    gpus = [f"{rule}:gpu=1" for rule in ("train", "train_without_snapshots")]
    at = options.index("--set-resources") + 1
    options[at:at] = gpus
    at = options.index("--set-resources") + 1  # what device: auto asks for
    options[at:at] = ["train:gpu=1", "train_without_snapshots:gpu=1"]
    status, said = small.run(*options[5:], "--", *histories)
    assert status == 0, said
    jobs = {comment: job for comment, job in small.jobs("%k", "%i") if "trainings" in comment}
    assert len(jobs) == 1, said
    (job,) = jobs.values()
    assert "TresPerJob=gres:gpu:1\n" in small.cluster.call("scontrol", "show", "job", job)
    assert all((small.tree.folder / history).exists() for history in histories)
