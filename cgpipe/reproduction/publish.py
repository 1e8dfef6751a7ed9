"""From results and pages to what `docs/reproduction` holds: all of it, or none."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import yaml

from cgpipe.pipeline import plan
from cgpipe.pipeline.artifacts import whole
from cgpipe.pipeline.config.load import load
from cgpipe.pipeline.config.models import Config
from cgpipe.pipeline.progress import log
from cgpipe.reproduction import conventions, paper, paper_gradients, paper_winsorized, replicates
from cgpipe.reproduction.pages import ConclusionError, Parts, fill, parts_of
from cgpipe.reproduction.results import files_of
from cgpipe.reproduction.tables import Published, Tables, read_tables

PAPER: Parts = parts_of(paper) | parts_of(paper_gradients) | parts_of(paper_winsorized)
# Settings, folder and parts of each page.
PAGES: dict[str, tuple[str, str, Parts]] = {
    "paper": ("config/config.yaml", "docs/reproduction", PAPER),
    "replicates": ("config/replicates.yaml", "docs/reproduction/replicates", parts_of(replicates)),
    "conventions": ("config/conventions.yaml", "docs/reproduction/conventions", parts_of(conventions)),
}
OVERVIEW: tuple[str, Parts] = (
    "README.md",
    {"claims": paper.claims, "replicates-agree": paper.replicates_agree, "headline": paper._headline},
)


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
    written = {page: (root / config).read_text(encoding="utf-8") for page, (config, *_) in PAGES.items()}
    settings = {page: load(yaml.safe_load(text)) for page, text in written.items()}
    for page, (_, name, _) in PAGES.items():
        folder, results = root / name, root / "results" / settings[page].name
        if results.is_dir():
            new |= {folder / file: content for file, content in files_of(settings[page], results).items()}
            old |= {*folder.glob("*.svg")} - {*new}
    old |= check_files(root, settings, {*new})
    published = tables_of(root, new)
    refused: list[str] = []
    pages = {f"{name}/README.md": dict(parts) for _, name, parts in PAGES.values()} | dict([OVERVIEW])
    of_paper = pages[f"{PAGES['paper'][1]}/README.md"]
    # Of claims that are published: one that is new has no results yet.
    for claim in published.paper.rows("claims")["claim"].unique():
        of_paper[f"{claim.lower()}-statistics"] = partial(paper.statistics, claim=claim)
    for name, parts in pages.items():
        document = (root / name).read_text(encoding="utf-8")
        page, objections = fill(name, document, parts, published)
        new[root / name] = page.encode()
        refused += objections
    if refused:
        raise ConclusionError("\n- ".join(["sentences do not follow from the tables:", *refused]))
    for path, content in new.items():
        if not path.exists() or path.read_bytes() != content:
            with whole(path) as temporary:
                temporary.write_bytes(content)
            log.info("wrote %s", path.relative_to(root))
    for path in old:
        path.unlink(missing_ok=True)


def tables_of(root: Path, new: Mapping[Path, bytes]) -> Published:
    """All tables as they will be published: new ones, and those that are there."""

    def of(folder: Path) -> Tables:
        contents = {path: path.read_bytes() for path in folder.glob("*.csv")} | dict(new)
        return read_tables({path: content for path, content in contents.items() if path.parent == folder})

    return Published(*(of(root / name) for _, name, _ in PAGES.values()))


def check_files(root: Path, settings: Mapping[str, Config], new: set[Path]) -> set[Path]:
    """Raise FileExistsError or FileNotFoundError unless each file is a page or made from results.

    Returns
    -------
    set of Path
        What was left behind when this was killed.
    """
    needed, allowed = set(), set()
    for page, (_, name, _) in PAGES.items():
        plotted = plan.all_figures(settings[page])
        names = ["README.md", "costs.csv", "software.csv"]
        names += [f"{figure}.{ending}" for figure in plotted for ending in ("csv", "png")]
        needed |= {root / name / made for made in names}
        allowed |= {root / name / f"{figure}.svg" for figure in plotted}
    folder = root / PAGES["paper"][1]
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
    return unfinished
