"""The tables on the page of the paper's experiments."""

import pandas as pd

from cgpipe.inference.claims.registry import summary_table
from cgpipe.inference.claims.statistics import EVERY, MIXED
from cgpipe.inference.verdicts import claim_verdicts
from cgpipe.reproduction.pages import NONE, fixed, grid, percent, spread
from cgpipe.reproduction.shared import statistics_of
from cgpipe.reproduction.tables import Tables

LEVELS = {percent(noise): noise for noise in EVERY}
CLIPPED = {f"c = {c}": c for c in (0, 1, 2, 4, 8)}
END, END_WINSORIZED = 100_000, 60_000  # last steps of the runs under label noise, and of winsorized SGD


def steps(*numbers: int) -> dict[str, int]:
    """Rows of a table."""
    return {f"{step:,}": step for step in numbers}


# --- The claims -----------------------------------------------------------------------------------


def claims(tables: Tables) -> str:
    """The table of all claims."""
    return summary_table(claim_verdicts(tables.rows("claims"))).rstrip("\n")


def statistics(tables: Tables) -> str:
    """Those of all claims: each replicate, and the verdict."""
    return statistics_of(tables.rows("claims"))


# --- Learning -------------------------------------------------------------------------------------


def learning(tables: Tables, panel: str, noise: float, step: int = END, group: str = "all") -> pd.Series:
    """A curve of figure 1 at a step."""
    return tables.at("figure1", panel=panel, noise=noise, group=group, step=step)


def accuracies(tables: Tables) -> str:
    """Training accuracy at the end, and test accuracy."""

    def entry(noise: float, column: str) -> str:
        if column != "best":
            return spread(learning(tables, column, noise))
        if noise == 1:
            return NONE
        best, at = (
            tables.at("figure1", panel="b", noise=noise, group=group)
            for group in ("best", "step of the best")
        )
        low, high = f"{at.min():,.0f}", f"{at.max():,.0f}"
        return f"{spread(best)} at {low if low == high else f'{low} to {high}'}"

    columns = {"training accuracy at the end": "a", "test accuracy: best, at step": "best", "at the end": "b"}
    return grid("noise", LEVELS, list(columns.items()), entry)


def shares(tables: Tables) -> str:
    """Share of the pristine, and of the corrupt, examples that are right."""
    groups = [("pristine", e) for e in EVERY[:-1]] + [("corrupt", e) for e in EVERY[1:]]
    columns = [(f"{group}, {percent(noise)}", (group, noise)) for group, noise in groups]
    rows = steps(10, 100, 1000, 3000, 10_000, 20_000, 30_000, 40_000, 60_000, END)
    return grid("step", rows, columns, lambda t, of: fixed(learning(tables, "d", of[1], t, of[0]).mean()))


# --- Winsorized SGD -------------------------------------------------------------------------------


def winsorized(tables: Tables) -> str:
    """Best test accuracy, test accuracy at the end, training accuracy at the end."""
    curves = ("best test accuracy", "test accuracy", "training accuracy")

    def entry(noise: float, c: int) -> str:
        at = {"noise": noise, "winsor": c, "step": END_WINSORIZED}
        return ", ".join(fixed(tables.at("figure4", curve=curve, **at).mean()) for curve in curves)

    return grid("noise", LEVELS, list(CLIPPED.items()), entry)


# --- Coherence ------------------------------------------------------------------------------------


def coherence(tables: Tables) -> str:
    """m-coherence of the whole network, by group."""
    groups = [(group, noise) for noise in MIXED for group in ("pristine", "corrupt", "all")]
    columns = [(f"{group}, {percent(noise)}", (group, noise)) for group, noise in groups]

    def entry(step: int, of: tuple[str, float]) -> str:
        at = {"quantity": "m_coherence", "part": "network", "group": of[0], "noise": of[1], "step": step}
        return fixed(tables.at("coherence", **at).mean(), 0)

    return grid("step", steps(0, 10, 100, 1000, 10_000, 20_000, 50_000, END), columns, entry)
