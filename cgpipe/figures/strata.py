"""Directions and sizes of gradients told apart: cosines with the gradient, and null worlds within strata."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from cgpipe.figures.null_rows import EXACT, GROUPS, NULL_BAND, STRATIFIED, added, stratified_band
from cgpipe.figures.style import DOTTED, PALE, Style, curve, log_steps, new_figure, note, replicates_note
from cgpipe.figures.summary import each_replicate, summarise
from cgpipe.figures.words import percent
from cgpipe.runs import Run

_OF_PRISTINE = ("f", "f_null_low", "f_null_high", "f_stratified_low", "f_stratified_high", "f_stratified_p")


def table(runs: Sequence[Run]) -> pd.DataFrame:
    """Numbers of the figure.

    Parameters
    ----------
    runs : sequence of Run
        Null worlds of plain SGD, of all examples and parameters, at each noise level and replicate.

    Returns
    -------
    DataFrame
        Columns `quantity`, `noise`, `group`, `step`, `replicate`, `value`. Quantities: `cosine`, of an
        example's gradient with the summed gradient, mean over the pristine, the corrupt, and the difference
        of the two means (group `difference`); and of group `pristine` f and what null worlds say of it.
    """
    parts = []
    for run in added(runs, stratified_band):
        null = run.data
        cosine = null["cosine"]
        of_groups = {("cosine", group): cosine.sel(group=group) for group in GROUPS}
        of_groups["cosine", "difference"] = cosine.sel(group="pristine") - cosine.sel(group="corrupt")
        for name in _OF_PRISTINE:
            values = null[name]
            of_groups[name, "pristine"] = values.sel(group="pristine") if "group" in values.dims else values
        for (quantity, group), values in of_groups.items():
            of = {"quantity": quantity, "noise": run.noise, "replicate": run.replicate, "group": group}
            parts.append(pd.DataFrame({**of, "step": null["step"].values, "value": values.values}))
    return each_replicate(pd.concat(parts))


def draw(numbers: pd.DataFrame, style: Style, colors: list[Any]) -> Figure:
    """Plot the table.

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
        Columns are noise levels; above the cosines, below f of the pristine group and its null bands.
    """
    numbers = summarise(numbers)
    levels = sorted(numbers["noise"].unique())
    figure = new_figure(style, 0.6)
    grid = figure.subplots(2, len(levels), sharex=True, sharey="row", squeeze=False)
    bands: dict[str, Any] = {"null": NULL_BAND, "stratified": {"edgecolor": "0.35", **STRATIFIED}}
    for (above, below), noise in zip(grid.T, levels, strict=True):
        at = numbers[numbers["noise"] == noise].set_index("quantity")
        cosines = at.loc["cosine"].set_index("group")
        for group, (place, linestyle, _) in GROUPS.items():
            curve(above, cosines.loc[[group]], colors[place], linestyle, pale=True)
        curve(above, cosines.loc[["difference"]], "black")
        above.axhline(0, color="0.35", linestyle=DOTTED, linewidth=0.6)
        place, linestyle, _ = GROUPS["pristine"]
        for band, look in bands.items():
            low, high = (at.loc[[f"f_{band}_{end}"]].sort_values("step") for end in ("low", "high"))
            below.fill_between(low["step"], low["mean"], high["mean"], zorder=0, **look)
        curve(below, at.loc[["f"]], colors[place], linestyle)
        log_steps(below, int(numbers["step"].max()), narrow=True)
        above.set_title(f"{percent(noise)} noise", loc="left")
        below.set_xlabel("step")
    grid[0, 0].set_ylabel("mean cosine with $g$")
    grid[1, 0].set_ylabel("fraction $f^p$")
    looks = [{"color": colors[place], "linestyle": line, "alpha": PALE} for place, line, _ in GROUPS.values()]
    lines = [Line2D([], [], **look) for look in [*looks, {"color": "black"}]]
    names = [*GROUPS, "difference", "null band", "null band within class and size"]
    handles: list[Any] = [*lines, *(Patch(**look) for look in bands.values())]
    figure.legend(handles, names, loc="outside upper center", ncols=len(names), handlelength=2.2)
    lines_are = replicates_note(numbers[numbers["n"] > 0])
    note(figure, f"{lines_are}\n{EXACT[:-1]}, at single steps.")
    return figure
