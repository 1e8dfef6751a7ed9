"""Figure 1: learning curves under label noise, and when pristine and corrupt examples are learned."""

from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cgpipe.figures.comparison import comparison_note, split_sources
from cgpipe.figures.style import (
    DASHED,
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
from cgpipe.figures.words import percent
from cgpipe.names import Learned
from cgpipe.runs import Run

GROUPS: dict[str, LineStyle] = {"all": "-", "pristine": "-", "corrupt": DASHED}
PANELS = {
    "a": "training accuracy",
    "b": "test accuracy",
    "c": "training loss (nats)",
    "d": "share of examples learned",
}


def table(runs: Sequence[Run], *, learned: Learned = "at_step") -> pd.DataFrame:
    """Numbers of the figure.

    Parameters
    ----------
    runs : sequence of Run
        Histories (stage train) of plain SGD at each noise level and replicate.
    learned : {"at_step", "first", "last"}
        What counts as learned at a step: right at it, right at it or before, or right from then on.

    Returns
    -------
    DataFrame
        Columns `panel`, `noise`, `group` (all, pristine, corrupt), `step`, `replicate`, `value`. At the
        last step of panel b also groups `best`, the largest test accuracy of a run, and `step of the best`.
    """
    rows = []
    for run in runs:
        history, steps = run.data, run.data["step"].values
        test = history["accuracy_test"].values
        best = [int(np.argmax(test))]
        curves = {
            ("a", "all"): history["accuracy_training"].values,
            ("b", "all"): test,
            ("b", "best"): test[best],
            ("b", "step of the best"): steps[best],
            ("c", "all"): history["loss_training"].values,
        }
        pristine = history["pristine"].values.astype(bool)
        right = learned_by(history, learned)
        for group, members in (("pristine", pristine), ("corrupt", ~pristine)):
            if members.any():
                curves["d", group] = right[:, members].mean(1)
        for (panel, group), values in curves.items():
            levels = {"panel": panel, "noise": run.noise, "group": group, "replicate": run.replicate}
            rows.append(pd.DataFrame({**levels, "step": steps[-len(values) :], "value": values}))
    return each_replicate(pd.concat(rows)[["panel", "noise", "group", "step", "replicate", "value"]])


def learned_by(history: xr.Dataset, learned: Learned) -> npt.NDArray[np.bool_]:
    """Which examples count as learned at each logged step.

    Parameters
    ----------
    history : Dataset
        Of stage train.
    learned : {"at_step", "first", "last"}
        See `table`.

    Returns
    -------
    array of bool, shape (step, example)

    Raises
    ------
    ValueError
        If `learned` is another word.
    """
    if learned not in get_args(Learned):
        raise ValueError(f"learned: given {learned!r}; allowed: {', '.join(get_args(Learned))}")
    if learned == "at_step":
        return np.asarray(history["correct"].values, bool)
    since = history[f"learned_{learned}"].values
    return np.asarray((since >= 0) & (since <= history["step"].values[:, None]))


def draw(numbers: pd.DataFrame, style: Style, colors: list[Any]) -> Figure:
    """Plot the table.

    Parameters
    ----------
    numbers : DataFrame
        As `table` returns it, or joined with another by `cgpipe.figures.comparison.compare`.
    style : Style
        Width of the figure.
    colors : list
        Palette; one colour for each noise level.

    Returns
    -------
    Figure
        Four panels.
    """
    numbers = summarise(numbers)
    here, elsewhere = split_sources(numbers)
    figure = new_figure(style, 0.72)
    panels = figure.subplots(2, 2).ravel()
    levels = sorted(numbers["noise"].unique())
    last = int(here["step"].max())
    for axes, (panel, title) in zip(panels, PANELS.items(), strict=True):
        for source, pale in ((elsewhere, True), (here, False)):
            of_panel = source[source["panel"] == panel]
            for k, noise in enumerate(levels):
                for group, linestyle in GROUPS.items():
                    rows = of_panel[(of_panel["noise"] == noise) & (of_panel["group"] == group)]
                    if len(rows):
                        curve(axes, rows, colors[k % len(colors)], linestyle, pale=pale)
        log_steps(axes, last)
        axes.set_title(f"({panel}) {title}", loc="left")
        axes.set_ylim(0, None if panel == "c" else 1.02)
    for axes in panels[2:]:
        axes.set_xlabel("step")
    legend(figure, [f"{percent(noise)} noise" for noise in levels], colors)
    styles = [Line2D([], [], color="0.3"), Line2D([], [], color="0.3", linestyle=DASHED)]
    panels[3].legend(styles, ["pristine", "corrupt"], loc="upper left", handlelength=2.5)
    note(figure, replicates_note(here) + comparison_note(elsewhere))
    return figure
