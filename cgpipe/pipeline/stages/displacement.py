"""Stage `displacement`: the way of runs through windows of two epochs, by example."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import xarray as xr

from cgpipe.gradients.displacement import Window, measure_displacement, starts
from cgpipe.pipeline.artifacts import Provenance
from cgpipe.pipeline.progress import log
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
    displacement: Sequence[Path],
) -> None:
    """Take the displacement over windows that begin at snapshots of each run, and every example's part."""
    measure_runs(
        spec,
        provenance,
        replayed(measure),
        title="Displacement, by training example",
        dataset=dataset,
        corrupted=corrupted,
        snapshots=snapshots,
        out={"displacement": displacement},
    )


def measure(of: Replayed) -> xr.Dataset:
    """The windows of a run."""

    def windows() -> Iterator[Window]:
        for start, half in starts(of.snapshots.steps, of.steps, of.epoch):
            yield Window(start, half, partial(of.updates, start, 2 * half))
            log.info("steps %d to %d of %d", start, start + 2 * half, of.steps)

    return measure_displacement(windows(), *of.training, of.pristine)
