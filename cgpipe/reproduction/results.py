"""Results of a workflow: whether they are complete and belong together, and their tables."""

import hashlib
import json
import os
import platform
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import xarray as xr

from cgpipe.figures.registry import entry_of
from cgpipe.pipeline import layout, plan
from cgpipe.pipeline.artifacts import ArtifactError
from cgpipe.pipeline.canonical import canonical
from cgpipe.pipeline.config.models import Config
from cgpipe.pipeline.records import NoRecordError, record_of, seal_of
from cgpipe.pipeline.stages.results import read_current
from cgpipe.reproduction.tables import read_table


class ResultsError(ValueError):
    """Results are not complete, or not what the settings ask for."""


def replicates_in(results: Path) -> list[int]:
    """The replicates that most of the finished figures show; none without figures.

    A figure of an experiment with more replicates, or fewer, shows others.
    """
    tables = (pd.read_csv(path) for path in sorted((results / "figures").glob("*.csv")))
    shown = Counter(tuple(sorted(table["replicate"].unique())) for table in tables if "replicate" in table)
    return [int(replicate) for replicate in shown.most_common(1)[0][0]] if shown else []


def tables_in(config: Config, results: Path) -> dict[str, pd.DataFrame]:
    """The tables that are published of the results of a workflow.

    Parameters
    ----------
    config : Config
        Its settings.
    results : Path
        Folder of its results.

    Returns
    -------
    dict from str to DataFrame
        By name: that of each figure, where the runs ended, what they took, and what they were made with.

    Raises
    ------
    ResultsError
        If a run or a figure is missing, was made with other settings or from other files than those that are
        there, or was changed since.
    """
    try:
        runs = [(run, *_history(config, results, run)) for run in plan.all_runs(config)]
        tables = {figure: _figure(config, results, figure) for figure in plan.all_figures(config)}
    except (ArtifactError, NoRecordError, FileNotFoundError, ResultsError) as error:
        raise ResultsError(
            f"{results} is not complete, and nothing was published: {error}. Let snakemake finish it, or "
            "move it elsewhere to keep what is published"
        ) from error
    tables["costs"] = costs_of(results / "benchmarks", [path for _, path, _ in runs])
    tables["ends"] = ends_of([(run, history) for run, _, history in runs])
    # Further replicates, of experiments that have more of them, come with each of those of the workflow.
    there = {int(run.replicate) for run, *_ in runs}
    replicates = sorted(there & set(config.replicates) or there)
    made: dict[int, list[xr.Dataset]] = {replicate: [] for replicate in replicates}
    for run, _, history in runs:
        if int(run.replicate) in made:
            made[int(run.replicate)].append(history)
    tables["software"] = pd.concat(
        [made_with(histories).assign(replicate=replicate) for replicate, histories in made.items()],
        ignore_index=True,
    )
    return tables


def _history(config: Config, results: Path, run: plan.RunPath) -> tuple[Path, xr.Dataset]:
    path = results / layout.HISTORY.format(**run._asdict())
    history = read_current(path, "train")
    if history.attrs["spec"] != canonical(plan.settings(config, "train", run._asdict())):
        raise ResultsError(f"{path} was made with other settings")
    return path, history


def _figure(config: Config, results: Path, figure: str) -> pd.DataFrame:
    """The table of a figure, as its record has it."""
    path = results / "figures" / f"{figure}.json"
    record = record_of(path)
    if (record["stage"], record["spec"]) != ("figures", canonical(plan.figure(config, figure))):
        raise ResultsError(f"{path} was made with other settings")
    made_from = set(json.loads(record["input_sha256"]))
    entry = entry_of(figure)
    stage, artifact = layout.PLOTTED[entry.artifact]
    if not entry.of_runs:
        claims = read_current(results / artifact, stage)
        there = {claims.encoding["sha256"]}
        _check_claims(config, results, claims, stage)
    else:
        paths = [results / artifact.format(**run._asdict()) for run in plan.figure_runs(config, figure)]
        there = {read_current(one, stage).encoding["sha256"] for one in paths}
    # One more may be the table of another workflow that the figure shows too.
    shown_too = getattr(getattr(config.figures, figure, None), "compare_with", None)
    if config.mystery and entry.claims:
        there.add(seal_of(results / layout.MYSTERY))
    if not there <= made_from or len(made_from - there) > bool(shown_too):
        raise ResultsError(f"{path} was made from other files than those that are there now")
    table = path.with_suffix(".csv")
    content = table.read_bytes()
    if hashlib.sha256(content).hexdigest() != json.loads(record["files"]).get(table.name):
        raise ResultsError(f"{table} is not as it was written")
    return read_table(table, content)


