"""The claims of the paper and the verdict on each, as one figure."""

import re
import textwrap
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cgpipe.figures.style import Style, new_figure, note
from cgpipe.figures.words import format_p
from cgpipe.inference.verdicts import Criterion
from cgpipe.runs import Run

# Colours as places in the palette, and markers, by verdict.
VERDICTS: dict[str, tuple[int, str]] = {
    "holds": (2, "o"),
    "does not hold": (3, "X"),
    "inconclusive": (7, "s"),
}
LIMITS = (-1.25, 1.25)
LINE = 62  # characters of a statistic on a line


def table(runs: Sequence[Run]) -> pd.DataFrame:
    """Numbers of the figure.

    Parameters
    ----------
    runs : sequence of Run
        One record: the artifact of stage claims, which is of all runs. Its levels are not used.

    Returns
    -------
    DataFrame
        Columns as `cgpipe.inference.verdicts.COLUMNS`, a row for each statistic.
    """
    (claims,) = runs
    return claims.data.to_dataframe().reset_index(drop=True)


def draw(numbers: pd.DataFrame, style: Style, colors: list[Any]) -> Figure:
    """Plot the table of claims: estimates with their range, criteria, verdicts.

    Parameters
    ----------
    numbers : DataFrame
        As `table` returns it.
    style : Style
        Width of the figure.
    colors : list
        Palette.

    Returns
    -------
    Figure
        A line for each statistic; nearly all are accuracies, shares or correlations, so that one axis
        serves, and what lies beyond it is written at its edge.
    """
    rows = numbers.to_dict("records")
    figure = new_figure(style, 0.1 + 0.045 * len(rows))
    axes = figure.subplots()
    size = mpl.rcParams["legend.fontsize"]
    in_color = [colors[VERDICTS[row["verdict"]][0] % len(colors)] for row in rows]
    for place, (row, color) in enumerate(zip(rows, in_color, strict=True)):
        criterion = Criterion.parse(row["criterion"])
        above = criterion.side in (">", "≥")
        edges = (criterion.bound, LIMITS[1]) if above else (LIMITS[0], criterion.bound)
        axes.fill_betweenx([place - 0.38, place + 0.38], *edges, color="0.93", linewidth=0, zorder=0)
        if pd.notna(row["estimate"]):
            low, estimate, high = (
                min(max(row[key], LIMITS[0]), LIMITS[1]) for key in ("low", "estimate", "high")
            )
            marker = VERDICTS[row["verdict"]][1]
            axes.plot([low, high], [place, place], color=color)
            axes.plot(estimate, place, color=color, marker=marker, markersize=4, clip_on=False)
    axes.set_xlim(LIMITS)
    axes.axvline(0, color="0.7", linewidth=0.5, zorder=0)
    axes.set_xlabel("statistic")
    right = axes.twinx()  # a second axis, so that the layout leaves room for the estimates
    for labelled, texts in ((axes, map(_statistic, rows)), (right, map(_estimate, rows))):
        labelled.set_ylim(len(rows) - 0.5, -0.5)
        labelled.set_yticks(range(len(rows)), list(texts), fontsize=size, linespacing=0.9)
        labelled.tick_params(axis="y", length=0, pad=5)
    right.spines["right"].set_visible(False)
    for text, color in zip(right.get_yticklabels(), in_color, strict=True):
        text.set_color(color)
    handles = [
        Line2D([], [], color=colors[color % len(colors)], marker=marker, linestyle="", markersize=4)
        for color, marker in VERDICTS.values()
    ]
    figure.legend(handles, list(VERDICTS), loc="outside upper center", ncols=len(VERDICTS))
    note(
        figure, "Marks: means over the replicates; lines: smallest to largest; grey: where the claim puts it."
    )
    return figure


def _statistic(row: dict[Any, Any]) -> str:
    wrapped = "\n".join(textwrap.wrap(f"{row['claim']}: {row['statistic']}", LINE))
    return re.sub(r"([fi])\^([pc])", r"$\1^\2$", wrapped)


def _estimate(row: dict[Any, Any]) -> str:
    if pd.isna(row["estimate"]):
        return "undefined"
    p = "" if pd.isna(row["p"]) else f", $p$ {format_p(row['p'], '= ')}"
    return f"{row['estimate']:.2f} ($n$ = {row['n']}{p})"
