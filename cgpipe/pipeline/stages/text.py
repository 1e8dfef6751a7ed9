"""Stage `text`: what the stages cost, and a text in which every number is one of the tables'."""

import json
import os
import platform
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from cgpipe.figures.words import format_p
from cgpipe.pipeline.artifacts import Provenance, read_netcdf, whole, write_record
from cgpipe.pipeline.progress import log

RECORD = "text.json"  # what the text and its tables were made from
WRITTEN_BY = "<!-- Written by snakemake from {}: change that. -->\n\n"


@dataclass(frozen=True)
class Spec:
    """The settings that this stage reads: none."""


class TextError(ValueError):
    """The text asks for what is not there."""


def run(
    spec: Spec,
    provenance: Provenance,
    *,
    template: Path,
    tables: Sequence[Path],
    histories: Sequence[Path],
    benchmarks: Path,
    published: Sequence[Path],
    folder: Path,
    beside: Sequence[Path],
) -> None:
    """Sum up what the stages cost and what the runs were made with, and fill in the text."""
    refuse_strangers(published)
    summed = {"costs.csv": costs_of(benchmarks, histories), "software.csv": made_with(histories)}
    found = {Path(name).stem: table for name, table in summed.items()}
    found |= {path.stem: pd.read_csv(path) for path in tables}
    found |= {path.as_posix(): read_table(path) for path in beside}
    text = render(template.read_text(encoding="utf-8"), found)
    for name, table in summed.items():
        with whole(folder / name) as temporary:
            table.to_csv(temporary, index=False, lineterminator="\n")
    with whole(folder / "README.md") as temporary:
        temporary.write_text(WRITTEN_BY.format(template) + text, encoding="utf-8")
    made = provenance.of_files(template, *tables, *beside).of_many(
        *(read_netcdf(p, "train") for p in histories)
    )
    write_record(folder / RECORD, made.answering_for(*(folder / name for name in (*summed, "README.md"))))
    log.info("wrote %s", folder)


def read_table(path: Path) -> pd.DataFrame:
    """A table that another workflow published.

    Raises
    ------
    TextError
        If it is no CSV table.
    """
    try:
        return pd.read_csv(path)
    except (ValueError, pd.errors.ParserError) as error:
        raise TextError(f"{path} is no CSV table ({error}): give one that a workflow published") from error


def refuse_strangers(published: Sequence[Path]) -> None:
    """Raise FileExistsError, before anything there is touched, if other files lie where it will be published.

    Folders may lie there: what is published by other settings, say.
    """
    folder, made = published[0].parent, {path.name for path in published}
    held = {path.name for path in folder.iterdir() if path.is_file()} if folder.exists() else set()
    if strangers := held - made - leftovers(folder, made):
        raise FileExistsError(
            f"{folder} holds {', '.join(sorted(strangers))}, which this does not make: what is published "
            "comes from the workflow alone. Keep it elsewhere, or choose another folder"
        )


def leftovers(folder: Path, made: set[str]) -> set[str]:
    """Names of files that `whole` was writing when a job was killed; it removes them the next time."""
    return {path.name for name in made for path in folder.glob(f".{name}.*.tmp")}


def costs_of(benchmarks: Path, histories: Sequence[Path]) -> pd.DataFrame:
    """What the jobs of each stage took, by their benchmark files.

    Parameters
    ----------
    benchmarks : Path
        Folder of Snakemake's benchmark files, with a folder or file for each stage.
    histories : sequence of Path
        Of the runs to count; other runs, which the settings had once or will have, are left out. Of stages
        that are not of runs, figures say, all is counted that was done.

    Returns
    -------
    DataFrame
        A row a stage, and for `train` and what follows it a row an experiment (`all` elsewhere): number of
        jobs, hours of wall time and of CPU time, both summed over the jobs, and the largest resident memory
        of one, in MB. A job that was cut off and went on counts with its last attempt.
    """
    rows = []
    runs = [set(path.parent.parts) for path in histories]
    for path in sorted(benchmarks.rglob("*.tsv")):
        parts = path.relative_to(benchmarks).with_suffix("").parts
        if parts in (("text",), ("publish",)):  # of the last time
            continue
        # A job is of one run or, as corruption is, of what several have in common.
        of_runs = parts[-1].startswith("replicate-")
        if of_runs and not any(run.issuperset(parts[1:]) for run in runs):
            continue
        experiment = parts[1] if len(parts) > 3 else "all"
        measured = pd.read_csv(path, sep="\t", na_values="-").iloc[-1]
        rows.append(
            {
                "stage": parts[0],
                "experiment": experiment,
                "wall_hours": measured["s"] / 3600,
                "cpu_hours": measured["cpu_time"] / 3600,
                "largest_rss_mb": measured["max_rss"],
            }
        )
    if not rows:
        raise TextError(
            f"{benchmarks} holds no benchmark files: they come with the results, keep the two together"
        )
    grouped = pd.DataFrame(rows).groupby(["stage", "experiment"], sort=True)
    summed = grouped[["wall_hours", "cpu_hours"]].sum().round(4)
    summed.insert(0, "jobs", grouped.size())
    summed["largest_rss_mb"] = grouped["largest_rss_mb"].max().round()
    return summed.reset_index()


