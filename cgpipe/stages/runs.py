"""Stage `runs`: what made each run: devices, kernels, threads. A table for the report and the end of a workflow."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from cgpipe.runtime.artifacts import Provenance, read_netcdf, whole, write_record
from cgpipe.runtime.progress import log

COLUMNS = (
    "experiment",
    "noise",
    "winsor",
    "replicate",
    "first_step",
    "last_step",
    "device",
    "kernel",
    "threads",
    "gpu_idle",
)


@dataclass(frozen=True)
class Spec:
    """The settings that this stage reads: none."""


def run(spec: Spec, provenance: Provenance, *, histories: Sequence[Path], table: Path) -> None:
    """Read the notes of all runs, and write a row for each part of a run that was made in one way."""
    read = [read_netcdf(path, "train") for path in histories]
    rows = []
    for path, history in zip(histories, read, strict=True):
        of = json.loads(history.attrs["spec"])
        for part in json.loads(history.attrs["made_by"]):
            rows.append(
                (
                    path.absolute().parents[3].name,
                    *(of[level] for level in ("noise", "winsor", "replicate")),
                    *part["steps"],
                    *(part[key] for key in ("device", "kernel", "threads")),
                    part.get("gpu_idle", False),
                )
            )
    found = pd.DataFrame(rows, columns=list(COLUMNS))
    with whole(table) as temporary:
        found.to_csv(temporary, index=False, lineterminator="\n")
    write_record(table.with_suffix(".json"), provenance.of_many(*read).answering_for(table))
    log.info("wrote %s: %d runs", table, len(read))