def _check_claims(config: Config, results: Path, claims: xr.Dataset, stage: str) -> None:
    """That the verdicts are on all runs, and on files that are there now."""
    runs = plan.mystery_runs(config, "history") if stage == "mystery" else plan.claimed_runs(config)
    histories = {seal_of(results / layout.HISTORY.format(**run._asdict())) for run in runs}
    there = {seal_of(path) for path in results.rglob("*.nc")}
    if not histories <= set(json.loads(claims.attrs["input_sha256"])) <= there:
        raise ResultsError(
            f"{results / layout.PLOTTED[stage][1]} was made from other files than those that are there now"
        )


def costs_of(benchmarks: Path, histories: Sequence[Path]) -> pd.DataFrame:
    """What the jobs of each stage took, by their benchmark files.

    Parameters
    ----------
    benchmarks : Path
        Folder of Snakemake's benchmark files, with a folder or file for each stage.
    histories : sequence of Path
        Of the runs to count. Other runs, of earlier settings, are left out. Jobs that are not of runs, such
        as figures, are all counted.

    Returns
    -------
    DataFrame
        A row for each stage and replicate, and from `train` on for each experiment (`all` elsewhere): number
        of jobs, hours of wall time and of CPU time, both summed over the jobs, and the largest resident
        memory of a job, in MB. The replicate is -1 for jobs of all of them. A job that was interrupted and
        resumed counts with its last attempt; a job of several runs counts with the first of them.
    """
    rows = []
    runs = [set(path.parent.parts) for path in histories]
    for path in sorted(benchmarks.rglob("*.tsv")):
        parts = path.relative_to(benchmarks).with_suffix("").parts
        if parts[0] == "corrupt":  # of whatever subset of the examples
            parts = (parts[0], *parts[-2:])
        # A job is of one run or, as corruption is, of what several have in common.
        of_runs = parts[-1].startswith("replicate-")
        if of_runs and not any(run.issuperset(parts[1:]) for run in runs):
            continue
        job = pd.read_csv(path, sep="\t", na_values="-").iloc[-1]
        hours = (job["s"] / 3600, job["cpu_time"] / 3600)
        replicate = int(parts[-1].removeprefix("replicate-")) if of_runs else -1
        experiment = parts[1] if len(parts) > 3 else "all"
        rows.append((parts[0], experiment, replicate, *hours, job["max_rss"]))
    if not rows:
        raise ResultsError(
            f"{benchmarks} holds no benchmark files: they come with the results, keep the two together"
        )
    levels = ["stage", "experiment", "replicate"]
    measured = pd.DataFrame(rows, columns=[*levels, "wall_hours", "cpu_hours", "largest_rss_mb"])
    grouped = measured.groupby(levels, sort=True)
    summed = grouped[["wall_hours", "cpu_hours"]].sum().round(4)
    summed.insert(0, "jobs", grouped.size())
    summed["largest_rss_mb"] = grouped["largest_rss_mb"].max().round()
    return summed.reset_index()


def ends_of(runs: Sequence[tuple[plan.RunPath, xr.Dataset]]) -> pd.DataFrame:
    """Where runs ended, by their histories.

    Returns
    -------
    DataFrame
        A row for each run and quantity: columns `experiment`, `noise` (share of the examples), `winsor` (c),
        `step` (the last), `quantity` (training loss in nats, training accuracy and test accuracy; mean over
        the whole set), `replicate`, `value`.
    """
    rows = [
        (
            run.experiment,
            float(json.loads(history.attrs["spec"])["noise"]),
            int(run.winsor),
            int(history["step"][-1]),
            f"{of} {what}",
            int(run.replicate),
            float(history[f"{what}_{of}"][-1]),
        )
        for run, history in runs
        for of, what in (("training", "loss"), ("training", "accuracy"), ("test", "accuracy"))
    ]
    columns = ["experiment", "noise", "winsor", "step", "quantity", "replicate", "value"]
    table = pd.DataFrame(rows, columns=columns)
    return table.sort_values("replicate", kind="stable", ignore_index=True)


def made_with(histories: Sequence[xr.Dataset]) -> pd.DataFrame:
    """What the runs were made with, by `name`: `device`, `kernel`, libraries; and where this is published.

    Returns
    -------
    DataFrame
        Columns `name`, `value`; with counts where runs differ.
    """
    counted: dict[str, Counter[str]] = {}
    for history in histories:
        parts = pd.DataFrame(json.loads(history.attrs["made_by"]))
        makers = {name: ", then ".join(parts[name].unique()) for name in ("device", "kernel")}
        for name, value in (makers | json.loads(history.attrs["software"])).items():
            counted.setdefault(name, Counter())[value] += 1
    values = {}
    for name, runs in counted.items():
        each = [f"{value} ({n} runs)" for value, n in sorted(runs.items())]
        values[name] = ", ".join(each) if len(each) > 1 else next(iter(runs))
    return pd.DataFrame([*values.items(), ("published on", machine())], columns=["name", "value"])


def machine() -> str:
    """Model and number of the processors of this machine."""
    models = Path("/proc/cpuinfo")
    lines = models.read_text(encoding="utf-8").splitlines() if models.exists() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{named[0] if named else platform.machine()}, {os.cpu_count()} cores"
