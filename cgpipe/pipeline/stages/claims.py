"""Stage `claims`: the claims of the paper, tested on the artifacts of all runs."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd
import xarray as xr

from cgpipe.inference.claims.claim import Runs
from cgpipe.inference.claims.registry import findings
from cgpipe.inference.claims.statistics import joined
from cgpipe.inference.verdicts import COLUMNS
from cgpipe.inference.verdicts import table as rows_of
from cgpipe.pipeline.artifacts import ArtifactError, Provenance, settings_of, whole, write_netcdf
from cgpipe.pipeline.progress import log
from cgpipe.pipeline.stages.inputs import read_alike
from cgpipe.runs import Run


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
    """Read the runs that the claims are about, and write the verdicts."""
    runs = Runs(
        label_noise=read_runs(label_noise, "train"),
        winsorization=read_runs(winsorization, "train"),
        full_batch=read_runs(full_batch, "train"),
        coherence=read_runs(coherence, "coherence"),
        nullworlds=read_runs(nullworlds, "nullworlds"),
    )
    check_complete(nullworlds, runs)
    check_analysed(runs, "coherence")
    check_analysed(runs, "nullworlds")
    everything = [run.data for part in runs for run in part]
    check_same_images(everything)
    rows = rows_of(findings(runs))
    with whole(table) as temporary:
        rows.to_csv(temporary, index=False, lineterminator="\n")
    made = provenance.of_many(*everything).answering_for(table)
    write_netcdf(as_dataset(rows), claims, title="Claims of the paper", provenance=made)
    for verdict, count in rows["verdict"].value_counts().items():
        log.info("%s: %d", verdict, count)


def read_runs(paths: Sequence[Path], stage: str) -> list[Run]:
    """Artifacts of a stage, by the levels in their settings; the analyses are of plain SGD alone."""
    artifacts = read_alike(paths, stage)
    settings = [settings_of(artifact) for artifact in artifacts]
    return [
        Run(levels["noise"], levels.get("winsor", 0), levels["replicate"], artifact)
        for levels, artifact in zip(settings, artifacts, strict=True)
    ]


def check_complete(paths: Sequence[Path], runs: Runs) -> None:
    """Raise ValueError if null worlds are those of a sample."""
    for path, run in zip(paths, runs.nullworlds, strict=True):
        if settings_of(run.data)["source"] != "exact":
            raise ValueError(f"{path} is of a sample; give the null worlds of all examples")


def check_analysed(runs: Runs, stage: Literal["coherence", "nullworlds"]) -> None:
    """Raise ArtifactError if analyses of a stage were made from other runs than the histories."""
    for run, analysis in joined(runs.label_noise, getattr(runs, stage)):
        analysed = json.loads(analysis.data.attrs["inputs"])["train"]
        if any(analysed[key] != run.data.attrs[key] for key in ("spec", "code")):
            raise ArtifactError(
                f"{stage} at noise {run.noise:g}, replicate {run.replicate}, is of another run than the "
                f"history: {analysed['spec']} and {run.data.attrs['spec']}. Let snakemake make them again"
            )


def check_same_images(read: Sequence[xr.Dataset]) -> None:
    """Raise ArtifactError if runs were made from different images."""
    if len({json.loads(one.attrs["inputs"])["data"]["sha256"] for one in read}) > 1:
        raise ArtifactError("the runs were made from different images. Let snakemake make them again")


def as_dataset(rows: pd.DataFrame) -> xr.Dataset:
    """The table as a Dataset along `row`."""
    return xr.Dataset(
        {name: ("row", rows[name].to_numpy(), {"long_name": meaning}) for name, meaning in COLUMNS.items()},
        coords={"row": ("row", rows.index.to_numpy(), {"long_name": "row of the table"})},
    )
