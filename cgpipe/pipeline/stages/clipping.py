"""Stage `clipping`: what winsorizing clips of random minibatches, at snapshots of runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import xarray as xr

from cgpipe.gradients.clipping import measure_clipping, measured_step
from cgpipe.pipeline.artifacts import Provenance
from cgpipe.pipeline.stages.ended import EndedRun, OfRun, measure_runs
from cgpipe.pipeline.streams import stream


@dataclass(frozen=True)
class Spec(OfRun):
    """The settings that this stage reads. The size of a minibatch is in the record of the snapshots."""

    batches: int
    levels: list[int]
    seed: int
    winsor: int  # of the training


def run(
    spec: Spec | list[Spec],
    provenance: Provenance,
    *,
    dataset: Path,
    corrupted: Sequence[Path],
    snapshots: Sequence[Path],
    clipping: Sequence[Path],
) -> None:
    """Winsorize minibatches at several levels, at snapshots of each run."""
    measure_runs(
        spec,
        provenance,
        measure,
        title="What winsorizing clips",
        dataset=dataset,
        corrupted=corrupted,
        snapshots=snapshots,
        out={"clipping": clipping},
    )


def measure(spec: Spec, run: EndedRun) -> xr.Dataset:
    """Random minibatches at some of the snapshots of a run."""
    return measure_clipping(
        (kept for kept in run.snapshots if measured_step(kept[0])),
        *run.training,
        run.labels["pristine"].values,
        levels=spec.levels,
        batches=spec.batches,
        batch_size=run.settings["batch_size"],
        rng=stream(spec.seed, "clipping", spec.replicate),
    )
