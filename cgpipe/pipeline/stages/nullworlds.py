"""Stage `nullworlds`: f and i in the data and in null worlds (Chatterjee 2020, section 2.4)."""

from dataclasses import dataclass
from pathlib import Path

from threadpoolctl import threadpool_info, threadpool_limits

from cgpipe.gradients.contributions import terms
from cgpipe.inference.groups import null_worlds
from cgpipe.names import Source
from cgpipe.pipeline.artifacts import Provenance, write_netcdf
from cgpipe.pipeline.progress import log
from cgpipe.pipeline.stages.results import read_current
from cgpipe.pipeline.streams import stream


@dataclass(frozen=True)
class Spec:
    """The settings that this stage reads."""

    count: int
    level: float
    noise: float
    replicate: int
    seed: int
    shown: int
    # `sampled`: examples and weights of stage gradients; `exact`: all of them, from stage contributions;
    # `displacement`: all of them over two epochs, from the stage of that name.
    source: Source


STAGES: dict[Source, str] = {
    "sampled": "gradients",
    "exact": "contributions",
    "displacement": "displacement",
}


def run(
    spec: Spec, provenance: Provenance, *, source: Path, bursts: Path | None = None, nullworlds: Path
) -> None:
    """Group contributions in the data and in every null world, and what the worlds say of the data."""
    read = read_current(source, STAGES[spec.source])
    made = provenance.of(read)
    threads = max((library["num_threads"] for library in threadpool_info()), default=1)
    # The threads of a job are at work on blocks of worlds, and not on the parts of a product.
    with threadpool_limits(1):
        result = null_worlds(
            *terms(read),
            read["step"].values,
            labels=read["label"].values if "label" in read else None,
            worlds=spec.count,
            shown=spec.shown,
            level=spec.level,
            rng=stream(spec.seed, "nullworlds", spec.replicate),
            threads=threads,
        )
    if "half" in read:
        result = result.assign_coords(half=read["half"])
    if bursts is not None:
        of_bursts = read_current(bursts, "bursts")
        made = made.of(of_bursts)
        result = result.assign(burst_product=of_bursts["product"])
    pristine, corrupt = result["group_size"].values[0]
    if not (pristine and corrupt) and 0 < spec.noise < 1:
        more = "Sample more examples (gradients.examples), or take" if spec.source == "sampled" else "Take"
        log.warning(
            "%s: of %d examples %d are pristine and %d corrupt, so there is nothing to permute, and null "
            "worlds and p-values are undefined. %s a noise level further from 0 and 1",
            *(source, pristine + corrupt, pristine, corrupt, more),
        )
    title = (
        f"f and i in the data and in null worlds, {spec.source}, {spec.noise:.0%} noise, "
        f"replicate {spec.replicate}"
    )
    write_netcdf(result, nullworlds, title=title, provenance=made)
    log.info("wrote %s: %d null worlds", nullworlds, spec.count)
