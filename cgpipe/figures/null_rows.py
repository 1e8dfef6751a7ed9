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
from cgpipe.figures.summary import each_replicate, summarise
from cgpipe.figures.words import format_p, percent
from cgpipe.runs import Run

# Places in the palette, lines, and letters.
GROUPS: dict[str, tuple[int, LineStyle, str]] = {
    "pristine": (0, "-", "p"),
    "corrupt": (3, DASHED, "c"),
}
WORLD = "world {}"  # name of the rows of a null world
EXACT = "All examples, all parameters."  # source of the figures that take no sample
DRAWS = "Data and null worlds: the first draw of the sample. Mean of draws: the band is their range."
SELF_TERMS = "0.35"  # grey
NULL_BAND: dict[str, Any] = {"color": "0.85", "linewidth": 0}
NORMAL_95 = 1.96  # standard deviations on either side of the mean
# Rows of the table with the ends of a band, such as `null low` from f_null_low.
_BANDS = ("null", "stratified", "draws", "burst")
# What a line is the mean of, if it has a band of its own; the other bands are over the replicates.
_MEANS = {"draws": "draws mean", "burst": "burst"}
STRATIFIED: dict[str, Any] = {"facecolor": "none", "hatch": "/////", "alpha": 0.6, "linewidth": 0.4}
_LABEL_OF_ROW = {"data": "", "draws": "\nmean of draws", "pairs": "\npairs $e\\neq e'$ alone"}


def added(runs: Sequence[Run], *more: Callable[[xr.Dataset], xr.Dataset]) -> list[Run]:
    """The null worlds of runs with what follows from them."""
    return [run._replace(data=run.data.merge(xr.merge([of(run.data) for of in more]))) for run in runs]


def stratified_band(null: xr.Dataset) -> xr.Dataset:
    """Ends of the 95 % band of f of both groups in null worlds within strata, from mean and deviation."""
    mean, reach = null["f_stratified_mean"], NORMAL_95 * null["f_stratified_sd"]
    of_groups = xr.concat([mean, 1 - mean], null["group"])
    return xr.Dataset({"f_stratified_low": of_groups - reach, "f_stratified_high": of_groups + reach})


