"""How far runs are apart that differ in a few training examples (Chatterjee and Zielinski 2022)."""

from collections.abc import Sequence
from itertools import cycle
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from cgpipe.figures.style import (
    Style,
    curve,
    legend,
    log_ratios,
    log_steps,
    new_figure,
    note,
    replicates_note,
)
from cgpipe.figures.summary import each_replicate, summarise
from cgpipe.figures.words import labels
from cgpipe.runs import Run

PANELS = {
    "distance": "distance of the parameters",
    "relative_distance": "the same over the way since step 0",
    "disagreement": "test images classified differently",
    "variation": "total variation of class probabilities",
}


def table(runs: Sequence[Run]) -> pd.DataFrame:
    """Numbers of the figure, and those of the layers.

    Parameters
    ----------
    runs : sequence of Run
        Distances between twins (stage twins) of plain SGD at each noise level and replicate.

    Returns
    -------
    DataFrame
        Columns `quantity`, `layer` (`network` for all of them), `noise`, `replaced` (training examples),
        `step`, `replicate`, `value`. Quantities are `distance` and `travelled`, of layers and network,
        `relative_distance`, the first over the second, `disagreement` and `variation`. What is undefined is
        left out.
    """
    rows = []
    for run in runs:
        norms = run.data[["distance", "travelled"]]
        whole = ((norms**2).sum("layer") ** 0.5).assign(run.data[["disagreement", "variation"]])
        for layer, of in [
            ("network", whole),
            *((name, norms.sel(layer=name)) for name in norms["layer"].values),
        ]:
            of = of.assign(relative_distance=of["distance"] / of["travelled"].where(of["travelled"] > 0))
            long = (
                of.drop_vars("layer", errors="ignore")
                .to_dataframe()
                .reset_index()
                .melt("step", var_name="quantity")
            )
            levels = {"noise": run.noise, "replicate": run.replicate, "replaced": run.data.attrs["replaced"]}
            rows.append(long.assign(layer=layer, **levels))
    columns = ["quantity", "layer", "noise", "replaced", "step", "replicate", "value"]
    return each_replicate(pd.concat(rows)[columns].dropna(subset=["value"]))


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
        Distances of the parameters of the network above, of its predictions below.
    """
    shown = summarise(numbers[numbers["layer"] == "network"])
    # On a logarithmic axis from where all have parted.
    shown = shown[~shown["quantity"].isin(("distance", "relative_distance")) | (shown["low"] > 0)]
    levels = sorted(shown["noise"].unique())
    figure = new_figure(style, 0.7)
    grid = figure.subplots(2, 2, sharex=True).ravel()
    for axes, (panel, (quantity, title)) in zip(grid, zip("abcd", PANELS.items(), strict=True), strict=True):
        for level, color in zip(levels, cycle(colors), strict=False):
            curve(axes, shown[(shown["quantity"] == quantity) & (shown["noise"] == level)], color)
        if quantity == "distance":
            axes.set_yscale("log")
        elif quantity == "relative_distance":
            log_ratios(axes, "y")
        else:
            axes.set_ylim(bottom=0)
        log_steps(axes, int(shown["step"].max()))
        axes.set_title(f"({panel}) {title}", loc="left")
    for axes in grid[2:]:
        axes.set_xlabel("step")
    legend(figure, [labels(level) for level in levels], colors)
    replaced = ", ".join(map(str, sorted(numbers["replaced"].unique())))
    until = "Twins are the same until one is drawn; (a), (b): from where all have parted."
    note(figure, f"{replicates_note(shown)} Training examples replaced: {replaced}. {until}")
    return figure
