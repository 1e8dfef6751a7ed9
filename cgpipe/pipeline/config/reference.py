"""The JSON schema of a config file, and the table of all keys; both are generated from the models."""

import json
from collections.abc import Iterator, Mapping
from types import NoneType
from typing import Any, get_args, get_origin

from cgpipe.pipeline.config.models import Config
from cgpipe.pipeline.config.section import Section, section_in

LIMITS = {"minimum": "≥ {}", "exclusiveMinimum": "> {}", "maximum": "≤ {}", "exclusiveMaximum": "< {}"}


def schema() -> dict[str, Any]:
    """JSON schema of a config file, for editors and for the tests."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Config.model_json_schema(),
        "title": "cgpipe config",
    }


def leaves(model: type[Section] = Config, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every key of the settings that holds a value, as a dotted path with its pydantic field.

    `*` in a path stands for a name of the user's choice, such as that of an experiment.
    """
    for name, field in model.model_fields.items():
        section = section_in(field.annotation)
        is_dict = get_origin(field.annotation) is dict
        others = {*get_args(field.annotation)} - {section, NoneType}
        if section is None or not section.model_fields or (others and not is_dict):
            yield f"{path}{name}", field
        else:
            below = f"{path}{name}.*." if is_dict else f"{path}{name}."
            yield from leaves(section, below)


def table() -> str:
    """The table of all keys for `config/README.md`, in Markdown."""
    rows = ["| key | type | default | meaning |", "|---|---|---|---|"]
    definitions = schema()
    for path, field in leaves():
        default = "required"
        if not field.is_required():
            default = f"`{json.dumps(field.get_default(call_default_factory=True))}`"
        kind = _kind(_schema_at(definitions, path))
        rows.append(f"| `{path}` | {kind} | {default} | {field.description} |")
    return "\n".join(rows) + "\n"


def _schema_at(definitions: Mapping[str, Any], path: str) -> Mapping[str, Any]:
    at: Any = definitions
    for key in path.split("."):
        for option in [at, *at.get("anyOf", [])]:
            if "$ref" in option:
                at = definitions["$defs"][option["$ref"].rsplit("/", 1)[-1]]
        at = next(iter(at["patternProperties"].values())) if key == "*" else at["properties"][key]
    return at  # type: ignore[no-any-return]


def _kind(definition: Mapping[str, Any]) -> str:
    """The type of a value, for people."""
    if "anyOf" in definition:
        return " or ".join(map(_kind, definition["anyOf"]))
    if "$ref" in definition:
        return "section"
    if "enum" in definition:
        return ", ".join(f"`{value}`" for value in definition["enum"])
    if definition["type"] == "array":
        return f"list of {_kind(definition['items'])}"
    bounds = " and ".join(text.format(definition[key]) for key, text in LIMITS.items() if key in definition)
    return f"{definition['type']} {bounds}".strip()
