"""Stage `corrupt`: `dataset.nc` to the labels of one noise level and replicate."""

from dataclasses import dataclass
from pathlib import Path

from cgpipe.data.corruption import corrupt_labels
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


def run(spec: Spec, provenance: Provenance, *, dataset: Path, corrupted: Path) -> None:
    """Permute the labels of a share of the training examples."""
    images = read_netcdf(dataset, "data")
    rng = stream(spec.seed, "corruption", spec.replicate)
    labels = corrupt_labels(images["train_labels"].values, spec.noise, rng=rng, selection=spec.selection)
    labels = labels.assign_attrs({name: images.attrs[name] for name in ("dataset", "checksum")})
    title = f"Labels with {spec.noise:.0%} noise, replicate {spec.replicate}"
    write_netcdf(labels, corrupted, title=title, provenance=provenance.of(images))
    pristine = labels["pristine"].values
    log.info("wrote %s: %.1f%% of %d examples are pristine", corrupted, 100 * pristine.mean(), len(pristine))
