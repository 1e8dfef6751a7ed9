"""Easy and hard examples: agreement of what is learned early, training on one kind, coherence (G4 to G6)."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from cgpipe.figures.dots import PAIRS, Panel, draw_panels, shown
from cgpipe.figures.style import Style
from cgpipe.runs import Run

KAPPA, ACCURACY = "agreement κ (0: chance)", "test accuracy at the end"
COHERENCE = "pair coherence within a class"
PANELS = {
    "a": Panel("what is learned early", "G4", "two initialisations", KAPPA, "from 0", PAIRS),
    "b": Panel("trained on easy examples", "G5", "easy on", ACCURACY, "from 0", "test examples"),
    "c": Panel("trained on hard examples", "G5", "hard on", ACCURACY, "from 0", "test examples"),
    "d": Panel("trained on either kind", "G5", "unselected on", ACCURACY, "from 0", "test examples"),
    "e": Panel("at the start", "G6", "start:", COHERENCE, "from 0", "training examples"),
    "f": Panel("along training", "G6", "marks:", COHERENCE, "from 0", "training examples"),
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
        Six panels: what is learned early, test accuracy in three ways, coherence in two.
    """
    return draw_panels(numbers, style, colors, PANELS, 3)
