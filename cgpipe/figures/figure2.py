"""Figure 2: the fractions f of the gradient that pristine and corrupt examples contribute."""

from collections.abc import Sequence

import pandas as pd

from cgpipe.figures.null_rows import DRAWS, Statistic, added
from cgpipe.figures.style import log_steps
from cgpipe.inference.sampling import fraction_of_draws
from cgpipe.runs import Run

FRACTION = Statistic(
    name="f",
    step="step",
    label="fraction $f$",
    steps=log_steps,
    share="all",
    test="$p$: permutation test over the whole curve, largest of the replicates.",
    source=DRAWS,
)
draw = FRACTION.draw


def table(runs: Sequence[Run]) -> pd.DataFrame:
    """Numbers of the figure; see `cgpipe.figures.null_rows.Statistic.table`."""
    return FRACTION.table(added(runs, fraction_of_draws))
