"""Winsorized SGD against plain SGD where both have learned as much, and how much it slows what."""

from collections.abc import Sequence
from itertools import cycle, zip_longest
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

from cgpipe.figures.style import (
    DASHED,
    PALE,
    LineStyle,
    Style,
    log_ratios,
    new_figure,
    note,
    smallest_to_largest,
)
from cgpipe.figures.words import percent
from cgpipe.inference.curves import mean_over_log_steps
from cgpipe.inference.matching import Bounded, matched_accuracy, slowdown
from cgpipe.runs import Run

# Matched curves: their label, and that of what they are matched on.
CURVES = {
    "test accuracy": ("test accuracy,\n$c$ less plain", "training accuracy"),
    "corrupt right": ("corrupt right,\n$c$ less plain", "pristine right"),
}
# Slowdowns: places in the palette, lines, names.
SLOWDOWNS: dict[str, tuple[int, LineStyle, str]] = {
    "corrupt slowdown": (3, DASHED, "to 20% of the corrupt"),
    "pristine slowdown": (0, "-", "to 90% of the pristine"),
    "S": (7, "-", "$S$, their ratio"),
}
ALMOST_ALL = 0.999  # right end of a scale of log-odds
MARKERS = {"": "o", ">=": "^", "<=": "v"}
COLUMNS = ["quantity", "noise", "winsor", "replicate", "step", "accuracy", "value", "bound"]


def table(runs: Sequence[Run]) -> pd.DataFrame:
    """Numbers of the figure, and those of early stopping.

    Parameters
    ----------
    runs : sequence of Run
        A history (stage train) at each noise level, level of winsorization and replicate, plain SGD among
        them.

    Returns
    -------
    DataFrame
        Columns `quantity`, `noise`, `winsor`, `replicate`, `step`, `accuracy`, `value`, `bound`. Quantities
        `test accuracy` and `corrupt right` of `cgpipe.inference.matching.matched_accuracy`, where they are
        defined, with the `accuracy` that they are matched on; of both `mean` (over log10(t + 1)) and `best`;
        `best test accuracy` of each run, plain SGD too, at its step; and those of
        `cgpipe.inference.matching.slowdown`. A `bound` of >= or <= says that the value is only a bound: a run
        ended too early to tell.

    Raises
    ------
    ValueError
        If there is no run of plain SGD to compare a run with.
    """
    plain = [run for run in runs if run.winsor == 0]
    rows: list[dict[str, Any]] = []
    for run in sorted(runs, key=lambda run: run[:3]):
        at = {"noise": run.noise, "winsor": run.winsor, "replicate": run.replicate}
        test = run.data["accuracy_test"].values
        best = int(np.argmax(test))
        step = int(run.data["step"][best])
        rows.append({"quantity": "best test accuracy", **at, "step": step, "value": float(test[best])})
        if run.winsor == 0:
            continue
        rows += [{**row, **at} for row in compared(run, plain)]
    return pd.DataFrame(rows, columns=COLUMNS).fillna({"bound": ""})


def compared(run: Run, plain: Sequence[Run]) -> list[dict[str, Any]]:
    """Rows of the table of one run, without its levels.

    Raises
    ------
    ValueError
        If none of `plain` has its noise and replicate.
    """
    others = [other.data for other in plain if (other.noise, other.replicate) == (run.noise, run.replicate)]
    if not others:
        raise ValueError(
            f"no run of plain SGD (c = 0) at noise {run.noise:g}, replicate {run.replicate}, to compare that "
            f"of {run.update}, c = {run.winsor}, with: give one"
        )
    history, other = run.data, others[-1]
    curves = matched_accuracy(history, other)
    rows: list[dict[str, Any]] = []
    for name in CURVES:
        values, on = curves[name].values, curves[f"{name}, on"].values
        known = np.isfinite(values)
        rows += [
            {"quantity": name, "step": int(t), "accuracy": x, "value": y}
            for t, x, y in zip(curves["step"].values[known], on[known], values[known], strict=True)
        ]
        mean = mean_over_log_steps(curves["step"].values, values)
        best = values[known].max() if known.any() else np.nan
        rows += [{"quantity": f"{name}, {of}", "value": at} for of, at in (("mean", mean), ("best", best))]
    slowed = slowdown(history, other)
    return rows + [{"quantity": name, **of._asdict()} for name, of in slowed.items()]


