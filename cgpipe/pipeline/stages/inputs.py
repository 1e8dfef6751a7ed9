"""What several stages read, and check, in the same way."""

import json
from collections.abc import Container, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import xarray as xr

from cgpipe.pipeline.artifacts import ArtifactError, Provenance, read_netcdf
from cgpipe.pipeline.canonical import canonical
from cgpipe.pipeline.layout import made_from
from cgpipe.pipeline.progress import log
from cgpipe.pipeline.records import seal_of

# What the runs of an experiment may differ in.
LEVELS = ("noise", "winsor", "replicate")
Settings = TypeVar("Settings")


class PackError(RuntimeError):
    """The runs of a job do not fit together."""


def each_run(
    spec: Settings | list[Settings], provenance: Provenance, **files: Sequence[Path]
) -> list[tuple[Settings, Provenance, list[Path]]]:
    """The settings, the provenance and the files of each run of a job.

    Parameters
    ----------
    spec : settings of the stage, or a list of them
        Of one run, or of several.
    provenance : Provenance
        Of the job; its `spec` is the text of all settings.
    **files : sequence of Path
        One of each kind for each run.

    Returns
    -------
    list of (settings, Provenance, list of Path)
        The files in the order of the kinds.

    Raises
    ------
    PackError
        If there is not one file of each kind for each run, or if the runs differ in more than their levels.
    """
    specs = spec if isinstance(spec, list) else [spec]
    texts = [canonical(one) for one in json.loads(provenance.spec)] if specs is spec else [provenance.spec]
    if not specs or any(len(paths) != len(specs) for paths in files.values()):
        given = ", ".join(f"{len(paths)} of {kind}" for kind, paths in files.items())
        raise PackError(f"settings of {len(specs)} runs, and files: {given}. Give one of each for each run")
    first, *others = map(vars, specs)
    for other in others:
        if differ := [
            f"{key}: {value} and {other[key]}"
            for key, value in first.items()
            if value != other[key] and key not in LEVELS
        ]:
            raise PackError(
                f"the runs of one job have different settings ({'; '.join(differ)}): they may differ in "
                f"{', '.join(LEVELS)} alone"
            )
    made = [replace(provenance, spec=text) for text in texts]
    return list(zip(specs, made, map(list, zip(*files.values(), strict=True)), strict=True))


def read_corrupted(path: Path, dataset: xr.Dataset) -> xr.Dataset:
    """Read the labels of a noise level, and check that they were made for this dataset."""
    corrupted = read_netcdf(path, "corrupt")
    if corrupted.attrs["checksum"] != dataset.attrs["checksum"]:
        raise ArtifactError(
            f"{path} was made for images with sha256 {corrupted.attrs['checksum']}, not for those at hand, "
            f"{dataset.attrs['checksum']}. Remove it, and snakemake makes it again"
        )
    return corrupted


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
    places = made_from(path, of_labels.get("examples"))
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
