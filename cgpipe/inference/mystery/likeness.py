"""Claim about which examples are alike in the state of a network, G13."""

from collections.abc import Iterator
from functools import partial

import xarray as xr

from cgpipe.inference import similarity
from cgpipe.inference.claims.statistics import Floats
from cgpipe.inference.mystery import marks
from cgpipe.inference.mystery.marks import REAL, Bools
from cgpipe.inference.mystery.runs import Mystery, claim
from cgpipe.inference.verdicts import Part


@claim("G13", "likeness of gradients develops from alike in pixels to alike in class")
def likeness(runs: Mystery) -> Iterator[Part]:
    """Real labels. Late: the last mark of the training loss that was passed."""
    name = runs.roles.similarity
    for part, statistic, value in (
        (
            "closer than pixels",
            "share of examples whose nearest by gradient has their class, less that by pixels, late",
            nearest_over_pixels,
        ),
        (
            "grows",
            "share of examples whose nearest by gradient has their class, late less at the start",
            nearest_grows,
        ),
        (
            "less of pixels",
            "rank correlation of cosine with closeness in pixels, at the start less late",
            pixels_fade,
        ),
    ):
        yield Part(
            part=part,
            statistic=statistic,
            rule="above",
            bound=0,
            observed=runs.each_replicate(name, partial(value, name=name)),
            details="median over a burst of steps; start: steps 0 to 4",
        )


def nearest_over_pixels(runs: Mystery, name: str) -> float:
    """Share of the own class among nearest neighbours, by gradient less by pixels."""
    made = runs.find("similarity", name, REAL)
    by_pixels = float(similarity.same_class_neighbours(-made["pixel_distance"].values, made["label"].values))
    return late(runs, made, of_same_class) - by_pixels


def nearest_grows(runs: Mystery, name: str) -> float:
    """How much that share grows."""
    made = runs.find("similarity", name, REAL)
    return late(runs, made, of_same_class) - marks.median(of_same_class, made, marks.start(made))


def pixels_fade(runs: Mystery, name: str) -> float:
    """How much the rank correlation of cosines with closeness in pixels falls."""
    made = runs.find("similarity", name, REAL)
    return marks.median(with_pixels, made, marks.start(made)) - late(runs, made, with_pixels)


def late(runs: Mystery, made: xr.Dataset, curve: marks.Curve) -> float:
    """Median of a curve at the last mark that was passed."""
    steps = marks.passed(runs.find("history", runs.roles.similarity, REAL)).values()
    return marks.median(curve, made, marks.burst_from(made, max(steps, default=-1)))


def of_same_class(made: xr.Dataset, steps: Bools) -> Floats:
    """Share of the examples whose nearest neighbour by cosine has their class."""
    cosines = similarity.cosines(made["product"].values[steps])
    return similarity.same_class_neighbours(cosines, made["label"].values)


def with_pixels(made: xr.Dataset, steps: Bools) -> Floats:
    """Rank correlation over pairs of cosine with closeness in pixels."""
    cosines = similarity.cosines(made["product"].values[steps])
    return -similarity.rank_correlation(cosines, made["pixel_distance"].values)
