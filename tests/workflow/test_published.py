"""What is published of results, and which results are refused."""

import json
from dataclasses import replace
from io import BytesIO
from typing import Any

import pandas as pd
import pytest
from trees import SMALL, Tree
from workflow.test_reruns import changed

from cgpipe.pipeline.artifacts import Provenance, read_netcdf, write_netcdf
from cgpipe.pipeline.config.load import load
from cgpipe.reproduction.results import SMALL as SMALL_SVG
from cgpipe.reproduction.results import ResultsError, files_of


def of_small(tree: Tree, settings: dict[str, Any] = SMALL) -> dict[str, bytes]:
    return files_of(load(settings), tree.results)


def test_figures_tables_and_what_the_runs_took_are_published(finished: Tree) -> None:
    files = of_small(finished)
    figures = {path.name: path for path in (finished.results / "figures").iterdir()}
    kept = {name for name in figures if name.endswith((".csv", ".png"))}
    kept |= {
        name for name, path in figures.items() if path.suffix == ".svg" and path.stat().st_size < SMALL_SVG
    }
    assert {*files} == {*kept, "costs.csv", "software.csv"}
    assert all(files[name] == figures[name].read_bytes() for name in kept)
    costs = pd.read_csv(BytesIO(files["costs.csv"])).set_index(["stage", "experiment"])
    assert costs["jobs"]["train", "label_noise"] == 2
    software = pd.read_csv(BytesIO(files["software.csv"])).set_index("name")["value"]
    assert software["device"] == "cpu"
    assert software.index[-1] == "published on"


def test_results_that_are_not_as_planned_are_not_published(tree: Tree) -> None:
    def refused(message: str, settings: dict[str, Any] = SMALL) -> None:
        with pytest.raises(
            ResultsError, match=rf"small is not complete, and nothing was published: .*{message}"
        ):
            of_small(tree, settings)

    for path, value in (("experiments.winsorization.steps", 13), ("figures.style.width", 5.0)):
        refused("was made with other settings", changed(path, value))
    refused(r"replicate-1/history\.nc not found", changed("experiments.label_noise.replicates", 2))
    for name in ("figure2.csv", "figure3.png", "figure4.json"):
        path = tree.results / "figures" / name
        content = path.read_bytes()
        path.write_bytes(content[:-2])
        refused(f"{name} (is not as it was written|holds no record)")
        path.unlink()
        refused(f"No such file.*{name}")
        path.write_bytes(content)
    # A figure, and the claims, of other runs than those that are there now.
    run = tree.results / "winsorization/noise-050/winsor-2/replicate-0/history.nc"
    other = tree.results / "winsorization/noise-050/winsor-0/replicate-0/history.nc"
    content = run.read_bytes()
    for figure, settings in (("figure4", SMALL), ("claims", changed("figures.figure4", None))):
        dataset = read_netcdf(other, "train")
        made = Provenance("train", read_netcdf(run, "train").attrs["spec"], dataset.attrs["code"])
        write_netcdf(
            dataset, run, title="other", provenance=replace(made, inputs=json.loads(dataset.attrs["inputs"]))
        )
        refused(rf"{figure}\S* was made from other files than those that are there now", settings)
        run.write_bytes(content)
    assert of_small(tree)
