"""The page of the released code's conventions, compared with those of the paper's text at 50 % noise."""

from collections.abc import Callable
from math import comb
from typing import Literal

from cgpipe.reproduction.fractions import names_of_decades, of_sums, pristine_share
from cgpipe.reproduction.learning import curve
from cgpipe.reproduction.markdown import fixed, spread, table, word
from cgpipe.reproduction.registry import Conclusion, part
from cgpipe.reproduction.tables import WINSOR, Published, Tables, Values
from cgpipe.reproduction.winsorized import at_the_end

NOISE = 0.5
Pair = tuple[Values, Values]  # by the code, by the text


def side(pair: Pair) -> Literal["above", "below", "across"]:
    """Whether the range by the code lies above or below that by the text, or they meet."""
    code, text = pair
    return "above" if code.low > text.high else "below" if code.high < text.low else "across"


def pair_of(published: Published, values: Callable[[Tables], Values]) -> Pair:
    """A quantity by the conventions of the code and by those of the text."""
    return values(published.conventions), values(published.replicates)


def final(published: Published, name: str, c: int) -> Pair:
    """A curve of figure 4 at its last step."""
    return pair_of(published, lambda tables: at_the_end(tables, name, NOISE, c))


def learned(published: Published, panel: str, step: int, group: str = "all") -> Pair:
    """A curve of figure 1 at a step."""
    return pair_of(published, lambda tables: curve(tables, panel, NOISE, step, group))


def sums(published: Published) -> list[Pair]:
    """f^p of each decade, of sums."""
    return [*zip(of_sums(published.conventions, NOISE), of_sums(published.replicates, NOISE), strict=True)]


@part("conventions", "n")
def numbers(published: Published) -> Conclusion:
    """Of both, and how often ranges of as many runs do not meet by chance."""
    code, text = learned(published, "a", 0)
    cases = comb(code.n + text.n, text.n) // 2
    return Conclusion(
        min(code.n, text.n) > 1,
        f"Number of replicates: n = {code.n} by the conventions of the code, n = {text.n} by those of the "
        f"text. Of {word(code.n + text.n)} independent runs that do not differ, the two ranges would miss "
        f"each other in one case of {word(cases)}.",
    )


@part("conventions", "findings")
def plain_sgd_is_alike(published: Published) -> Conclusion:
    """Accuracies at the end, c = 0 and 1."""
    sides = {side(final(published, f"{which} accuracy", c)) for which in ("training", "test") for c in (0, 1)}
    return Conclusion(
        sides == {"across"},
        "At step 60,000, the accuracies of plain SGD and of c = 1 do not tell the two conventions apart.",
    )


@part("conventions", "findings")
def memorization_begins_sooner(published: Published) -> Conclusion:
    """Corrupt examples that are right."""
    sides = {side(learned(published, "d", step, "corrupt")) for step in (5000, 10_000, 20_000)}
    return Conclusion(
        sides == {"above"},
        "By the conventions of the code, memorization begins sooner: more of the corrupt examples are "
        "classified as labelled at steps 5,000 to 20,000.",
    )


@part("conventions", "findings")
def best_test_accuracy_is_lower(published: Published) -> Conclusion:
    """C = 0, 1 and 2."""
    pairs = [final(published, "best test accuracy", c) for c in (0, 1, 2)]
    lower = [text.mean - code.mean for code, text in pairs]
    return Conclusion(
        all(side(pair) == "below" for pair in pairs),
        "Test accuracy gets less far by the conventions of the code: its best is lower for c = 0, 1 and 2 in "
        f"all replicates, by {fixed(min(lower))} to {fixed(max(lower))} in the mean.",
    )


@part("conventions", "findings")
def more_is_left_with_two(published: Published) -> Conclusion:
    """Test accuracy at the end, c = 2."""
    code, text = final(published, "test accuracy", 2)
    return Conclusion(
        side((code, text)) == "above" and code.low - text.high < 0.02,
        "With c = 2, more test accuracy is left at the end in all replicates by the conventions of the code, "
        "but the nearest two runs hardly differ.",
    )


@part("conventions", "findings")
def a_third_is_lost_with_more(published: Published) -> Conclusion:
    """Test accuracy at the end, c = 4 and 8."""
    ends = [final(published, "test accuracy", c) for c in (4, 8)]
    bests = [final(published, "best test accuracy", c) for c in (4, 8)]
    kept = [
        end.high / best.low
        for of_end, of_best in zip(ends, bests, strict=True)
        for end, best in zip(of_end, of_best, strict=True)
    ]
    runs = sum(values.n for values in ends[0])
    return Conclusion(
        {side(pair) for pair in ends} == {"across"} and max(kept) < 0.67,
        f"With c = 4 and 8, a third of the test accuracy or more is lost in all {word(runs)} runs, and the "
        "ranges at the end overlap.",
    )


@part("conventions", "findings")
def f_is_smaller_at_first(published: Published) -> Conclusion:
    """First and last decade."""
    first, *_, last = sums(published)
    share = pristine_share(published.conventions, NOISE)
    return Conclusion(
        side(first) == "below" and first[0].low > 1.15 * share and max(last[0].high, last[1].high) < 0.5,
        "In the first ten steps, f^p is smaller by the conventions of the code, though still above the share "
        f"of pristine examples, {fixed(share, 2)}. In the last decade it is below a half in all "
        f"{word(last[0].n + last[1].n)} runs.",
    )


# --- Tables: a star where the ranges do not meet --------------------------------------------------


def both(pair: Pair, digits: int = 3) -> list[str]:
    """Two cells of a table."""
    code, text = (spread(values, digits) for values in pair)
    return [code, text if side(pair) == "across" else f"{text} \\*"]


def of_both(*quantities: str) -> list[str]:
    """Two columns for each quantity."""
    return [name for quantity in quantities for name in (f"{quantity}: code", "text")]


@part("conventions", "curves")
def curves(published: Published) -> str:
    """Of figure 1, by step."""
    columns = [("a", "all"), ("b", "all"), ("d", "corrupt")]
    return table(
        ["step", *of_both("training accuracy", "test accuracy", "corrupt examples right")],
        (
            [
                f"{step:,}",
                *(cell for panel, g in columns for cell in both(learned(published, panel, step, g))),
            ]
            for step in (0, 10, 100, 1000, 5000, 10_000, 20_000, 50_000, 100_000)
        ),
    )


@part("conventions", "winsorized")
def winsorized(published: Published) -> str:
    """Of figure 4, by c."""
    shown = ("training accuracy", "test accuracy", "best test accuracy", "overfit")
    return table(
        ["c", *of_both(*shown)],
        ([str(c), *(cell for name in shown for cell in both(final(published, name, c)))] for c in WINSOR),
    )


@part("conventions", "fractions")
def fractions(published: Published) -> str:
    """F^p by decade, of sums."""
    names = names_of_decades(published.conventions)
    rows = zip(names, sums(published), strict=True)
    return table(["steps", "code", "text"], ([name, *both(pair, 2)] for name, pair in rows))
