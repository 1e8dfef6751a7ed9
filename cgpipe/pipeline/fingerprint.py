"""What a stage's code is: one hash over the modules that it imports inside the package.

Snakemake does not follow imports and compares scripts by time stamp. This hash follows imports,
looks at content alone, and leaves out comments, docstrings and layout. Imports neither torch nor
xarray, and writes nothing.
"""

import ast
import hashlib
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import grimp

# The graph of imports does not show what a module imports by a name that is known only when it runs. These
# modules do so, each from one package, and every module of that package counts as imported.
IMPORTED_BY_NAME = {"cgpipe.figures.drawing": "cgpipe.figures"}


@cache
def code_hash(stage: str) -> str:
    """Hash of a stage's module and of every module it imports inside the package, C++ included.

    Parameters
    ----------
    stage : str
        Name of a module in `cgpipe.pipeline.stages`.

    Returns
    -------
    str
        16 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for module in modules(f"cgpipe.pipeline.stages.{stage}"):
        digest.update(f"{module}\n{_module_hash(module)}\n".encode())
    return digest.hexdigest()[:16]


@cache
def modules(module: str) -> tuple[str, ...]:
    """A module of the package, all that it imports inside it, and the packages these lie in.

    What a module imports by name counts by the table `IMPORTED_BY_NAME`.
    """
    graph = _graph()
    imported = {module, *graph.find_upstream_modules(module)}
    for importing, package in IMPORTED_BY_NAME.items():
        if importing in imported:
            for named in graph.find_descendants(package):
                imported |= {named, *graph.find_upstream_modules(named)}
    packages = {name.rsplit(".", n)[0] for name in imported for n in range(1, name.count(".") + 1)}
    return tuple(sorted(imported | packages))


def without_comments(source: str) -> str:
    """Python source without comments, docstrings and layout, the same for every version of Python.

    Parameters
    ----------
    source : str
        A module.

    Returns
    -------
    str
        Its syntax tree as text.
    """
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            documented = ast.get_docstring(node, clean=False) is not None
            node.body = node.body[documented:]
    written: list[str] = []
    _write(tree, written.append)
    return "".join(written)


def _write(node: object, out: Callable[[str], object]) -> None:
    """Like `ast.dump`, but without empty fields, whose number differs between versions of Python."""
    if isinstance(node, list):
        out("[")
        for place, one in enumerate(node):
            if place:
                out(",")
            _write(one, out)
        out("]")
    elif isinstance(node, ast.AST):
        out(f"{type(node).__name__}(")
        if isinstance(node, ast.Constant) and node.value is None:
            out("None")  # a value of a constant, not an empty field
        else:
            between = ""
            for name in node._fields:
                value = getattr(node, name, None)
                if value is None or value == []:
                    continue
                out(f"{between}{name}=")
                _write(value, out)
                between = ","
        out(")")
    else:
        out(repr(node))


@cache
def _graph() -> grimp.ImportGraph:
    return grimp.build_graph("cgpipe", cache_dir=None)


@cache
def _module_hash(module: str) -> str:
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise RuntimeError(f"{module} is imported by a stage, but its source is not found")
    source = Path(spec.origin)
    texts = [without_comments(source.read_text(encoding="utf-8"))]
    if spec.submodule_search_locations:
        # A package stands for the C++ in its folder, too.
        compiled = sorted(path for path in source.parent.iterdir() if path.suffix in (".cpp", ".h"))
        texts += [
            f"{path.name}\n{_without_cpp_comments(path.read_text(encoding='utf-8'))}" for path in compiled
        ]
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def _without_cpp_comments(source: str) -> str:
    """C++ without comments that begin with //, blank lines and the space around lines."""
    lines = (line.partition("//")[0].strip() for line in source.splitlines())
    return "\n".join(line for line in lines if line)
