"""Figure 2: the fractions f of the gradient that pristine and corrupt examples contribute."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from cgpipe.figures import worlds
from cgpipe.figures.style import Style, log_steps
from cgpipe.figures.worlds import Sample


def table(samples: Sequence[Sample]) -> pd.DataFrame:
    """Numbers of the figure; see `cgpipe.figures.worlds.table`."""
    return worlds.table(samples, "f", "step")


def draw(numbers: pd.DataFrame, style: Style, colors: list[Any], of: str = "") -> Figure:
    """Draw the table; `of` says of which examples; see `cgpipe.figures.worlds.draw`."""
    return worlds.draw(
        numbers,
        style,
        colors,
        symbol="f",
        label="fraction $f$",
        steps=log_steps,
        share="all",
        explanation=f"$p$: permutation test over the whole curve, largest of the replicates. {of}".rstrip(),
    )
