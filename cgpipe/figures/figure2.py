"""Figure 2: the fractions f of the gradient that pristine and corrupt examples contribute."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from cgpipe.figures import null_rows
from cgpipe.figures.style import Style, log_steps
from cgpipe.runs import Run

FRACTION = null_rows.Statistic(
    name="f",
    step="step",
    label="fraction $f$",
    steps=log_steps,
    share="all",
    test="$p$: permutation test over the whole curve, largest of the replicates.",
)


def table(runs: Sequence[Run]) -> pd.DataFrame:
    """Numbers of the figure; see `cgpipe.figures.null_rows.table`."""
    return null_rows.table(runs, FRACTION)


def draw(numbers: pd.DataFrame, style: Style, colors: list[Any]) -> Figure:
    """Plot the table; see `cgpipe.figures.null_rows.draw`."""
    return null_rows.draw(numbers, style, colors, FRACTION)
