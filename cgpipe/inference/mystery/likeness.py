"""Claim about which examples are alike in the state of a network, G13.

A gradient knows the label that its example is trained on, so gradients of one label are alike from the first
step on, and with random labels too. What a network has learned shows among the pairs of one label: at real
labels in whether pixels still decide, at 50 % noise in whether the true class does, which training hides.
"""

from collections.abc import Iterator
from functools import partial

import numpy as np
import xarray as xr

from cgpipe.inference import similarity
from cgpipe.inference.claims.statistics import Floats
from cgpipe.inference.mystery import marks
from cgpipe.inference.mystery.examples import HALF
from cgpipe.inference.mystery.marks import RANDOM, REAL, Bools, Curve
from cgpipe.inference.mystery.runs import Mystery, claim, contrast
from cgpipe.inference.verdicts import Part

DETAILS = "pairs of one label; median over a burst of steps, mean over the marks; start: step 0"


@claim("G13", "likeness of gradients develops from alike in pixels to alike in class")
def likeness(runs: Mystery) -> Iterator[Part]:
    """Of a sample of the training examples.

    The likeness by pixels is lost with random labels, too, as memorized examples have gradients of their own.
    So it is shown, and what is judged is the likeness by class.
    """
    name = runs.roles.similarity
    lost = "rank correlation of cosine with closeness in pixels, at the start less along training"
    for noise, labels in ((REAL, "real"), (RANDOM, "random")):
        yield Part(
            part=f"less of pixels, {labels} labels",
            statistic=lost,
            rule="shown",
            bound=0,
            observed=runs.each_replicate(
                name,
                contrast(
                    *(partial(of, name=name, noise=noise, curve=with_pixels) for of in (at_start, along))
                ),
            ),
            details=DETAILS,
        )
    yield Part(
        part="class behind the label",
        statistic="mean cosine of pairs of one true class less that of others, 50 % noise",
        rule="above",
        bound=0,
        observed=runs.each_replicate(name, partial(along, name=name, noise=HALF, curve=of_true_class)),
        details=DETAILS,
    )
    yield Part(
        part="more of class",
        statistic="the same, along training less at the start",
        rule="above",
        bound=0,
        observed=runs.each_replicate(
            name,
            contrast(*(partial(of, name=name, noise=HALF, curve=of_true_class) for of in (along, at_start))),
        ),
        details=DETAILS,
    )
    yield Part(
        part="nearest by gradient",
        statistic="share of examples whose nearest has their label, real labels",
        rule="shown",
        observed=runs.each_replicate(name, partial(along, name=name, noise=REAL, curve=nearest)),
        details="mean over the marks",
    )
    yield Part(
        part="nearest by pixels",
        statistic="share of examples whose nearest has their label, real labels",
        rule="shown",
        observed=runs.each_replicate(name, partial(nearest_by_pixels, name=name)),
        details="mean over the marks",
    )


def at_start(runs: Mystery, name: str, noise: float, curve: Curve) -> float:
    """Median of a curve at the start."""
    made = runs.find("similarity", name, noise)
    return marks.median(curve, made, marks.start(made))


def along(runs: Mystery, name: str, noise: float, curve: Curve) -> float:
    """Mean over the marks of the medians of a curve."""
    made, history = (runs.find(kind, name, noise) for kind in ("similarity", "history"))
    return marks.mean_over_marks(curve, made, history)


def with_pixels(made: xr.Dataset, steps: Bools) -> Floats:
    """Rank correlation of cosine with closeness in pixels, over the pairs of one label."""
    cosines = np.where(of_one_label(made), similarity.cosines(made["product"].values[steps]), np.nan)
    return similarity.rank_correlation(cosines, -made["pixel_distance"].values)


def of_true_class(made: xr.Dataset, steps: Bools) -> Floats:
    """Mean cosine of the pairs of one true class less that of the others, over the pairs of one label."""
    cosines = np.where(of_one_label(made), similarity.cosines(made["product"].values[steps]), np.nan)
    within, between = similarity.within_and_between(cosines, made["true_label"].values)
    return within - between


def nearest(made: xr.Dataset, steps: Bools) -> Floats:
    """Share of the examples whose nearest by gradient has their label."""
    cosines = similarity.cosines(made["product"].values[steps])
    return similarity.same_class_neighbours(cosines, made["label"].values)


def nearest_by_pixels(runs: Mystery, name: str) -> float:
    """Share of the examples whose nearest by pixels has their label."""
    made = runs.find("similarity", name, REAL)
    return float(similarity.same_class_neighbours(-made["pixel_distance"].values, made["label"].values))


def of_one_label(made: xr.Dataset) -> Bools:
    """Which pairs are trained on one label."""
    label = made["label"].values
    return np.asarray(label[:, None] == label)
