"""Figure 2 from all examples and all parameters, with what a sample would show of it, and longer times."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from cgpipe.figures import null_rows
from cgpipe.figures.figure2 import FRACTION
from cgpipe.figures.style import Style
from cgpipe.inference.sampling import decade_fraction, sample_fraction
from cgpipe.runs import Run


def table(runs: Sequence[Run], *, examples: int) -> pd.DataFrame:
    """Numbers of the figure; see `cgpipe.figures.null_rows.table`.

    Parameters
    ----------
    runs : sequence of Run
        Null worlds of plain SGD, of all examples and parameters, at each noise level and replicate.
    examples : int
        Size of the sample whose expected f is in the rows `in a sample`.

    Returns
    -------
    DataFrame
        As of figure 2, with rows `in a sample` and `of sums`.
    """
    return null_rows.table(
        [
            run._replace(
                data=run.data.assign(
                    f_in_a_sample=sample_fraction(run.data, examples), f_of_sums=decade_fraction(run.data)
                )
            )
            for run in runs
        ],
        FRACTION,
    )


def draw(numbers: pd.DataFrame, style: Style, colors: list[Any]) -> Figure:
    """Plot the table; see `cgpipe.figures.null_rows.draw`."""
    return null_rows.draw(numbers, style, colors, FRACTION, null_rows.EXACT)
