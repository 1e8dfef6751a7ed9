"""Stage `heldout`: coherence on training examples and on examples of the test set, along runs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from cgpipe.data.corruption import corruption
from cgpipe.gradients.heldout import Sample, measure_heldout
from cgpipe.names import Selection
from cgpipe.pipeline.artifacts import Provenance
from cgpipe.pipeline.stages.ended import EndedRun, OfRun, measure_runs
from cgpipe.pipeline.stages.replayed import Step, at_marks
from cgpipe.pipeline.streams import stream


@dataclass(frozen=True)
class Spec(OfRun):
    """The settings that this stage reads."""

    examples: int
    seed: int
    selection: Selection


def run(
    spec: Spec | list[Spec],
    provenance: Provenance,
    *,
    dataset: Path,
    corrupted: Sequence[Path],
    snapshots: Sequence[Path],
    heldout: Sequence[Path],
) -> None:
    """Sum the gradients of groups of both sets, at the marks and snapshots of each run."""
    measure_runs(
        spec,
        provenance,
        at_marks(measure),
        title="Coherence on training and on held-out examples",
        dataset=dataset,
        corrupted=corrupted,
        snapshots=snapshots,
        out={"heldout": heldout},
    )


def measure(spec: Spec, run: EndedRun, bursts: Iterator[Step]) -> xr.Dataset:
    """As many examples of the training set as of the test set, whose labels are noised alike."""
    rng = stream(spec.seed, "heldout", spec.replicate)
    (images, labels), (test_images, test_labels) = run.training, run.test()
    if spec.examples > (most := min(len(labels), len(test_labels))):
        raise ValueError(
            f"heldout.examples: {spec.examples:,} of a training set of {len(labels):,} and of a test set of "
            f"{len(test_labels):,}: set it to at most {most:,}"
        )
    chosen, others = (
        np.sort(rng.choice(len(of), spec.examples, replace=False)) for of in (labels, test_labels)
    )
    noisy = corruption(test_labels[others].cpu().numpy(), spec.noise, rng=rng, selection=spec.selection)
    sets = {
        "training": Sample(images[chosen], labels[chosen], run.labels["pristine"].values[chosen]),
        "held-out": Sample(
            test_images[others], torch.from_numpy(noisy.label_train).to(labels.device), noisy.pristine
        ),
    }
    return measure_heldout(bursts, sets)
