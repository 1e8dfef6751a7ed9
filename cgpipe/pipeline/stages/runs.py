"""Stage `runs`: what made each run, for the report and the end of a workflow."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from cgpipe.pipeline.artifacts import Provenance, read_netcdf, whole, write_record
from cgpipe.pipeline.progress import log
from cgpipe.pipeline.stages.inputs import LEVELS
from cgpipe.pipeline.stages.results import experiment_of


@dataclass(frozen=True)
class Spec:
    """The settings that this stage reads: none."""


def run(spec: Spec, provenance: Provenance, *, histories: Sequence[Path], table: Path) -> None:
    """Read the notes of all runs, and write a row for each part of a run that was made in one way."""
    read = [read_netcdf(path, "train") for path in histories]
    rows = [row for path, history in zip(histories, read, strict=True) for row in rows_of(path, history)]
    with whole(table) as temporary:
        pd.DataFrame(rows).to_csv(temporary, index=False, lineterminator="\n")
    write_record(table.with_suffix(".json"), provenance.of_many(*read).answering_for(table))
    log.info("wrote %s: %d runs", table, len(read))


def rows_of(path: Path, history: xr.Dataset) -> Iterator[dict[str, Any]]:
    """A row of the table for each part of a run that was made in one way."""
    spec = json.loads(history.attrs["spec"])
    run = {"experiment": experiment_of(path), **{level: spec[level] for level in LEVELS}}
    for part in json.loads(history.attrs["made_by"]):
        steps = dict(zip(("first_step", "last_step"), part["steps"], strict=True))
        made_by = {key: part[key] for key in ("device", "kernel", "threads")}
        yield {**run, **steps, **made_by, "gpu_idle": part.get("gpu_idle", False)}
