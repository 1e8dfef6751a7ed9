"""The page of the released code's conventions: its tables, and the conclusions that its sentences draw."""

from collections.abc import Callable
from typing import Any

from cgpipe.reproduction.pages import Conclusion, fixed, says, spread, table
from cgpipe.reproduction.replicates import NOISE, OF_FIGURE_4
from cgpipe.reproduction.tables import WINSOR, Published, Tables, Values


def by_both(p: Published, quantity: Callable[..., Values], *at: Any) -> tuple[Values, Values]:
    """A quantity by the conventions of the code, and by those of the text."""
    return quantity(p.conventions, *at), quantity(p.replicates, *at)


def number(p: Published) -> Conclusion:
    return says([values.n for values in by_both(p, Tables.learning, "a", NOISE, 0)] == [3, 3])


def best_lower(p: Published) -> Conclusion:
    best = [by_both(p, Tables.winsorized, "best test accuracy", NOISE, c) for c in (0, 1, 2)]
    lower = [text.mean - code.mean for code, text in best]
    return says(all(code.high < text.low for code, text in best), fixed(min(lower)), fixed(max(lower)))


def entries(code: Values, text: Values, *, digits: int = 3) -> list[str]:
    """Two entries of a table; a star where the ranges do not meet."""
    star = " \\*" if code.low > text.high or code.high < text.low else ""
    return [spread(code, digits), spread(text, digits) + star]


def header(corner: str, *quantities: str) -> list[str]:
    """Two columns for each quantity."""
    return [corner, *(name for quantity in quantities for name in (f"{quantity}: code", "text"))]


def curves(p: Published) -> str:
    """Of figure 1."""
    panels = [("a", "all"), ("b", "all"), ("d", "corrupt")]
    rows = []
    for t in (0, 10, 100, 1000, 5000, 10_000, 20_000, 50_000, 100_000):
        pairs = (by_both(p, Tables.learning, panel, NOISE, t, group) for panel, group in panels)
        rows.append([f"{t:,}", *(entry for pair in pairs for entry in entries(*pair))])
    return table(header("step", "training accuracy", "test accuracy", "corrupt examples right"), rows)


def winsorized_accuracies(p: Published) -> str:
    """Of figure 4."""
    rows = []
    for c in WINSOR:
        pairs = (by_both(p, Tables.winsorized, name, NOISE, c) for name in OF_FIGURE_4)
        rows.append([str(c), *(entry for pair in pairs for entry in entries(*pair))])
    return table(header("c", *OF_FIGURE_4), rows)


def f_by_decade(p: Published) -> str:
    """f^p of all examples, of sums."""
    sums = zip(*(tables.of_sums(NOISE) for tables in (p.conventions, p.replicates)), strict=True)
    rows = ([span, *entries(*pair, digits=2)] for span, pair in zip(p.conventions.spans(), sums, strict=True))
    return table(["steps", "code", "text"], rows)
