"""Easy and hard examples: agreement of what is learned early, training on one kind, coherence (G4 to G6)."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from cgpipe.figures.dots import Panel, draw_panels, shown
from cgpipe.figures.style import Style
from cgpipe.runs import Run

PANELS: dict[str, Panel] = {
    "a": ("κ of what is learned early", "G4", "two initialisations"),
    "b": ("test accuracy, trained on easy", "G5", "easy on"),
    "c": ("test accuracy, trained on hard", "G5", "hard on"),
    "d": ("pair coherence at the start", "G6", "start:"),
    "e": ("pair coherence along training", "G6", "marks:"),
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
        Columns `panel`, `claim`, `part`, `replicate` and `value`.
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
        A panel for each quantity.
    """
    return draw_panels(numbers, style, colors, PANELS, 3)
