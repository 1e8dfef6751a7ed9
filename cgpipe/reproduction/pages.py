"""The pages about the results: tables between markers, and sentences that are checked against the tables.

`<!-- begin NAME -->` and `<!-- end NAME -->` enclose a table, which is generated. `<!-- check NAME -->` ends
a paragraph, or an item of a list, whose sentences a conclusion of that name is about. The sentences are
written by hand. Where their condition does not hold, they are refused. Numbers in them are kept up with the
tables; where they are neither those of the tables nor those of the tables before, they are refused.
"""

import inspect
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from types import ModuleType
from typing import Any, NamedTuple, get_type_hints

import pandas as pd

from cgpipe.inference.verdicts import FEWEST, claim_verdicts, parts_that_hold
from cgpipe.pipeline.documents import put_between
from cgpipe.pipeline.progress import log
from cgpipe.reproduction.tables import TableError, Tables

NONE = "–"
NOTHING = "*No replicate is finished yet.*"


class Conclusion(NamedTuple):
    """Whether the tables support a sentence, and the numbers in it, in their order."""

    holds: bool
    numbers: tuple[str, ...] = ()


Parts = dict[str, Callable[[Tables], str | Conclusion]]


class ConclusionError(ValueError):
    """A page draws conclusions that do not follow from the tables."""


def says(holds: object, *numbers: str) -> Conclusion:
    """A conclusion."""
    return Conclusion(bool(holds), numbers)


def of_a_verdict(made: int) -> Conclusion:
    """So many replicates, of those that a verdict takes; all, if they are as many."""
    return says(made, f"Finished so far: {made} of {FEWEST}" if made < FEWEST else f"All {made} replicates")


def verdict_on(claim: str, table: pd.DataFrame) -> str:
    """What a sentence on a claim begins with: its name and, from five replicates on, the verdict.

    Parameters
    ----------
    claim : str
        Name of a claim that has one line.
    table : DataFrame
        Statistics of the claims, as `tidy` returns them.
    """
    (row,) = claim_verdicts(table[table["claim"] == claim]).to_dict("records")
    if not parts_that_hold(row):
        return f"{claim}."
    return f"{claim} {row['verdict']}." if row["verdict"] == "holds" else f"{claim} is {row['verdict']}."


def all_hold(*conditions: pd.Series) -> bool:
    """Whether conditions hold in all replicates."""
    return all(bool(condition.all()) for condition in conditions)


def how_many(condition: pd.Series) -> str:
    """In how many of how many replicates a condition holds."""
    return f"{int(condition.sum())} of {len(condition)}"


def parts_of(module: ModuleType) -> Parts:
    """Tables and conclusions of a page, by name: what its module defines for `Tables` alone."""
    functions = inspect.getmembers(module, inspect.isfunction)
    return {
        name.replace("_", "-"): function
        for name, function in functions
        if function.__module__ == module.__name__
        and not name.startswith("_")
        and [kind for key, kind in get_type_hints(function).items() if key != "return"] == [Tables]
    }


def fill(
    name: str, page: str, parts: Parts, tables: Tables, before: Tables | None = None
) -> tuple[str, list[str]]:
    """Write the tables of a page anew, check its sentences, and keep up the numbers in them.

    Parameters
    ----------
    name : str
        Of the page, for messages.
    page : str
        Markdown with markers.
    parts : mapping
        Tables and conclusions of the page, by name.
    tables : Tables
        The published tables of the page; none before the first replicate.
    before : Tables, optional
        Those that the sentences were written for. Numbers that follow from them are replaced, where the
        condition of the sentence still holds.

    Returns
    -------
    page : str
        With the tables, and the numbers, as they are now.
    refused : list of str
        Sentences that do not follow from the tables.

    Raises
    ------
    TableError
        If a part asks for what the tables lack.
    ValueError
        If the page lacks the markers of a part, or has markers of others.
    """
    marked = re.findall(r"<!-- (?:begin|check) (.*?) -->", page)
    if set(marked) != set(parts):
        differ = ", ".join(sorted(set(marked) ^ set(parts)))
        raise ValueError(f"{name}: {differ}: marked in the page or defined in the code, but not both")
    refused = []
    for part, function in parts.items():
        if not tables.frames and f"<!-- begin {part} -->" in page:
            page = put_between(page, part, f"{NOTHING}\n", name)
            continue
        try:
            made = function(tables)
        except TableError as error:
            raise TableError(f"{name}, {part}: {error}") from error
        if isinstance(made, str):
            page = put_between(page, part, f"{made}\n", name)
            continue
        for written in sentences(page, part):
            text = " ".join(written.split()).removeprefix("- ")
            if not made.holds:
                refused.append(f"{part} ({name}): the tables no longer say so, write it anew: {text}")
            elif renumbered(written, made.numbers, made.numbers) is None:
                again = renumbered(written, _numbers(function, before), made.numbers)
                if again is None:
                    refused.append(f"{part} ({name}): the numbers are now {', '.join(made.numbers)}: {text}")
                    continue
                page = page.replace(written, again)
                log.info("%s (%s) has other numbers, read it again: %s", part, name, " ".join(again.split()))
    return page, refused


