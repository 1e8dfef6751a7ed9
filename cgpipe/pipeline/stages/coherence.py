"""Stage `coherence`: how far gradients agree, by group of examples and part of the network."""

from dataclasses import dataclass
from pathlib import Path

from cgpipe.gradients.groups import coherence_by_group
from cgpipe.pipeline.artifacts import Provenance, write_netcdf
from cgpipe.pipeline.progress import log
from cgpipe.pipeline.stages.inputs import read_current


@dataclass(frozen=True)
class Spec:
    """The settings that this stage reads."""

    noise: float
    replicate: int


def run(spec: Spec, provenance: Provenance, *, contributions: Path, coherence: Path) -> None:
    """Read the sums over the groups of examples, and write what follows from them."""
    read = read_current(contributions, "contributions")
    result = coherence_by_group(read)
    title = f"Coherence of the gradients, {spec.noise:.0%} noise, replicate {spec.replicate}"
    write_netcdf(result, coherence, title=title, provenance=provenance.of(read))
    log.info("wrote %s: %d steps x %d groups", coherence, result.sizes["step"], result.sizes["group"])
