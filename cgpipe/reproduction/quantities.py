"""Quantities of the published tables that several pages ask for."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from cgpipe.inference.claims.statistics import MIXED
from cgpipe.inference.decades import decades
from cgpipe.reproduction.tables import Tables, Values, records, values_of

WINSOR = (0, 1, 2, 4, 8)  # c of the paper's figure 4
END, END_WINSORIZED = 100_000, 60_000  # last steps of the runs under label noise, and of winsorized SGD
# Curves of f^p, and of the self terms, by table, row and group.
CURVES = {
    "exact": ("figure2_exact", "data", "pristine"),
    "expected": ("figure2_exact", "in a sample", "pristine"),
    "sampled": ("figure2", "data", "pristine"),
    "self terms": ("figure2", "self terms", "all"),
}
AT_50 = "50% noise"  # in the names of statistics


def learning(tables: Tables, panel: str, noise: float, step: int = END, group: str = "all") -> Values:
    """A curve of figure 1 at a step."""
    return tables.at("figure1", panel=panel, noise=noise, group=group, step=step)


def winsorized(tables: Tables, curve: str, noise: float, c: int) -> Values:
    """A curve of figure 4 at its last step; `best test accuracy` and `excess` have no other."""
    return tables.at("figure4", curve=curve, noise=noise, winsor=c, step=END_WINSORIZED)


def kept(tables: Tables, noise: float, c: int) -> float:
    """Test accuracy at the end as a share of the best."""
    best, end = (winsorized(tables, curve, noise, c) for curve in ("best test accuracy", "test accuracy"))
    return end.mean / best.mean


def fractions(tables: Tables, curve: str, noise: float) -> list[float]:
    """Mean over the logged steps of each decade of one of CURVES."""
    table, row, group = CURVES[curve]
    return tables.by_decade(table, row=row, noise=noise, group=group)


def of_sums(tables: Tables, noise: float) -> list[Values]:
    """f^p of each decade: the sum of ⟨g, g^p⟩ over its logged steps by that of ⟨g, g⟩."""
    rows = tables.rows("figure2_exact", row="of sums", noise=noise, group="pristine").sort_values("step")
    return [values_of(row) for row in records(rows)]


def spans(tables: Tables) -> list[str]:
    """First and last logged step of each decade of figure 2."""
    steps = np.unique(tables.rows("figure2_exact", row="data")["step"].to_numpy())
    decade = decades(steps)
    return [f"{steps[decade == d].min():,} to {steps[decade == d].max():,}" for d in np.unique(decade)]


def network(tables: Tables, quantity: str, noise: float, group: str) -> pd.DataFrame:
    """A quantity of the figure of coherence for the whole network, by step."""
    levels = {"quantity": quantity, "group": group, "part": "network", "noise": noise}
    return tables.rows("coherence", **levels).set_index("step").sort_index()


def pristine_share(tables: Tables, noise: float) -> float:
    """Share of the examples that are pristine."""
    pristine, everything = (network(tables, "size", noise, group) for group in ("pristine", "all"))
    return float(pristine["mean"].iloc[0] / everything["mean"].iloc[0])


def pairs_below(tables: Tables, noise: float, groups: Sequence[str] = ("pristine", "corrupt")) -> list[int]:
    """Logged steps at which gradients of the first group agree less, pair by pair, than of the second."""
    first, second = (network(tables, "pair_coherence", noise, group)["mean"] for group in groups)
    both = pd.concat([first, second], axis=1, join="inner")
    return list(both.index[both.iloc[:, 0] < both.iloc[:, 1]])


def far_and_near(tables: Tables) -> tuple[float, float]:
    """How far f^p of the sample is from that of all examples, and from what these make one expect of it."""
    sampled, exact, expected = (
        np.concatenate([fractions(tables, curve, noise) for noise in MIXED])
        for curve in ("sampled", "exact", "expected")
    )
    return float(abs(sampled - exact).sum()), float(abs(sampled - expected).sum())
