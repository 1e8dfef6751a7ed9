"""What to write instead of a setting that is not allowed: the ends of messages, empty if nothing is known."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Annotated, Any, get_args, get_origin

from cgpipe.figures.registry import FIGURES, OF_RUNS
from cgpipe.pipeline.config.experiments import Choose, Corruption, Twin
from cgpipe.pipeline.config.figures import Figure, Figures
from cgpipe.pipeline.config.models import Config
from cgpipe.pipeline.config.mystery import SHOWN
from cgpipe.pipeline.config.networks import AlexnetSmall, Network, WithoutArguments
from cgpipe.pipeline.config.numerals import list_hint, number_hint
from cgpipe.pipeline.config.section import Section, section_in, suggestion

# Keys by the names that they have elsewhere.
USUAL = {
    "architecture": "network",
    "directory": "folder",
    "epochs": "steps",
    "gpu": "device",
    "hidden": "network",
    "lr": "learning_rate",
    "model": "network",
    "path": "folder",
    "root": "folder",
    "scheduler": "schedule",
    "wd": "weight_decay",
}
NOTES = {
    "epochs": " An epoch is examples / batch_size of them",
    "optimizer": "all runs are SGD: see learning_rate, momentum, weight_decay and update",
}
PLAIN_SGD = "winsorized_mean, with winsor: [0], for plain SGD"
# Values by the names that they have elsewhere, by key.
VALUES = {
    "device": {"gpu": "cuda", "cuda:0": "cuda"},
    "init": {"glorot": "xavier"},
    "schedule": {"none": "constant", "cosine_annealing": "cosine"},
    "update": dict.fromkeys(("sgd", "mean", "plain", "plain_sgd", "average"), PLAIN_SGD),
}
SHARES = ("level", "noise", "zeroed")  # numbers up to 1
VERY_LIKE = 0.87  # seeds and seed are, figure1 and figures are not


def instead_of_key(location: Sequence[str | int], section: type[Section]) -> str:
    """What was meant by a key that there is not.

    Parameters
    ----------
    location : sequence of str and int
        Its path.
    section : type of Section
        Where it was given.
    """
    key, known = str(location[-1]), list(section.model_fields)
    if section is Figures and key in FIGURES and key not in OF_RUNS:
        that = f" that names one of {', '.join(SHOWN[key])}" if key in SHOWN else ""
        return f" (made whenever there is a section {FIGURES[key].artifact}{that}: leave it out)"
    word = _plain(key)
    meant = USUAL.get(word, word)
    if word in NOTES and meant == word:
        return f" ({NOTES[word]})"
    if meant in known:
        return f" (did you mean {meant}?{NOTES.get(word, '')})"
    very_like = suggestion(key, known, VERY_LIKE)
    places = _places().get(meant)
    if places and not very_like and section not in (WithoutArguments, AlexnetSmall):
        return f" ({meant} belongs {_listed(places)})"
    return very_like or suggestion(key, known)


def instead_of_word(key: str, given: str, allowed: Sequence[str]) -> str:
    """Which of the words that are allowed for a key was meant."""
    usual = VALUES.get(key, {}).get(_plain(given))
    return f" (did you mean {usual}?)" if usual else suggestion(given, allowed)


def instead_of_value(kind: str, location: Sequence[str | int], given: Any, annotation: Any) -> str:
    """How to write a value that is of another kind than is allowed.

    Parameters
    ----------
    kind : str
        Pydantic's name of the error.
    location : sequence of str and int
        Path of the value.
    given : object
        The value.
    annotation : type
        Of the last key in the path.
    """
    if kind in ("float_type", "int_type") and isinstance(given, str):
        return number_hint(given, whole=kind == "int_type")
    if kind == "int_type" and isinstance(given, float) and given.is_integer() and abs(given) < 1e15:
        return f". Write {int(given)}"
    if kind == "list_type":
        return list_hint(given, next(_within(annotation), str))
    if kind in ("less_than", "less_than_equal") and {*SHARES} & {*map(str, location[-2:])}:
        is_percent = isinstance(given, int | float) and 2 <= given <= 100
        return f". For {given:g} % write {given / 100:g}" if is_percent else ""
    if kind in ("model_type", "dict_type"):
        return _as_section(section_in(annotation), given)
    return ""


def _as_section(section: type[Section] | None, given: object) -> str:
    """How to write as a section what was given instead of one."""
    if section is None:
        return ""
    if section is Network:
        return f". Write {_network(given)}"
    if section in (WithoutArguments, AlexnetSmall):
        return ". Write {}"
    if not isinstance(given, str) or not given:
        return ""
    if issubclass(section, Figure):
        return f". Write {{experiment: {given}}}"
    written = {Corruption: "{{selection: {}}}", Twin: "{{of: {}}}", Choose: "{{of: {}, which: easy}}"}
    return f". Write {written[section].format(given)}" if section in written else ""


def _network(given: object) -> str:
    """A section `network`, as what was given may be meant."""
    if isinstance(given, str):
        named = [name for name in Network.model_fields if name not in ("dense", "module", "args")]
        if ":" in given:
            return f'{{module: "{given}"}}'
        if like := re.search(r"mean (\w+)", suggestion(given, named)):
            return f"{{{like[1]}: {{}}}}"
    units = given if isinstance(given, list) else [given]
    are_units = units and all(type(one) is int and one > 0 for one in units)
    return f"{{dense: {units if are_units else [2048]}}}"


def _within(annotation: Any) -> Iterator[type]:
    """The types of numbers and text in an annotation such as `list[Annotated[int, ...]] | None`."""
    if annotation in (str, int, float):
        yield annotation
    within = get_args(annotation)
    for one in within[:1] if get_origin(annotation) is Annotated else within:
        yield from _within(one)


def _plain(word: str) -> str:
    return re.sub(r"[- ]", "_", unicodedata.normalize("NFKC", word).strip().lower())


@cache
def _places() -> dict[str, list[str]]:
    """Of each key, the sections that have it; the top is empty."""
    found: dict[str, list[str]] = {}
    for path, section in _sections(Config, ""):
        for key in section.model_fields:
            found.setdefault(key, []).append(path)
    return found


def _sections(section: type[Section], path: str) -> Iterator[tuple[str, type[Section]]]:
    yield path, section
    for key, field in section.model_fields.items():
        below = section_in(field.annotation)
        if below is not None:
            name = ".NAME" if get_origin(field.annotation) is dict else ""
            yield from _sections(below, f"{path}.{key}{name}".lstrip("."))


def _listed(places: Sequence[str]) -> str:
    """Where a key belongs."""
    of_figures = [place for place in places if place.removeprefix("figures.") in OF_RUNS]
    if len(of_figures) > 1:
        places = [*(place for place in places if place not in of_figures), "figures.NAME"]
    *others, last = [f"below {place}" if place else "at the top" for place in places]
    return f"{', '.join(others)} or {last}" if others else last