def made_with(histories: Sequence[Path]) -> pd.DataFrame:
    """What the runs were made with, by `name`: `device`, `kernel`, libraries; and where this is published.

    Returns
    -------
    DataFrame
        Columns `name`, `value`; with counts where runs differ.
    """
    counted: dict[str, Counter[str]] = {}
    for path in histories:
        attrs = read_netcdf(path, "train").attrs
        makers = json.loads(attrs["made_by"])
        of_run = {
            name: ", then ".join(dict.fromkeys(maker[name] for maker in makers))
            for name in ("device", "kernel")
        }
        of_run |= json.loads(attrs["software"])
        for name, value in of_run.items():
            counted.setdefault(name, Counter())[value] += 1
    found = {
        name: next(iter(values))
        if len(values) == 1
        else ", ".join(f"{v} ({n} runs)" for v, n in sorted(values.items()))
        for name, values in counted.items()
    }
    return pd.DataFrame([*found.items(), ("published on", machine())], columns=["name", "value"])


def machine() -> str:
    """Model and number of the processors of this machine."""
    models = Path("/proc/cpuinfo")
    lines = models.read_text(encoding="utf-8").splitlines() if models.exists() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{named[0] if named else platform.machine()}, {os.cpu_count()} cores"


def render(template: str, tables: dict[str, pd.DataFrame]) -> str:
    """Fill in a text.

    Parameters
    ----------
    template : str
        Markdown in Jinja's syntax. `row("figure1", panel="a", noise=0.5, step=9)` is the only row of a table
        in which columns are as said, `at("figure1", "mean", panel="a", ...)` a number of it; `rows("claims",
        claim="C1")` are all such rows. `check(follows, "sentence")` is a sentence that follows from numbers.
        Filters: `percent`, `fixed(digits)`, `p`.
    tables : dict of DataFrame
        By name; those of other workflows by path.

    Raises
    ------
    TextError
        If it asks for what is not there, or for a number of which there are several, or says what does not
        follow from the numbers any more.
    """
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
    )
    environment.filters |= {"percent": percent, "fixed": fixed, "p": p_value}

    def rows(name: str, /, **where: Any) -> list[dict[Hashable, Any]]:
        return select(name, tables, where).to_dict("records")

    def row(name: str, /, **where: Any) -> dict[Hashable, Any]:
        found = rows(name, **where)
        if len(found) != 1:
            raise TextError(
                f"{name}: {len(found)} rows with {where}, but one is needed; say what sets it apart"
            )
        return found[0]

    def at(name: str, column: str, /, **where: Any) -> Any:
        found = row(name, **where)
        if column not in found:
            raise TextError(f"{name} has no column {column}; there are {', '.join(map(str, found))}")
        return found[column]

    def check(follows: bool, sentence: str) -> str:
        if not follows:
            raise TextError(f"the tables no longer say so, write it anew: {sentence}")
        return sentence

    environment.globals |= {"at": at, "row": row, "rows": rows, "check": check}
    try:
        return environment.from_string(template).render()
    except (jinja2.TemplateError, TypeError) as error:
        raise TextError(f"the text cannot be filled in: {error}") from error


def select(name: str, tables: dict[str, pd.DataFrame], where: dict[str, Any]) -> pd.DataFrame:
    """Rows of a table in which columns have given values."""
    if name not in tables:
        raise TextError(f"there is no table {name}; there are {', '.join(sorted(tables))}")
    found = tables[name]
    for column, value in where.items():
        if column not in found:
            raise TextError(f"{name} has no column {column}; there are {', '.join(found.columns)}")
        chosen = found[found[column] == value]
        if chosen.empty:
            known = ", ".join(map(str, found[column].unique()[:50]))
            raise TextError(f"{name} has no row with {column} = {value!r} and {where}; there are {known}")
        found = chosen
    return found


def percent(share: float, digits: int = 1) -> str:
    """A share as a percentage."""
    return f"{100 * share:.{digits}f} %"


def fixed(value: float, digits: int = 3) -> str:
    """A number with so many decimals; a dash where there is none."""
    return "–" if pd.isna(value) else f"{value:.{digits}f}"


def p_value(value: float) -> str:
    """A p-value as the figures have it; a dash where there is none."""
    return "–" if pd.isna(value) else format_p(value)
