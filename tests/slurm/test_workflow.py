"""The whole workflow through the scheduler."""

import re

import pytest

from slurm.conftest import Scheduled

pytestmark = pytest.mark.slurm


def test_everything_runs_through_the_scheduler(small: Scheduled) -> None:
    status, said = small.run()
    assert status == 0, said
    jobs = small.jobs("%i", "%T", "%k")
    assert {state for _, state, _ in jobs} == {"COMPLETED"}
    rules = [re.sub("^rule_", "", comment).partition("_wildcards")[0] for _, _, comment in jobs]
    expected = {"corrupt", "train", "train_without_snapshots", "train_pair_together", "gradients"}
    expected |= {"contributions", "coherence", "nullworlds", "nullworlds_exact"}
    assert set(rules) == expected
    # Data, figures and claims are made where snakemake runs.
    assert (small.tree.results / "figures" / "claims.png").exists()


def test_an_unknown_partition_is_told(small: Scheduled) -> None:
    status, said = small.run("--retries", "0", SBATCH_PARTITION="nosuch")
    assert status != 0
    assert "invalid partition specified: nosuch" in said
    assert small.jobs("%i") == []


def test_the_partition_of_the_environment_is_taken(small: Scheduled) -> None:
    corrupted = "results/small/corrupted/noise-050/replicate-0.nc"
    status, said = small.run(corrupted, SBATCH_PARTITION="urgent")
    assert status == 0, said
    assert small.jobs("%P", "%T") == [["urgent", "COMPLETED"]]
