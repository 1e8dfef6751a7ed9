"""The generated parts of the pages: conclusions, each with the condition that it depends on, and tables."""

import re
from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

from cgpipe.pipeline.documents import put_between
from cgpipe.reproduction.markdown import paragraph
from cgpipe.reproduction.tables import Published, TableError

Page = Literal["paper", "replicates", "conventions"]


class Conclusion(NamedTuple):
    """A sentence that follows from the published tables, or no longer does."""

    holds: bool
    sentence: str


class ConclusionError(ValueError):
    """A page draws conclusions that do not follow from the tables."""


Block = Callable[[Published], str | Conclusion]
PARTS: dict[Page, dict[str, list[Block]]] = {"paper": {}, "replicates": {}, "conventions": {}}


def part(page: Page, name: str) -> Callable[[Block], Block]:
    """Register a function of the tables as a block of a part of a page.

    Parameters
    ----------
    page : str
        Name of the settings whose results the page is about.
    name : str
        Of the part: the page has the lines `<!-- begin NAME -->` and `<!-- end NAME -->`. A part with several
        blocks has them in the order in which they are registered; several conclusions become a list.
    """

    def register(block: Block) -> Block:
        PARTS[page].setdefault(name, []).append(block)
        return block

    return register


def fill(documents: Mapping[Page, str], published: Published) -> dict[Page, str]:
    """Write the parts of pages again.

    Parameters
    ----------
    documents : dict of str
        Pages, Markdown with markers.
    published : Published
        The tables.

    Returns
    -------
    dict of str
        The pages with all parts as the tables have them.

    Raises
    ------
    TableError
        If a part asks for what the tables lack.
    ConclusionError
        If sentences do not follow from the tables; the message has all of them.
    ValueError
        If a page lacks the markers of a part, or has markers of a part that is not registered.
    """
    refused: list[str] = []
    filled = {}
    for page, document in documents.items():
        unknown = {*re.findall(r"<!-- begin (.*) -->", document)} - {*PARTS[page]}
        if unknown:
            raise ValueError(
                f"the page {page} has the parts {', '.join(sorted(unknown))}, which nothing writes; "
                f"there are {', '.join(PARTS[page])}"
            )
        for name, blocks in PARTS[page].items():
            try:
                made = [block(published) for block in blocks]
            except TableError as error:
                raise TableError(f"the part {name} of the page {page}: {error}") from error
            refused += [
                f"{name} ({page}): {one.sentence}"
                for one in made
                if isinstance(one, Conclusion) and not one.holds
            ]
            document = put_between(document, name, written(made), f"the page {page}")
        filled[page] = document
    if refused:
        raise ConclusionError("\n- ".join(["the tables no longer say so, write it anew:", *refused]))
    return filled


def written(blocks: list[str | Conclusion]) -> str:
    """Tables as they are, a conclusion as a paragraph, several conclusions as a list."""
    conclusions = [block for block in blocks if isinstance(block, Conclusion)]
    tables = [block for block in blocks if isinstance(block, str)]
    bullet = "- " if len(conclusions) > 1 else ""
    sentences = "\n".join(paragraph(one.sentence, bullet) for one in conclusions)
    return "\n\n".join([*tables, *([sentences] if sentences else [])]) + "\n"
