"""Cosines between the gradients of examples: alike by class, or by pixels (Chatterjee 2020, section 5)."""

from collections.abc import Sequence
from itertools import cycle, pairwise
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cgpipe.figures.style import (
    DASHED,
    DOTTED,
    LineStyle,
    Style,
    curve,
    legend,
    log_steps,
    new_figure,
    note,
    replicates_note,
)
from cgpipe.figures.summary import each_replicate, summarise
from cgpipe.figures.words import labels
from cgpipe.inference.similarity import cosines, similarity_curves
from cgpipe.names import BURST
from cgpipe.runs import Run

SHOWN = 8  # examples of each class in a matrix
MOMENTS = 4
PAIR = ["class", "example", "other_class", "other_example"]
PANELS: dict[str, dict[str, LineStyle]] = {
    "mean cosine within classes\n(dashed: between them)": {"within": "-", "between": DASHED},
    "nearest of the same class,\nby gradient (dotted: pixels)": {
        "nearest_by_gradient": "-",
        "nearest_by_pixels": DOTTED,
    },
    "rank correlation, pixel closeness,\nwithin classes (dashed: between)": {
        "pixels_within": "-",
        "pixels_between": DASHED,
    },
}


def table(runs: Sequence[Run]) -> pd.DataFrame:
    """Numbers of the figure.

    Parameters
    ----------
    runs : sequence of Run
        Inner products of gradients (stage similarity) of plain SGD at each noise level and replicate.

    Returns
    -------
    DataFrame
        Columns `quantity`, `noise`, `step` (of the snapshot that a burst begins with), `class`, `example`,
        `other_class`, `other_example`, `replicate`, `value`. Quantities are those of `similarity_curves`,
        medians over the steps of a burst; and the mean `cosine` over the steps of a burst, at four moments of
        the first run, of each pair of some of its examples once, which alone have classes and examples
        (numbered as they are ordered). What is undefined is left out.
    """
    rows = []
    for run in runs:
        long = _medians(run.data).to_dataframe().reset_index().melt("snapshot", var_name="quantity")
        rows.append(long.assign(noise=run.noise, replicate=run.replicate))
    first = min(runs, key=lambda run: (run.noise, run.replicate))
    pairs = _pairs(first.data).assign(quantity="cosine", noise=first.noise, replicate=first.replicate)
    whole = (
        pd.concat([*rows, pairs]).rename(columns={"snapshot": "step"}).astype(dict.fromkeys(PAIR, "Int64"))
    )
    columns = ["quantity", "noise", "step", *PAIR, "replicate", "value"]
    return each_replicate(whole[columns].dropna(subset=["value"]))


def of_one_run(numbers: pd.DataFrame) -> pd.DataFrame:
    """The table without the pairs of other runs than the first: tables of several machines have one each."""
    pairs, replicate = numbers["quantity"] == "cosine", numbers["replicate"]
    of_one: pd.DataFrame = numbers[~pairs | (replicate == replicate[pairs].min())]
    return of_one


