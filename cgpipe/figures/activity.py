"""Hidden units in use under winsorized SGD: how many are dead, and how many an example activates."""

from collections.abc import Sequence
from itertools import cycle
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure

from cgpipe.figures.style import Style, curve, legend, log_steps, new_figure, note, replicates_note
from cgpipe.figures.summary import each_replicate, summarise
from cgpipe.figures.words import percent
from cgpipe.runs import Run

QUANTITIES = {"dead": "dead units", "active": "active units"}


def table(runs: Sequence[Run]) -> pd.DataFrame:
    """Numbers of the figure.

    Parameters
    ----------
    runs : sequence of Run
        A history (stage train) at each noise level, level of winsorization and replicate.

    Returns
    -------
    DataFrame
        Columns `quantity` (`dead`: share of the units that no training example activates; `active`: share
        of the units that one activates, mean over the examples), `noise`, `winsor`, `layer` (the ReLUs, in
        the order of the forward pass), `step` (the last, and those with one digit that is not 0: as many in
        each decade, on a logarithmic axis), `replicate`, `value`.

    Raises
    ------
    ValueError
        If the network has no ReLU.
    """
    relus = runs[0].data["layer"].values
    if not len(relus):
        raise ValueError("the network has no ReLU, so no unit is active or dead: leave out figures.activity")
    rows = [
        run.data[quantity]
        .sel(step=_of_decades(run.data["step"].values))
        .to_dataframe(name="value")
        .reset_index()
        .assign(quantity=quantity, noise=run.noise, winsor=run.winsor, replicate=run.replicate)
        for run in runs
        for quantity in QUANTITIES
    ]
    columns = ["quantity", "noise", "winsor", "layer", "step", "replicate", "value"]
    numbers = pd.concat(rows)[columns]
    return each_replicate(numbers.assign(layer=pd.Categorical(numbers["layer"], relus, ordered=True)))


def draw(numbers: pd.DataFrame, style: Style, colors: list[Any]) -> Figure:
    """Plot the table.

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
        Two rows for each noise level, dead and active units; a column for each hidden layer.
    """
    # A table that was read from a file has lost their order.
    numbers = summarise(numbers.assign(layer=pd.Categorical(numbers["layer"], numbers["layer"].unique())))
    noises, clipped = (sorted(numbers[key].unique()) for key in ("noise", "winsor"))
    layers = list(numbers["layer"].unique())
    rows = [(noise, quantity) for noise in noises for quantity in QUANTITIES]
    figure = new_figure(style, 0.14 + 0.14 * len(rows))
    grid = figure.subplots(len(rows), len(layers), sharex=True, sharey=True, squeeze=False)
    for line, (noise, quantity) in enumerate(rows):
        for column, layer in enumerate(layers):
            axes = grid[line, column]
            of_panel = numbers[
                (numbers["quantity"] == quantity) & (numbers["noise"] == noise) & (numbers["layer"] == layer)
            ]
            for c, color in zip(clipped, cycle(colors), strict=False):
                curve(axes, of_panel[of_panel["winsor"] == c], color)
            log_steps(axes, int(numbers["step"].max()), narrow=len(layers) > 2)
            axes.set_ylim(-0.02, 1.02)
            if line == 0:
                axes.set_title(f"hidden layer {layer}" if layer.isdecimal() else layer)
            if column == 0:
                axes.set_ylabel(f"{QUANTITIES[quantity]}\n{percent(noise)} noise")
            if line == len(rows) - 1:
                axes.set_xlabel("step")
    legend(figure, [f"$c$ = {c}" for c in clipped], colors)
    note(figure, f"{replicates_note(numbers)} Shares of the units of the layer.")
    return figure


def _of_decades(steps: npt.NDArray[np.int64]) -> list[int]:
    return [int(step) for step in steps if step == steps[-1] or int(step) % 10 ** (len(str(step)) - 1) == 0]
