"""What is memorized where as much is learned, for several update rules."""

from collections.abc import Sequence
from itertools import chain, cycle
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cgpipe.figures.style import DASHED, DOTTED, LineStyle, Style, new_figure, note, smallest_to_largest
from cgpipe.figures.summary import each_replicate
from cgpipe.figures.words import percent, rounded, usual
from cgpipe.inference.curves import first_reached
from cgpipe.inference.mystery.rules import LEVELS
from cgpipe.runs import Run

LINES: tuple[LineStyle, ...] = ("-", DASHED, DOTTED, (0, (4, 1, 1, 1)), (0, (7, 1.5)))
# Shares of the pristine examples: below, hardly a corrupt one is learned.
SHARES = np.linspace(0.75, 1, 251)
# Kinds of runs, each of one colour; others are those of an experiment.
SGD, PRIVATE = "plain SGD", "with a privacy"


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


def draw(numbers: pd.DataFrame, style: Style, colors: list[Any], *, reference: str = "sgd") -> Figure:
    """Plot the table.

    Parameters
    ----------
    numbers : DataFrame
        As `table` returns it.
    style : Style
        Width of the figure.
    colors : list
        Palette; one colour for each experiment, and one for all private ones, with line styles for its runs.
    reference : str
        The experiment whose plain SGD the others are compared with, which is black.

    Returns
    -------
    Figure
        A panel for each noise level: means over the replicates of the share of the corrupt examples that is
        learned where a share of the pristine ones is first learned. Lower is less memorized where as much is
        learned.
    """
    curves = at_equal_learning(numbers)
    levels = sorted(curves["noise"].unique())
    figure = new_figure(style, 0.55 if len(levels) == 1 else 0.5)
    grid = figure.subplots(1, len(levels), sharey=True, squeeze=False)[0]
    handles = []
    for (name, c), (color, line) in looks(numbers, colors, reference).items():
        of_run = curves[(curves["experiment"] == name) & (curves["winsor"] == c)]
        front = 3 if color == "black" else 2
        for axes, level in zip(grid, levels, strict=True):
            rows = of_run[of_run["noise"] == level]
            axes.plot(rows["pristine"], rows["corrupt"], color=color, linestyle=line, zorder=front)
        handles.append(Line2D([], [], color=color, linestyle=line, label=label(name, c, numbers)))
    for axes, level in zip(grid, levels, strict=True):
        _compared(axes)
        axes.set_xlabel("pristine examples learned")
        axes.set_title(f"{percent(level)} noise", pad=12)
    grid[0].set_ylabel("corrupt examples learned by then")
    figure.legend(handles=handles, loc="outside right upper")
    n = smallest_to_largest(numbers.groupby(["experiment", "winsor"])["replicate"].nunique())
    note(
        figure,
        f"Lines: mean over replicates (n = {n}), where a share of the pristine examples is first learned,\n"
        "as far as all replicates come to it. Lower: less is memorized. Thin: where rules are compared.",
    )
    return figure


def at_equal_learning(numbers: pd.DataFrame) -> pd.DataFrame:
    """Mean share of the corrupt examples that is learned where each share of the pristine ones first is.

    Parameters
    ----------
    numbers : DataFrame
        As `table` returns it.

    Returns
    -------
    DataFrame
        Columns `noise`, `experiment`, `winsor`, `pristine` (each of `SHARES`) and `corrupt`: NaN where a
        replicate does not come to it.
    """
    wide = numbers.pivot_table(
        values="value", index=["noise", "experiment", "winsor", "replicate", "step"], columns="quantity"
    )
    found = []
    for run, rows in wide.groupby(level=["noise", "experiment", "winsor", "replicate"]):
        steps = rows.index.get_level_values("step")
        corrupt = np.interp(first_reached(steps, rows["pristine"], SHARES), steps, rows["corrupt"])
        levels = dict(zip(("noise", "experiment", "winsor"), run, strict=False))
        found.append(pd.DataFrame({**levels, "pristine": SHARES, "corrupt": corrupt}))
    grouped = pd.concat(found).groupby(["noise", "experiment", "winsor", "pristine"])["corrupt"]
    return grouped.agg(lambda of: of.mean(skipna=False)).reset_index()


def looks(
    numbers: pd.DataFrame, colors: Sequence[Any], reference: str
) -> dict[tuple[str, int], tuple[Any, LineStyle]]:
    """Colour and line style of each experiment and level of winsorization, the reference first."""
    runs = sorted({*zip(numbers["experiment"], numbers["winsor"].astype(int), strict=True)})
    runs.sort(key=lambda run: run != (reference, 0))
    private = {*numbers.loc[numbers["quantity"] == "epsilon", "experiment"]}
    kinds = [SGD if run == (reference, 0) else PRIVATE if run[0] in private else run[0] for run in runs]
    known = list(dict.fromkeys([SGD, *kinds]))
    in_color = dict(zip(known, chain(["black"], cycle(colors)), strict=False))
    return {
        run: (in_color[kind], LINES[(known.index(kind) + kinds[:k].count(kind)) % len(LINES)])
        for k, (run, kind) in enumerate(zip(runs, kinds, strict=True))
    }


def _compared(axes: Axes) -> None:
    """The part of the panel where rules differ, with a line at each share at which they are compared."""
    axes.set(xlim=(SHARES[0], SHARES[-1]), ylim=(0, 1))
    for level in LEVELS:
        axes.axvline(level, color="0.75", linewidth=0.5, zorder=0)
        axes.annotate(
            percent(level),
            (level, 1),
            (0, 1),
            xycoords=axes.get_xaxis_transform(),
            textcoords="offset points",
            ha="center",
            fontsize="x-small",
            color="0.35",
        )


def label(name: str, c: int, rows: pd.DataFrame) -> str:
    """An experiment in the legend, with its c, or what privacy it has at the end."""
    epsilon = rows[(rows["experiment"] == name) & (rows["quantity"] == "epsilon")]
    if np.isfinite(epsilon["value"]).any():
        return f"{usual(name)} (ε = {rounded(epsilon.sort_values('step')['value'].iloc[-1])})"
    return f"{usual(name)}, $c$ = {c}" if c else usual(name)