def draw(numbers: pd.DataFrame, style: Style, colors: list[Any]) -> Figure:
    """Plot the table.

    Parameters
    ----------
    numbers : DataFrame
        As `table` returns it.
    style : Style
        Width of the figure.
    colors : list
        Palette; one colour for each noise level.

    Returns
    -------
    Figure
        Matrices of cosines at four moments of one run, ordered by class; and below curves of all runs.
    """
    numbers = of_one_run(numbers)
    pairs = numbers[numbers["quantity"] == "cosine"]
    curves = summarise(numbers[numbers["quantity"] != "cosine"].drop(columns=PAIR))
    classes = {
        int(number): of
        for columns in (["example", "class"], ["other_example", "other_class"])
        for number, of in pairs[columns].to_numpy()
    }
    levels, moments = sorted(curves["noise"].unique()), sorted(pairs["step"].unique())
    figure = new_figure(style, 0.62)
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=[1, 1.1])[:, 0]
    matrices = above.subplots(1, len(moments), squeeze=False)[0]
    for axes, step in zip(matrices, moments, strict=True):
        image = _matrix(axes, pairs[pairs["step"] == step], classes)
        axes.set_title(f"step {step:,}")
    matrices[0].set_ylabel(f"examples by class,\n{labels(pairs['noise'].iloc[0])}")
    above.colorbar(image, ax=list(matrices), label="cosine", shrink=0.8, pad=0.01)
    last = int(curves["step"].max())
    for axes, (label, quantities) in zip(below.subplots(1, len(PANELS)), PANELS.items(), strict=True):
        axes.axhline(0, color="0.7", linewidth=0.6, zorder=0)
        for level, color in zip(levels, cycle(colors), strict=False):
            for quantity, line in quantities.items():
                chosen = (curves["quantity"] == quantity) & (curves["noise"] == level)
                curve(axes, curves[chosen], color, line)
        log_steps(axes, last, narrow=True)
        axes.set_xlabel("step")
        axes.set_title(label, loc="left")
    legend(below, [labels(level) for level in levels], colors)
    most = pd.Series(classes).value_counts().max()
    note(
        figure,
        f"Above: one run, up to {most} examples of each class; grey: the diagonal, and examples without a\n"
        f"gradient (fitted). Below: all runs. {replicates_note(curves)}\n"
        "At marks and at the end: medians over five steps.",
    )
    return figure


def _medians(data: xr.Dataset) -> xr.Dataset:
    """Curves, medians over the burst from each snapshot on; from a mark on it goes past other snapshots."""
    curves = similarity_curves(data).drop_vars("snapshot")
    steps, of_steps = data["burst_step"].values, data["snapshot"].values
    snapshots, marks = np.unique(of_steps), np.ravel(data.get("mark_step", ()))
    bursts = [
        (of_steps == first) | ((first in marks) & (first <= steps) & (steps < first + BURST))
        for first in snapshots
    ]
    found = [curves.isel(burst_step=burst).median("burst_step") for burst in bursts]
    return xr.concat(found, "snapshot").assign_coords(snapshot=snapshots)


def _pairs(data: xr.Dataset) -> pd.DataFrame:
    """Mean cosines of pairs of some examples, each once, over the bursts at four moments of a run."""
    label = data["label"].values
    order = np.argsort(label, kind="stable")
    rank = np.arange(len(label)) - np.searchsorted(label[order], label[order])  # within the class
    chosen = order[rank < SHOWN]
    one, other = np.triu_indices(len(chosen), 1)
    numbered = dict(zip(PAIR, (label[chosen][one], one, label[chosen][other], other), strict=True))
    products = data["product"].isel(example=chosen, other_example=chosen)
    frames = []
    for moment in _moments(data):
        here = xr.DataArray(cosines(products[data["snapshot"].values == moment]))
        frames.append(
            pd.DataFrame({"snapshot": moment, **numbered, "value": here.mean("dim_0").values[one, other]})
        )
    return pd.concat(frames)


def _moments(data: xr.Dataset) -> list[int]:
    """The first snapshot, two between, which are marks if there are as many, and the last."""
    steps = np.unique(data["snapshot"])
    marks = np.intersect1d(steps[1:-1], data.get("mark_step", ()))
    between = marks if len(marks) >= MOMENTS - 2 else steps[1:-1]
    places = [steps[0], *between, steps[-1]]
    evenly = np.linspace(0, len(places) - 1, MOMENTS).round().astype(int)
    return sorted({int(places[k]) for k in evenly})


def _matrix(axes: Axes, pairs: pd.DataFrame, classes: dict[int, Any]) -> Any:
    """Plot cosines, with lines between the classes; a pair without one, as with a gradient of 0, is grey."""
    known = sorted(classes)
    matrix = np.full((known[-1] + 1, known[-1] + 1), np.nan)
    one, other = (pairs[name].to_numpy(int) for name in ("example", "other_example"))
    matrix[one, other] = matrix[other, one] = pairs["value"]
    image = axes.imshow(matrix, cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
    for before, number in pairwise(known):
        if classes[before] != classes[number]:
            for line in (axes.axhline, axes.axvline):
                line(number - 0.5, color="0.3", linewidth=0.3)
    axes.set(xticks=[], yticks=[], facecolor="0.75")
    axes.spines[["top", "right"]].set_visible(True)
    return image
