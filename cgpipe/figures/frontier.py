"""What is memorized against what is learned along training, for several update rules."""

from collections.abc import Sequence
from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cgpipe.figures.style import DASHED, DOTTED, LineStyle, Style, new_figure, note
from cgpipe.figures.summary import each_replicate
from cgpipe.figures.words import percent
from cgpipe.runs import Run

LINES: tuple[LineStyle, ...] = ("-", DASHED, DOTTED, (0, (4, 1, 1, 1)))


def table(runs: Sequence[Run]) -> pd.DataFrame:
    """Numbers of the figure.

    Parameters
    ----------
    runs : sequence of Run
        A history (stage train) of each experiment, noise level, level of winsorization and replicate.

    Returns
    -------
    DataFrame
        Columns `quantity` (`pristine`, `corrupt`: share of these examples that are classified as labelled;
        `accuracy_test`; `epsilon`, of private runs), `experiment`, `noise`, `winsor`, `step`, `replicate`,
        `value`.
    """
    rows = []
    for run in runs:
        right, pristine = (run.data[name].values.astype(bool) for name in ("correct", "pristine"))
        values = {
            "pristine": right[:, pristine].mean(1),
            "corrupt": right[:, ~pristine].mean(1),
            **{name: run.data[name].values for name in ("accuracy_test", "epsilon") if name in run.data},
        }
        levels = {"noise": run.noise, "winsor": run.winsor, "replicate": run.replicate}
        rows += [
            pd.DataFrame({"step": run.data["step"].values, "value": of}).assign(
                quantity=quantity, experiment=run.experiment, **levels
            )
            for quantity, of in values.items()
        ]
    columns = ["quantity", "experiment", "noise", "winsor", "step", "replicate", "value"]
    return each_replicate(pd.concat(rows)[columns])


def draw(numbers: pd.DataFrame, style: Style, colors: list[Any]) -> Figure:
    """Plot the table.

    Parameters
    ----------
    numbers : DataFrame
        As `table` returns it.
    style : Style
        Width of the figure.
    colors : list
        Palette; one colour for each experiment, one line style for each c of it.

    Returns
    -------
    Figure
        A panel for each noise level: means over the replicates, a point for each logged step. Lower is less
        memorized at the same share learned.
    """
    keys = ["noise", "experiment", "winsor", "step"]
    means = numbers.pivot_table(values="value", index=keys, columns="quantity").reset_index()
    levels, experiments = (list(dict.fromkeys(means[key])) for key in ("noise", "experiment"))
    figure = new_figure(style, 0.55 if len(levels) == 1 else 0.5)
    grid = figure.subplots(1, len(levels), sharey=True, squeeze=False)[0]
    handles = []
    for name, color in zip(experiments, cycle(colors), strict=False):
        of_one = means[means["experiment"] == name]
        for c, line in zip(sorted(of_one["winsor"].unique()), cycle(LINES), strict=False):
            of_run = of_one[of_one["winsor"] == c]
            for axes, level in zip(grid, levels, strict=True):
                rows = of_run[of_run["noise"] == level].sort_values("step")
                axes.plot(rows["pristine"], rows["corrupt"], color=color, linestyle=line)
            handles.append(Line2D([], [], color=color, linestyle=line, label=label(name, int(c), of_run)))
    for axes, level in zip(grid, levels, strict=True):
        axes.set(xlim=(0, 1.01), ylim=(0, None), xlabel="pristine examples learned")
        axes.set_title(f"{percent(level)} noise")
    grid[0].set_ylabel("corrupt examples learned")
    figure.legend(handles=handles, loc="outside right upper")
    n = numbers["replicate"].nunique()
    note(figure, f"Lines: mean over n = {n} replicates, along training. Lower: less is memorized.")
    return figure


def label(name: str, c: int, rows: pd.DataFrame) -> str:
    """An experiment in the legend, with its c, or what privacy it has at the end."""
    words = name.replace("_", " ")
    if "epsilon" in rows and np.isfinite(rows["epsilon"]).any():
        return f"{words} (ε = {rows.sort_values('step')['epsilon'].iloc[-1]:.3g})"
    return f"{words}, $c$ = {c}" if c else words
