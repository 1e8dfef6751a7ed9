"""Stage `gradients`: the paper's sample of per-example gradients, at the snapshots of a run."""

from dataclasses import dataclass
from pathlib import Path

import xarray as xr

from cgpipe.gradients.per_example import measure_gradients
from cgpipe.pipeline.artifacts import Provenance
from cgpipe.pipeline.stages.ended import EndedRun, OfRun, measure_runs
from cgpipe.pipeline.streams import stream


@dataclass(frozen=True)
class Spec(OfRun):
    """The settings that this stage reads."""

    draws: int
    examples: int
    seed: int
    weights: int


def run(
    spec: Spec, provenance: Provenance, *, dataset: Path, corrupted: Path, snapshots: Path, gradients: Path
) -> None:
    """Sample examples and weights, and take their gradients from every snapshot."""
    measure_runs(
        spec,
        provenance,
        measure,
        title="Per-example gradients of a sample",
        dataset=dataset,
        corrupted=[corrupted],
        snapshots=[snapshots],
        out={"gradients": [gradients]},
    )


def measure(spec: Spec, run: EndedRun) -> xr.Dataset:
    """The samples of a run."""
    result = measure_gradients(
        run.snapshots,
        *run.training,
        run.labels["pristine"].values,
        examples=spec.examples,
        weights=spec.weights,
        draws=spec.draws,
        rng=stream(spec.seed, "sample", spec.replicate),
    )
    return result.assign_coords(example=run.labels["index"][result["example"].values])
