"""Stage `similarity`: inner products of the gradients of pairs of examples, at bursts of steps of runs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import xarray as xr

from cgpipe.data.subset import balanced_subset
from cgpipe.gradients.similarity import measure_similarity
from cgpipe.pipeline.artifacts import Provenance
from cgpipe.pipeline.stages.ended import EndedRun, OfRun, measure_runs
from cgpipe.pipeline.stages.replayed import Step, at_marks
from cgpipe.pipeline.streams import stream


@dataclass(frozen=True)
class Spec(OfRun):
    """The settings that this stage reads."""

    examples: int
    seed: int


def run(
    spec: Spec | list[Spec],
    provenance: Provenance,
    *,
    dataset: Path,
    corrupted: Sequence[Path],
    snapshots: Sequence[Path],
    similarity: Sequence[Path],
) -> None:
    """Take the inner products of a sample's gradients along each run."""
    measure_runs(
        spec,
        provenance,
        at_marks(measure),
        title="Similarity of the gradients of examples",
        dataset=dataset,
        corrupted=corrupted,
        snapshots=snapshots,
        out={"similarity": similarity},
    )


def measure(spec: Spec, run: EndedRun, bursts: Iterator[Step]) -> xr.Dataset:
    """All pairs of a sample of the training examples, which all levels of a replicate share."""
    true = run.labels["label_true"].values
    position = balanced_subset(true, spec.examples, rng=stream(spec.seed, "similarity", spec.replicate))
    images, labels = (of[torch.from_numpy(position).to(of.device)] for of in run.training)
    measured = measure_similarity(bursts, images, labels)
    sampled = run.labels[["index", "label_train", "label_true", "pristine"]].isel(example=position)
    sampled["position"] = "example", position, {"long_name": "place among the training examples"}
    return measured.merge(sampled.rename(label_train="label", label_true="true_label"))
