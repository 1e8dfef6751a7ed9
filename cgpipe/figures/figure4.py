"""Figure 4: accuracies and overfit under winsorized SGD, by noise and level of winsorization."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import pandas as pd
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cgpipe.figures.beside import beside_note, split_sources
from cgpipe.figures.style import (
    DASHED,
    DOTTED,
    LONG_DASHED,
    OVERFIT,
    TEST,
    TRAINING,
    LineStyle,
    Style,
    curve,
    log_steps,
    new_figure,
    note,
    replicates_note,
)
from cgpipe.figures.summary import summarise
from cgpipe.figures.words import per_cent

CURVES: dict[str, tuple[int, LineStyle]] = {
    "training accuracy": (TRAINING, "-"),
    "test accuracy": (TEST, DASHED),
    "overfit": (OVERFIT, DOTTED),
}


class Run(NamedTuple):
    """One training run."""

    noise: float
    winsor: int
    replicate: int
    history: xr.Dataset  # of stage train


def table(runs: Sequence[Run]) -> pd.DataFrame:
    """Numbers of the figure.

    Parameters
    ----------
    runs : sequence of Run
        Each noise level, level of winsorization and replicate.

    Returns
    -------
    DataFrame
        Columns `winsor`, `noise`, `curve`, `step`, `mean`, `low`, `high`, `n`. The curve `overfit` is
        ta - [ε/10 + (1-ε)·va], of training and test accuracy (Chatterjee 2020, section 3). At the last step
        also `best test accuracy`, the largest of a run, and `excess`: how far the training accuracy of a
        run exceeds the share of true labels at most.
    """
    rows = []
    for run in runs:
        steps = run.history["step"].values
        ta = run.history["accuracy_training"].values
        va = run.history["accuracy_test"].values
        overfit = ta - (run.noise / 10 + (1 - run.noise) * va)
        of_run = {
            "winsor": run.winsor,
            "noise": run.noise,
            "replicate": run.replicate,
            "step": steps,
        }
        for name, values in zip(CURVES, (ta, va, overfit), strict=True):
            rows.append(pd.DataFrame({**of_run, "curve": name, "value": values}))
        excess = ta.max() - run.history["pristine"].values.mean()
        at_end = {**of_run, "step": steps[-1:]}
        for name, value in (("best test accuracy", va.max()), ("excess", excess)):
            rows.append(pd.DataFrame({**at_end, "curve": name, "value": float(value)}))
    per_replicate = pd.concat(rows)[["winsor", "noise", "curve", "step", "replicate", "value"]]
    return summarise(per_replicate)


def draw(numbers: pd.DataFrame, style: Style, colors: list[Any]) -> Figure:
    """Draw the table.

    Parameters
    ----------
    numbers : DataFrame
        As `table` returns it, or with others put beside it.
    style : Style
        Width of the figure.
    colors : list
        Palette.

    Returns
    -------
    Figure
        A row for each level of winsorization, a column for each noise level.
    """
    levels = sorted(numbers["noise"].unique())
    here, beside = split_sources(numbers)
    clipped = sorted(numbers["winsor"].unique())
    figure = new_figure(style, 0.12 + 0.17 * len(clipped))
    grid = figure.subplots(len(clipped), len(levels), sharex=True, sharey=True, squeeze=False)
    last = int(here["step"].max())
    lowest = min(-0.1, float(numbers[numbers["curve"].isin(list(CURVES))]["low"].min()) - 0.02)
    for line, c in enumerate(clipped):
        for column, noise in enumerate(levels):
            axes = grid[line, column]
            axes.axhline(0, color="0.8", linewidth=0.6, zorder=0)
            proper = (1 - noise) + noise / 10
            axes.axhline(proper, color="0.55", linewidth=0.6, linestyle=LONG_DASHED, zorder=0)
            for these in (beside, here):
                of_cell = these[(these["winsor"] == c) & (these["noise"] == noise)]
                for name, (place, linestyle) in CURVES.items():
                    rows = of_cell[of_cell["curve"] == name]
                    if len(rows):
                        curve(axes, rows, colors[place], linestyle, pale=these is beside)
            log_steps(axes, last, narrow=len(levels) > 3)
            axes.set_ylim(lowest, 1.02)
            if line == 0:
                axes.set_title(f"{per_cent(noise)} noise")
            if column == 0:
                axes.set_ylabel(f"$c$ = {c}")
            if line == len(clipped) - 1:
                axes.set_xlabel("step")
    handles = [
        Line2D([], [], color=colors[place], linestyle=linestyle) for place, linestyle in CURVES.values()
    ]
    handles.append(Line2D([], [], color="0.55", linewidth=0.6, linestyle=LONG_DASHED))
    figure.legend(
        handles, [*CURVES, "proper accuracy"], loc="outside upper center", ncols=4, handlelength=2.5
    )
    note(figure, replicates_note(here) + beside_note(beside))
    return figure
