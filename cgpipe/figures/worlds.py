"""What figures 2 and 3 share: the data above null worlds, a column for each noise level."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from cgpipe.figures.style import (
    CORRUPT,
    DASHED,
    DOTTED,
    NULL_BAND,
    PRISTINE,
    LineStyle,
    Style,
    curve,
    new_figure,
    note,
    replicates_note,
)
from cgpipe.figures.summary import summarise
from cgpipe.figures.words import format_p, per_cent

GROUPS: dict[str, tuple[int, LineStyle, str]] = {
    "pristine": (PRISTINE, "-", "p"),
    "corrupt": (CORRUPT, DASHED, "c"),
}

SELF_TERMS = "0.35"
_OF_ROW = {"data": "", "pairs": "\npairs $e\\neq e'$ alone"}


class Sample(NamedTuple):
    """Null worlds of one run."""

    noise: float
    replicate: int
    worlds: xr.Dataset  # of stage nullworlds


def table(samples: Sequence[Sample], statistic: str, step: str) -> pd.DataFrame:
    """Numbers of the figure.

    Parameters
    ----------
    samples : sequence of Sample
        Each noise level and replicate.
    statistic : {"f", "i"}
        What to show.
    step : str
        Its dimension of steps.

    Returns
    -------
    DataFrame
        Columns `row` (data, world 1, ..., and the ends of the null band: null low, null high), `noise`,
        `group`, `step`, `mean`, `low`, `high`, `n`; and rows `p` (at each step) and `curve p` (once a
        run, at its last step) that hold p-values, of group `pristine`. For f also rows `pairs`, f over
        the pairs of different examples alone, and `self terms` of group `all`, the share of the others;
        where the Datasets have them, `in a sample`, f_in_a_sample, and `of sums`, f_of_sums, of group
        `pristine`. A row `empty` for a group without examples, whose n is the replicates where it has none.
        Worlds are those of the first replicate: the mean of several is no null world.
    """
    rows = []
    first = min(sample.replicate for sample in samples)
    for sample in samples:
        worlds = sample.worlds
        steps = worlds[step].values
        named = {
            "data": worlds[statistic],
            "null low": worlds[f"{statistic}_null_low"],
            "null high": worlds[f"{statistic}_null_high"],
            **({"pairs": worlds["f_pairs"]} if statistic == "f" else {}),
            **{
                f"world {int(world)}": worlds[f"{statistic}_null"].sel(world=world)
                for world in worlds["world"].values
                if sample.replicate == first
            },
        }
        of_run = {"noise": sample.noise, "replicate": sample.replicate}
        for row, values in named.items():
            for group in GROUPS:
                of_group = {"row": row, **of_run, "group": group, "step": steps}
                rows.append(pd.DataFrame({**of_group, "value": values.sel(group=group).values}))
        if statistic == "f":
            share = {"row": "self terms", **of_run, "group": "all", "step": steps}
            rows.append(pd.DataFrame({**share, "value": worlds["self_term_share"].values}))
        of_test = {**of_run, "group": "pristine"}
        for row, name in (("in a sample", "f_in_a_sample"), ("of sums", "f_of_sums")):
            if statistic == "f" and name in worlds:
                at = {"row": row, **of_test, "step": worlds[name][worlds[name].dims[0]].values}
                rows.append(pd.DataFrame({**at, "value": worlds[name].values}))
        p = {"row": "p", **of_test, "step": steps, "value": worlds[f"{statistic}_p"].values}
        curve_p = [float(worlds[f"{statistic}_curve_p"])]
        empty = [
            group for group in GROUPS if "group_size" in worlds and not worlds["group_size"].sel(group=group)
        ]
        rows += [
            pd.DataFrame({"row": "empty", **of_run, "group": group, "step": steps[-1:], "value": 0.0})
            for group in empty
        ]
        rows += [
            pd.DataFrame(p),
            pd.DataFrame({"row": "curve p", **of_test, "step": steps[-1:], "value": curve_p}),
        ]
    return summarise(pd.concat(rows))


def draw(
    numbers: pd.DataFrame,
    style: Style,
    colors: list[Any],
    *,
    symbol: str,
    label: str,
    steps: Callable[[Axes, int], None],
    share: Literal["all", "col"],
    explanation: str,
) -> Figure:
    """Draw the table.

    Parameters
    ----------
    numbers : DataFrame
        As `table` returns it.
    style : Style
        Width of the figure.
    colors : list
        Palette.
    symbol : str
        Of the statistic, for the legend.
    label : str
        Of the vertical axis.
    steps : callable
        Makes the axis of steps.
    share : {"all", "col"}
        Whether all panels have one vertical scale, or each column its own.
    explanation : str
        For the note below.

    Returns
    -------
    Figure
        A row for the data, for f one for the pairs of different examples alone, and one for each null world.
    """
    levels = sorted(numbers["noise"].unique())
    worlds = sorted((row for row in numbers["row"].unique() if row.startswith("world")), key=_number)
    rows = ["data", *(["pairs"] if "pairs" in set(numbers["row"]) else []), *worlds]
    figure = new_figure(style, 0.12 + 0.21 * len(rows))
    grid = figure.subplots(len(rows), len(levels), sharex=True, sharey=share, squeeze=False)
    last = int(numbers["step"].max())
    for column, noise in enumerate(levels):
        of_level = numbers[numbers["noise"] == noise]
        for line, row in enumerate(rows):
            axes = grid[line, column]
            if row == "pairs":
                alone = of_level[of_level["row"] == "self terms"].sort_values("step")
                axes.plot(alone["step"], alone["mean"], color=SELF_TERMS, linestyle=DOTTED)
            if row == "data":
                _null_bands(axes, of_level)
                axes.set_title(_p_value(of_level), loc="right", fontsize="small", color="0.35")
                if said := _empty(of_level):
                    middle: dict[str, Any] = {"transform": axes.transAxes, "ha": "center", "va": "center"}
                    axes.text(0.5, 0.5, said, **middle, fontsize="small", color="0.35")
            for group, (place, linestyle, _) in GROUPS.items():
                of_group = of_level[(of_level["row"] == row) & (of_level["group"] == group)]
                curve(axes, of_group, colors[place], linestyle)
            steps(axes, last)
            if column == 0:
                axes.set_ylabel(label + _OF_ROW.get(row, f"\nnull {row}"))
        grid[0, column].set_title(f"{per_cent(noise)} noise", loc="left")
        grid[-1, column].set_xlabel("step")
    if "pairs" in rows:
        # Where pairs cancel, f over them has no bounds, and leaves the panel.
        shown = numbers[numbers["row"].isin(["data", *worlds])]
        low, high = shown["low"].min() - 0.05, shown["high"].max() + 0.05
        grid[0, 0].set_ylim(min(-0.1, max(low, -0.5)), max(1.1, min(high, 1.5)))
    handles: list[Any] = [
        Line2D([], [], color=colors[place], linestyle=linestyle) for place, linestyle, _ in GROUPS.values()
    ]
    names = [f"{group}, ${symbol}^{letter}$" for group, (_, _, letter) in GROUPS.items()]
    handles.append(Patch(color=NULL_BAND))
    names.append("null band")
    if "pairs" in rows:
        handles.append(Line2D([], [], color=SELF_TERMS, linestyle=DOTTED))
        names.append("self-term share")
    figure.legend(handles, names, loc="outside upper center", ncols=len(names), handlelength=2.2)
    several = "" if numbers["n"].max() == 1 else " Null band: mean of theirs; null worlds: of the first."
    defined = numbers[(numbers["row"] == "data") & (numbers["n"] > 0)]
    note(figure, f"{replicates_note(defined)}{several}\n{explanation}")
    return figure


def _null_bands(axes: Axes, of_level: pd.DataFrame) -> None:
    """Grey behind the data: where a group drawn at random would lie, mean over the replicates."""
    for group in GROUPS:
        of_group = of_level[of_level["group"] == group]
        low, high = (
            of_group[of_group["row"] == row].sort_values("step") for row in ("null low", "null high")
        )
        axes.fill_between(low["step"], low["mean"], high["mean"], color=NULL_BAND, linewidth=0, zorder=0)


def _p_value(of_level: pd.DataFrame) -> str:
    """Whole-curve p-value; of several replicates the largest."""
    p = of_level[of_level["row"] == "curve p"]
    largest, n = float(p["high"].iloc[0]), int(p["n"].iloc[0])
    return "p undefined" if np.isnan(largest) else f"$p$ {format_p(largest, '= ' if n == 1 else '≤ ')}"


def _empty(of_level: pd.DataFrame) -> str:
    """Which group has no example, and in how many of the replicates, if not in all."""
    defined = int(of_level.loc[of_level["row"] == "curve p", "n"].iloc[0])
    return "\n".join(
        f"no {of['group']} example" + f"\nin {of['n']} of {of['n'] + defined} replicates" * (defined > 0)
        for of in of_level[of_level["row"] == "empty"].to_dict("records")
    )


def _number(row: str) -> int:
    return int(row.rsplit(maxsplit=1)[-1])
