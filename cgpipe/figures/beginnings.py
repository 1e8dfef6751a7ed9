"""Initial weights and width: test accuracy at the end, and m-coherence at the start (G10 and G11)."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from cgpipe.figures.dots import Panel, draw_panels, shown
from cgpipe.figures.style import Style
from cgpipe.runs import Run

PANELS: dict[str, Panel] = {
    "a": ("test accuracy at the end", "G10", "test accuracy:"),
    "b": ("m-coherence at the start", "G10", "m-coherence:"),
    "c": ("test accuracy at the end", "G11", "test accuracy:"),
    "d": ("m-coherence at the start", "G11", "m-coherence:"),
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
