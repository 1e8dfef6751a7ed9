"""What the sections of the settings have in common."""

import difflib
import unicodedata
from collections.abc import Iterable, Sequence
from types import UnionType
from typing import Annotated, Any, NamedTuple, TypeVar, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

Value = TypeVar("Value")
Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_]*$")]


class Section(BaseModel):
    """A part of the settings. Unknown keys are errors, and so is text where a number belongs."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Mistake(NamedTuple):
    """An error that a check of several keys finds."""

    path: tuple[str | int, ...]  # below the keys that are checked
    given: Any
    allowed: str


def report(mistakes: Iterable[Mistake]) -> None:
    """Raise all mistakes together, if there are any; pydantic adds them to its own."""
    details = [
        InitErrorDetails(
            type=PydanticCustomError("value_error", "{error}", {"error": allowed}), loc=path, input=given
        )
        for path, given, allowed in mistakes
    ]
    if details:
        raise ValidationError.from_exception_data("Config", details)


def each_once(values: list[Value]) -> list[Value]:
    """A list as it is; what stands in it a second time is reported."""
    report(
        Mistake((place,), value, "each once") for place, value in enumerate(values) if value in values[:place]
    )
    return values


Slugs = Annotated[list[Slug], AfterValidator(each_once)]


def section_in(annotation: Any) -> type[Section] | None:
    """The Section in an annotation such as `Figure | None` or `dict[str, Experiment]`."""
    if get_origin(annotation) is Annotated:
        return section_in(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType, dict):
        sections = map(section_in, get_args(annotation))
        return next((section for section in sections if section is not None), None)
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return None


def suggestion(given: str, known: Sequence[str], cutoff: float = 0.6) -> str:
    """The known word that is most like what was given, as the end of a message; empty without one."""
    word = unicodedata.normalize("NFKC", given)
    same = [one for one in known if one.lower() == word.lower()]
    close = same or difflib.get_close_matches(word, known, n=1, cutoff=cutoff)
    return f" (did you mean {close[0]}?)" if close else ""
