"""Files and folders that settings name, and that are not there."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cgpipe.data.shapes import DATASETS
from cgpipe.figures.registry import OF_RUNS
from cgpipe.pipeline.config.datasets import expanded
from cgpipe.pipeline.config.section import Mistake

SHIPPED = "digits"  # a dataset that needs no folder


def not_there(settings: Mapping[str, Any], here: Path) -> Iterator[Mistake]:
    """Look for the folder of raw data and the tables that figures are compared with.

    Parameters
    ----------
    settings : mapping
        As YAML gave them; what is wrong with them otherwise is left out.
    here : Path
        Folder of the Snakefile.
    """
    root = settings.get("data_root")
    if isinstance(root, str) and root and _is_read(settings) and not (folder := expanded(root)).is_dir():
        reason = f"{folder} is a file" if folder.exists() else f"there is no folder {folder}"
        yield Mistake(("data_root",), root, f"a folder that is there, or none, to download; {reason}")
    for figure in OF_RUNS:
        path = _section(_section(settings, "figures"), figure).get("compare_with")
        if isinstance(path, str) and path and not _is_found(path, settings, here):
            allowed = f"a table that is there; there is no file {Path.cwd() / path}"
            if here != Path.cwd():
                allowed += f" or {here / path}"
            yield Mistake(("figures", figure, "compare_with"), path, allowed)


def _section(settings: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    section = settings.get(key)
    return section if isinstance(section, Mapping) else {}


def _is_read(settings: Mapping[str, Any]) -> bool:
    """Whether raw data of a published dataset are read."""
    experiments = _section(settings, "experiments")
    of = [settings, *(_section(experiments, name) for name in experiments)]
    names = [one.get("dataset") for one in of]
    return any(isinstance(name, str) and name in DATASETS and name != SHIPPED for name in names)


def _is_found(path: str, settings: Mapping[str, Any], here: Path) -> bool:
    """Whether a table is there, in the folder worked in or that of the Snakefile, or will be made."""
    made = Path(path).absolute().is_relative_to(Path("results", str(settings.get("name"))).absolute())
    try:
        return made or Path(path).is_file() or (here / path).is_file()
    except OSError:  # a name that is too long
        return False
