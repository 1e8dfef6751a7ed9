"""Figure 3: mean cumulative contribution i of a pristine and of a corrupt example, first steps."""

from collections.abc import Sequence

import pandas as pd

from cgpipe.figures.null_rows import DRAWS, Statistic, added
from cgpipe.figures.style import few_steps
from cgpipe.inference.sampling import cumulative_of_draws
from cgpipe.runs import Run

CONTRIBUTION = Statistic(
    name="i",
    step="early_step",
    label="contribution $i$",
    steps=few_steps,
    share="col",
    test="$p$: permutation test of $i^p-i^c$ over the whole curve, largest of the replicates.",
    source=DRAWS,
)
draw = CONTRIBUTION.draw


def table(runs: Sequence[Run]) -> pd.DataFrame:
    """Numbers of the figure; see `cgpipe.figures.null_rows.Statistic.table`."""
    return CONTRIBUTION.table(added(runs, cumulative_of_draws))
