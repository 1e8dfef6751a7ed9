"""Figure 3 from all examples and all parameters instead of a sample of both."""

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from cgpipe.figures import null_rows
from cgpipe.figures.figure3 import CONTRIBUTION, table
from cgpipe.figures.style import Style

__all__ = ["draw", "table"]


def draw(numbers: pd.DataFrame, style: Style, colors: list[Any]) -> Figure:
    """Plot the table; see `cgpipe.figures.null_rows.draw`."""
    return null_rows.draw(numbers, style, colors, CONTRIBUTION, null_rows.EXACT)
