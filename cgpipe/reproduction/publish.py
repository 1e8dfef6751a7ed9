"""From results and pages to what the folders of the pages hold, such as `docs/reproduction`: all, or none."""

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from cgpipe.figures import similarity
from cgpipe.figures.drawing import plot
from cgpipe.figures.registry import FIGURES
from cgpipe.figures.style import Style, styled
from cgpipe.pipeline import plan
from cgpipe.pipeline.artifacts import whole
from cgpipe.pipeline.config.load import load
from cgpipe.pipeline.config.models import Config
from cgpipe.pipeline.progress import log
from cgpipe.reproduction import (
    controls,
    controls_findings,
    conventions,
    conventions_findings,
    ends,
    findings,
    mystery,
    mystery_findings,
    paper,
    shared,
)
from cgpipe.reproduction.pages import ConclusionError, Parts, fill, parts_of
from cgpipe.reproduction.results import replicates_in, tables_in
from cgpipe.reproduction.tables import Tables, merged, read_table

FOLDER = "docs/reproduction"
EARLIER = "earlier"  # its folder with runs that were seen before the criteria were fixed: left alone
FINDINGS, MYSTERY_FINDINGS = parts_of(findings), parts_of(mystery_findings)
TOOK = parts_of(shared)  # what the runs took, and were made with: parts of each page
CONTROLS_FINDINGS, ENDS = parts_of(controls_findings), parts_of(ends)
CONVENTIONS, CONVENTIONS_FINDINGS = parts_of(conventions) | TOOK, parts_of(conventions_findings)
# Conclusions of the page of each convention.
OF_CONVENTIONS = {
    "init": ("replicates", "same-course", "sooner", "lower-best"),
    "selection": ("replicates", "same-course", "alike"),
}
# Settings, folder and parts of each page.
PAGES: dict[str, tuple[str, str, Parts]] = {
    "paper": ("config/config.yaml", FOLDER, parts_of(paper) | FINDINGS | TOOK),
    "controls": (
        "config/controls.yaml",
        "docs/controls",
        parts_of(controls) | CONTROLS_FINDINGS | ENDS | TOOK,
    ),
    **{
        f"conventions_{which}": (
            f"config/conventions_{which}.yaml",
            f"docs/conventions/{which}",
            CONVENTIONS | {name: CONVENTIONS_FINDINGS[name] for name in names},
        )
        for which, names in OF_CONVENTIONS.items()
    },
    "mystery": ("config/mystery.yaml", "docs/mystery", parts_of(mystery) | MYSTERY_FINDINGS | ENDS | TOOK),
}
IN_SHORT = [
    "took",
    "replicates",
    "first-way",
    "taken-over",
    "larger-gradients",
    "single-steps",
    "delayed",
    "no-better",
]
OVERVIEW: tuple[str, Parts] = (
    "README.md",
    {"claims": paper.claims, **{name: FINDINGS[name] for name in IN_SHORT}},
)


def reproduce(root: Path) -> None:
    """Publish results that are there in the folders of the pages, and write the parts of the pages again.

    Tables have a row for each replicate. Rows of replicates that are published, and not among the results,
    stay: so replicates may come from several machines.

    Parameters
    ----------
    root : Path
        The repository; results lie in its folder `results`.

    Raises
    ------
    ResultsError
        If results are there, but not complete.
    FileExistsError
        If a file lies in the folder of a page that this does not make.
    TableError, ConclusionError
        If the tables lack what a page asks for, or do not support what it says.
    """
    new: dict[Path, bytes] = {}
    pages: list[tuple[str, Parts, Tables, Tables]] = []
    for page, (config, name, parts) in PAGES.items():
        settings = yaml.safe_load((root / config).read_text(encoding="utf-8"))
        before = published(root / name)
        tables, files = of_folder(root / name, root / "results" / settings["name"], settings, parts)
        new |= files
        if tables.frames and page.startswith("conventions"):
            _, _, *of_text = pages[0]
            tables, before = map(beside, (tables, before), of_text)
        pages.append((f"{name}/README.md", parts, tables, before))
    pages.append((*OVERVIEW, *pages[0][2:]))
    check_files(root, {*new} | {root / page for page, *_ in pages})
    refused: list[str] = []
    for name, parts, tables, before in pages:
        page, objections = fill(name, (root / name).read_text(encoding="utf-8"), parts, tables, before)
        new[root / name] = page.encode()
        refused += objections
    if refused:
        raise ConclusionError("\n- ".join(["sentences do not follow from the tables:", *refused]))
    for path, content in new.items():
        if not path.exists() or path.read_bytes() != content:
            with whole(path) as temporary:
                temporary.write_bytes(content)
            log.info("wrote %s", path.relative_to(root))


def published(folder: Path) -> Tables:
    """The tables in the folder of a page."""
    return Tables({path.stem: read_table(path) for path in sorted(folder.glob("*.csv"))})


def beside(tables: Tables, of_text: Tables) -> Tables:
    """Tables by a convention of the code, with those by the convention of the text."""
    return Tables(
        {**tables.frames, **{f"{conventions.TEXT} {name}": of for name, of in of_text.frames.items()}}
    )


def of_folder(
    folder: Path, results: Path, settings: dict[str, Any], parts: Parts
) -> tuple[Tables, dict[Path, bytes]]:
    """The tables of a page as they will be published, and the files to write for it."""
    tables = dict(published(folder).frames)
    files = {path: path.read_bytes() for ending in ("csv", "png") for path in folder.glob(f"*.{ending}")}
    if replicates := replicates_in(results):
        config = load(settings | {"replicates": replicates})
        for name, table in tables_in(config, results).items():
            if name == "ends" and name not in parts:
                continue
            path, whole_table = folder / f"{name}.csv", merged(tables.get(name), table)
            if name == "similarity":
                whole_table = similarity.of_one_run(whole_table)
            files[path] = whole_table.to_csv(index=False, lineterminator="\n").encode()
            tables[name] = read_table(path, files[path])  # as it will be read the next time
        for name in FIGURES:
            if name in tables:
                files[folder / f"{name}.png"] = drawn(config, name, tables)
    return Tables(tables), files


def drawn(config: Config, figure: str, tables: Mapping[str, pd.DataFrame]) -> bytes:
    """A figure of all published replicates, as PNG."""
    options, style = plan.figure(config, figure)["options"], Style(**config.figures.style.model_dump())
    image = BytesIO()
    with styled(style):
        made = plot(figure, tables[figure], style=style, claims=tables.get("mystery"), **options)
        made.savefig(image, format="png")
    return image.getvalue()


def check_files(root: Path, known: set[Path]) -> None:
    """Raise FileExistsError if a file lies in the folder of a page that this does not make."""
    for _, folder, _ in PAGES.values():
        there = {path for path in (root / folder).rglob("*") if path.is_file()}
        there -= {*(root / folder / EARLIER).rglob("*")}
        if strangers := ", ".join(sorted(str(path.relative_to(root)) for path in there - known)):
            raise FileExistsError(
                f"{root / folder} holds {strangers}, "
                "which this does not make: what is published comes from the workflow alone. Keep it elsewhere"
            )
