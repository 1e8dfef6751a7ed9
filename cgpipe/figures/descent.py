"""The fall of the loss that the gradient predicts to first order, and the actual one, by group."""

from collections.abc import Sequence
from itertools import cycle
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from cgpipe.figures.style import (
    BAND,
    DASHED,
    LineStyle,
    Style,
    curve,
    log_steps,
    new_figure,
    note,
    replicates_note,
)
from cgpipe.figures.summary import each_replicate, summarise
from cgpipe.figures.words import percent
from cgpipe.inference.descent import first_steps, full_batch_steps
from cgpipe.runs import Run

GROUPS = ("all", "pristine", "corrupt")
# Greys, lines and markers of the first ten steps.
FALLS: dict[str, tuple[str, LineStyle, str]] = {
    "predicted": ("0.6", DASHED, "s"),
    "actual": ("0.1", "-", "o"),
}
RATIOS = (-0.5, 1.5)  # vertical limits
COLUMNS = ["steps", "quantity", "group", "noise", "rate", "step", "replicate", "value"]


def table(runs: Sequence[Run], *, learning_rate: float) -> pd.DataFrame:
    """Numbers of the figure.

    Parameters
    ----------
    runs : sequence of Run
        Bursts (stage bursts) of plain SGD at each noise level and replicate.
    learning_rate : float
        That of the runs.

    Returns
    -------
    DataFrame
        Columns `steps` (`first ten` of SGD, or a `full-batch` step), `quantity`, `group`, `noise`, `rate`,
        `step`, `replicate`, `value`. Quantities are the `predicted` and the `actual` fall of the mean
        loss, in nats, and for full-batch steps the `ratio` of the actual to the predicted. What is undefined
        is left out.
    """
    rows = []
    for run in runs:
        first = first_steps(run.data, learning_rate).assign_coords(rate=learning_rate, step=0)
        each = full_batch_steps(run.data).rename(descent_step="step")
        each["ratio"] = each["actual"] / each["predicted"].where(each["predicted"] != 0)
        for steps, of in (("first ten", first), ("full-batch", each)):
            long = of.to_dataframe().reset_index().melt(["group", "rate", "step"], var_name="quantity")
            rows.append(long.assign(steps=steps, noise=run.noise, replicate=run.replicate))
    return each_replicate(pd.concat(rows)[COLUMNS].dropna(subset=["value"]))


def draw(numbers: pd.DataFrame, style: Style, colors: list[Any], *, learning_rate: float) -> Figure:
    """Plot the table.

    Parameters
    ----------
    numbers : DataFrame
        As `table` returns it.
    style : Style
        Width of the figure.
    colors : list
        Palette; one colour for each noise level.
    learning_rate : float
        That of the runs.

    Returns
    -------
    Figure
        A column for each group; a row for the first ten steps of SGD, over the noise, and a row of ratios for
        each rate of a full-batch step.
    """
    numbers = summarise(numbers)
    levels = sorted(numbers["noise"].unique())
    one = numbers[numbers["steps"] == "full-batch"]
    rates = sorted(one["rate"].unique(), reverse=True)
    figure = new_figure(style, 0.1 + 0.24 * (1 + len(rates)))
    grid = figure.subplots(1 + len(rates), len(GROUPS), sharey="row", squeeze=False)
    for column, group in enumerate(GROUPS):
        grid[0, column].set_title(f"{group} examples")
        _first_ten(grid[0, column], numbers[(numbers["steps"] == "first ten") & (numbers["group"] == group)])
        for axes, rate in zip(grid[1:, column], rates, strict=True):
            ratios = one[(one["quantity"] == "ratio") & (one["group"] == group) & (one["rate"] == rate)]
            for level, color in zip(levels, cycle(colors), strict=False):
                curve(axes, ratios[ratios["noise"] == level], color)
            for at in (0, 1):
                axes.axhline(at, color="0.7", linewidth=0.6, zorder=0)
            log_steps(axes, int(one["step"].max()))
            axes.set_ylim(RATIOS)
        grid[-1, column].set_xlabel("step")
    grid[0, 0].set_ylabel("fall of the mean loss\nin ten steps (nats)")
    for axes, rate in zip(grid[1:, 0], rates, strict=True):
        axes.set_ylabel(f"actual / predicted fall\nfull batch, rate {rate:g}")
    falls = [
        (Line2D([], [], color=color, linestyle=line, marker=marker, markersize=3), f"{name} fall")
        for name, (color, line, marker) in FALLS.items()
    ]
    noises = [
        (Line2D([], [], color=color), f"{percent(level)} noise")
        for level, color in zip(levels, cycle(colors), strict=False)
    ]
    figure.legend(*zip(*falls, *noises, strict=True), loc="outside upper center", ncols=4)
    note(
        figure,
        f"{replicates_note(numbers)} First ten steps: rate {learning_rate:g}. What lies beyond "
        f"{RATIOS[0]:g} to {RATIOS[1]:g} leaves the panel.",
    )
    return figure


def _first_ten(axes: Axes, rows: pd.DataFrame) -> None:
    """Falls of the loss over the noise, with the range of the replicates."""
    axes.axhline(0, color="0.7", linewidth=0.6, zorder=0)
    for name, (color, line, marker) in FALLS.items():
        of_name = rows[rows["quantity"] == name].sort_values("noise")
        axes.plot(of_name["noise"], of_name["mean"], color=color, linestyle=line, marker=marker, markersize=3)
        axes.fill_between(
            of_name["noise"], of_name["low"], of_name["high"], color=color, alpha=BAND, linewidth=0
        )
    axes.set_xlim(-0.03, 1.03)
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xlabel("label noise")
