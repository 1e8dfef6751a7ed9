"""The runs of a job, their labels, and what their updates depend on, as several stages read them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import xarray as xr

from cgpipe.pipeline.artifacts import ArtifactError, Provenance, read_netcdf
from cgpipe.pipeline.canonical import canonical
from cgpipe.pipeline.streams import stream

# What the runs of an experiment may differ in.
LEVELS = ("noise", "winsor", "replicate")
# Settings of a training that its updates depend on.
OF_UPDATES = (
    *("batch_size", "clip_norm", "learning_rate", "momentum", "noise_multiplier", "schedule", "steps"),
    *("update", "weight_decay"),
)
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


def of_updates(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What `start_run` and `Replay` take for the updates of a run, from the settings of its training."""
    seed, replicate = settings["seed"], settings["replicate"]
    return {
        **{key: settings[key] for key in OF_UPDATES},
        "c": settings["winsor"],
        "batch_rng": stream(seed, "batches", replicate),
        "update_rng": stream(seed, "update", replicate),
    }


def read_corrupted(path: Path, dataset: xr.Dataset) -> xr.Dataset:
    """Read the labels of a noise level, and check that they were made for this dataset."""
    return read_for(dataset, path, "corrupt")


def read_for(dataset: xr.Dataset, path: Path, stage: str) -> xr.Dataset:
    """Read an artifact that notes the checksum of its dataset, and check that it is this one."""
    read = read_netcdf(path, stage)
    if read.attrs["checksum"] != dataset.attrs["checksum"]:
        raise ArtifactError(
            f"{path} was made for images with sha256 {read.attrs['checksum']}, not for those at hand, "
            f"{dataset.attrs['checksum']}. Remove it, and snakemake makes it again"
        )
    return read
