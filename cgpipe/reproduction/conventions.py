"""The pages of the conventions of the paper's released code: what changes with one of them, at 50 % noise."""

from collections.abc import Callable, Mapping
from typing import Any

from cgpipe.reproduction.pages import NONE, grid, spread
from cgpipe.reproduction.paper import CLIPPED, END_WINSORIZED, steps
from cgpipe.reproduction.tables import Tables

TEXT = "text"  # tables by the conventions of the text, those of the paper's page, are TEXT and their name
NOISE = 0.5


def learning(tables: Tables) -> str:
    """Accuracies along training."""

    def at(step: int, of: tuple[str, str]) -> dict[str, Any]:
        return {"panel": of[0], "noise": NOISE, "group": of[1], "step": step}

    columns = {
        "training accuracy": ("a", "all"),
        "test accuracy": ("b", "all"),
        "corrupt examples right": ("d", "corrupt"),
    }
    rows = steps(10, 100, 1000, 10_000, 20_000, 50_000, 100_000)
    return _beside(tables, "figure1", "step", rows, columns, at)


def displacement(tables: Tables) -> str:
    """Share of the pristine examples in the displacement."""

    def at(step: int, of: str) -> dict[str, Any]:
        return {"row": "data", "noise": NOISE, "group": of, "step": step}

    rows = steps(10, 100, 1000, 10_600, 40_600, 90_600)
    return _beside(tables, "figure2_displacement", "step", rows, {"share of the pristine": "pristine"}, at)


def winsorized(tables: Tables) -> str:
    """Accuracies of winsorized SGD at the end."""

    def at(c: int, curve: str) -> dict[str, Any]:
        return {"noise": NOISE, "winsor": c, "curve": curve, "step": END_WINSORIZED}

    columns = {of: of for of in ("training accuracy", "test accuracy", "best test accuracy")}
    return _beside(tables, "figure4", "c", CLIPPED, columns, at)


def _beside(
    tables: Tables,
    name: str,
    corner: str,
    rows: Mapping[str, int],
    columns: Mapping[str, Any],
    at: Callable[[int, Any], dict[str, Any]],
) -> str:
    """By the text, and the difference that the convention makes, in the replicates that both have."""

    def entry(row: int, column: tuple[bool, Any]) -> str:
        differs, of = column
        text = tables.at(f"{TEXT} {name}", **at(row, of))
        difference = (tables.at(name, **at(row, of)) - text).dropna()
        if not differs:
            return spread(text[difference.index])
        return ", ".join(f"{value:+.3f}" for value in difference) or NONE

    both = [
        (label, (differs, of))
        for words, of in columns.items()
        for label, differs in ((f"{words}, text", False), ("code less text", True))
    ]
    return grid(corner, rows, both, entry)
