"""Whole workflows, small."""

from pathlib import Path

import pytest
from trees import Tree, new_tree


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """A tree in which the small workflow has run; not to be changed."""
    tree = new_tree(tmp_path_factory.mktemp("finished") / "tree")
    tree.snakemake()
    return tree


@pytest.fixture
def tree(finished: Tree, tmp_path: Path) -> Tree:
    """A finished tree of the test's own, in another place and with new time stamps."""
    return finished.copy(tmp_path / "tree")


@pytest.fixture
def fresh(tmp_path: Path) -> Tree:
    """A tree in which nothing has run."""
    return new_tree(tmp_path / "fresh")
