"""Stage `twins`: how far a run is apart from the one that it is the twin of, at their snapshots."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cgpipe.learning.twins import measure_twins
from cgpipe.pipeline.artifacts import ArtifactError, Provenance, read_netcdf, write_netcdf
from cgpipe.pipeline.progress import log
from cgpipe.pipeline.stages.device import choose
from cgpipe.pipeline.stages.ended import OfRun, test_set
from cgpipe.pipeline.stages.networks import is_dense
from cgpipe.pipeline.stages.snapshots import open_snapshots

# Settings of a training that say nothing of what is trained, or what twins differ in.
OF_ITS_MAKING = {"device", "kernel", "labels", "snapshots"}


@dataclass(frozen=True)
class Spec(OfRun):
    """The settings that this stage reads."""

    replaced: int  # training examples of the twin


def run(
    spec: Spec, provenance: Provenance, *, dataset: Path, original: Path, snapshots: Path, twins: Path
) -> None:
    """Compare the snapshots of a twin with those of the original."""
    device = choose(spec.device)
    images = read_netcdf(dataset, "data")
    with (
        open_snapshots(original, images, device) as (of_original, its, kept),
        open_snapshots(snapshots, images, device) as (description, settings, own),
    ):
        require_twins(snapshots, settings, original, its)
        seen, _ = test_set(images, device, normalize=settings["normalize"], flat=is_dense(settings))
        pairs = ((step, network, own[step]) for step, network in kept if step in own.steps)
        result = measure_twins(pairs, kept[0], seen)
        # The record has one file of each stage, so that of the original is one that was read alone.
        made, other = (provenance.of(images).of_tensors(of) for of in (description, of_original))
        made = replace(made, read=(*made.read, *other.read))
    title = f"Distances between twin runs, {spec.noise:.0%} noise, replicate {spec.replicate}"
    result = result.assign_attrs(replaced=spec.replaced)
    write_netcdf(result, twins, title=title, provenance=made)
    log.info("wrote %s", twins)


def require_twins(path: Path, settings: dict[str, Any], original: Path, its: dict[str, Any]) -> None:
    """Raise an error if two runs differ in more than the examples that they are trained on."""
    if differ := [
        f"{key}: {settings.get(key)} and {its.get(key)}"
        for key in sorted({*settings, *its} - OF_ITS_MAKING)
        if settings.get(key) != its.get(key)
    ]:
        raise ArtifactError(
            f"{path} and {original} are no twins, as their trainings have different settings "
            f"({'; '.join(differ)}): give two runs that differ in the examples alone"
        )
