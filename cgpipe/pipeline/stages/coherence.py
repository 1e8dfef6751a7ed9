"""Stage `coherence`: how far gradients agree, by group of examples and part of the network."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from cgpipe.gradients.coherence import alpha, gradient_diversity, m_coherence, noise_scale, pair_coherence
from cgpipe.gradients.groups import cosine_between
from cgpipe.pipeline.artifacts import Provenance, write_netcdf
from cgpipe.pipeline.progress import log
from cgpipe.pipeline.stages.inputs import read_current

GROUPS = ["all", "pristine", "corrupt", "not learned", "pristine, not learned", "corrupt, not learned"]


@dataclass(frozen=True)
class Spec:
    """The settings that this stage reads."""

    noise: float
    replicate: int


def run(spec: Spec, provenance: Provenance, *, contributions: Path, coherence: Path) -> None:
    """Sum the cells of examples to groups, and take what follows from the sums."""
    cells = read_current(contributions, "contributions")
    result = of_groups(cells)
    title = f"Coherence of the gradients, {spec.noise:.0%} noise, replicate {spec.replicate}"
    write_netcdf(result, coherence, title=title, provenance=provenance.of(cells))
    log.info("wrote %s: %d steps x %d groups", coherence, result.sizes["step"], result.sizes["group"])


def of_groups(cells: xr.Dataset) -> xr.Dataset:
    """Coherence and its companions from the artifact of stage `contributions`."""
    member = np.array([[belongs(cell, group) for cell in cells["cell"].values] for group in GROUPS], float)
    # (step, group, part), the whole network first.
    between = np.einsum("tlkq,gk,hq->tghl", cells["gram"].values, member, member)  # of two groups
    squared = with_network(np.einsum("tggl->tgl", between))
    squared = np.maximum(squared, 0)  # below it by rounding alone
    energy = with_network(np.einsum("tlk,gk->tgl", cells["energy"].values, member))
    size = np.einsum("tk,gk->tg", cells["size"].values, member)
    with np.errstate(invalid="ignore"):
        loss = np.einsum("tk,gk->tg", cells["loss"].values, member) / size
    m = size[:, :, None]
    dims = ("step", "group", "part")
    described = {
        "m_coherence": (dims, m_coherence(squared, energy), "m-coherence", "1"),
        "alpha": (dims, alpha(squared, energy, m), "coherence α", "1"),
        "pair_coherence": (
            dims,
            pair_coherence(squared, energy, m),
            "coherence over the pairs of different examples alone",
            "1",
        ),
        "gradient_diversity": (dims, gradient_diversity(squared, energy), "gradient diversity", "1"),
        "noise_scale": (dims, noise_scale(squared, energy, m), "simple gradient noise scale, examples", "1"),
        "squared_norm": (dims, squared, "squared norm of the group's summed gradient, nats²", "1"),
        "energy": (dims, energy, "sum of the squared norms of the group's gradients, nats²", "1"),
        "loss": (dims[:2], loss, "mean loss of the group, nats", "1"),
        "size": (dims[:2], size.astype(np.int64), "examples in the group", "1"),
    }
    pristine, corrupt = GROUPS.index("pristine"), GROUPS.index("corrupt")
    product = with_network(between[:, pristine, [corrupt]])[:, 0]
    described["cosine"] = (
        ("step", "part"),
        cosine_between(product, squared[:, pristine], squared[:, corrupt]),
        "cosine between the summed gradients of the pristine and of the corrupt examples",
        "1",
    )
    parts = ["network", *(f"layer {number}" for number in cells["layer"].values)]
    return xr.Dataset(
        {
            **{
                name: (of, values, {"long_name": meaning, "units": units})
                for name, (of, values, meaning, units) in described.items()
            },
            "sign_stiffness": cells["sign_stiffness"],
            "cosine_stiffness": cells["cosine_stiffness"],
        },
        coords={
            "step": cells["step"],
            "group": (
                "group",
                GROUPS,
                {"long_name": "which training examples; learned: classified as trained at the step"},
            ),
            "part": ("part", parts, {"long_name": "of which parameters, layers from 0 at the input"}),
        },
    )


def belongs(cell: str, group: str) -> bool:
    """Whether the examples of a cell, `pristine, learned` say, are in a group."""
    return group == "all" or set(group.split(", ")) <= set(cell.split(", "))


def with_network(of_layers: np.ndarray) -> np.ndarray:
    """Sums of the layers, (step, group, layer), behind that of all layers."""
    return np.concatenate([of_layers.sum(2, keepdims=True), of_layers], axis=2)
