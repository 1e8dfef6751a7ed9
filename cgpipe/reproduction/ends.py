"""Where the runs of a page ended."""

from cgpipe.reproduction.pages import spread, table
from cgpipe.reproduction.tables import Tables

QUANTITIES = ("training loss", "training accuracy", "test accuracy")


def ends(tables: Tables) -> str:
    """Loss and accuracies at the end, by experiment, noise and c."""
    rows = []
    levels = ["experiment", "noise", "winsor"]
    for (experiment, noise, c), of in tables.rows("ends").groupby(levels, sort=False):
        values = [of[of["quantity"] == quantity].set_index("replicate")["value"] for quantity in QUANTITIES]
        steps = ", ".join(f"{step:,}" for step in of["step"].unique())
        n = f"{of['replicate'].nunique()}"
        rows.append([str(experiment), f"{noise:.0%}", f"{c}", steps, n, *(spread(some) for some in values)])
    return table(["experiment", "noise", "c", "steps", "n", *QUANTITIES], rows)
