"""Initial weights and width: test accuracy at the end, and m-coherence at the start (G10 and G11)."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from cgpipe.figures.dots import Panel, draw_panels, shown
from cgpipe.figures.style import Style
from cgpipe.runs import Run

ACCURACY, COHERENCE = "test accuracy at the end", "m-coherence at the start"
PANELS = {
    "a": Panel("by initial weights", "G10", "test accuracy:", ACCURACY, "near"),
    "b": Panel("by initial weights", "G10", "m-coherence:", COHERENCE, "log"),
    "c": Panel("by width", "G11", "test accuracy:", ACCURACY, "near", "hidden units"),
    "d": Panel("by width", "G11", "m-coherence:", COHERENCE, "log", "hidden units"),
}


def table(runs: Sequence[Run]) -> pd.DataFrame:
    """Numbers of the figure.

    Parameters
    ----------
    runs : sequence of Run
        One record: the artifact of stage mystery.

    Returns
    -------
    DataFrame
        Columns `panel`, `claim`, `part` (the experiment), `replicate` and `value`.
    """
    return shown(runs, PANELS)


def draw(numbers: pd.DataFrame, style: Style, colors: list[Any]) -> Figure:
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
        Two rows: random and adversarial weights; networks by width.
    """
    return draw_panels(numbers, style, colors, PANELS, 2)
