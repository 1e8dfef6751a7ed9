"""Figure 3: mean cumulative contribution i of a pristine and of a corrupt example, first steps."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from cgpipe.figures import worlds
from cgpipe.figures.style import Style, few_steps
from cgpipe.figures.worlds import Sample


def table(samples: Sequence[Sample]) -> pd.DataFrame:
    """Numbers of the figure; see `cgpipe.figures.worlds.table`."""
    return worlds.table(samples, "i", "early_step")


def draw(numbers: pd.DataFrame, style: Style, colors: list[Any], of: str = "") -> Figure:
    """Draw the table; `of` says of which examples; see `cgpipe.figures.worlds.draw`."""
    return worlds.draw(
        numbers,
        style,
        colors,
        symbol="i",
        label="contribution $i$",
        steps=few_steps,
        share="col",
        explanation="$p$: permutation test of $i^p-i^c$ over the whole curve, largest of the replicates. "
        f"{of}".rstrip(),
    )
