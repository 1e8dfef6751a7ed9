"""The page of the released code's conventions: its tables, and the conclusions that its sentences draw."""

from cgpipe.reproduction.pages import Conclusion, fixed, says, spread, table
from cgpipe.reproduction.quantities import WINSOR, learning, of_sums, pristine_share, spans, winsorized
from cgpipe.reproduction.replicates import FIGURE_4, NOISE
from cgpipe.reproduction.tables import Published, Values

Pair = tuple[Values, Values]  # by the code, by the text


def side(pair: Pair) -> str:
    """Whether the range by the code lies above or below that by the text, or they meet."""
    code, text = pair
    return "above" if code.low > text.high else "below" if code.high < text.low else "across"


def final(p: Published, name: str, c: int) -> Pair:
    """A curve of figure 4 at its last step."""
    return winsorized(p.conventions, name, NOISE, c), winsorized(p.replicates, name, NOISE, c)


def learned(p: Published, panel: str, step: int, group: str = "all") -> Pair:
    """A curve of figure 1 at a step."""
    code, text = (learning(tables, panel, NOISE, step, group) for tables in (p.conventions, p.replicates))
    return code, text


def sums(p: Published, decade: int) -> Pair:
    """f^p of a decade, of sums."""
    return of_sums(p.conventions, NOISE)[decade], of_sums(p.replicates, NOISE)[decade]


def number(p: Published) -> Conclusion:
    return says([values.n for values in learned(p, "a", 0)] == [3, 3])


def plain_alike(p: Published) -> Conclusion:
    curves = ("training accuracy", "test accuracy")
    return says({side(final(p, curve, c)) for curve in curves for c in (0, 1)} == {"across"})


def sooner(p: Published) -> Conclusion:
    return says({side(learned(p, "d", t, "corrupt")) for t in (5000, 10_000, 20_000)} == {"above"})


def best_lower(p: Published) -> Conclusion:
    pairs = [final(p, "best test accuracy", c) for c in (0, 1, 2)]
    lower = [text.mean - code.mean for code, text in pairs]
    return says({side(pair) for pair in pairs} == {"below"}, fixed(min(lower)), fixed(max(lower)))


def more_left(p: Published) -> Conclusion:
    code, text = final(p, "test accuracy", 2)
    return says(0 < code.low - text.high < 0.02)


def a_third_lost(p: Published) -> Conclusion:
    ends, bests = ([final(p, f"{name}test accuracy", c) for c in (4, 8)] for name in ("", "best "))
    kept = [ends[k][by].high / bests[k][by].low for k in (0, 1) for by in (0, 1)]
    return says({side(pair) for pair in ends} == {"across"} and max(kept) < 0.67)


def smaller_at_first(p: Published) -> Conclusion:
    first, last, share = sums(p, 0), sums(p, -1), pristine_share(p.conventions, NOISE)
    smaller = side(first) == "below" and first[0].low > 1.15 * share
    return says(smaller and max(last[0].high, last[1].high) < 0.5, fixed(share, 2))


def both(pair: Pair, digits: int = 3) -> list[str]:
    """Two entries of a table; a star where the ranges do not meet."""
    code, text = (spread(values, digits) for values in pair)
    return [code, text if side(pair) == "across" else f"{text} \\*"]


def header(corner: str, *quantities: str) -> list[str]:
    """Two columns for each quantity."""
    return [corner, *(name for quantity in quantities for name in (f"{quantity}: code", "text"))]


def curves(p: Published) -> str:
    """Of figure 1."""
    panels = [("a", "all"), ("b", "all"), ("d", "corrupt")]
    rows = (
        [f"{t:,}", *(entry for panel, group in panels for entry in both(learned(p, panel, t, group)))]
        for t in (0, 10, 100, 1000, 5000, 10_000, 20_000, 50_000, 100_000)
    )
    return table(header("step", "training accuracy", "test accuracy", "corrupt examples right"), rows)


def winsorized_accuracies(p: Published) -> str:
    """Of figure 4."""
    names = [name for name, _ in FIGURE_4]
    rows = ([str(c), *(entry for name in names for entry in both(final(p, name, c)))] for c in WINSOR)
    return table(header("c", *names), rows)


def f_by_decade(p: Published) -> str:
    """f^p of all examples, of sums."""
    rows = ([span, *both(sums(p, decade), 2)] for decade, span in enumerate(spans(p.conventions)))
    return table(["steps", "code", "text"], rows)
