"""Panels of a few values of each replicate, side by side."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cgpipe.figures.style import Style, new_figure, note
from cgpipe.runs import Run

COLUMNS = ["claim", "part", "replicate", "value"]
# Of a panel: its title, the claim, and what the parts that it shows begin with.
Panel = tuple[str, str, str]


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
    rows = pd.DataFrame({name: claims.data[f"statistic_{name}"].values for name in COLUMNS})
    found = []
    for name, (_, claim, start) in panels.items():
        of_panel = rows[(rows["claim"] == claim) & rows["part"].str.startswith(start)]
        parts = of_panel["part"].str.removeprefix(start).str.strip()
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
    for axes, name in zip(grid, wanted, strict=False):
        one_panel(axes, known[known["panel"] == name], colors)
        axes.set_title(panels[name][0])
    for axes in figure.axes[len(wanted) :]:
        axes.remove()
    counts = known.groupby(["panel", "part"])["replicate"].nunique()
    n = " to ".join(str(count) for count in sorted({counts.min(), counts.max()})) if len(counts) else "0"
    note(figure, f"Dots: each replicate (n = {n}), joined by lines; marks: their means.")
    return figure


def one_panel(axes: Axes, rows: pd.DataFrame, colors: list[Any]) -> None:
    """One panel, in the order of the table."""
    parts = list(dict.fromkeys(rows["part"]))
    places = rows["part"].map(parts.index)
    for _, of_one in rows.assign(place=places).groupby("replicate"):
        axes.plot(of_one["place"], of_one["value"], ".-", color="0.6", linewidth=0.5, markersize=3)
    means = rows.groupby(places)["value"].mean()
    axes.plot(means.index, means, "D", color=colors[0], markersize=4, linestyle="")
    axes.set_xticks(range(len(parts)), [part.replace("_", " ") for part in parts])
    axes.set_xlim(-0.5, len(parts) - 0.5)
    if len(parts) > 3:
        axes.tick_params(axis="x", rotation=20)
