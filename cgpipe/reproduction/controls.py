"""The page of the controls of winsorized SGD: what each does at the same accuracy, and what it slows."""

import pandas as pd

from cgpipe.figures.controls import WINSORIZED
from cgpipe.figures.matched import mean_of
from cgpipe.names import CLIPPING
from cgpipe.reproduction.pages import fixed, spread, table
from cgpipe.reproduction.tables import Tables

AT_LEAST = {"": "", ">=": "≥ ", "<=": "≤ "}


def comparison(tables: Tables) -> str:
    """Each rule beside winsorized SGD, compared with the same runs of plain SGD."""
    rows = tables.rows("controls")
    rules = list(rows[["update", "winsor"]].drop_duplicates().itertuples(index=False, name=None))
    rules.sort(key=lambda rule: (rule[0] != WINSORIZED, rule))
    lines = []
    for update, c in rules:
        of_rule = rows[(rows["update"] == update) & (rows["winsor"] == c)]
        values = {name: of.sort_values("replicate") for name, of in of_rule.groupby("quantity")}
        lines.append(
            [
                str(update).replace("_", " "),
                f"{c}" if update in CLIPPING else "–",
                f"{of_rule['replicate'].nunique()}",
                *(spread(values[f"test accuracy, {of}"]["value"]) for of in ("mean", "best")),
                *(_slowed(values[name]) for name in ("corrupt slowdown", "pristine slowdown", "S")),
            ]
        )
    return table(
        ["rule", "c", "n", "Δ, mean", "Δ, largest", "slowdown, corrupt", "slowdown, pristine", "S"], lines
    )


def _slowed(rows: pd.DataFrame) -> str:
    """Geometric mean of a ratio of steps, a bound if a run ended too early; and its range."""
    value, bound = mean_of(rows)
    known = rows["value"].dropna()
    of = f"{AT_LEAST[bound]}{fixed(value, 2)}"
    return f"{of} ({fixed(known.min(), 2)} to {fixed(known.max(), 2)})" if len(known) > 1 else of
