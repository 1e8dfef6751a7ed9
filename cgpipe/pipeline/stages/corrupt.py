"""Stage `corrupt`: `dataset.nc` to the labels of one noise level and replicate."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cgpipe.data.corruption import corrupt_labels
from cgpipe.data.subset import balanced_subset
from cgpipe.names import Selection
from cgpipe.pipeline.artifacts import Provenance, read_netcdf, write_netcdf
from cgpipe.pipeline.progress import log
from cgpipe.pipeline.streams import stream


@dataclass(frozen=True)
class Spec:
    """The settings that this stage reads."""

    noise: float
    replicate: int
    seed: int
    selection: Selection
    dataset: str = ""  # part of the path, of one that is not the workflow's own
    examples: int | None = None  # of a class-balanced subset; None for all of the training set


def run(spec: Spec, provenance: Provenance, *, dataset: Path, corrupted: Path) -> None:
    """Choose the training examples, and permute the labels of a share of them."""
    images = read_netcdf(dataset, "data")
    true = images["train_labels"].values
    chosen = np.arange(len(true))  # (example,)
    if spec.examples is not None:
        chosen = balanced_subset(true, spec.examples, rng=stream(spec.seed, "subset", spec.replicate))
    rng = stream(spec.seed, "corruption", spec.replicate)
    labels = corrupt_labels(true[chosen], spec.noise, rng=rng, selection=spec.selection)
    labels["index"] = "example", chosen, {"long_name": "index in the training set of the dataset"}
    labels = labels.assign_attrs({name: images.attrs[name] for name in ("dataset", "checksum")})
    title = f"Labels with {spec.noise:.0%} noise, replicate {spec.replicate}"
    write_netcdf(labels, corrupted, title=title, provenance=provenance.of(images))
    pristine = labels["pristine"].values
    log.info("wrote %s: %.1f%% of %d examples are pristine", corrupted, 100 * pristine.mean(), len(pristine))