def sentences(page: str, check: str) -> Iterator[str]:
    """Each paragraph or item of a list that ends with a check, as it is written, without its checks."""
    for part in re.split(r"\n\n|\n(?=- )", page):
        text, *checks = re.split(r"<!-- check (.*?) -->", part)
        if check in checks:
            yield text


def renumbered(text: str, old: Sequence[str], new: Sequence[str]) -> str | None:
    """A text with numbers in the place of others, in their order.

    None if the others are not there, or if more than digits differ, as between 4 of 5 and all 5.

    Examples
    --------
    >>> renumbered("From 0.5 to 2 of 3.", ["0.5", "2 of 3"], ["0.7", "3 of 4"])
    'From 0.7 to 3 of 4.'
    """
    if [re.sub(r"[\d.,]+", "0", of) for of in old] != [re.sub(r"[\d.,]+", "0", of) for of in new]:
        return None
    done = ""
    for before, now in zip(old, new, strict=True):
        words = r"\s+".join(map(re.escape, before.split()))
        if not (found := re.search(rf"(?<![\d.]){words}(?!\.?\d)", text)):
            return None
        done, text = f"{done}{text[: found.start()]}{now}", text[found.end() :]
    return done + text


def _numbers(function: Callable[[Tables], Any], tables: Tables | None) -> tuple[str, ...]:
    """The numbers of a conclusion from other tables; none if these lack something."""
    try:
        return function(tables).numbers if tables else ()
    except TableError:
        return ()


def percent(share: float, digits: int = 0) -> str:
    """A share as a percentage."""
    return f"{100 * share:.{digits}f} %"


def at_least(*values: pd.Series, digits: int = 3) -> str:
    """The smallest value of all replicates, rounded down."""
    return _rounded(min(some.min() for some in values), digits, ROUND_FLOOR)


def at_most(*values: pd.Series, digits: int = 3) -> str:
    """The largest value of all replicates, rounded up.

    Examples
    --------
    >>> at_most(pd.Series([0.01, 0.0141]), digits=2)
    '0.02'
    """
    return _rounded(max(some.max() for some in values), digits, ROUND_CEILING)


def _rounded(value: float, digits: int, way: str) -> str:
    if math.isnan(value):
        return NONE
    # Of the digits that a table has: a difference of two values may end in 0.0000000001. No -0.
    return str(Decimal(f"{value:.7g}").quantize(Decimal(1).scaleb(-digits), rounding=way) + Decimal(0))


def fixed(value: float, digits: int = 3) -> str:
    """A number with so many decimals; a dash where there is none."""
    return NONE if pd.isna(value) else f"{value:.{digits}f}"


def spread(values: pd.Series, digits: int = 3) -> str:
    """Mean over the replicates and, where there are several, the smallest and the largest."""
    defined = values.dropna()
    if len(defined) < 2:
        return fixed(defined.mean(), digits)
    low, high = fixed(defined.min(), digits), fixed(defined.max(), digits)
    return f"{fixed(defined.mean(), digits)} ({low} to {high})"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown; a `|` within an entry is escaped."""
    lines = [f"| {' | '.join(text.replace('|', chr(92) + '|') for text in row)} |" for row in (header, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(header), *lines[1:]])


def grid(
    corner: str, rows: Mapping[str, Any], columns: Sequence[tuple[str, Any]], entry: Callable[[Any, Any], str]
) -> str:
    """A table with an entry for each row and column."""
    lines = ([label, *(entry(row, column) for _, column in columns)] for label, row in rows.items())
    return table([corner, *(label for label, _ in columns)], lines)
