"""Early stopping under label noise: test accuracy, and how much of what is right is pristine."""

from collections.abc import Sequence
from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cgpipe.figures.style import DASHED, DOTTED, Style, curve, log_steps, new_figure, note, replicates_note
from cgpipe.figures.summary import each_replicate, summarise
from cgpipe.figures.words import percent, usual
from cgpipe.inference.mystery.examples import PURE
from cgpipe.runs import Run

QUANTITIES = {"accuracy_test": "test accuracy", "pristine_share": "pristine share of what is right"}
AMONG_ALL = "pristine_share_of_all"


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
        as labelled, or `pristine_share_of_all` of them, once for each run), `experiment`, `noise`, `step`,
        `replicate`, `value`.
    """
    rows = []
    for run in runs:
        right, pristine = (run.data[name].values.astype(bool) for name in ("correct", "pristine"))
        with np.errstate(invalid="ignore"):
            share = (right & pristine).sum(1) / right.sum(1)
        steps, accuracy = (run.data[name].values for name in ("step", "accuracy_test"))
        values = {
            "accuracy_test": (steps, accuracy),
            "pristine_share": (steps, share),
            AMONG_ALL: (steps[:1], pristine.mean()),
        }
        rows += [
            pd.DataFrame({"step": at, "value": of}).assign(
                quantity=quantity, experiment=run.experiment, noise=run.noise, replicate=run.replicate
            )
            for quantity, (at, of) in values.items()
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
        A column for each experiment. Solid: test accuracy; dashed: pristine share of what is right; thin:
        that of all training examples, and that which G7 asks for at the best test accuracy. A dot marks the
        best test accuracy of the mean curve.
    """
    of_all = numbers["quantity"] == AMONG_ALL
    among_all, whole = numbers[of_all], summarise(numbers[~of_all])
    experiments, levels = (list(dict.fromkeys(whole[key])) for key in ("experiment", "noise"))
    figure = new_figure(style, 0.45)
    for axes, name in zip(
        figure.subplots(1, len(experiments), sharey=True, squeeze=False)[0], experiments, strict=True
    ):
        of_one = whole[whole["experiment"] == name]
        axes.axhline(PURE, color="0.4", linewidth=0.6, zorder=0)
        for level, color in zip(levels, cycle(colors), strict=False):
            for quantity, line in zip(QUANTITIES, ("-", DASHED), strict=True):
                rows = of_one[(of_one["noise"] == level) & (of_one["quantity"] == quantity)]
                curve(axes, rows, color, line)
                if quantity == "accuracy_test" and len(rows):
                    best = rows.loc[rows["mean"].idxmax()]
                    axes.plot(best["step"], best["mean"], "o", color=color, markersize=4)
            rows = among_all[(among_all["experiment"] == name) & (among_all["noise"] == level)]
            if len(rows):
                axes.axhline(rows["value"].mean(), color=color, linestyle=DOTTED, linewidth=0.8, zorder=0)
        log_steps(axes, int(of_one["step"].max()), narrow=len(experiments) > 2)
        axes.set(title=usual(name), xlabel="step", ylim=(0, 1.02))
    looks = zip(levels, cycle(colors), strict=False)
    handles = [Line2D([], [], color=color, label=f"{percent(of)} noise") for of, color in looks]
    lines = zip(QUANTITIES.values(), ("-", DASHED), strict=True)
    handles += [Line2D([], [], color="0.4", linestyle=line, label=words) for words, line in lines]
    if len(among_all):
        words = "pristine share of all examples"
        handles.append(Line2D([], [], color="0.4", linestyle=DOTTED, linewidth=0.8, label=words))
    criterion = f"{PURE:g}: nearly all is pristine (G7)"
    handles.append(Line2D([], [], color="0.4", linewidth=0.6, label=criterion))
    figure.legend(handles=handles, loc="outside upper center", ncols=3)
    by_chance = "What is right by chance is counted here, and not in the verdict"
    note(figure, f"{replicates_note(whole)} Dots: best test accuracy. {by_chance}.")
    return figure
