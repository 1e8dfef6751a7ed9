"""What winsorizing a minibatch clips: whose gradients, how much of the update, and in which direction.

Index letters: n minibatch, b example of it, c level of winsorization, k group of examples, v vector:
winsorized gradients, then gradients of groups.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr

from cgpipe.gradients.coherence import cosine_between
from cgpipe.gradients.contributions import Floats, mask
from cgpipe.gradients.population import group_gradients
from cgpipe.networks.given import NetworkLike, network_of
from cgpipe.networks.network import Network, Parameters
from cgpipe.networks.per_example.base import rows

# Per-example gradients in memory at once.
VALUES_AT_ONCE = 2**22
GROUPS = ("pristine", "corrupt")
# What the winsorized gradient of a minibatch is compared with: the mean of the minibatch, and sums.
OTHERS = ("minibatch", "all", *GROUPS)


def measured_step(step: int) -> bool:
    """Whether a step is measured, to bound the cost: 0 to 10, and 1, 2 and 5 times powers of ten.

    Examples
    --------
    >>> [step for step in (9, 10, 20, 30, 50, 100, 4_000, 5_000) if measured_step(step)]
    [9, 10, 20, 50, 100, 5000]
    """
    return step <= 10 or str(step).rstrip("0") in ("1", "2", "5")


class Clipped(NamedTuple):
    """The per-example values of some parameters of a minibatch, winsorized at several levels c."""

    mean: torch.Tensor  # (c, ...), mean of the clipped values, float64
    changed: Floats  # (c, k), values that clipping changes, of pristine and of corrupt examples
    zero: Floats  # (c,), parameters all of whose clipped values are 0


def clip(values: torch.Tensor, corrupt: torch.Tensor, levels: Sequence[int]) -> Clipped:
    """Clip the c smallest and the c largest values of each parameter, and see whose they are.

    Parameters
    ----------
    values : tensor of float, shape (..., example)
        Per-example gradients of some parameters.
    corrupt : tensor of bool, shape (example,)
        Whether the examples are corrupt.
    levels : sequence of int
        Levels c, each with 2c below the number of examples.

    Returns
    -------
    Clipped
        A value that equals its bound is not changed.

    Examples
    --------
    Of 0, 1, 2, 3 and 4 the first becomes 1, and the last, that of a corrupt example, 3:

    >>> values, corrupt = torch.tensor([[0.0, 1, 2, 3, 4]]), torch.arange(5) == 4
    >>> clipped = clip(values, corrupt, [0, 1])
    >>> clipped.mean.flatten().tolist(), clipped.changed.tolist()
    ([2.0, 2.0], [[0.0, 0.0], [1.0, 1.0]])
    """
    values = values.double()  # a mean is what is left of the sum without what was clipped, which may be all
    means = values.mean(-1).repeat(len(levels), *[1] * (values.ndim - 1))  # (c, ...)
    changed = np.zeros((len(levels), len(GROUPS)))
    all_zero = torch.ones_like(means, dtype=torch.bool)
    for largest in (True, False):
        extreme, which = values.topk(max(levels) + 1, -1, largest)  # (..., c + 1)
        is_corrupt = corrupt[which]
        for k, c in enumerate(levels):
            beyond = extreme[..., :c] - extreme[..., c : c + 1]  # 0 where a value equals the bound
            means[k] -= beyond.sum(-1) / values.shape[-1]
            of_corrupt = int((beyond != 0).logical_and_(is_corrupt[..., :c]).sum())
            changed[k] += int(beyond.count_nonzero()) - of_corrupt, of_corrupt
            all_zero[k] &= extreme[..., c] == 0
    means[all_zero] = 0  # of the sum of what was clipped, rounding would be left
    return Clipped(means, changed, all_zero.flatten(1).sum(1).double().cpu().numpy())


class Measured(NamedTuple):
    """Winsorized gradients of minibatches, at one network and over all parameters."""

    gram: Floats  # (v, v), inner products of the gradients, by minibatch and level, and of the groups' means
    changed: Floats  # (n, c, k)
    zero: Floats  # (n, c), parameters


def measure(
    network: Network,
    batches: Sequence[tuple[torch.Tensor, torch.Tensor, torch.Tensor]],
    groups: Sequence[Parameters],
    levels: Sequence[int],
) -> Measured:
    """Winsorize the gradients of minibatches, some parameters of a layer at a time.

    Parameters
    ----------
    network : Network
        The network.
    batches : sequence of tuples of tensors
        Images, labels and whether they are corrupt, of the examples of each minibatch.
    groups : sequence of mappings from str to tensor
        Gradients of the groups by layer and parameter, with a first axis of groups, as of `group_gradients`.
    levels : sequence of int
        Levels c.

    Returns
    -------
    Measured
        The sums of the groups as given; winsorized gradients at the scale of one example.
    """
    passes = [network.pass_examples(images, labels).layers for images, labels, _ in batches]
    corrupt = [of for _, _, of in batches]
    vectors = len(batches) * len(levels) + len(GROUPS)
    gram = torch.zeros(vectors, vectors, dtype=torch.float64, device=corrupt[0].device)
    changed = np.zeros((len(batches), len(levels), len(GROUPS)))
    zero = np.zeros((len(batches), len(levels)))
    for of_groups, *of_batches in zip(groups, *passes, strict=True):
        for tiles in zip(*(layer.tiles(VALUES_AT_ONCE) for layer in of_batches), strict=True):
            name, index = tiles[0].name, tiles[0].index
            of_batches = []
            for n, tile in enumerate(tiles):
                values = rows(tile.gradients)  # (b, parameter)
                used = values.any(0)  # many pixels are 0 in all of the images, and so are the gradients
                clipped = clip(values[:, used].T.contiguous(), corrupt[n], levels)
                means = clipped.mean.new_zeros(len(levels), len(used))
                means[:, used] = clipped.mean
                of_batches.append(means)
                changed[n] += clipped.changed
                zero[n] += clipped.zero + int((~used).sum())
            of_batches.append(rows(of_groups[name][(slice(None), *index)]))
            every = torch.cat(of_batches)  # (v, parameter)
            gram += every @ every.T
    return Measured(gram.cpu().numpy(), changed, zero)


@torch.no_grad()
def measure_clipping(
    snapshots: Iterable[tuple[int, NetworkLike]],
    images: torch.Tensor,
    labels: torch.Tensor,
    pristine: npt.NDArray[np.bool_],
    *,
    levels: Sequence[int],
    batches: int,
    batch_size: int,
    rng: np.random.Generator,
) -> xr.Dataset:
    """What winsorizing clips of random minibatches, over a training run and all parameters.

    Parameters
    ----------
    snapshots : iterable of (int, network)
        Updates made, and the network then; at least one.
    images : tensor of float, shape (example, ...)
        All training examples.
    labels : tensor of int, shape (example,)
        The labels they are trained on.
    pristine : array of bool, shape (example,)
        Whether the label is the true one.
    levels : sequence of int
        Levels c of winsorization above 0; 2c below the size of a minibatch.
    batches : int
        Minibatches to sample, once for all steps; at least 2.
    batch_size : int
        Examples of each, sampled without replacement.
    rng : numpy.random.Generator
        Samples them.

    Returns
    -------
    Dataset
        Over step, batch and winsor (0 and the levels): `changed`, how many of the per-example gradients of
        all parameters clipping changes, by group; `odds`, the odds that one of these is of a corrupt example
        over those that an example of the minibatch is corrupt; `zero`, the share of the parameters all of
        whose clipped gradients are 0; `norm_ratio`, ‖ĝ_c‖/‖ĝ_0‖; `cosine`, between ĝ_c and others: the mean
        ĝ_0 of the minibatch, and the sums g, g^p and g^c. Over step and winsor: `squared_bias`,
        ‖E ĝ_c - g/m‖² over ‖g/m‖². Over batch: `size`, examples by group. NaN where a gradient is 0, nothing
        is changed or a group is empty.

    Raises
    ------
    ValueError
        If there are fewer than 2 minibatches, 2c is not below their size, or that is above the number of
        examples.

    Examples
    --------
    >>> import numpy as np
    >>> from cgpipe.networks.dense import initial_layers
    >>> rng = np.random.default_rng(0)
    >>> layers = initial_layers([5, 4, 3], "xavier", rng)
    >>> images, labels = torch.rand(40, 5), torch.arange(40) % 3
    >>> pristine = np.arange(40) < 20
    >>> found = measure_clipping(
    ...     [(0, layers)], images, labels, pristine, levels=[1, 2], batches=3, batch_size=10, rng=rng
    ... )
    >>> found["norm_ratio"].shape, found["winsor"].values.tolist()
    ((1, 3, 3), [0, 1, 2])
    """
    m = len(images)
    pristine = mask(pristine, m)
    if batches < 2:
        raise ValueError(f"{batches} minibatches: give at least 2, whose gradients are compared for the bias")
    if not 2 * max(levels) < batch_size <= m:
        raise ValueError(
            f"levels {list(levels)}, minibatches of {batch_size} and {m} examples: give levels c with 2c "
            "below the size of a minibatch, and minibatches of at most all examples"
        )
    chosen = np.stack([np.sort(rng.choice(m, batch_size, replace=False)) for _ in range(batches)])  # (n, b)
    corrupt = torch.from_numpy(~pristine).to(images.device)
    minibatches = [(images[of], labels[of], corrupt[of]) for of in map(torch.from_numpy, chosen)]
    size = np.stack([pristine[chosen].sum(1), (~pristine[chosen]).sum(1)], axis=1)  # (n, k)
    every = [0, *levels]
    steps: list[int] = []
    found: dict[str, list[Any]] = {}
    for step, given in snapshots:
        network = network_of(given, images)
        steps.append(step)
        sums = group_gradients(network, images, labels, lambda _, part: corrupt[part].long(), len(GROUPS))
        measured = measure(network, minibatches, sums.layers, every)
        parameters = sum(p.numel() for of in network.parameters() for p in of.values())
        of_step = {
            "changed": measured.changed,
            "odds": odds_ratio(measured.changed, size[:, None]),
            "zero": measured.zero / parameters,
            **compared(measured.gram, batches, len(every), m),
        }
        for name, value in of_step.items():
            found.setdefault(name, []).append(value)
    described = {
        "changed": ("group", "per-example gradients of all parameters that clipping changes, by group"),
        "odds": (
            None,
            "odds that a gradient that is changed is a corrupt example's, over those of an example",
        ),
        "zero": (None, "share of the parameters all of whose clipped gradients are 0"),
        "norm_ratio": (None, "norm of the winsorized gradient over that of the mean of the minibatch"),
        "cosine": ("other", "cosine between the winsorized gradient and another"),
    }
    variables: dict[str, Any] = {
        name: (
            ("step", "batch", "winsor", *([last] if last else [])),
            np.stack(found[name]),
            {"long_name": of},
        )
        for name, (last, of) in described.items()
    }
    of_bias = "squared norm of the bias of the winsorized gradient, over that of the mean of all gradients"
    variables["squared_bias"] = (("step", "winsor"), np.stack(found["squared_bias"]), {"long_name": of_bias})
    variables["size"] = (("batch", "group"), size, {"long_name": "examples of the minibatch, by group"})
    for _, _, attributes in variables.values():
        attributes["units"] = "1"
    others = {"long_name": "mean of the minibatch, or sum over all examples or a group"}
    return xr.Dataset(
        variables,
        coords={
            "step": ("step", steps, {"long_name": "updates made", "units": "1"}),
            "winsor": ("winsor", every, {"long_name": "values clipped on each side", "units": "1"}),
            "group": ("group", list(GROUPS), {"long_name": "designation of the examples"}),
            "other": ("other", list(OTHERS), others),
        },
    )


def odds_ratio(changed: npt.ArrayLike, size: npt.ArrayLike) -> Floats:
    """Odds of being corrupt among what is changed over those among the examples; both (..., group).

    Examples
    --------
    >>> odds_ratio([10, 20], [60, 40]).round(3).tolist()
    3.0
    """
    pristine, corrupt = np.moveaxis(np.asarray(changed, np.float64), -1, 0)
    of_pristine, of_corrupt = np.moveaxis(np.asarray(size, np.float64), -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((corrupt / pristine) / (of_corrupt / of_pristine))


def compared(gram: Floats, batches: int, levels: int, m: int) -> dict[str, Floats]:
    """Norms, cosines and bias from the inner products of `Measured`.

    Parameters
    ----------
    gram : array of float64, shape (v, v)
        As of `measure`; the first level is 0.
    batches, levels : int
        How many there are.
    m : int
        All examples.

    Returns
    -------
    dict from str to array of float64
        `norm_ratio` (n, c), `cosine` (n, c, other) and `squared_bias` (c,). That is the mean of ⟨d_n, d_n'⟩
        over the pairs of different minibatches, d = ĝ_c - ĝ_0, as ‖d‖² itself has their variance too. It may
        be negative by chance.
    """
    of_batches = batches * levels
    between = gram[:of_batches, :of_batches].reshape(batches, levels, batches, levels)  # (n, c, n', c')
    to_groups = gram[:of_batches, of_batches:].reshape(batches, levels, len(GROUPS))  # (n, c, k)
    groups = gram[of_batches:, of_batches:]
    squared = np.einsum("ncnc->nc", between)
    with_plain = np.einsum("ncn->nc", between[..., 0])
    products = [with_plain, to_groups.sum(2), *np.moveaxis(to_groups, 2, 0)]
    norms = [squared[:, :1], groups.sum(), *np.diag(groups)]
    cosines = [cosine_between(p, squared, s) for p, s in zip(products, norms, strict=True)]
    # ⟨d_n, d_n'⟩ of each level.
    d = np.stack(
        [
            between[:, c, :, c] - between[:, c, :, 0] - between[:, 0, :, c] + between[:, 0, :, 0]
            for c in range(levels)
        ]
    )  # (c, n, n')
    different = d.sum((1, 2)) - np.einsum("cnn->c", d)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "norm_ratio": np.sqrt(squared / squared[:, :1]),
            "cosine": np.stack(cosines, axis=2),
            "squared_bias": different / (batches * (batches - 1)) / (groups.sum() / m**2),
        }
