"""What winsorizing a minibatch clips: whose gradients, and what is left of the update."""

from collections.abc import Sequence
from itertools import cycle
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from cgpipe.figures.style import (
    DASHED,
    LineStyle,
    Style,
    curve,
    legend,
    log_ratios,
    log_steps,
    new_figure,
    note,
    replicates_note,
)
from cgpipe.figures.summary import each_replicate, summarise
from cgpipe.figures.words import percent
from cgpipe.runs import Run


class Panel(NamedTuple):
    """A row of the figure."""

    label: str
    quantities: dict[str, LineStyle]  # with their lines
    marked: float  # a line across
    log: bool = False


PANELS = (
    Panel("odds of corrupt,\nclipped over all", {"odds": "-"}, 1, log=True),
    Panel("norm, $c$ over plain", {"norm_ratio": "-"}, 1),
    Panel("cosine with\nthe plain update", {"cosine with minibatch": "-"}, 1),
    Panel(
        "cosine with $g^p$\n(dashed: $g^c$)",
        {"cosine with pristine": "-", "cosine with corrupt": DASHED},
        0,
    ),
    Panel("share of\nzero updates", {"zero": "-"}, 0),
    Panel("squared bias,\nover $\\|g/m\\|^2$", {"squared_bias": "-"}, 0),
)


def table(runs: Sequence[Run]) -> pd.DataFrame:
    """Numbers of the figure.

    Parameters
    ----------
    runs : sequence of Run
        What is clipped (stage clipping) along runs at each noise level, level of winsorization of the
        training, and replicate.

    Returns
    -------
    DataFrame
        Columns `quantity`, `noise`, `trained` (the level of winsorization of the training), `winsor` (c, that
        of the minibatches), `step`, `replicate`, `value`; of each replicate the mean over its
        minibatches, of the odds the geometric one. Quantities are those of
        `cgpipe.gradients.clipping.measure_clipping`, `cosine with minibatch` and so on by the gradient that
        the update is compared with. What is undefined is left out.
    """
    rows = []
    for run in runs:
        found = run.data
        odds = np.log(found["odds"].where(found["odds"] > 0))
        means = found[["zero", "norm_ratio", "cosine"]].assign(odds=odds).mean(dim="batch")
        means = means.assign(odds=np.exp(means["odds"]), squared_bias=found["squared_bias"])
        for other in found["other"].values:
            means[f"cosine with {other}"] = means["cosine"].sel(other=other, drop=True)
        means = means.drop_vars(["cosine", "other"])
        long = means.to_dataframe().reset_index().melt(["step", "winsor"], var_name="quantity")
        rows.append(long.assign(noise=run.noise, trained=run.winsor, replicate=run.replicate))
    whole = pd.concat(rows).dropna(subset=["value"])
    return each_replicate(whole[["quantity", "noise", "trained", "winsor", "step", "replicate", "value"]])


def draw(numbers: pd.DataFrame, style: Style, colors: list[Any]) -> Figure:
    """Plot the table.

    Parameters
    ----------
    numbers : DataFrame
        As `table` returns it.
    style : Style
        Width of the figure.
    colors : list
        Palette; one colour for each level c.

    Returns
    -------
    Figure
        A row for each quantity, and a column for each noise level and level of winsorization of the training.
    """
    numbers = summarise(numbers)
    columns = list(numbers[["noise", "trained"]].drop_duplicates().itertuples(index=False, name=None))
    levels = sorted(numbers["winsor"].unique())
    figure = new_figure(style, 0.1 + 0.17 * len(PANELS))
    grid = figure.subplots(len(PANELS), len(columns), sharex=True, sharey="row", squeeze=False)
    last = int(numbers["step"].max())
    for column, (noise, trained) in enumerate(columns):
        of_column = numbers[(numbers["noise"] == noise) & (numbers["trained"] == trained)]
        for axes, panel in zip(grid[:, column], PANELS, strict=True):
            axes.axhline(panel.marked, color="0.7", linewidth=0.6, zorder=0)
            for quantity, line in panel.quantities.items():
                rows = of_column[of_column["quantity"] == quantity]
                for c, color in zip(levels, cycle(["0.5", *colors]), strict=False):
                    of_level = rows[rows["winsor"] == c]
                    if len(panel.quantities) > 1:  # bands would hide each other
                        of_level = of_level.assign(low=of_level["mean"], high=of_level["mean"])
                    curve(axes, of_level, color, line)
            if panel.log:
                log_ratios(axes, "y")
            log_steps(axes, last, narrow=len(columns) > 2)
        along = f",\ntrained with $c$ = {trained}" if len(set(numbers["trained"])) > 1 else ""
        grid[0, column].set_title(f"{percent(noise)} noise{along}")
        grid[-1, column].set_xlabel("step")
    for axes, panel in zip(grid[:, 0], PANELS, strict=True):
        axes.set_ylabel(panel.label)
    legend(figure, [f"$c$ = {c}" if c else "plain" for c in levels], ["0.5", *colors])
    note(figure, f"{replicates_note(numbers)} Of a replicate: means over its minibatches.")
    return figure
