"""Figure 3: mean cumulative contribution i of a pristine and of a corrupt example, first steps."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from cgpipe.figures import null_rows
from cgpipe.figures.style import Style, few_steps
from cgpipe.runs import Run

CONTRIBUTION = null_rows.Statistic(
    name="i",
    step="early_step",
    label="contribution $i$",
    steps=few_steps,
    share="col",
    test="$p$: permutation test of $i^p-i^c$ over the whole curve, largest of the replicates.",
)


def table(runs: Sequence[Run]) -> pd.DataFrame:
    """Numbers of the figure; see `cgpipe.figures.null_rows.table`."""
    return null_rows.table(runs, CONTRIBUTION)


def draw(numbers: pd.DataFrame, style: Style, colors: list[Any]) -> Figure:
    """Plot the table; see `cgpipe.figures.null_rows.draw`."""
    return null_rows.draw(numbers, style, colors, CONTRIBUTION)
