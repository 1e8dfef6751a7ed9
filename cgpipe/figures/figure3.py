"""Figure 3: mean cumulative contribution i of a pristine and of a corrupt example, first steps."""

from cgpipe.figures.null_rows import Statistic
from cgpipe.figures.style import few_steps

CONTRIBUTION = Statistic(
    name="i",
    step="early_step",
    label="contribution $i$",
    steps=few_steps,
    share="col",
    test="$p$: permutation test of $i^p-i^c$ over the whole curve, largest of the replicates.",
)
table, draw = CONTRIBUTION.table, CONTRIBUTION.draw
