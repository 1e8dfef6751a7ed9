"""Figure 2: the fractions f of the gradient that pristine and corrupt examples contribute."""

from cgpipe.figures.null_rows import Statistic
from cgpipe.figures.style import log_steps

FRACTION = Statistic(
    name="f",
    step="step",
    label="fraction $f$",
    steps=log_steps,
    share="all",
    test="$p$: permutation test over the whole curve, largest of the replicates.",
)
table, draw = FRACTION.table, FRACTION.draw
