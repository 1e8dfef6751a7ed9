"""m-coherence over training, in the manner of Chatterjee and Zielinski (2022, arXiv 2203.10036)."""

from collections.abc import Sequence
from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter

from cgpipe.figures.style import (
    DASHED,
    DOTTED,
    LineStyle,
    Style,
    curve,
    legend,
    log_steps,
    new_figure,
    note,
    replicates_note,
)
from cgpipe.figures.summary import each_replicate, summarise
from cgpipe.figures.words import percent
from cgpipe.runs import Run

# What each panel shows: title, groups with their lines.
PANELS: dict[str, tuple[str, dict[str, Any]]] = {
    "a": ("all examples", {"all": "-"}),
    "b": ("all examples, against their loss", {"all": "-"}),
    "c": ("pristine (solid), corrupt (dashed)", {"pristine": "-", "corrupt": DASHED}),
    "d": (
        "not learned: pristine (solid), corrupt (dashed)",
        {"pristine, not learned": "-", "corrupt, not learned": DASHED},
    ),
}

QUANTITIES = ("m_coherence", "loss", "size")
GROUPS = list(dict.fromkeys(group for _, groups in PANELS.values() for group in groups))


def table(runs: Sequence[Run]) -> pd.DataFrame:
    """Numbers of the figure.

    Parameters
    ----------
    runs : sequence of Run
        Coherence (stage coherence) of plain SGD at each noise level and replicate.

    Returns
    -------
    DataFrame
        Columns `quantity`, `group`, `part`, `noise`, `step`, `replicate`, `value`; quantities `m_coherence`,
        of the groups whose curves are plotted, and of all examples in each layer; and `loss` and `size`, of
        all examples. What is undefined is left out. All else is in the artifact.
    """
    rows = []
    for run in runs:
        for quantity in QUANTITIES:
            long = run.data[quantity].to_dataframe(name="value").reset_index()
            rows.append(long.assign(quantity=quantity, noise=run.noise, replicate=run.replicate))
    whole = pd.concat(rows).fillna({"part": "network"})
    of_curve = (whole["quantity"] == "m_coherence") & (whole["part"] == "network")
    shown = (whole["group"] == "all") | (of_curve & whole["group"].isin(GROUPS))
    whole = whole[shown & np.isfinite(whole["value"])]
    # Layers in the order of the forward pass, then the network.
    parts = list(dict.fromkeys(part for run in runs for part in run.data["part"].values))
    whole["part"] = pd.Categorical(whole["part"], [*parts[1:], *parts[:1]])
    return each_replicate(whole[["quantity", "group", "part", "noise", "step", "replicate", "value"]])


def draw(numbers: pd.DataFrame, style: Style, colors: list[Any]) -> Figure:
    """Plot m-coherence of the whole network.

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
        Four panels of the whole network, a colour for each noise level; lines at 1, where gradients are
        orthogonal, and at the number of examples, where they are identical. And the layers, a colour each, at
        the lowest and at the highest noise level, or at the only one.
    """
    numbers = summarise(in_order(numbers))
    of_network = numbers[numbers["part"] == "network"]
    m_coherence = of_network[of_network["quantity"] == "m_coherence"]
    losses = of_network[(of_network["quantity"] == "loss") & (of_network["group"] == "all")]
    sizes = of_network[(of_network["quantity"] == "size") & (of_network["group"] == "all")]
    levels = sorted(numbers["noise"].unique())
    figure = new_figure(style, 1.0)
    grid = figure.subplots(3, 2, sharey=True).ravel()
    last, examples = int(numbers["step"].max()), float(sizes["mean"].max())
    for axes, (panel, (title, groups)) in zip(grid, PANELS.items(), strict=False):
        for level, color in zip(levels, cycle(colors), strict=False):
            for group, linestyle in groups.items():
                rows = m_coherence[(m_coherence["noise"] == level) & (m_coherence["group"] == group)]
                if panel == "b":
                    against_loss(axes, rows, losses[losses["noise"] == level], color)
                else:
                    curve(axes, rows, color, linestyle)
        axes.set_title(f"({panel}) {title}", loc="left")
        if panel == "b":
            falling_loss(axes)
        else:
            log_steps(axes, last)
            axes.set_xlabel("step")
    if len(levels) == 1:
        grid[5].remove()
        grid = grid[:5]
    for axes, panel, level in zip(grid[4:], "ef", (levels[0], levels[-1]), strict=False):
        layers = layer_lines(axes, numbers[numbers["noise"] == level])
        log_steps(axes, last)
        axes.set_xlabel("step")
        axes.set_title(f"({panel}) layers, at {percent(level)} noise", loc="left")
    for axes in grid:
        axes.set_yscale("log")
        for at in (1.0, examples):
            axes.axhline(at, color="0.55", linewidth=0.6, linestyle=DOTTED, zorder=0)
    for axes in grid[::2]:
        axes.set_ylabel("m-coherence")
    legend(figure, [f"{percent(level)} noise" for level in levels], colors)
    note(
        figure,
        f"{replicates_note(m_coherence)} Dotted: orthogonal gradients, 1, or identical, {examples:,.0f}.\n"
        f"Layers: {layers}.",
    )
    return figure


def in_order(numbers: pd.DataFrame) -> pd.DataFrame:
    """The table with parts of the network that stay in their order when it is grouped."""
    return numbers.assign(part=pd.Categorical(numbers["part"], numbers["part"].unique()))


def layer_lines(axes: Axes, numbers: pd.DataFrame, linestyle: LineStyle = "-") -> str:
    """Plot m-coherence of all examples, a line for each layer, and say which colours these have.

    Parameters
    ----------
    axes : Axes
        Where to.
    numbers : DataFrame
        The table, summarised, of one noise level.
    linestyle : optional
        Of the lines.

    Returns
    -------
    str
        The layers from the input on, from dark to light.
    """
    rows = numbers[(numbers["quantity"] == "m_coherence") & (numbers["group"] == "all")]
    layers = [part for part in rows["part"].unique() if part != "network"]
    for layer, color in zip(layers, sns.color_palette("viridis", len(layers)), strict=True):
        of_layer = rows[rows["part"] == layer].sort_values("step")
        axes.plot(of_layer["step"], of_layer["mean"], color=color, linestyle=linestyle)
    names = [layer.removeprefix("layer ") for layer in layers]
    shown = names if len(names) <= 8 else [names[0], "…", names[-1]]
    return f"{', '.join(shown)}, from dark to light"


def falling_loss(axes: Axes) -> None:
    """Make a logarithmic axis of a loss that falls from left to right."""
    axes.set_xscale("log")
    axes.invert_xaxis()
    high, low = axes.get_xlim()
    between = (1.0,) if high > 30 * low else (1.0, 2.0, 5.0)
    axes.xaxis.set_major_locator(LogLocator(subs=between))
    axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("training loss")


def against_loss(axes: Axes, rows: pd.DataFrame, losses: pd.DataFrame, color: Any) -> None:
    """Means over the replicates of both, step by step."""
    both = rows.merge(losses, on="step", suffixes=("", "_loss")).sort_values("step")
    axes.plot(both["mean_loss"], both["mean"], color=color, marker=".", markersize=2.5)
