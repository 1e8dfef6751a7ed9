"""m-coherence of several networks, as a whole and layer by layer (Chatterjee and Zielinski 2022)."""

from collections.abc import Sequence
from itertools import cycle
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from cgpipe.figures import coherence
from cgpipe.figures.style import (
    DASHED,
    DOTTED,
    Style,
    curve,
    legend,
    log_steps,
    new_figure,
    note,
    replicates_note,
)
from cgpipe.figures.summary import summarise
from cgpipe.figures.words import percent
from cgpipe.runs import Run


def table(runs: Sequence[Run]) -> pd.DataFrame:
    """Numbers of the figure.

    Parameters
    ----------
    runs : sequence of Run
        Coherence (stage coherence) of plain SGD, of each experiment, noise level and replicate.

    Returns
    -------
    DataFrame
        Column `experiment`, and those of `cgpipe.figures.coherence.table`.
    """
    names = dict.fromkeys(run.experiment for run in runs)
    tables = {name: coherence.table([run for run in runs if run.experiment == name]) for name in names}
    return pd.concat(tables, names=["experiment"]).reset_index("experiment").reset_index(drop=True)


def draw(numbers: pd.DataFrame, style: Style, colors: list[Any]) -> Figure:
    """Plot m-coherence of all examples.

    Parameters
    ----------
    numbers : DataFrame
        As `table` returns it.
    style : Style
        Width of the figure.
    colors : list
        Palette; one colour for each noise level.

    Returns
    -------
    Figure
        A column for each experiment. Rows: the network over the steps, and against the training loss; its
        layers, at the lowest and the highest noise level. Dotted: 1, where gradients are orthogonal.
    """
    experiments, levels = list(numbers["experiment"].unique()), sorted(numbers["noise"].unique())
    figure = new_figure(style, 0.9)
    grid = figure.subplots(3, len(experiments), sharey="row", squeeze=False)
    names = []
    for name, column in zip(experiments, grid.T, strict=True):
        of_one = summarise(
            coherence.in_order(numbers[numbers["experiment"] == name].drop(columns="experiment"))
        )
        whole = of_one[(of_one["part"] == "network") & (of_one["group"] == "all")]
        last = int(of_one["step"].max())
        own = sorted(of_one["noise"].unique())
        for level, color in zip(levels, cycle(colors), strict=False):
            if level not in own:
                continue
            at_level = whole[whole["noise"] == level]
            rows = at_level[at_level["quantity"] == "m_coherence"]
            curve(column[0], rows, color)
            coherence.against_loss(column[1], rows, at_level[at_level["quantity"] == "loss"], color)
        for level, linestyle in {own[-1]: DASHED, own[0]: "-"}.items():
            of_layers = coherence.layer_lines(column[2], of_one[of_one["noise"] == level], linestyle)
        names.append(f"{name}: {of_layers}")
        for axes in column:
            axes.set_yscale("log")
            axes.axhline(1, color="0.55", linewidth=0.6, linestyle=DOTTED, zorder=0)
        for axes in (column[0], column[2]):
            log_steps(axes, last, narrow=len(experiments) > 2)
            axes.set_xlabel("step")
        coherence.falling_loss(column[1])
        column[0].set_title(name)
    for axes, label in zip(grid[:, 0], ("m-coherence", "m-coherence", "m-coherence of layers"), strict=True):
        axes.set_ylabel(label)
    legend(figure, [f"{percent(of)} noise" for of in levels], colors)
    layers_at = f"Layers at {percent(levels[0])} noise"
    if len(levels) > 1:
        layers_at += f" (solid) and {percent(levels[-1])} (dashed)"
    shown = summarise(numbers[numbers["quantity"] == "m_coherence"])
    note(figure, "\n".join([f"{replicates_note(shown)} Dotted: orthogonal gradients. {layers_at}.", *names]))
    return figure
