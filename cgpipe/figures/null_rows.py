"""What figures 2 and 3 have in common: rows of panels, the data above null worlds, by noise level."""

from collections.abc import Callable, Sequence
from itertools import count, takewhile
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from cgpipe.figures.style import DASHED, DOTTED, LineStyle, Style, curve, new_figure, note, replicates_note
from cgpipe.figures.summary import summarise
from cgpipe.figures.words import format_p, percent
from cgpipe.runs import Run

# Places in the palette, lines, and letters.
GROUPS: dict[str, tuple[int, LineStyle, str]] = {
    "pristine": (0, "-", "p"),
    "corrupt": (3, DASHED, "c"),
}
WORLD = "world {}"  # name of the rows of a null world
EXACT = "All examples, all parameters."  # source of the figures that take no sample
SELF_TERMS, NULL_BAND = "0.35", "0.85"  # greys
_LABEL_OF_ROW = {"data": "", "pairs": "\npairs $e\\neq e'$ alone"}


class Statistic(NamedTuple):
    """What a figure plots of each group of examples."""

    name: str  # of its variable, and its symbol
    step: str  # its dimension of steps
    label: str  # of the vertical axis
    steps: Callable[[Axes, int], None]  # makes the axis of steps
    share: Literal["all", "col"]  # whether all panels have one vertical scale, or each column its own
    test: str  # what its p-value is, for the note
    source: str = ""  # what it is taken from, for the note

    def table(self, runs: Sequence[Run]) -> pd.DataFrame:
        """Numbers of the figure.

        Parameters
        ----------
        runs : sequence of Run
            Null worlds (stage nullworlds) of plain SGD at each noise level and replicate.

        Returns
        -------
        DataFrame
            Columns `row` (data, world 1, ..., and the ends of the null band: null low, null high), `noise`,
            `group`, `step`, `mean`, `low`, `high`, `n`; and rows `p` (at each step) and `curve p` (once a
            run, at its last step) that hold p-values, of group `pristine`. For f also rows `pairs`, f over
            the pairs of different examples alone, and `self terms` of group `all`, the share of the others;
            where the Datasets have them, `in a sample`, f_in_a_sample, and `of sums`, f_of_sums, of group
            `pristine`. A row `empty` for a group without examples, whose n is the replicates where it has
            none. Worlds are those of the first replicate, because the mean of several is not a null world.
        """
        first = min(run.replicate for run in runs)
        return summarise(pd.concat([self._rows(run, worlds=run.replicate == first) for run in runs]))

    def _rows(self, run: Run, *, worlds: bool) -> pd.DataFrame:
        null, name = run.data, self.name
        steps = null[self.step].values
        rows: list[pd.DataFrame] = []

        def add(row: str, group: str, values: npt.ArrayLike, at: npt.NDArray[np.int64] = steps) -> None:
            levels = {"row": row, "noise": run.noise, "replicate": run.replicate, "group": group}
            rows.append(pd.DataFrame({**levels, "step": at, "value": values}))

        of_groups = {"data": name, "null low": f"{name}_null_low", "null high": f"{name}_null_high"}
        by_group: dict[str, xr.DataArray] = {row: null[variable] for row, variable in of_groups.items()}
        if f"{name}_pairs" in null:
            by_group["pairs"] = null[f"{name}_pairs"]
            add("self terms", "all", null["self_term_share"].values)
        if worlds:
            by_group |= {WORLD.format(k): null[f"{name}_null"].sel(world=k) for k in null["world"].values}
        for row, values in by_group.items():
            for group in GROUPS:
                add(row, group, values.sel(group=group).values)
        for row, variable in (("in a sample", f"{name}_in_a_sample"), ("of sums", f"{name}_of_sums")):
            if variable in null:
                (dimension,) = null[variable].dims
                add(row, "pristine", null[variable].values, null[dimension].values)
        add("p", "pristine", null[f"{name}_p"].values)
        add("curve p", "pristine", [float(null[f"{name}_curve_p"])], steps[-1:])
        for group in GROUPS:
            if "group_size" in null and not null["group_size"].sel(group=group):
                add("empty", group, [0.0], steps[-1:])
        return pd.concat(rows)

    def draw(self, numbers: pd.DataFrame, style: Style, colors: list[Any]) -> Figure:
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
            A row for the data, for f one for the pairs of different examples alone, and one for each null
            world.
        """
        levels, present = sorted(numbers["noise"].unique()), set(numbers["row"])
        worlds = list(takewhile(present.__contains__, map(WORLD.format, count(1))))
        pairs = "pairs" in present
        rows = ["data", *(["pairs"] if pairs else []), *worlds]
        figure = new_figure(style, 0.12 + 0.21 * len(rows))
        grid = figure.subplots(len(rows), len(levels), sharex=True, sharey=self.share, squeeze=False)
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
                    if lacking := _empty(of_level):
                        middle: dict[str, Any] = {"transform": axes.transAxes, "ha": "center", "va": "center"}
                        axes.text(0.5, 0.5, lacking, **middle, fontsize="small", color="0.35")
                for group, (place, linestyle, _) in GROUPS.items():
                    of_group = of_level[(of_level["row"] == row) & (of_level["group"] == group)]
                    curve(axes, of_group, colors[place], linestyle)
                self.steps(axes, last)
                if column == 0:
                    axes.set_ylabel(self.label + _LABEL_OF_ROW.get(row, f"\nnull {row}"))
            grid[0, column].set_title(f"{percent(noise)} noise", loc="left")
            grid[-1, column].set_xlabel("step")
        if pairs:
            # Where pairs cancel, f over them has no bounds, and leaves the panel.
            bounded = numbers[numbers["row"].isin(["data", *worlds])]
            low, high = bounded["low"].min() - 0.05, bounded["high"].max() + 0.05
            grid[0, 0].set_ylim(min(-0.1, max(low, -0.5)), max(1.1, min(high, 1.5)))
        lines = (Line2D([], [], color=colors[place], linestyle=line) for place, line, _ in GROUPS.values())
        handles: list[Any] = [*lines, Patch(color=NULL_BAND)]
        names = [f"{group}, ${self.name}^{letter}$" for group, (_, _, letter) in GROUPS.items()]
        names.append("null band")
        if pairs:
            handles.append(Line2D([], [], color=SELF_TERMS, linestyle=DOTTED))
            names.append("self-term share")
        figure.legend(handles, names, loc="outside upper center", ncols=len(names), handlelength=2.2)
        several = "" if numbers["n"].max() == 1 else " Null band: mean of theirs; null worlds: of the first."
        defined = numbers[(numbers["row"] == "data") & (numbers["n"] > 0)]
        note(figure, f"{replicates_note(defined)}{several}\n{self.test} {self.source}".rstrip())
        return figure


def _null_bands(axes: Axes, of_level: pd.DataFrame) -> None:
    """Grey behind the data: where a random group would lie, mean over the replicates."""
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
        f"no {row['group']} example" + f"\nin {row['n']} of {row['n'] + defined} replicates" * (defined > 0)
        for row in of_level[of_level["row"] == "empty"].to_dict("records")
    )
