"""A job that trains a pack of runs, cut off in the middle."""

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
from trees import Tree

from cgpipe.pipeline.unfinished import CHECKPOINTS
from slurm.cluster import Cluster
from slurm.conftest import LONG, Note, Scheduled
from slurm.test_faults import cancelled, requeued

pytestmark = pytest.mark.slurm

# One job for three runs, on the CPU one after the other.
PACK = copy.deepcopy(LONG)
PACK["experiments"]["long"] |= {"steps": 4000, "winsor": [1, 2, 3], "runs_per_job": 3}
MIDDLE = "step 1000 of 4000  noise 0.5, winsorization c = 2"


def results(of: Tree) -> dict[str, bytes]:
    """Bytes of the results of all runs; a checkpoint that is left is an error."""
    folder = of.results / "long"
    assert not list(folder.rglob(CHECKPOINTS))
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.*")}


@pytest.fixture(scope="module")
def undisturbed(prepared: tuple[Tree, Tree], tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Results of the pack without Slurm and without a fault."""
    tree = prepared[0].copy(tmp_path_factory.mktemp("pack") / "tree")
    tree.configure(PACK)
    tree.snakemake()
    return results(tree)


@pytest.mark.parametrize(
    ("fault", "strike"), [("`scancel` of the job", cancelled), ("`scontrol requeue` of the job", requeued)]
)
def test_a_pack_that_is_cut_off_loses_nothing_that_was_done(
    fault: str,
    strike: Callable[[Scheduled], None],
    prepared: tuple[Tree, Tree],
    cluster: Cluster,
    undisturbed: dict[str, bytes],
    tmp_path: Path,
    note: Note,
) -> None:
    long = Scheduled(prepared[0].copy(tmp_path / "tree"), cluster)
    long.tree.configure(PACK)
    running = long.start()
    long.wait_for_training(MIDDLE, running)
    strike(long)
    assert running.wait(timeout=400) == 0, long.text()
    assert results(long.tree) == undisturbed
    # The last attempt: the first run was done, the second one in the middle, the third not begun.
    log = long.log()
    assert log.count("going on from a checkpoint at step 4000\n") == 1
    assert log.count("going on from a checkpoint at step ") == 2
    assert "winsorization c = 1, replicate 0  loss" not in log
    assert MIDDLE not in log
    assert "step 0 of 4000  noise 0.5, winsorization c = 3" in log
    note(fault, "in the middle of a pack", "runs that are done stay, the others go on; same bytes")
