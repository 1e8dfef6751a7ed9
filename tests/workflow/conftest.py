"""Whole workflows, small."""

import fcntl
from pathlib import Path

import pytest
from trees import Tree, new_tree


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Tree:
    """A tree in which the small workflow has run; not to be changed. All workers of a session share it."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "finished"
    with (folder.with_suffix(".lock")).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():
            return Tree(folder)
        tree = new_tree(folder.with_suffix(".new"))
        tree.snakemake()
        # As if made last: another experiment's runs, which a flipped setting may name, may have ended later.
        for path in tree.results.glob("**/figures/*"):  # and their benchmarks
            path.touch()
        tree.folder.rename(folder)
        return Tree(folder)


@pytest.fixture
def tree(finished: Tree, tmp_path: Path) -> Tree:
    """A finished tree of the test's own, in another place and with new time stamps."""
    return finished.copy(tmp_path / "tree")


@pytest.fixture
def fresh(tmp_path: Path) -> Tree:
    """A tree in which nothing has run."""
    return new_tree(tmp_path / "fresh")
