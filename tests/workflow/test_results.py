"""What is published of finished results, and results that are refused."""

import copy
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from trees import SMALL, Tree

from cgpipe.pipeline.artifacts import Provenance, read_netcdf, write_netcdf
from cgpipe.pipeline.config.load import load
from cgpipe.pipeline.config.models import Config
from cgpipe.reproduction.results import ResultsError, replicates_in, tables_in
from cgpipe.reproduction.tables import read_table

RUN = "label_noise/noise-050/winsor-0/replicate-0"


def settings(**changed: object) -> Config:
    return load({**copy.deepcopy(SMALL), **changed})


def test_tables_costs_and_software_are_published(finished: Tree) -> None:
    assert replicates_in(finished.results) == [0]
    tables = tables_in(settings(), finished.results)
    figures = [name for name, section in SMALL["figures"].items() if name != "style" and section] + ["claims"]
    assert set(figures) <= set(tables)
    assert all({"replicate", "value"} <= set(tables[figure]) for figure in figures)
    pd.testing.assert_frame_equal(tables["figure1"], read_table(finished.results / "figures/figure1.csv"))
    costs = tables["costs"].set_index(["stage", "experiment", "replicate"])
    assert costs.loc[("train", "label_noise", 0), "jobs"] == 2
    assert costs.loc[("train", "pair", 0), "jobs"] == 1
    assert costs.loc[("data", "all", -1), "jobs"] == 1
    history = read_netcdf(finished.results / RUN / "history.nc", "train")
    ends = (
        tables["ends"].set_index(["experiment", "noise", "winsor", "quantity"]).loc[("label_noise", 0.5, 0)]
    )
    for of, what in (("training", "loss"), ("training", "accuracy"), ("test", "accuracy")):
        assert ends.loc[f"{of} {what}", "value"] == float(history[f"{what}_{of}"][-1])
    assert set(ends["step"]) == {int(history["step"][-1])}
    software = tables["software"].set_index("name")
    assert {"device", "kernel", "torch", "published on"} <= set(software.index)
    assert set(software["replicate"]) == {0}


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda results: cut(results / "figures/figure1.csv"), r"figure1\.csv is not as it was written"),
        (lambda results: cut(results / RUN / "history.nc"), "damaged"),
        (lambda results: (results / RUN / "coherence.nc").unlink(), "not found"),
        (lambda results: (results / "figures/figure4.json").unlink(), "figure4.json"),
        (lambda results: shutil.rmtree(results / "benchmarks"), "holds no benchmark files"),
    ],
    ids=["table", "history", "analysis", "record", "benchmarks"],
)
def test_results_that_are_not_whole_are_refused(
    finished: Tree, tmp_path: Path, damage: Callable[[Path], None], message: str
) -> None:
    results = tmp_path / "small"
    shutil.copytree(finished.results, results)
    damage(results)
    with pytest.raises(ResultsError, match=message):
        tables_in(settings(), results)


def test_results_of_other_settings_are_refused(finished: Tree) -> None:
    with pytest.raises(ResultsError, match="was made with other settings"):
        tables_in(settings(seed=2), finished.results)
    more = copy.deepcopy(SMALL["experiments"])
    more["label_noise"]["replicates"] = 2
    with pytest.raises(ResultsError, match=r"replicate-1/history\.nc not found"):
        tables_in(settings(experiments=more), finished.results)


def test_a_figure_and_verdicts_on_other_runs_than_those_that_are_there_are_refused(tree: Tree) -> None:
    run, other = (tree.results / f"winsorization/noise-050/winsor-{c}/replicate-0/history.nc" for c in (2, 0))
    spec, dataset = read_netcdf(run, "train").attrs["spec"], read_netcdf(other, "train")
    made = Provenance("train", spec, dataset.attrs["code"])
    made = replace(made, inputs=json.loads(dataset.attrs["inputs"]))
    write_netcdf(dataset, run, title="another", provenance=made)
    without = {
        name: section
        for name, section in SMALL["figures"].items()
        if name not in ("figure4", "activity", "matched", "controls", "frontier")
    }
    for figure, of in (("figure4", settings()), ("claims", settings(figures=without))):
        with pytest.raises(ResultsError, match=rf"{figure}\S* was made from other files than those that are"):
            tables_in(of, tree.results)
