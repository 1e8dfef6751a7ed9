"""Stage `contributions`: every training example against the whole gradient, at the snapshots of runs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import xarray as xr

from cgpipe.gradients.population import measure_contributions
from cgpipe.pipeline.artifacts import Provenance
from cgpipe.pipeline.stages.ended import EndedRun, OfRun, measure_runs
from cgpipe.pipeline.streams import stream


@dataclass(frozen=True)
class Spec(OfRun):
    """The settings that this stage reads."""

    seed: int
    stiffness_examples: int


def run(
    spec: Spec | list[Spec],
    provenance: Provenance,
    *,
    dataset: Path,
    corrupted: Sequence[Path],
    snapshots: Sequence[Path],
    contributions: Sequence[Path],
) -> None:
    """Take u_e and ‖g_e‖² of the whole training set from every snapshot of each run, layer by layer."""
    measure_runs(
        spec,
        provenance,
        measure,
        title="Contributions of all training examples",
        dataset=dataset,
        corrupted=corrupted,
        snapshots=snapshots,
        out={"contributions": contributions},
    )


def measure(spec: Spec, run: EndedRun) -> xr.Dataset:
    """Every example of a run."""
    return measure_contributions(
        run.snapshots,
        *run.training,
        run.labels["pristine"].values,
        stiffness_examples=spec.stiffness_examples,
        rng=stream(spec.seed, "stiffness", spec.replicate),
    )
