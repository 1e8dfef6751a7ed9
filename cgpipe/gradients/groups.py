"""Coherence of groups of examples, over a training run and by part of the network."""

from typing import Any

import numpy as np
import xarray as xr

from cgpipe.gradients.coherence import (
    alpha,
    cosine_between,
    gradient_diversity,
    m_coherence,
    noise_scale,
    pair_coherence,
)
from cgpipe.gradients.contributions import Floats

# Groups of examples, by the coordinates of the groups of `measure_contributions` that they unite.
GROUPS: dict[str, dict[str, bool]] = {
    "all": {},
    "pristine": {"group_pristine": True},
    "corrupt": {"group_pristine": False},
    "not learned": {"group_learned": False},
    "pristine, not learned": {"group_pristine": True, "group_learned": False},
    "corrupt, not learned": {"group_pristine": False, "group_learned": False},
}


def coherence_by_group(contributions: xr.Dataset) -> xr.Dataset:
    """Coherence over a training run, by group of examples and part of the network.

    Parameters
    ----------
    contributions : Dataset
        As `measure_contributions` returns it.

    Returns
    -------
    Dataset
        Over step, group and part (`network`, `layer 0`, …): `m_coherence`, `alpha`, `pair_coherence`,
        `gradient_diversity`, `noise_scale` (examples), and the sums that they follow from, `squared_norm`
        and `energy` (nats²). Over step and group: `loss`, the mean in nats, and `size`. Over step and part:
        `cosine` between the summed gradients of the pristine and of the corrupt examples.
        `sign_stiffness` and `cosine_stiffness` as given. NaN where a group is empty or all its gradients
        are zero.

    Examples
    --------
    Two groups of one example each; their gradients, 3 and 4 long, are orthogonal.

    >>> import numpy as np
    >>> contributions = xr.Dataset(
    ...     {
    ...         "gram": (("step", "layer", "group", "other_group"), [[[[9.0, 0.0], [0.0, 16.0]]]]),
    ...         "energy": (("step", "layer", "group"), [[[9.0, 16.0]]]),
    ...         "loss": (("step", "group"), [[0.5, 1.5]]),
    ...         "size": (("step", "group"), [[1, 1]]),
    ...         "sign_stiffness": (("step", "pair"), [[0.0]]),
    ...         "cosine_stiffness": (("step", "pair"), [[0.0]]),
    ...     },
    ...     coords={
    ...         "step": [0],
    ...         "layer": [0],
    ...         "group_pristine": ("group", [True, False]),
    ...         "group_learned": ("group", [False, False]),
    ...     },
    ... )
    >>> coherence = coherence_by_group(contributions).sel(step=0)
    >>> coherence["m_coherence"].sel(group="all", part="network").item()
    1.0
    >>> coherence["loss"].sel(group=["all", "pristine", "corrupt"]).values.tolist()
    [1.0, 0.5, 1.5]
    """
    member = np.ones((len(GROUPS), contributions.sizes["group"]))
    for row, conditions in zip(member, GROUPS.values(), strict=True):
        for flag, wanted in conditions.items():
            row *= contributions[flag].values == wanted
    # (step, group, part), the whole network first.
    between = np.einsum("tlkq,gk,hq->tghl", contributions["gram"].values, member, member)  # of two groups
    squared = _with_network(np.einsum("tggl->tgl", between))
    squared = np.maximum(squared, 0)  # below it by rounding alone
    energy = _with_network(np.einsum("tlk,gk->tgl", contributions["energy"].values, member))
    size = np.einsum("tk,gk->tg", contributions["size"].values, member)
    with np.errstate(invalid="ignore"):
        loss = np.einsum("tk,gk->tg", contributions["loss"].values, member) / size
    pristine, corrupt = list(GROUPS).index("pristine"), list(GROUPS).index("corrupt")
    product = _with_network(between[:, pristine, [corrupt]])[:, 0]
    cosine = cosine_between(product, squared[:, pristine], squared[:, corrupt])
    m, dims = size[:, :, None], ("step", "group", "part")
    of_pairs = "coherence over the pairs of different examples alone"
    of_sums = "cosine between the summed gradients of the pristine and of the corrupt examples"
    described = {
        "m_coherence": (dims, m_coherence(squared, energy), "m-coherence"),
        "alpha": (dims, alpha(squared, energy, m), "coherence α"),
        "pair_coherence": (dims, pair_coherence(squared, energy, m), of_pairs),
        "gradient_diversity": (dims, gradient_diversity(squared, energy), "gradient diversity"),
        "noise_scale": (dims, noise_scale(squared, energy, m), "simple gradient noise scale, examples"),
        "squared_norm": (dims, squared, "squared norm of the group's summed gradient, nats²"),
        "energy": (dims, energy, "sum of the squared norms of the group's gradients, nats²"),
        "loss": (dims[:2], loss, "mean loss of the group, nats"),
        "size": (dims[:2], size.astype(np.int64), "examples in the group"),
        "cosine": (("step", "part"), cosine, of_sums),
    }
    variables: dict[str, Any] = {
        name: (over, values, {"long_name": meaning, "units": "1"})
        for name, (over, values, meaning) in described.items()
    }
    given = {name: contributions[name] for name in ("sign_stiffness", "cosine_stiffness")}
    parts = ["network", *(f"layer {number}" for number in contributions["layer"].values)]
    which = "which training examples; learned: classified as trained at the step"
    return xr.Dataset(
        variables | given,
        coords={
            "step": contributions["step"],
            "group": ("group", list(GROUPS), {"long_name": which}),
            "part": ("part", parts, {"long_name": "of which parameters: the network's, or a layer's"}),
        },
    )


def _with_network(layers: Floats) -> Floats:
    """Sums of the layers, (step, group, layer), behind that of all layers."""
    return np.concatenate([layers.sum(2, keepdims=True), layers], axis=2)
