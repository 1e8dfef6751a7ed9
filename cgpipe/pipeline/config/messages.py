"""The words in which errors of the settings are reported, each in one line."""

import math
import re
import unicodedata
from collections.abc import Sequence

from pydantic_core import ErrorDetails

from cgpipe.pipeline.config.files import COMMAND_LINE
from cgpipe.pipeline.config.models import Config
from cgpipe.pipeline.config.reading import OF_KEY, Place
from cgpipe.pipeline.config.section import Section, section_in, suggestion

# Keys of before the first release, which people may still have in their files.
RENAMED = {
    "nullworlds.drawn": "nullworlds.shown",
    "nullworlds.worlds": "nullworlds.count",
    "figures.figure1.beside": "figures.figure1.compare_with",
    "figures.figure4.beside": "figures.figure4.compare_with",
    "experiments.*.together": "experiments.*.runs_per_job",
    "experiments.*.hidden": "experiments.*.network.dense",
}
# By pydantic's names of errors; of others, pydantic's own words serve.
ALLOWED = {
    "string_pattern_mismatch": "lower-case letters, digits and _, as it becomes the name of a folder",
    "string_type": "text",
    "invalid_key": "text as a name",
    "model_type": "a section of keys and values",
    "dict_type": "a section of keys and values",
    "too_short": "at least one",
    "bool_type": "true or false",
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
        known, key = list(section.model_fields), str(location[-1])
        here = ", ".join(known) or "none"
        renamed = RENAMED.get(re.sub(r"^experiments\.[^.]+", "experiments.*", path))
        hint = f" (renamed to {renamed})" if renamed else suggestion(key, known)
        return f"{start}: there is no such key{hint}{_odd_letters(key)}; allowed here: {here}"
    if kind == "missing":
        return f"{start}: not given, and it has no default: {_look_up(location)[1]}"
    shown = place.given or _shown(given)
    if kind == "value_error":
        return f"{start}: given {shown}; allowed: {details['ctx']['error']}"
    allowed = ALLOWED.get(kind, details["msg"].removeprefix("Input should be "))
    hint = ""
    if isinstance(given, str):
        if kind == "literal_error":
            hint = suggestion(given, [part.strip("' ") for part in allowed.replace(" or ", ",").split(",")])
        elif kind in ("float_type", "int_type"):
            hint = _number_hint(given, kind)
        if len(location) > 1 and place.where == COMMAND_LINE:
            hint = f". In a section, {COMMAND_LINE} gives text alone: write it into a file for --configfile"
    return f"{start}: given {shown}; allowed: {allowed}{hint}"


def _number_hint(given: str, kind: str) -> str:
    try:
        number = float(given)
    except ValueError:
        try:
            number = int(given, 0)  # 0o10 of YAML 1.2
        except ValueError:
            return ""
    if not math.isfinite(number):
        return ""
    if kind == "int_type":
        return f". It was read as text: write {int(number)}" if number == int(number) else ""
    mantissa, e, exponent = given.strip().lower().partition("e")
    # YAML wants both the point and the sign of the exponent.
    point = "" if "." in mantissa else ".0"
    sign = "" if exponent[:1] in ("-", "+") else "+"
    written = f"{mantissa}{point}e{sign}{exponent}" if e else repr(number)
    return f". YAML reads {given} as text: write {written}"


def _odd_letters(given: str) -> str:
    """Name letters that look like others, or are invisible."""
    odd = dict.fromkeys(letter for letter in given if not (letter.isascii() and letter.isprintable()))
    named = (f"U+{ord(letter):04X} {unicodedata.name(letter, 'of no name')}" for letter in odd)
    return f"; it holds {', '.join(named)}" if odd else ""


def _look_up(location: Sequence[str | int]) -> tuple[type[Section], str]:
    """The section that a path leads to or stays in, and the description of its last key."""
    section: type[Section] = Config
    description = ""
    for part in location:
        field = section.model_fields.get(str(part))
        if field is not None:  # a name of the user's choice is not a field, and stays in its section
            description = field.description or ""
            section = section_in(field.annotation) or section
    return section, description


def _shown(given: object) -> str:
    if isinstance(given, Section):
        return "this section"
    text = f"{given!r} (text{_odd_letters(given)})" if isinstance(given, str) else repr(given)
    return text if len(text) <= 80 else f"{text[:77]}..."
