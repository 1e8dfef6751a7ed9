"""Runs made up by hand for the tests of claims and figures, and what the claims say of them."""

from typing import NamedTuple

import numpy as np
import xarray as xr

from cgpipe.inference.claims.claim import Runs
from cgpipe.inference.claims.registry import all_claims
from cgpipe.runs import Run

KINDS_OF_LAYERS = ["Conv2d", "GroupNorm", "Conv2d", "Linear", "Linear"]
HELDOUT_STEPS = [0, 1, 2, 3, 4, 10, 20, 21, 22, 23, 24, 40, 41, 42, 43, 44]
NOISE = (0.0, 0.25, 0.5, 0.75, 1.0)
DIMS = {
    **dict.fromkeys(("accuracy_training", "accuracy_test", "loss_training"), "step"),
    "correct": ("step", "example"),
    **dict.fromkeys(("learned_first", "learned_last", "label", "pristine"), "example"),
}


class Seen(NamedTuple):
    """A statistic of replicate 0, how far it is on the claim's side, and whether that is far enough."""

    value: float
    excess: float
    met: bool
    reason: str


def seen(name, runs, estimator=""):
    """What a claim says of replicate 0, by part."""
    (claim,) = (one for one in all_claims() if one.name == name)
    parts = [part for part in claim.parts(runs) if part.estimator == estimator]

    def of(part):
        value, reason = part.observed[0]
        excess = part.excess(value)
        met = abs(excess) < part.bound if part.rule == "within" else part.rule != "shown" and excess > 0
        return Seen(value, excess, met, reason)

    return {part.part: of(part) for part in parts}


def history(steps, **given):
    """A history of 20 examples, 12 of them pristine, with what is given; all others are ones or zeros."""
    n = len(steps)
    default = {
        **dict.fromkeys(("accuracy_training", "accuracy_test", "loss_training"), np.ones(n)),
        "correct": np.zeros((n, 20), bool),
        **dict.fromkeys(("learned_first", "learned_last"), np.zeros(20, np.int64)),
        "label": np.arange(20) % 10,
        "pristine": np.arange(20) < 12,
    }
    variables = {name: (DIMS[name], np.asarray(values)) for name, values in (default | given).items()}
    return xr.Dataset(variables, {"step": list(steps)}, {"classes": 10})


def right(*, pristine=0, corrupt=0, sizes=(12, 8)):
    """Which of so many examples are right at each step, from the number of each group."""
    pristine, corrupt = np.broadcast_arrays(np.atleast_1d(pristine), np.atleast_1d(corrupt))
    some, others = (np.arange(size) for size in sizes)
    return np.concatenate([some < pristine[:, None], others < corrupt[:, None]], axis=1)


def worlds(steps, product, *, energy=None, null=None, half=None, sizes=(12, 8)):
    """Null worlds, from `product` of shape (draw, step, group) and `null` of shape (draw, world, step)."""
    product = np.asarray(product, np.float64)
    variables = {
        "product": (("draw", "step", "group"), product),
        "energy": (
            ("draw", "step", "group"),
            np.ones_like(product) if energy is None else np.asarray(energy),
        ),
        "group_size": (("draw", "group"), np.tile(sizes, (len(product), 1))),
    }
    if null is not None:
        variables["null_product"] = ("draw", "null_world", "step"), np.asarray(null, np.float32)
    coords = {"step": list(steps), "group": ["pristine", "corrupt"]}
    if half is not None:
        coords["half"] = ("step", half)
    return xr.Dataset(variables, coords)


def bursts(steps, product, energy=None):
    """Bursts, from `product` of shape (step, group)."""
    of_groups = worlds(steps, [product], energy=None if energy is None else [energy])
    return of_groups[["product", "energy"]].squeeze("draw").rename(step="burst_step")


def of_levels(made, *, c=0, noise=NOISE):
    """Runs of replicate 0: `made` is a Dataset, or a function of the noise, or a list of one a level."""
    each = made if isinstance(made, list) else [made(level) if callable(made) else made for level in noise]
    return [Run(level, c, 0, data) for level, data in zip(noise, each, strict=True)]


def clipped(made):
    """Runs of winsorization: `made` is a history by c."""
    return Runs(winsorization=[run for c, data in made.items() for run in of_levels(data, c=c)])


def reasons(name, runs, estimator=""):
    """Why a claim cannot say, by part, of those parts that cannot."""
    return {part: one.reason for part, one in seen(name, runs, estimator).items() if one.reason}


def heldout_of(seed, kinds=KINDS_OF_LAYERS):
    """Sums of the gradients of training and of held-out examples, as of stage heldout."""
    rng = np.random.default_rng(seed)
    shape = (len(HELDOUT_STEPS), 2, 4)
    of_layers = {
        name: (("burst_step", "set", "group", "layer"), rng.uniform(1, 2, (*shape, len(kinds))))
        for name in ("squared_norm", "product", "energy")
    }
    of_groups = {
        name: (("burst_step", "set", "group"), rng.random(shape)) for name in ("loss", "accuracy", "cosine")
    }
    return xr.Dataset(
        {**of_layers, **of_groups, "size": (("burst_step", "set", "group"), np.full(shape, 7))},
        coords={
            "burst_step": HELDOUT_STEPS,
            "snapshot": ("burst_step", [0, 1, 2, 3, 4, 10, *[20] * 5, *[40] * 5]),
            "set": ["training", "held-out"],
            "group": ["all", "pristine", "corrupt", "near chance"],
            "layer_kind": ("layer", kinds),
        },
    )
