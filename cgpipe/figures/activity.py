"""Dead units under winsorized SGD: hidden units that no training example activates any more."""

from collections.abc import Sequence
from itertools import cycle
from typing import Any, NamedTuple

import pandas as pd
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cgpipe.figures.style import Style, curve, log_steps, new_figure, note, per_cent, replicates_note
from cgpipe.figures.summary import summarise


class Run(NamedTuple):
    """One training run."""

    noise: float
    winsor: int
    replicate: int
    activity: xr.Dataset  # of stage activity


def table(runs: Sequence[Run]) -> pd.DataFrame:
    """Numbers of the figure, and the mean share of active units beside them.

    Parameters
    ----------
    runs : sequence of Run
        Each noise level, level of winsorization and replicate.

    Returns
    -------
    DataFrame
        Columns `quantity` (`dead`: share of the units that no training example activates; `active`: share
        of the units that one activates, mean over the examples), `noise`, `winsor`, `layer` (hidden, from 1),
        `step`, `mean`, `low`, `high`, `n`.
    """
    rows = [
        run.activity[quantity]
        .to_dataframe(name="value")
        .reset_index()
        .assign(quantity=quantity, noise=run.noise, winsor=run.winsor, replicate=run.replicate)
        for run in runs
        for quantity in ("dead", "active")
    ]
    columns = ["quantity", "noise", "winsor", "layer", "step", "replicate", "value"]
    return summarise(pd.concat(rows)[columns])


def draw(numbers: pd.DataFrame, style: Style, colors: list[Any]) -> Figure:
    """Draw the table.

    Parameters
    ----------
    numbers : DataFrame
        As `table` returns it.
    style : Style
        Width of the figure.
    colors : list
        Palette; one colour for each level of winsorization.

    Returns
    -------
    Figure
        A row for each noise level, a column for each hidden layer.
    """
    dead = numbers[numbers["quantity"] == "dead"]
    noises, layers, clipped = (sorted(dead[of].unique()) for of in ("noise", "layer", "winsor"))
    figure = new_figure(style, 0.14 + 0.24 * len(noises))
    grid = figure.subplots(len(noises), len(layers), sharex=True, sharey=True, squeeze=False)
    for line, noise in enumerate(noises):
        for column, layer in enumerate(layers):
            axes = grid[line, column]
            of_panel = dead[(dead["noise"] == noise) & (dead["layer"] == layer)]
            for c, color in zip(clipped, cycle(colors), strict=False):
                curve(axes, of_panel[of_panel["winsor"] == c], color)
            log_steps(axes, int(dead["step"].max()), narrow=len(layers) > 2)
            axes.set_ylim(-0.02, 1.02)
            if line == 0:
                axes.set_title(f"hidden layer {layer}")
            if column == 0:
                axes.set_ylabel(f"share of dead units\n{per_cent(noise)} noise")
            if line == len(noises) - 1:
                axes.set_xlabel("step")
    handles = [Line2D([], [], color=color) for _, color in zip(clipped, cycle(colors), strict=False)]
    figure.legend(handles, [f"$c$ = {c}" for c in clipped], loc="outside upper center", ncols=len(clipped))
    note(figure, replicates_note(dead))
    return figure
