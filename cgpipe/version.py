"""Which cgpipe this is."""

import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

try:
    __version__ = version("cgpipe")
except PackageNotFoundError:  # a source tree that is not installed
    project = Path(__file__).parents[1] / "pyproject.toml"
    __version__ = (
        tomllib.loads(project.read_text("utf-8"))["project"]["version"] if project.is_file() else "?"
    )
