"""From results and pages to what `docs/reproduction` holds: all of it, or none."""

from collections.abc import Mapping
from pathlib import Path

import yaml

import cgpipe.reproduction.conventions
import cgpipe.reproduction.learning
import cgpipe.reproduction.replicates
import cgpipe.reproduction.summary  # noqa: F401  (these register the parts of the pages)
from cgpipe.pipeline import plan
from cgpipe.pipeline.artifacts import whole
from cgpipe.pipeline.config.load import load
from cgpipe.pipeline.config.models import Config
from cgpipe.pipeline.documents import between, put_between
from cgpipe.pipeline.progress import log
from cgpipe.reproduction.registry import Page, fill
from cgpipe.reproduction.results import files_of
from cgpipe.reproduction.tables import Published, Tables, read_tables

# Settings and folder of each page.
FOLDERS: dict[Page, tuple[str, str]] = {
    "paper": ("config/config.yaml", "docs/reproduction"),
    "replicates": ("config/replicates.yaml", "docs/reproduction/replicates"),
    "conventions": ("config/conventions.yaml", "docs/reproduction/conventions"),
}
OVERVIEW = "README.md"  # has the table of claims too


def reproduce(root: Path) -> None:
    """Copy results that are there to `docs/reproduction`, and write the parts of its pages again.

    Parameters
    ----------
    root : Path
        The repository; results lie in its folder `results`.

    Raises
    ------
    ResultsError
        If results are there, but not complete.
    FileExistsError, FileNotFoundError
        If a file lies in `docs/reproduction` that this does not make, or one that it makes is missing.
    TableError, ConclusionError
        If the tables lack what a page asks for, or do not support what it says.
    """
    new: dict[Path, bytes] = {}
    old: set[Path] = set()
    settings = {page: read_settings(root / config) for page, (config, _) in FOLDERS.items()}
    for page, (_, name) in FOLDERS.items():
        folder, results = root / name, root / "results" / settings[page].name
        if results.is_dir():
            published = {
                folder / name: content for name, content in files_of(settings[page], results).items()
            }
            old |= {*folder.glob("*.svg")} - {*published}
            new |= published
    check_files(root, settings, {*new})
    paths = {page: root / name / "README.md" for page, (_, name) in FOLDERS.items()}
    pages = fill(
        {page: path.read_text(encoding="utf-8") for page, path in paths.items()}, tables_of(root, new)
    )
    overview = (root / OVERVIEW).read_text(encoding="utf-8")
    overview = put_between(overview, "claims", between(pages["paper"], "claims"), OVERVIEW)
    new |= {paths[page]: text.encode() for page, text in pages.items()} | {root / OVERVIEW: overview.encode()}
    for path, content in new.items():
        if not path.exists() or path.read_bytes() != content:
            with whole(path) as temporary:
                temporary.write_bytes(content)
            log.info("wrote %s", path.relative_to(root))
    for path in old:
        path.unlink()


def read_settings(path: Path) -> Config:
    """Settings of a workflow."""
    return load(yaml.safe_load(path.read_text(encoding="utf-8")))


def tables_of(root: Path, new: Mapping[Path, bytes]) -> Published:
    """All tables as they will be published: new ones, and those that are there."""

    def of(folder: Path) -> Tables:
        contents = {path: path.read_bytes() for path in folder.glob("*.csv")} | dict(new)
        return read_tables({path: content for path, content in contents.items() if path.parent == folder})

    return Published(*(of(root / name) for _, name in FOLDERS.values()))


def check_files(root: Path, settings: Mapping[Page, Config], new: set[Path]) -> None:
    """Raise FileExistsError or FileNotFoundError unless each file is a page or made from results.

    Files that `whole` was writing when it was killed are no error: it removes them the next time.
    """
    needed, allowed = set(), set()
    for page, (_, name) in FOLDERS.items():
        plotted = plan.all_figures(settings[page])
        names = ["README.md", "costs.csv", "software.csv"]
        names += [f"{figure}.{ending}" for figure in plotted for ending in ("csv", "png")]
        needed |= {root / name / made for made in names}
        allowed |= {root / name / f"{figure}.svg" for figure in plotted}
    folder = root / FOLDERS["paper"][1]
    there = {path for path in folder.rglob("*") if path.is_file()}
    unfinished = {path for made in needed | allowed for path in made.parent.glob(f".{made.name}.*.tmp")}
    if strangers := there - needed - allowed - unfinished:
        raise FileExistsError(
            f"{folder} holds {', '.join(sorted(str(path.relative_to(folder)) for path in strangers))}, which "
            "this does not make: what is published comes from the workflow alone. Keep it elsewhere"
        )
    if missing := needed - there - new:
        raise FileNotFoundError(
            f"{folder} lacks {', '.join(sorted(str(path.relative_to(folder)) for path in missing))}: restore "
            "it, or let snakemake make the results again"
        )
