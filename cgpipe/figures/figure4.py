"""Figure 4: accuracies and overfit under winsorized SGD, by noise and level of winsorization."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cgpipe.figures.comparison import comparison_note, split_sources
from cgpipe.figures.style import DASHED, DOTTED, Style, curve, log_steps, new_figure, note, replicates_note
from cgpipe.figures.summary import each_replicate, summarise
from cgpipe.figures.words import percent
from cgpipe.runs import Run, overfit, proper_accuracy

# Places in the palette, and lines.
CURVES: dict[str, tuple[int, Any]] = {
    "training accuracy": (0, "-"),
    "test accuracy": (1, DASHED),
    "overfit": (2, DOTTED),
}
PROPER: dict[str, Any] = {"color": "0.55", "linewidth": 0.6, "linestyle": (0, (6, 3))}


def table(runs: Sequence[Run], *, classes: int) -> pd.DataFrame:
    """Numbers of the figure.

    Parameters
    ----------
    runs : sequence of Run
        Histories (stage train) at each noise level, level of winsorization and replicate.
    classes : int
        Classes of the dataset.

    Returns
    -------
    DataFrame
        Columns `winsor`, `noise`, `curve`, `step`, `replicate`, `value`. The curve `overfit` is that of
        `cgpipe.runs.overfit`. At the last step also `best test accuracy`, the largest of a run, and `excess`:
        how far the training accuracy of a run exceeds the share of true labels at most.
    """
    rows = []
    for run in runs:
        steps = run.data["step"].values
        training, test = (run.data[f"accuracy_{part}"].values for part in ("training", "test"))
        curves = {
            "training accuracy": training,
            "test accuracy": test,
            "overfit": overfit(training, test, run.noise, classes),
            "best test accuracy": test.max(keepdims=True),
            "excess": training.max(keepdims=True) - run.data["pristine"].values.mean(),
        }
        for name, values in curves.items():
            levels = {"winsor": run.winsor, "noise": run.noise, "curve": name, "replicate": run.replicate}
            rows.append(pd.DataFrame({**levels, "step": steps[-len(values) :], "value": values}))
    return each_replicate(pd.concat(rows)[["winsor", "noise", "curve", "step", "replicate", "value"]])


def draw(numbers: pd.DataFrame, style: Style, colors: list[Any], *, classes: int) -> Figure:
    """Plot the table.

    Parameters
    ----------
    numbers : DataFrame
        As `table` returns it, or joined with another by `cgpipe.figures.comparison.compare`.
    style : Style
        Width of the figure.
    colors : list
        Palette.
    classes : int
        Classes of the dataset, for the line of the proper accuracy.

    Returns
    -------
    Figure
        A row for each level of winsorization, a column for each noise level.
    """
    numbers = summarise(numbers)
    levels = sorted(numbers["noise"].unique())
    here, elsewhere = split_sources(numbers)
    clipped = sorted(numbers["winsor"].unique())
    figure = new_figure(style, 0.12 + 0.17 * len(clipped))
    grid = figure.subplots(len(clipped), len(levels), sharex=True, sharey=True, squeeze=False)
    last = int(here["step"].max())
    lowest = min(-0.1, float(numbers[numbers["curve"].isin(list(CURVES))]["low"].min()) - 0.02)
    for line, c in enumerate(clipped):
        for column, noise in enumerate(levels):
            axes = grid[line, column]
            axes.axhline(0, color="0.8", linewidth=0.6, zorder=0)
            axes.axhline(proper_accuracy(noise, classes), **PROPER, zorder=0)
            for source, pale in ((elsewhere, True), (here, False)):
                of_panel = source[(source["winsor"] == c) & (source["noise"] == noise)]
                for name, (place, linestyle) in CURVES.items():
                    rows = of_panel[of_panel["curve"] == name]
                    if len(rows):
                        curve(axes, rows, colors[place], linestyle, pale=pale)
            log_steps(axes, last, narrow=len(levels) > 3)
            axes.set_ylim(lowest, 1.02)
            if line == 0:
                axes.set_title(f"{percent(noise)} noise")
            if column == 0:
                axes.set_ylabel(f"$c$ = {c}")
            if line == len(clipped) - 1:
                axes.set_xlabel("step")
    handles = [Line2D([], [], color=colors[place], linestyle=line) for place, line in CURVES.values()]
    names = [*CURVES, "proper accuracy"]
    handles.append(Line2D([], [], **PROPER))
    figure.legend(handles, names, loc="outside upper center", ncols=len(names), handlelength=2.5)
    note(figure, replicates_note(here) + comparison_note(elsewhere))
    return figure