def draw(numbers: pd.DataFrame, style: Style, colors: list[Any]) -> Figure:
    """Plot the table.

    Parameters
    ----------
    numbers : DataFrame
        As `table` returns it.
    style : Style
        Width of the figure.
    colors : list
        Palette; one colour for each level of winsorization, and those of the slowdowns.

    Returns
    -------
    Figure
        A column for each noise level; rows of what is matched on training accuracy, of what is matched on
        the share of pristine examples right, and of the slowdowns by c.
    """
    noises = sorted(numbers["noise"].unique())
    clipped = sorted(c for c in numbers["winsor"].unique() if c > 0)
    by_level = dict(zip(clipped, cycle(colors), strict=False))
    figure = new_figure(style, 0.78)
    grid = figure.subplots(3, len(noises), sharey="row", squeeze=False)
    for column, noise in enumerate(noises):
        of_noise = numbers[numbers["noise"] == noise]
        for axes, (name, (_, on)) in zip(grid[:, column], CURVES.items(), strict=False):
            axes.axhline(0, color="0.7", linewidth=0.6, zorder=0)
            for c, color in by_level.items():
                _curves(axes, of_noise[(of_noise["quantity"] == name) & (of_noise["winsor"] == c)], color)
            axes.set_xlabel(on if noise or on == "training accuracy" else "others right")
        log_odds(grid[1, column])
        _slowdowns(grid[2, column], of_noise, clipped, colors)
        grid[0, column].set_title(f"{percent(noise)} noise")
        if noise == 0:
            grid[1, column].text(
                *(0.04, 0.96, "hard examples\nfor corrupt ones"),
                transform=grid[1, column].transAxes,
                verticalalignment="top",
                fontsize="x-small",
                color="0.35",
            )
    for axes, (label, _) in zip(grid[:, 0], [*CURVES.values(), ("slowdown by $c$", "")], strict=True):
        axes.set_ylabel(label)
    levels = [(Line2D([], [], color=color), f"$c$ = {c}") for c, color in by_level.items()]
    slowdowns = [
        (Line2D([], [], color=colors[place % len(colors)], linestyle=line, marker="o", markersize=3), name)
        for place, line, name in SLOWDOWNS.values()
    ]
    empty = (Line2D([], [], linestyle=""), "")
    pairs = [of for both in zip_longest(levels, slowdowns, fillvalue=empty) for of in both]  # a row of each
    figure.legend(*zip(*pairs, strict=True), loc="outside upper center", ncols=len(pairs) // 2)
    n = smallest_to_largest(numbers.groupby(["noise", "winsor"])["replicate"].nunique())
    note(
        figure,
        f"Thin, small: one replicate; thick, large: mean (n = {n}). Triangles: bounds, as a run "
        "ended before it came so far.",
    )
    return figure


def log_odds(axes: Axes) -> None:
    """Make a horizontal axis of shares that spreads those near 1."""
    axes.set_xscale("logit")
    axes.set_xlim(None, ALMOST_ALL)
    shares = [0.01, 0.1, 0.5, 0.9, 0.99]
    axes.xaxis.set_major_locator(FixedLocator(shares))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _curves(axes: Axes, rows: pd.DataFrame, color: Any) -> None:
    """A pale line for each replicate, and their mean at the steps at which all have a value."""
    replicates = rows["replicate"].nunique()
    if replicates > 1:
        for _, one in rows.groupby("replicate"):
            axes.plot(one["accuracy"], one["value"], color=color, linewidth=0.5, alpha=PALE)
    rows = rows.assign(accuracy=rows["accuracy"].clip(upper=ALMOST_ALL))
    at_steps = rows.groupby("step")[["accuracy", "value"]]
    means = at_steps.mean()[at_steps.size() == replicates]
    axes.plot(means["accuracy"], means["value"], color=color)


def _slowdowns(axes: Axes, rows: pd.DataFrame, clipped: Sequence[int], colors: list[Any]) -> None:
    """By level of winsorization: a mark for each replicate, and lines through their means."""
    axes.axhline(1, color="0.7", linewidth=0.6, zorder=0)
    for name, (place, line, _) in SLOWDOWNS.items():
        color = colors[place % len(colors)]
        of_name = rows[rows["quantity"] == name].dropna(subset=["value"])
        for row in of_name.to_dict("records"):
            x, marker = clipped.index(row["winsor"]), MARKERS[row["bound"]]
            axes.plot(x, row["value"], marker=marker, markersize=2.5, color=color, alpha=PALE, linestyle="")
        means = {clipped.index(c): mean_of(of_c) for c, of_c in of_name.groupby("winsor")}
        axes.plot(list(means), [of.value for of in means.values()], color=color, linestyle=line)
        for x, of in means.items():
            axes.plot(x, of.value, marker=MARKERS[of.bound], markersize=4, color=color, linestyle="")
    log_ratios(axes, "y")
    axes.set_xticks(range(len(clipped)), [str(c) for c in clipped])
    axes.set_xlim(-0.4, len(clipped) - 0.6)
    axes.set_xlabel("$c$")


def mean_of(rows: pd.DataFrame) -> Bounded:
    """Geometric mean of the replicates: a bound if any is one, and undefined if they bound both sides."""
    bounds = set(rows["bound"]) - {""}
    if len(bounds) > 1 or not (rows["value"] > 0).all():
        return Bounded(np.nan)
    return Bounded(float(np.exp(np.log(rows["value"]).mean())), next(iter(bounds), ""))