class Statistic(NamedTuple):
    """What a figure plots of each group of examples."""

    name: str  # of its variable, and its symbol
    step: str  # its dimension of steps
    label: str  # of the vertical axis
    steps: Callable[[Axes, int], None]  # makes the axis of steps
    share: Literal["all", "col"]  # whether all panels have one vertical scale, or each column its own
    test: str  # what its p-value is, for the note
    source: str  # what it is taken from, for the note

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
            `group`, `step`, `replicate`, `value`; and rows `p` (at each step) and `curve p` (once a
            run, at its last step) that hold p-values, of group `pristine`. For f also rows `pairs`, f over
            the pairs of different examples alone, and `self terms` of group `all`, the share of the others;
            where the Datasets have them, `in a sample`, f_in_a_sample, and `of sums`, f_of_sums, of group
            `pristine`; `draws mean`, `draws low` and `draws high`, over the draws of a sample; `burst`,
            `burst low` and `burst high`, of sums over bursts of steps and of their single steps;
            `stratified low` and `stratified high`, the band of null worlds within strata. A row `empty` for a
            group without examples, whose n is the replicates where it has none. Worlds are those of the first
            replicate, because the mean of several is not a null world.
        """
        first = min(run.replicate for run in runs)
        return each_replicate(pd.concat([self._rows(run, worlds=run.replicate == first) for run in runs]))

    def _rows(self, run: Run, *, worlds: bool) -> pd.DataFrame:
        null, name = run.data, self.name
        steps = null[self.step].values
        rows: list[pd.DataFrame] = []

        def add(row: str, group: str, values: npt.ArrayLike, at: npt.NDArray[np.int64] = steps) -> None:
            levels = {"row": row, "noise": run.noise, "replicate": run.replicate, "group": group}
            rows.append(pd.DataFrame({**levels, "step": at, "value": values}))

        names = ["data", *_MEANS.values(), *(f"{band} {end}" for band in _BANDS for end in ("low", "high"))]
        variables = {row: f"{name}_{row.replace(' ', '_')}" for row in names} | {"data": name}
        by_group = {row: null[variable] for row, variable in variables.items() if variable in null}
        if f"{name}_pairs" in null:
            by_group["pairs"] = null[f"{name}_pairs"]
            add("self terms", "all", null["self_term_share"].values)
        if worlds:
            by_group |= {WORLD.format(k): null[f"{name}_null"].sel(world=k) for k in null["world"].values}
        for row, values in by_group.items():
            for group in GROUPS:
                of_group = values.sel(group=group)
                (dimension,) = of_group.dims
                add(row, group, of_group.values, of_group[dimension].values)
        for row, variable in (("in a sample", f"{name}_in_a_sample"), ("of sums", f"{name}_of_sums")):
            if variable in null:
                (dimension,) = null[variable].dims
                add(row, "pristine", null[variable].values, null[dimension].values)
        add("p", "pristine", null[f"{name}_p"].values)
        add("curve p", "pristine", [float(null[f"{name}_curve_p"])], steps[-1:])
        for group in GROUPS:
            if "group_size" in null and not null["group_size"].sel(group=group)[0]:
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
            A row for the data; one for the mean of the draws of a sample, and for f one for the pairs of
            different examples alone, where the table has them; and one for each null world.
        """
        # Tables of several workflows have the worlds of each one's first replicate.
        of_others = numbers["row"].str.startswith("world ") & (
            numbers["replicate"] > numbers["replicate"].min()
        )
        numbers = summarise(numbers[~of_others])
        levels, present = sorted(numbers["noise"].unique()), set(numbers["row"])
        worlds = list(takewhile(present.__contains__, map(WORLD.format, count(1))))
        pairs, stratified = "pairs" in present, "stratified low" in present
        rows = [
            "data",
            *(["draws"] if "draws mean" in present else []),
            *(["pairs"] if pairs else []),
            *worlds,
        ]
        figure = new_figure(style, 0.12 + 0.21 * len(rows))
        grid = figure.subplots(len(rows), len(levels), sharex=True, sharey=self.share, squeeze=False)
        first, last = int(numbers["step"].min()), int(numbers["step"].max())
        for column, noise in enumerate(levels):
            of_level = numbers[numbers["noise"] == noise]
            for line, row in enumerate(rows):
                axes = grid[line, column]
                if row == "pairs":
                    alone = of_level[of_level["row"] == "self terms"].sort_values("step")
                    axes.plot(alone["step"], alone["mean"], color=SELF_TERMS, linestyle=DOTTED)
                if row == "data":
                    _null_bands(axes, of_level, colors)
                    axes.set_title(_p_value(of_level), loc="right", fontsize="small", color="0.35")
                    if lacking := _empty(of_level):
                        middle: dict[str, Any] = {"transform": axes.transAxes, "ha": "center", "va": "center"}
                        axes.text(0.5, 0.5, lacking, **middle, fontsize="small", color="0.35")
                for group, (place, linestyle, _) in GROUPS.items():
                    of_group = _line(of_level[of_level["group"] == group], row)
                    curve(axes, of_group, colors[place], linestyle)
                self.steps(axes, last)
                if first < last:
                    axes.set_xlim(first, last)
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
        handles: list[Any] = [*lines, Patch(**NULL_BAND)]
        names = [f"{group}, ${self.name}^{letter}$" for group, (_, _, letter) in GROUPS.items()]
        names.append("null band")
        if stratified:
            handles.append(Patch(edgecolor="0.35", **STRATIFIED))
            names.append("stratified")
        if pairs:
            handles.append(Line2D([], [], color=SELF_TERMS, linestyle=DOTTED))
            names.append("self-term share")
        figure.legend(handles, names, loc="outside upper center", ncols=len(names), handlelength=2.2)
        several = "" if numbers["n"].max() == 1 else " Null band: mean of theirs; null worlds: of the first."
        defined = numbers[(numbers["row"] == "data") & (numbers["n"] > 0)]
        note(figure, f"{replicates_note(defined)}{several}\n{self.test}\n{self.source}")
        return figure


def _line(of_group: pd.DataFrame, row: str) -> pd.DataFrame:
    """Points of a line and its band; instead of the data at single steps those of bursts, if there are."""
    at = of_group.set_index("step")
    kind = "burst" if row == "data" and (at["row"] == "burst").any() else row
    if kind not in _MEANS:
        return of_group[of_group["row"] == row]
    low, high = (at.loc[at["row"] == f"{kind} {end}", "mean"] for end in ("low", "high"))
    return at[at["row"] == _MEANS[kind]].assign(low=low, high=high).reset_index()


def _null_bands(axes: Axes, of_level: pd.DataFrame, colors: list[Any]) -> None:
    """Plot where a random group would lie, mean over the replicates; hatched: within strata."""
    for group, (place, _, _) in GROUPS.items():
        of_group = of_level[of_level["group"] == group].sort_values("step")
        for band, look in (
            ("null", NULL_BAND),
            ("stratified", {"edgecolor": colors[place], **STRATIFIED}),
        ):
            low, high = (of_group[of_group["row"] == f"{band} {end}"] for end in ("low", "high"))
            axes.fill_between(low["step"], low["mean"], high["mean"], zorder=0, **look)


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
