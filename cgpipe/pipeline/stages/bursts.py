"""Stage `bursts`: gradients of the pristine and the corrupt examples at consecutive steps of runs."""

from collections.abc import Sequence
from pathlib import Path

import xarray as xr

from cgpipe.gradients.bursts import measure_bursts
from cgpipe.pipeline.artifacts import Provenance
from cgpipe.pipeline.stages.ended import OfRun as Spec
from cgpipe.pipeline.stages.ended import measure_runs
from cgpipe.pipeline.stages.replayed import Replayed, replayed


def run(
    spec: Spec | list[Spec],
    provenance: Provenance,
    *,
    dataset: Path,
    corrupted: Sequence[Path],
    snapshots: Sequence[Path],
    bursts: Sequence[Path],
) -> None:
    """Sum the gradients of both groups at a burst of steps from every snapshot of each run on."""
    measure_runs(
        spec,
        provenance,
        replayed(measure),
        title="Gradients of the pristine and the corrupt examples at bursts of steps",
        dataset=dataset,
        corrupted=corrupted,
        snapshots=snapshots,
        out={"bursts": bursts},
    )


def measure(of: Replayed) -> xr.Dataset:
    """The bursts of a run."""
    return measure_bursts(of.bursts(of.snapshots.steps), *of.training, of.pristine)
