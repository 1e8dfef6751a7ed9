"""Winsorized SGD and its controls: what each does at the same accuracy as plain SGD, and what it slows."""

from collections.abc import Sequence
from itertools import cycle
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cgpipe.figures.matched import CURVES, compared, mean_of
from cgpipe.figures.style import DOTTED, PALE, Style, log_ratios, new_figure, note, smallest_to_largest
from cgpipe.figures.words import percent
from cgpipe.names import CLIPPING
from cgpipe.runs import Run

WINSORIZED = "winsorized_mean"
# What the panels show: label, and whether it is a ratio.
PANELS: dict[str, tuple[str, bool]] = {
    "test accuracy, mean": ("test accuracy less that of plain SGD,\nat the same training accuracy", False),
    "S": ("selective slowdown $S$", True),
}
MARKERS = {"": "o", ">=": ">", "<=": "<"}
COLUMNS = ["update", "winsor", "noise", "replicate", "quantity", "value", "bound"]


def table(runs: Sequence[Run]) -> pd.DataFrame:
    """Numbers of the figure.

    Parameters
    ----------
    runs : sequence of Run
        Histories (stage train) of plain SGD and of the update rules that are compared with it, at each noise
        level and replicate.

    Returns
    -------
    DataFrame
        Columns `update`, `winsor`, `noise`, `replicate`, `quantity`, `value`, `bound`, of every run but those
        of plain SGD. Quantities and bounds are those of `cgpipe.figures.matched.table`, without the curves.

    Raises
    ------
    ValueError
        If there is no run of plain SGD to compare a run with.
    """
    plain = [run for run in runs if _is_plain(run)]
    rows: list[dict[str, Any]] = []
    for run in runs:
        if _is_plain(run):
            continue
        at = {"update": run.update, "winsor": run.winsor, "noise": run.noise, "replicate": run.replicate}
        found = compared(run, plain)
        rows += [{**at, **row} for row in found if row["quantity"] not in CURVES]
    numbers = pd.DataFrame(rows, columns=COLUMNS).fillna({"bound": ""})
    return numbers.sort_values(COLUMNS[:4], kind="stable", ignore_index=True)


def _is_plain(run: Run) -> bool:
    return run.winsor == 0 and run.update in CLIPPING


def draw(numbers: pd.DataFrame, style: Style, colors: list[Any]) -> Figure:
    """Plot the table.

    Parameters
    ----------
    numbers : DataFrame
        As `table` returns it.
    style : Style
        Width of the figure.
    colors : list
        Palette; one colour for each level c.

    Returns
    -------
    Figure
        A row for each noise level, a column for each quantity; a line for each update rule and level, and
        the means of winsorized SGD across.
    """
    noises, levels = sorted(numbers["noise"].unique()), sorted(numbers["winsor"].unique())
    by_level = dict(zip(levels, cycle(["0.4", *colors] if 0 in levels else colors), strict=False))
    keys = ["update", "winsor"]
    places = list(numbers[keys].drop_duplicates().itertuples(index=False, name=None))
    places.sort(key=lambda place: (place[0] != WINSORIZED, place))
    figure = new_figure(style, 0.14 + len(noises) * (0.08 + 0.035 * len(places)))
    grid = figure.subplots(len(noises), len(PANELS), sharey=True, sharex="col", squeeze=False)
    for noise, of_noise in zip(noises, grid, strict=True):
        for axes, (quantity, (_, is_ratio)) in zip(of_noise, PANELS.items(), strict=True):
            shown = numbers[(numbers["noise"] == noise) & (numbers["quantity"] == quantity)]
            shown = shown.dropna(subset=["value"])
            axes.axvline(1 if is_ratio else 0, color="0.7", linewidth=0.6, zorder=0)
            for (rule, c), rows in shown.groupby(keys):
                color, y = by_level[c], places.index((rule, c))
                for row in rows.to_dict("records"):
                    look = {"marker": MARKERS[row["bound"]], "color": color, "alpha": PALE}
                    axes.plot(row["value"], y, markersize=3, linestyle="", **look)
                value, bound = mean_of(rows) if is_ratio else (rows["value"].mean(), "")
                axes.plot(value, y, marker=MARKERS[bound], markersize=5, color=color, linestyle="")
                if rule == WINSORIZED:
                    axes.axvline(value, color=color, linestyle=DOTTED, linewidth=0.8, zorder=0)
            if is_ratio:
                log_ratios(axes, "x")
            else:
                axes.xaxis.set_major_locator(MaxNLocator(5))
            axes.set_title(f"{percent(noise)} noise")
        of_noise[0].set_yticks(range(len(places)), [_name(*place) for place in places])
        of_noise[0].set_ylim(len(places) - 0.5, -0.5)
    for axes, (label, _) in zip(grid[-1], PANELS.values(), strict=True):
        axes.set_xlabel(label)
    n = smallest_to_largest(numbers.groupby(["noise", *keys])["replicate"].nunique())
    note(
        figure,
        f"Small: replicates; large: their mean (n = {n}). Dotted: winsorized SGD. Triangles: bounds, as a "
        "run ended early.",
    )
    return figure


def _name(rule: str, c: int) -> str:
    words = rule.replace("_", " ")
    return f"{words}, $c$ = {c}" if rule in CLIPPING else words
