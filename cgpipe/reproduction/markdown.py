"""Numbers and tables as the pages have them, in Markdown."""

import re
import textwrap
from collections.abc import Iterable, Sequence

import pandas as pd

from cgpipe.figures.words import format_p
from cgpipe.reproduction.tables import Values

NONE = "–"
WIDTH = 100  # characters of a line of prose
TOGETHER = "\0"  # a space at which no line ends
WORDS = ("none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def word(count: int) -> str:
    """A small number as a word."""
    return WORDS[count] if count < len(WORDS) else str(count)


def percent(share: float, digits: int = 0) -> str:
    """A share as a percentage."""
    return f"{100 * share:.{digits}f} %"


def fixed(value: float, digits: int = 3) -> str:
    """A number with so many decimals; a dash where there is none."""
    return NONE if pd.isna(value) else f"{value:.{digits}f}"


def p_value(p: float) -> str:
    """A p-value as the figures have it; a dash where there is none."""
    return NONE if pd.isna(p) else format_p(p)


def spread(values: Values, digits: int = 3) -> str:
    """Mean over the replicates and, where there are several, the smallest and the largest."""
    of_several = f" ({span(values, digits)})" if values.n > 1 else ""
    return fixed(values.mean, digits) + of_several


def span(values: Values, digits: int = 3) -> str:
    """The smallest and the largest of the replicates."""
    return f"{fixed(values.low, digits)} to {fixed(values.high, digits)}"


def each(values: Iterable[float], digits: int = 3, last: str = ", ") -> str:
    """Values in ascending order, `last` before the last."""
    *before, end = (fixed(value, digits) for value in sorted(values))
    return last.join([", ".join(before), end]) if before else end


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; a `|` within a cell is escaped."""
    escaped = ([text.replace("|", "\\|") for text in row] for row in rows)
    lines = [f"| {' | '.join(row)} |" for row in (header, *escaped)]
    return "\n".join([lines[0], "|" + "---|" * len(header), *lines[1:]])


def paragraph(text: str, indent: str = "") -> str:
    """Text in lines of the width of prose, none of which ends within `c = 1` or `50 %`.

    All but the first are indented as its own text is.
    """
    kept = re.sub(r" = | (?=%)", lambda spaces: spaces[0].replace(" ", TOGETHER), text)
    lines = textwrap.wrap(
        kept,
        WIDTH,
        break_long_words=False,
        break_on_hyphens=False,
        initial_indent=indent,
        subsequent_indent=" " * len(indent),
    )
    return "\n".join(lines).replace(TOGETHER, " ")
