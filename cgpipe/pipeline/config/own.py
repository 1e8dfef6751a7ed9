"""A network of one's own, as far as its source tells without running it."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from cgpipe.networks.registry import source_path
from cgpipe.pipeline.config.section import Mistake, suggestion

OFFERED = ("shape", "classes")  # what a function gets of the dataset, if it has such parameters
UNSEEN = {"__getattr__", "eval", "exec", "globals", "locals", "setattr", "vars"}  # may bind any name
Function = ast.FunctionDef | ast.AsyncFunctionDef
Defined = Function | ast.ClassDef


class Source(NamedTuple):
    """What a source binds at its top level."""

    path: Path
    defined: dict[str, list[Defined]]
    others: set[str]  # bound in other ways, as by an import
    anything: bool  # whether it may bind more names than can be seen


def source_of(reference: str) -> Source | None:
    """What the source of a network of one's own binds; None if it is no Python source.

    Parameters
    ----------
    reference : str
        As for `cgpipe.networks.registry.source_path`.

    Raises
    ------
    ValueError
        If it is not found, or no Python.
    OSError
        If it cannot be read.
    """
    path = source_path(reference)
    if path.suffix != ".py":
        return None
    try:
        tree = ast.parse(path.read_bytes())
    except SyntaxError as error:
        raise ValueError(
            f"module: {reference}: {path}, line {error.lineno} is no Python: {error.msg}"
        ) from None
    source = Source(path, {}, set(), anything=any(map(_binds_anything, ast.walk(tree))))
    _collect(tree, source)
    return source


def _binds_anything(node: ast.AST) -> bool:
    names = {getattr(node, "id", None), getattr(node, "name", None)}
    return isinstance(node, ast.Global) or bool(names & {"*", *UNSEEN})


def _collect(node: ast.AST, source: Source) -> None:
    """Add what is bound below a node, and not within a function or a class."""
    for below in ast.iter_child_nodes(node):
        if isinstance(below, Defined):
            source.defined.setdefault(below.name, []).append(below)
            continue
        if isinstance(below, ast.alias):
            source.others.add((below.asname or below.name).partition(".")[0])
        elif isinstance(below, ast.Name) and isinstance(below.ctx, ast.Store):
            source.others.add(below.id)
        _collect(below, source)


def without_function(reference: str) -> Iterator[str]:
    """What is wrong with a reference to a function that its source does not have; nothing if it may have it.

    Parameters
    ----------
    reference : str
        As for `source_of`, which says what is raised.
    """
    source, name = source_of(reference), reference.rpartition(":")[2]
    if source is None or source.anything or name in source.defined or name in source.others:
        return
    own = [known for known in source.defined if not known.startswith("_")]
    has = ", ".join(own) or "none"
    yield f"module: {reference}: {source.path} has no function {name}{suggestion(name, own)}; it has {has}"


def mistakes_in_args(reference: str, args: Mapping[str, Any]) -> Iterator[Mistake]:
    """Arguments that the function of a reference does not take, and one for those that it lacks.

    Parameters
    ----------
    reference : str
        As for `source_of`, which says what is raised.
    args : mapping
        What is given besides `shape` and `classes`.
    """
    source, name = source_of(reference), reference.rpartition(":")[2]
    bound = source.defined.get(name, []) if source and name not in source.others else []
    takes = _parameters(bound[0]) if len(bound) == 1 else None
    if takes is None or (source and source.anything):
        return
    for key, value in args.items():
        if key not in takes.named and not takes.anything:
            own = [known for known in takes.named if known not in OFFERED]
            of = f"a parameter of {name}: {', '.join(own)}" if own else f"none, as {name} takes none"
            yield Mistake((key,), value, f"{of}{suggestion(key, own)}")
    if missing := [key for key in takes.required if key not in args and key not in OFFERED]:
        yield Mistake((), dict(args), f"also {', '.join(missing)}, which {name} needs")


class Parameters(NamedTuple):
    """What a function takes by name."""

    named: list[str]
    required: list[str]
    anything: bool


def _parameters(defined: Defined) -> Parameters | None:
    """What a function or a class takes; None if that cannot be seen."""
    first = 0
    if isinstance(defined, ast.ClassDef):
        made_by = [
            one for one in defined.body if isinstance(one, Function) and one.name in ("__init__", "__new__")
        ]
        if defined.decorator_list or defined.keywords or [one.name for one in made_by] != ["__init__"]:
            return None
        defined, first = made_by[0], 1  # without self
    of = defined.args
    if defined.decorator_list or len(of.posonlyargs) > first or (first and not (of.posonlyargs or of.args)):
        return None
    positional = [one.arg for one in (*of.posonlyargs, *of.args)]
    required = positional[: len(positional) - len(of.defaults)]
    required += [
        one.arg for one, default in zip(of.kwonlyargs, of.kw_defaults, strict=True) if default is None
    ]
    named = [*positional, *(one.arg for one in of.kwonlyargs)]
    return Parameters(named[first:], required[first:], of.kwarg is not None)
