"""Early stopping under label noise: test accuracy, and how much of what is learned is pristine."""

from collections.abc import Sequence
from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cgpipe.figures.style import DASHED, Style, curve, log_steps, new_figure, note, replicates_note
from cgpipe.figures.summary import each_replicate, summarise
from cgpipe.figures.words import percent
from cgpipe.runs import Run

QUANTITIES = {"accuracy_test": "test accuracy", "pristine_share": "pristine share of what is learned"}


def table(runs: Sequence[Run]) -> pd.DataFrame:
    """Numbers of the figure.

    Parameters
    ----------
    runs : sequence of Run
        A history (stage train) of plain SGD of each experiment, noise level and replicate.

    Returns
    -------
    DataFrame
        Columns `quantity` (`accuracy_test`, or `pristine_share`, of the training examples that are classified
        as labelled), `experiment`, `noise`, `step`, `replicate`, `value`.
    """
    rows = []
    for run in runs:
        right, pristine = (run.data[name].values.astype(bool) for name in ("correct", "pristine"))
        with np.errstate(invalid="ignore"):
            share = (right & pristine).sum(1) / right.sum(1)
        values = {"accuracy_test": run.data["accuracy_test"].values, "pristine_share": share}
        rows += [
            pd.DataFrame({"step": run.data["step"].values, "value": of}).assign(
                quantity=quantity, experiment=run.experiment, noise=run.noise, replicate=run.replicate
            )
            for quantity, of in values.items()
        ]
    columns = ["quantity", "experiment", "noise", "step", "replicate", "value"]
    return each_replicate(pd.concat(rows)[columns].dropna())


def draw(numbers: pd.DataFrame, style: Style, colors: list[Any]) -> Figure:
    """Plot the table.

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
        A column for each experiment. Solid: test accuracy; dashed: pristine share of what is learned. A dot
        marks the best test accuracy of the mean curve.
    """
    whole = summarise(numbers)
    experiments, levels = (list(dict.fromkeys(whole[key])) for key in ("experiment", "noise"))
    figure = new_figure(style, 0.42)
    for axes, name in zip(
        figure.subplots(1, len(experiments), sharey=True, squeeze=False)[0], experiments, strict=True
    ):
        of_one = whole[whole["experiment"] == name]
        for level, color in zip(levels, cycle(colors), strict=False):
            for quantity, line in zip(QUANTITIES, ("-", DASHED), strict=True):
                rows = of_one[(of_one["noise"] == level) & (of_one["quantity"] == quantity)]
                curve(axes, rows, color, line)
                if quantity == "accuracy_test" and len(rows):
                    best = rows.loc[rows["mean"].idxmax()]
                    axes.plot(best["step"], best["mean"], "o", color=color, markersize=4)
        log_steps(axes, int(of_one["step"].max()), narrow=len(experiments) > 2)
        axes.set(title=name.replace("_", " "), xlabel="step", ylim=(0, 1.02))
    looks = zip(levels, cycle(colors), strict=False)
    handles = [Line2D([], [], color=color, label=f"{percent(of)} noise") for of, color in looks]
    lines = zip(QUANTITIES.values(), ("-", DASHED), strict=True)
    handles += [Line2D([], [], color="0.4", linestyle=line, label=words) for words, line in lines]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    note(figure, f"{replicates_note(whole)} Dots: best test accuracy.")
    return figure
