"""Artifacts of runs, as the stages after training read them."""

import json
import math
from collections.abc import Callable, Container, Mapping, Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from cgpipe.pipeline.artifacts import ArtifactError, read_netcdf, settings_of
from cgpipe.pipeline.layout import made_from
from cgpipe.pipeline.progress import log
from cgpipe.pipeline.records import seal_of
from cgpipe.pipeline.stages.inputs import LEVELS
from cgpipe.runs import Run


def read_current(path: Path, stage: str) -> xr.Dataset:
    """Read an artifact of a run, as `read_netcdf` does, and check that it was made from what lies there now.

    Raises
    ------
    ArtifactError
        As there, and if a file that it was made from has been replaced since. One that is gone is no
        objection.
    """
    read = read_netcdf(path, stage)
    inputs = json.loads(read.attrs["inputs"])
    of_labels = json.loads(inputs["corrupt"]["spec"]) if "corrupt" in inputs else {}
    start = None
    if "start" in inputs:
        name = json.loads(inputs.get("train", read.attrs)["spec"])["start"].split("/")[0]
        start = name, json.loads(inputs["start"]["spec"])["noise"]
    places = made_from(path, of_labels, start)
    for before, noted in inputs.items():
        place = places.get(before)
        if place is not None and place.exists() and seal_of(place) != noted["sha256"]:
            raise ArtifactError(
                f"{path} was made from another {place.name} than the one that is there now, {place}. "
                f"Let snakemake make {path.name} again: remove it, and give the same command"
            )
    return read


def read_alike(paths: Sequence[Path], stage: str, levels: Sequence[str] = LEVELS) -> list[xr.Dataset]:
    """Read artifacts of many runs, and check that these differ in their levels alone.

    Parameters
    ----------
    paths : sequence of Path
        Where from.
    stage : str
        The stage that wrote them.
    levels : sequence of str
        Settings that they may differ in. What else a run keeps (`snapshots`) is nothing to what it is.

    Returns
    -------
    list of Dataset
        In the order of the paths.

    Raises
    ------
    ArtifactError
        As of `read_current`, and if two of them were made by other settings, other code or from other
        images.
    """
    read = [read_current(path, stage) for path in paths]
    for path, dataset in zip(paths[1:], read[1:], strict=True):
        one, other = (_made_by(of, {*levels, "snapshots"}) for of in (read[0], dataset))
        if differ := sorted(key for key in {*one, *other} if one.get(key) != other.get(key)):
            of = "; ".join(f"{key}: {one.get(key)} and {other.get(key)}" for key in differ)
            raise ArtifactError(
                f"{paths[0]} and {path} do not belong together: {of}. Runs of one experiment may differ in "
                f"{', '.join(levels)} alone. Let snakemake make them again: the same command, without "
                "results of other settings among them"
            )
        if dataset.attrs["software"] != read[0].attrs["software"]:
            log.warning("%s and %s were made with other versions of the libraries", paths[0], path)
    places = [tuple(json.loads(dataset.attrs["spec"]).get(level) for level in levels) for dataset in read]
    for path, at in zip(paths, places, strict=True):
        if places.count(at) > 1:
            raise ArtifactError(f"{path}, or another of the same levels and replicate, was given twice")
    return read


def check_of_histories(histories: Sequence[Run], analyses: Mapping[str, Sequence[Run]]) -> None:
    """Raise ArtifactError if analyses, by their kinds, are of other runs than the histories."""
    made = {_levels(run): run.data for run in histories}
    for kind, runs in analyses.items():
        for run in runs:
            history = made.get(_levels(run))
            trained = json.loads(run.data.attrs["inputs"])["train"]
            if history is None or any(trained[key] != history.attrs[key] for key in ("spec", "code")):
                of = "none" if history is None else history.attrs["spec"]
                experiment = f" of {run.experiment}" if run.experiment else ""
                raise ArtifactError(
                    f"{kind}{experiment} at noise {run.noise:g}, replicate {run.replicate}, is of another "
                    f"run than the history: {trained['spec']} and {of}. Let snakemake make them again"
                )


def _levels(run: Run) -> tuple[str, float, int, int]:
    """What an analysis and the history of its run have in common."""
    return run.experiment, run.noise, run.winsor, run.replicate


def experiment_of(path: Path) -> str:
    """The experiment of a run, by the folder of an artifact of it."""
    return path.absolute().parents[3].name


def by_experiment(
    paths: Sequence[Path], name_of: Callable[[Path], str] = experiment_of
) -> dict[str, list[Path]]:
    """Artifacts by their experiments; `name_of` says which, where it is not that of the folder of a run."""
    found: dict[str, list[Path]] = {}
    for path in paths:
        found.setdefault(name_of(path), []).append(path)
    return found


def run_of(data: xr.Dataset, experiment: str = "") -> Run:
    """An artifact with the levels that it was made at; one of several runs lacks some."""
    levels = settings_of(data)
    at = levels.get("noise", math.nan), levels.get("winsor", 0), levels.get("replicate", 0)
    return Run(*at, data, levels.get("update", "winsorized_mean"), experiment)


def _made_by(dataset: xr.Dataset, differ: Container[str]) -> dict[str, Any]:
    """All that runs which belong together have in common, by stage and setting."""
    inputs = json.loads(dataset.attrs["inputs"])
    common: dict[str, Any] = {}
    for stage, made in {**inputs, dataset.attrs["stage"]: dataset.attrs}.items():
        settings = json.loads(made["spec"])
        common |= {f"{stage}: {key}": value for key, value in settings.items() if key not in differ}
        common[f"{stage}: code"] = made["code"]
    if "data" in inputs:
        common["sha256 of the images"] = inputs["data"]["sha256"]
    return common
