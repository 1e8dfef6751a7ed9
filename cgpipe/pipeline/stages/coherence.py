"""Stage `coherence`: how far gradients agree, by group of examples and part of the network."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cgpipe.gradients.groups import coherence_by_group
from cgpipe.pipeline.artifacts import Provenance, write_netcdf
from cgpipe.pipeline.progress import log
from cgpipe.pipeline.stages.inputs import each_run
from cgpipe.pipeline.stages.results import read_current


@dataclass(frozen=True)
class Spec:
    """The settings that this stage reads."""

    noise: float
    replicate: int


def run(
    spec: Spec | list[Spec],
    provenance: Provenance,
    *,
    contributions: Sequence[Path],
    coherence: Sequence[Path],
) -> None:
    """Read the sums over the groups of examples of each run, and write what follows from them."""
    for one, made, (given, out) in each_run(
        spec, provenance, contributions=contributions, coherence=coherence
    ):
        read = read_current(given, "contributions")
        result = coherence_by_group(read)
        title = f"Coherence of the gradients, {one.noise:.0%} noise, replicate {one.replicate}"
        write_netcdf(result, out, title=title, provenance=made.of(read))
        log.info("wrote %s: %d steps x %d groups", out, result.sizes["step"], result.sizes["group"])
