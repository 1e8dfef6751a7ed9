"""A figure can show the table of another workflow too."""

import copy
import shutil

import pandas as pd
from trees import SMALL, Tree


def test_a_figure_is_compared_with_the_table_of_another_workflow(tree: Tree) -> None:
    settings = copy.deepcopy(SMALL)
    other = tree.folder / "other.csv"
    shutil.copyfile(tree.results / "figures" / "figure1.csv", other)
    settings["figures"]["figure1"]["compare_with"] = "other.csv"
    tree.configure(settings)
    assert tree.planned() == {"figure1": 1}
    tree.snakemake()
    compared = pd.read_csv(tree.results / "figures" / "figure1.csv")
    assert set(compared["source"]) == {"here", "other.csv"}
    assert tree.planned() == {}
