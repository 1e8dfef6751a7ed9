"""What is published of finished results, and results that are refused."""

import copy
import io
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
from cgpipe.reproduction.results import ResultsError, files_of

RUN = "label_noise/noise-050/winsor-0/replicate-0"


def settings(**changed: object) -> Config:
    return load({**copy.deepcopy(SMALL), **changed})


def test_tables_pictures_costs_and_software_are_published(finished: Tree) -> None:
    files = files_of(settings(), finished.results)
    figures = [name for name, section in SMALL["figures"].items() if name != "style" and section] + ["claims"]
    assert {f"{figure}.{ending}" for figure in figures for ending in ("csv", "png")} <= set(files)
    for name in ("figure1.csv", "figure4.png"):
        assert files[name] == (finished.results / "figures" / name).read_bytes()
    assert all(len(content) < 100_000 for name, content in files.items() if name.endswith(".svg"))
    costs = pd.read_csv(io.BytesIO(files["costs.csv"])).set_index(["stage", "experiment"])
    assert costs.loc[("train", "label_noise"), "jobs"] == 2
    assert costs.loc[("train", "pair"), "jobs"] == 1
    assert costs.loc[("data", "all"), "jobs"] == 1
    software = pd.read_csv(io.BytesIO(files["software.csv"])).set_index("name")["value"]
    assert {"device", "kernel", "torch", "published on"} <= set(software.index)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda results: cut(results / "figures/figure1.png"), r"figure1\.png is not as it was written"),
        (lambda results: cut(results / RUN / "history.nc"), "damaged"),
        (lambda results: (results / RUN / "coherence.nc").unlink(), "not found"),
        (lambda results: (results / "figures/figure4.json").unlink(), "figure4.json"),
        (lambda results: shutil.rmtree(results / "benchmarks"), "holds no benchmark files"),
    ],
    ids=["picture", "history", "analysis", "record", "benchmarks"],
)
def test_results_that_are_not_whole_are_refused(
    finished: Tree, tmp_path: Path, damage: Callable[[Path], None], message: str
) -> None:
    results = tmp_path / "small"
    shutil.copytree(finished.results, results)
    damage(results)
    with pytest.raises(ResultsError, match=message):
        files_of(settings(), results)


def test_results_of_other_settings_are_refused(finished: Tree) -> None:
    with pytest.raises(ResultsError, match="was made with other settings"):
        files_of(settings(seed=2), finished.results)
    more = copy.deepcopy(SMALL["experiments"])
    more["label_noise"]["replicates"] = 2
    with pytest.raises(ResultsError, match=r"replicate-1/history\.nc not found"):
        files_of(settings(experiments=more), finished.results)


def test_a_figure_and_verdicts_on_other_runs_than_those_that_are_there_are_refused(tree: Tree) -> None:
    run, other = (tree.results / f"winsorization/noise-050/winsor-{c}/replicate-0/history.nc" for c in (2, 0))
    spec, dataset = read_netcdf(run, "train").attrs["spec"], read_netcdf(other, "train")
    made = Provenance("train", spec, dataset.attrs["code"])
    made = replace(made, inputs=json.loads(dataset.attrs["inputs"]))
    write_netcdf(dataset, run, title="another", provenance=made)
    without = {
        name: section for name, section in SMALL["figures"].items() if name not in ("figure4", "activity")
    }
    for figure, of in (("figure4", settings()), ("claims", settings(figures=without))):
        with pytest.raises(ResultsError, match=rf"{figure}\S* was made from other files than those that are"):
            files_of(of, tree.results)
