"""The words in which errors of the settings are reported, each in one line."""

import unicodedata
from collections.abc import Sequence

from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from cgpipe.pipeline.config.files import COMMAND_LINE
from cgpipe.pipeline.config.hints import instead_of_key, instead_of_value, instead_of_word
from cgpipe.pipeline.config.models import Config
from cgpipe.pipeline.config.reading import OF_KEY, Place
from cgpipe.pipeline.config.section import Section, section_in

# By pydantic's names of errors; of others, pydantic's own words serve.
ALLOWED = {
    "string_pattern_mismatch": "lower-case letters, digits and _, as it becomes the name of a folder",
    "string_type": "text",
    "invalid_key": "text as a name",
    "model_type": "a section of keys and values",
    "dict_type": "a section of keys and values",
    "too_short": "at least one",
    "bool_type": "true or false",
    "list_type": "a list",
}


def message(details: ErrorDetails, place: Place) -> str:
    """Word one error: where it is, what was given, what is allowed, and what to do.

    Parameters
    ----------
    details : ErrorDetails
        As pydantic has it.
    place : Place
        Where the setting stands.

    Returns
    -------
    str
        One line.
    """
    location = [part for part in details["loc"] if part != OF_KEY]
    path = ".".join(map(str, location))
    start = f"{place.where}: {path}" if place.where else path
    given, kind = details["input"], details["type"]
    if kind == "extra_forbidden":
        section, _ = _look_up(location[:-1])
        here = ", ".join(section.model_fields) or "none"
        hint = instead_of_key(location, section) + _odd_letters(str(location[-1]))
        return f"{start}: there is no such key{hint}; allowed here: {here}"
    if kind == "missing":
        return f"{start}: not given, and it has no default: {_description(_look_up(location)[1])}"
    shown = place.given or _shown(given)
    if kind == "value_error":
        was = "not given" if given is None and not place.given else f"given {shown}"
        return f"{start}: {was}; allowed: {details['ctx']['error']}"
    allowed = ALLOWED.get(kind, details["msg"].removeprefix("Input should be "))
    field = _look_up(location)[1]
    hint = instead_of_value(kind, location, given, field and field.annotation)
    if isinstance(given, str):
        if kind == "literal_error":
            words = [part.strip("' ") for part in allowed.replace(" or ", ",").split(",")]
            hint = instead_of_word(_key(location), given, words)
        if len(location) > 1 and place.where == COMMAND_LINE:
            hint = f". In a section, {COMMAND_LINE} gives text alone: write it into a file for --configfile"
    return f"{start}: given {shown}; allowed: {allowed}{hint}"


def _odd_letters(given: str) -> str:
    """Name letters that look like others, or are invisible."""
    odd = dict.fromkeys(letter for letter in given if not (letter.isascii() and letter.isprintable()))
    named = (f"U+{ord(letter):04X} {unicodedata.name(letter, 'of no name')}" for letter in odd)
    return f"; it holds {', '.join(named)}" if odd else ""


def _key(location: Sequence[str | int]) -> str:
    """The last key of a path, which may end with places in a list."""
    return next((part for part in reversed(location) if isinstance(part, str)), "")


def _description(field: FieldInfo | None) -> str:
    return (field and field.description) or ""


def _look_up(location: Sequence[str | int]) -> tuple[type[Section], FieldInfo | None]:
    """The section that a path leads to or stays in, and the field of its last key."""
    section: type[Section] = Config
    found = None
    for part in location:
        field = section.model_fields.get(str(part))
        if field is not None:  # a name of the user's choice is not a field, and stays in its section
            found = field
            section = section_in(field.annotation) or section
    return section, found


def _shown(given: object) -> str:
    if isinstance(given, Section):
        return "this section"
    text = f"{given!r} (text{_odd_letters(given)})" if isinstance(given, str) else repr(given)
    return text if len(text) <= 80 else f"{text[:77]}..."
