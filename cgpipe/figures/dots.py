"""Panels of a few values of each replicate, side by side."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cgpipe.figures.style import Style, log_ratios, new_figure, note
from cgpipe.figures.words import usual
from cgpipe.inference.verdicts import statistics_in
from cgpipe.runs import Run

COLUMNS = ["claim", "part", "replicate", "value"]
WIDTHS = r"width_(\d+)"  # experiments that have a number
PAIRS = "pairs of runs"  # what stands for replicates in a panel


class Panel(NamedTuple):
    """What a panel shows, and how."""

    title: str
    claim: str
    start: str  # what the parts that it shows begin with
    quantity: str  # panels of one have the same axis
    axis: Literal["from 0", "log", "near"]  # near: where the values are
    of: str = ""  # what the parts are


def shown(runs: Sequence[Run], panels: Mapping[str, Panel]) -> pd.DataFrame:
    """Values of parts of claims, from the artifact of stage mystery.

    Parameters
    ----------
    runs : sequence of Run
        One record: the artifact of stage mystery, which is of all runs.
    panels : mapping from str to Panel
        By name; what is in none of them is left out.

    Returns
    -------
    DataFrame
        Columns `panel`, `claim`, `part`, `replicate` and `value`, a row for each replicate.
    """
    (claims,) = runs
    rows = statistics_in(claims.data)[COLUMNS]
    found = []
    for name, panel in panels.items():
        of_panel = rows[(rows["claim"] == panel.claim) & rows["part"].str.startswith(panel.start)]
        parts = of_panel["part"].str.removeprefix(panel.start).str.strip()
        found.append(of_panel.assign(panel=name, part=parts))
    return pd.concat(found)[["panel", *COLUMNS]].reset_index(drop=True)


def draw_panels(
    numbers: pd.DataFrame, style: Style, colors: list[Any], panels: Mapping[str, Panel], columns: int
) -> Figure:
    """Plot each panel: its parts from left to right, a dot and a grey line for each replicate, their means.

    Panels without a value are left out.
    """
    known = numbers.dropna(subset=["value"])
    wanted = [name for name in panels if (known["panel"] == name).any()]
    lines = max(1, -(-len(wanted) // columns))
    figure = new_figure(style, 0.3 * lines + 0.05)
    grid = figure.subplots(lines, columns, squeeze=False).flat
    first_of: dict[str, Axes] = {}
    for axes, name in zip(grid, wanted, strict=False):
        panel = panels[name]
        if panel.quantity in first_of:
            axes.sharey(first_of[panel.quantity])
        first_of.setdefault(panel.quantity, axes)
        one_panel(axes, known[known["panel"] == name], panel, colors[0])
        axes.set_title(f"({name}) {panel.title}", loc="left")
    for axes in figure.axes[len(wanted) :]:
        axes.remove()
    near = [name for name in wanted if panels[name].axis == "near"]
    truncated = f" Axes that do not begin at 0: {', '.join(near)}." if near else ""
    of_pairs = "".join(f"; in {name} pairs of runs" for name in wanted if panels[name].of == PAIRS)
    note(
        figure,
        f"Dots: each replicate ({n_of(known)}{of_pairs}), joined by lines; marks: their means.{truncated}",
    )
    return figure


def n_of(rows: pd.DataFrame) -> str:
    """How many replicates there are, and in which panels, if these differ."""
    panels: dict[int, list[str]] = {}
    for name, n in rows.groupby("panel")["replicate"].nunique().items():
        panels.setdefault(n, []).append(str(name))
    if len(panels) < 2:
        return f"n = {max(panels, default=0)}"
    return "n = " + "; ".join(f"{n} in {', '.join(names)}" for n, names in panels.items())


def one_panel(axes: Axes, rows: pd.DataFrame, panel: Panel, color: Any) -> None:
    """One panel, in the order of the table; on a logarithmic axis where the parts are widths."""
    rows = rows.fillna({"part": ""})
    parts = list(dict.fromkeys(rows["part"]))
    widths = [int(found[1]) for part in parts if (found := re.fullmatch(WIDTHS, part))]
    if numbered := len(widths) == len(parts) > 1:
        at, names = widths, [f"{width:,}" for width in widths]
        axes.set_xscale("log")
        axes.set_xlim(min(widths) / 1.6, max(widths) * 1.6)
    else:
        at, names = list(range(len(parts))), [usual(part) for part in parts]
        axes.set_xlim(-0.5, len(parts) - 0.5)
    places = rows["part"].map(dict(zip(parts, at, strict=True)))
    for _, of_one in rows.assign(place=places).groupby("replicate"):
        axes.plot(of_one["place"], of_one["value"], ".-", color="0.6", linewidth=0.5, markersize=3)
    means = rows.groupby(places)["value"].mean()
    axes.plot(means.index, means, "D", color=color, markersize=4, linestyle="")
    axes.set_xticks(at, names)
    axes.minorticks_off()
    axes.set(xlabel=panel.of, ylabel=panel.quantity)
    if panel.axis == "log":
        log_ratios(axes, "y")
    elif panel.axis == "from 0":
        axes.axhline(0, color="0.7", linewidth=0.6, zorder=0)
    if not numbered and len(parts) > 3:
        axes.tick_params(axis="x", rotation=20)
