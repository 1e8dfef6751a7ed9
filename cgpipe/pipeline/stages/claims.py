"""Stage `claims`: the claims of the paper, tested on the artifacts of all runs."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from cgpipe.inference.claims import Cell, Runs, findings
from cgpipe.inference.verdicts import table as rows_of
from cgpipe.pipeline.artifacts import ArtifactError, Provenance, settings_of, whole, write_netcdf
from cgpipe.pipeline.progress import log
from cgpipe.pipeline.stages.inputs import read_alike

MEANING = {
    "claim": "claim of the paper, C1 to C12",
    "statistic": "what was computed",
    "criterion": "where the claim puts the statistic",
    "estimate": "mean of the statistic over the replicates in which it is defined",
    "low": "smallest over these",
    "high": "largest over these",
    "n": "replicates in which it is defined",
    "p": "p-value, the largest of the replicates; NaN where the statistic has none, in all or in one of them",
    "verdict": "holds, does not hold, or inconclusive",
    "why": "why it is inconclusive",
}


@dataclass(frozen=True)
class Spec:
    """The settings that this stage reads: none."""


def run(
    spec: Spec,
    provenance: Provenance,
    *,
    label_noise: Sequence[Path],
    coherence: Sequence[Path],
    nullworlds: Sequence[Path],
    winsorization: Sequence[Path],
    full_batch: Sequence[Path],
    claims: Path,
    table: Path,
) -> None:
    """Read what the claims are about, and write their verdicts."""
    beside: dict[str, dict[tuple[float, int], xr.Dataset]] = {}
    for stage, paths in (("coherence", coherence), ("nullworlds", nullworlds)):
        beside[stage] = {}
        for path, read in zip(paths, read_alike(paths, stage), strict=True):
            settings = settings_of(read)
            if settings.get("source", "exact") != "exact":
                raise ValueError(f"{path} is of a sample; give the null worlds of all examples")
            beside[stage][settings["noise"], settings["replicate"]] = read
    runs = Runs(
        label_noise=[with_analysis(cell, beside) for cell in histories(label_noise)],
        winsorization=histories(winsorization),
        full_batch=histories(full_batch),
    )
    everything = [cell.history for cells in runs for cell in cells]
    everything += [read for of_stage in beside.values() for read in of_stage.values()]
    check_same_images(everything)
    found = rows_of(findings(runs))
    with whole(table) as temporary:
        found.to_csv(temporary, index=False, lineterminator="\n")
    made = provenance.of_many(*everything).answering_for(table)
    write_netcdf(as_dataset(found), claims, title="Claims of the paper", provenance=made)
    for verdict, count in found["verdict"].value_counts().items():
        log.info("%s: %d", verdict, count)


def histories(paths: Sequence[Path]) -> list[Cell]:
    """Runs, with what their settings say of them."""
    cells = []
    for read in read_alike(paths, "train"):
        of = settings_of(read)
        cells.append(Cell(of["noise"], of["winsor"], of["replicate"], read))
    return cells


def with_analysis(cell: Cell, beside: dict[str, dict[tuple[float, int], xr.Dataset]]) -> Cell:
    """With what was found of the run's gradients."""
    found: dict[str, Any] = {stage: of.get((cell.noise, cell.replicate)) for stage, of in beside.items()}
    for stage, analysis in found.items():
        if analysis is None:
            continue
        analysed = json.loads(analysis.attrs["inputs"])["train"]
        if any(analysed[key] != cell.history.attrs[key] for key in ("spec", "code")):
            raise ArtifactError(
                f"{stage} at noise {cell.noise:g}, replicate {cell.replicate}, is of another run than the "
                f"history: {analysed['spec']} and {cell.history.attrs['spec']}. Let snakemake make them again"
            )
    return cell._replace(**found)


def check_same_images(read: Sequence[xr.Dataset]) -> None:
    """Raise ArtifactError if runs were made from different images."""
    if len({json.loads(one.attrs["inputs"])["data"]["sha256"] for one in read}) > 1:
        raise ArtifactError("the runs were made from different images. Let snakemake make them again")


def as_dataset(found: pd.DataFrame) -> xr.Dataset:
    """The table as a Dataset along `row`."""
    return xr.Dataset(
        {name: ("row", found[name].to_numpy(), {"long_name": meaning}) for name, meaning in MEANING.items()},
        coords={"row": ("row", found.index.to_numpy(), {"long_name": "row of the table"})},
    )
