"""Stage `claims`: the claims of the paper, tested on the artifacts of all runs."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import xarray as xr

from cgpipe.inference.claims.claim import Runs
from cgpipe.inference.claims.registry import parts
from cgpipe.inference.claims.statistics import History
from cgpipe.inference.verdicts import tidy
from cgpipe.pipeline.artifacts import ArtifactError, Provenance, settings_of
from cgpipe.pipeline.stages.results import check_of_histories, read_alike, run_of
from cgpipe.pipeline.stages.verdicts import write_verdicts
from cgpipe.runs import Run

# The stage that each analysis is a result of, and its source if the stage has several.
ANALYSES = {
    "coherence": ("coherence", None),
    "sampled": ("nullworlds", "sampled"),
    "exact": ("nullworlds", "exact"),
    "displacement": ("nullworlds", "displacement"),
    "bursts": ("bursts", None),
}


@dataclass(frozen=True)
class Spec:
    """The settings that this stage reads."""

    roles: dict[str, str]  # experiments, by the key that names them: other roles are other verdicts
    seen: list[int]  # replicates that are shown and not counted


def run(
    spec: Spec,
    provenance: Provenance,
    *,
    claims: Path,
    table: Path,
    verdicts: Path,
    **inputs: Sequence[Path],
) -> None:
    """Read the runs that the claims are about, and write their statistics and the verdicts.

    `inputs` are the histories and the analyses, by the names of the fields of `Runs`.
    """
    histories = {name: read_runs(inputs.get(name, ()), "train") for name in get_args(History)}
    analyses = {name: read_analyses(inputs.get(name, ()), name) for name in ANALYSES}
    check_of_histories(histories["label_noise"], analyses)
    runs = Runs(**histories, **analyses)
    everything = [run.data for part in runs for run in part]
    check_same_images(everything)
    write_verdicts(
        tidy(parts(runs), spec.seen),
        of=everything,
        provenance=provenance,
        title="Claims of the paper",
        claims=claims,
        table=table,
        verdicts=verdicts,
    )


def read_runs(paths: Sequence[Path], stage: str) -> list[Run]:
    """Artifacts of a stage, by the levels in their settings; the analyses are of plain SGD alone."""
    return [run_of(artifact) for artifact in read_alike(paths, stage)]


def read_analyses(paths: Sequence[Path], name: str) -> list[Run]:
    """Analyses of one kind; raises ValueError if they are null worlds of another source."""
    stage, source = ANALYSES[name]
    runs = read_runs(paths, stage)
    for path, run in zip(paths, runs, strict=True):
        given = settings_of(run.data).get("source")
        if given != source:
            raise ValueError(f"{path} is of source {given}; give null worlds of source {source} as {name}")
    return runs


def check_same_images(read: Sequence[xr.Dataset]) -> None:
    """Raise ArtifactError if runs were made from different images."""
    if len({json.loads(one.attrs["inputs"])["data"]["sha256"] for one in read}) > 1:
        raise ArtifactError("the runs were made from different images. Let snakemake make them again")
