"""Artifacts and runs for the claims of the second paper, made up so that each statistic has a known value."""

import numpy as np
import xarray as xr

from cgpipe.inference.claims.registry import all_claims
from cgpipe.inference.mystery.runs import GM, Mystery, Roles
from cgpipe.inference.verdicts import Part
from cgpipe.runs import Run

MARKS = {2.0: 10, 1.0: 20, 0.5: 30, 0.1: -1}
SETS, GROUPS = ["training", "held-out"], ["all", "pristine", "corrupt", "near chance"]
STEPS = [*range(10), *(step + k for step in (10, 20, 30, 100) for k in range(5))]


def loss_at(step):
    """Training loss that is at the marks in their bursts, and does not come to 0.1."""
    return {0: 2.2, 1: 2.0, 2: 1.0, 3: 0.5}.get(step // 10, 0.2)


def heldout(coherence, kinds=("Conv2d", "Linear"), *, product=1.0, jitter=0.0, factor=None, loss=loss_at):
    """An artifact in which m-coherence of every layer is that of the step, by `coherence`.

    `factor` gives times as much to some of (set, group, place of the layer).
    """
    shape = (len(STEPS), len(SETS), len(GROUPS), len(kinds))
    of_step = np.array([coherence(step) for step in STEPS], float)[:, None, None, None]
    # Every burst has one outlier, which a median does not see.
    outlier = np.where(np.array(STEPS) % 10 == 3, jitter, 0)[:, None, None, None]
    energy = np.full(shape, 2.0)
    squared = (of_step + outlier) * energy
    for (of_set, group, layer), times in (factor or {}).items():
        squared[:, SETS.index(of_set), GROUPS.index(group), layer] *= times
    losses = np.full(shape[:3], 77.0)
    losses[:, 0, 0] = [loss(step) for step in STEPS]
    return xr.Dataset(
        {
            "squared_norm": (("burst_step", "set", "group", "layer"), squared),
            "energy": (("burst_step", "set", "group", "layer"), energy),
            "product": (("burst_step", "set", "group", "layer"), np.full(shape, product)),
            "size": (("burst_step", "set", "group"), np.full(shape[:3], 101)),
            "cosine": (("burst_step", "set", "group"), squared[..., 0] / 100),
            "loss": (("burst_step", "set", "group"), losses),
            "accuracy": (("burst_step", "set", "group"), np.zeros(shape[:3])),
        },
        coords={
            "burst_step": STEPS,
            "snapshot": ("burst_step", [step if step < 10 else step // 10 * 10 for step in STEPS]),
            "set": SETS,
            "group": GROUPS,
            "layer": [f"layer{k}" for k in range(len(kinds))],
            "layer_kind": ("layer", list(kinds)),
        },
    )


def history(
    *, correct=None, pristine=None, accuracy_test=(0.1, 0.5, 0.8, 0.7), correct_test=None, passed=None
):
    """A history of four logged steps and six examples, all pristine and right unless told otherwise."""
    steps = [0, 10, 20, 30]
    correct = np.ones((4, 6), bool) if correct is None else np.asarray(correct)
    correct_test = np.ones((4, 10), bool) if correct_test is None else np.asarray(correct_test)
    pristine = np.ones(correct.shape[1], bool) if pristine is None else np.asarray(pristine)
    passed = MARKS if passed is None else passed
    return xr.Dataset(
        {
            "accuracy_test": ("step", list(accuracy_test)),
            "accuracy_training": ("step", correct.mean(1)),
            "correct": (("step", "example"), correct),
            "correct_test": (("step", "test_example"), correct_test),
            "pristine": ("example", pristine),
            "label": ("example", np.arange(correct.shape[1]) % 2),
            "mark_step": ("mark", list(passed.values())),
        },
        coords={"step": steps, "mark": list(passed)},
        attrs={"classes": 10},
    )


def networks(real, random, **of) -> Mystery:
    """One network with real and random labels, in two replicates."""
    levels = {0.0: real, 1.0: random}
    runs = [(noise, replicate) for noise in levels for replicate in (0, 1)]
    return Mystery(
        Roles(networks=["net"]),
        history=[Run(noise, 0, r, history(), experiment="net") for noise, r in runs],
        heldout=[Run(noise, 0, r, heldout(levels[noise], **of), experiment="net") for noise, r in runs],
    )


def difficulty(easy, easy_test, step=10, right=None) -> Run:
    """What stage difficulty makes of three runs of `seeds`; hard examples are right in one."""
    made = xr.Dataset(
        {
            "index": ("example", 100 + np.arange(len(easy))),
            "right": ("example", np.where(easy, 3, 1) if right is None else np.asarray(right)),
            "easy": ("example", np.asarray(easy)),
            "easy_test": ("test_example", np.asarray(easy_test)),
        },
        attrs={"step": step, "runs": 3},
    )
    return Run(0.0, 0, -1, made, experiment="seeds")


def similarity(product, steps, label=(0, 0, 1, 1)) -> xr.Dataset:
    """Inner products of the gradients of a sample; pixels: 0 and 2, 1 and 3 are near."""
    pixels = np.resize([0, 3, 1, 4], len(label))
    made = {
        "product": (("burst_step", "example", "other_example"), np.asarray(product, float)),
        "pixel_distance": (("example", "other_example"), np.abs(np.subtract.outer(pixels, pixels))),
        "index": ("example", 100 + np.arange(len(label))),
        "label": ("example", list(label)),
        "true_label": ("example", np.resize([0, 0, 1, 1], len(label))),
    }
    return xr.Dataset(made, coords={"burst_step": list(steps), "snapshot": ("burst_step", list(steps))})


def twins(distance, variation, travelled=None) -> xr.Dataset:
    """Distances of a run and its twin, at three steps."""
    travelled = np.ones_like(distance, float) if travelled is None else travelled
    layers = ("step", "layer")
    return xr.Dataset(
        {
            "distance": (layers, distance),
            "travelled": (layers, travelled),
            "variation": ("step", variation),
        },
        coords={"step": [0, 9, 99], "layer": ["a", "b"]},
    )


def one(parts_of_claim, name) -> Part:
    """The part of a name."""
    (part,) = (part for part in parts_of_claim if part.part == name)
    return part


def claim_of(name, runs) -> list[Part]:
    """The parts of a claim."""
    (claim,) = (claim for claim in all_claims(GM) if claim.name == name)
    return claim.parts(runs)


def values(part) -> dict[int, float]:
    """What was observed, by replicate."""
    return {replicate: value for replicate, (value, _) in part.observed.items()}


def reason(part, replicate=0) -> str:
    """Why nothing was observed."""
    return part.observed[replicate].reason
