"""`make reproduction` publishes all of its results or nothing."""

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml

from cgpipe.inference.claims.claim import Runs
from cgpipe.inference.claims.registry import parts
from cgpipe.inference.mystery.runs import GM, Mystery
from cgpipe.inference.verdicts import Observed, tidy
from cgpipe.pipeline.documents import put_between
from cgpipe.reproduction import publish
from cgpipe.reproduction.ends import QUANTITIES
from cgpipe.reproduction.pages import NOTHING
from cgpipe.reproduction.publish import (
    CONTROLS_FINDINGS,
    CONVENTIONS_FINDINGS,
    FINDINGS,
    MYSTERY_FINDINGS,
    OVERVIEW,
    reproduce,
)
from cgpipe.reproduction.results import ResultsError, costs_of, replicates_in
from cgpipe.reproduction.tables import TableError

ROOT = Path(__file__).parents[2]
ENDS = ["experiment", "noise", "winsor", "step", "quantity", "replicate", "value"]
PAGES, MYSTERY = "docs/reproduction", "docs/mystery"
COSTS = ["stage", "experiment", "replicate", "jobs", "wall_hours", "cpu_hours", "largest_rss_mb"]
STEPS = (10, 100, 1000, 3000, 10_000, 20_000, 30_000, 40_000, 60_000, 100_000)


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """What `make reproduction` reads and writes, without results, and before anything was published."""
    findings = {*FINDINGS, *CONTROLS_FINDINGS, *CONVENTIONS_FINDINGS, *MYSTERY_FINDINGS}
    for page, (config, name, of_page) in publish.PAGES.items():
        tables = {key: of_page[key] for key in {*of_page} - findings}
        monkeypatch.setitem(publish.PAGES, page, (config, name, tables))
    monkeypatch.setattr(publish, "OVERVIEW", (OVERVIEW[0], {"claims": OVERVIEW[1]["claims"]}))
    folders = [folder for _, folder, _ in publish.PAGES.values()]
    for pages in folders:
        shutil.copytree(ROOT / pages, tmp_path / pages)
        for path in [*(tmp_path / pages).glob("*.csv"), *(tmp_path / pages).glob("*.png")]:
            path.unlink()
    shutil.copytree(ROOT / "config", tmp_path / "config")
    shutil.copy(ROOT / "README.md", tmp_path)
    for page in (tmp_path / "README.md", *(tmp_path / pages / "README.md" for pages in folders)):
        text = re.sub(r"<!-- check .*? -->", "", page.read_text(encoding="utf-8"))
        for part in re.findall(r"<!-- begin (.*?) -->", text):
            text = put_between(text, part, f"{NOTHING}\n", page.name)
        page.write_text(text, encoding="utf-8")
    return tmp_path


def statistics(replicate, value):
    """A table of claims in which each statistic has the same value."""
    observed = {replicate: Observed(value)}
    of_replicate = [part.__class__(**{**vars(part), "observed": observed}) for part in parts(Runs())]
    return tidy(of_replicate)


def figure1(replicate, value):
    levels = [
        (panel, noise, group, step)
        for noise in (0, 0.25, 0.5, 0.75, 1)
        for panel, group in (("a", "all"), ("b", "all"), ("d", "pristine"), ("d", "corrupt"))
        for step in STEPS
    ]
    levels += [
        ("b", noise, of, 100_000) for noise in (0, 0.25, 0.5, 0.75) for of in ("best", "step of the best")
    ]
    table = pd.DataFrame(levels, columns=["panel", "noise", "group", "step"])
    return table.assign(replicate=replicate, value=value)


def give_results(clone, monkeypatch, replicate, value):
    """Let the paper's workflow have results of one replicate, with the same value throughout."""
    (clone / "results/paper").mkdir(parents=True, exist_ok=True)
    tables = {
        "claims": statistics(replicate, value),
        "figure1": figure1(replicate, value),
        "software": pd.DataFrame({"name": ["torch"], "value": ["2.15"], "replicate": [replicate]}),
    }
    monkeypatch.setattr(publish, "replicates_in", lambda results: [replicate] if results.is_dir() else [])
    monkeypatch.setattr(publish, "tables_in", lambda config, results: tables)
    wanted = {"claims", "statistics", "accuracies", "shares", "software"}
    config, name, of_page = publish.PAGES["paper"]
    monkeypatch.setitem(publish.PAGES, "paper", (config, name, {key: of_page[key] for key in wanted}))
    page = clone / PAGES / "README.md"
    text = page.read_text(encoding="utf-8")
    for part in set(of_page) - wanted:
        text = text.replace(f"<!-- begin {part} -->", "").replace(f"<!-- end {part} -->", "")
    page.write_text(text, encoding="utf-8")


def test_before_there_are_results_nothing_changes(clone):
    before = contents(clone)
    reproduce(clone)
    assert contents(clone) == before


def test_replicates_of_several_machines_are_published_together(clone, monkeypatch):
    for replicate, value in ((0, 0.25), (1, 0.75)):
        give_results(clone, monkeypatch, replicate, value)
        reproduce(clone)
        shutil.rmtree(clone / "results")
    published = pd.read_csv(clone / PAGES / "figure1.csv")
    assert published.groupby("replicate")["value"].unique().map(list).to_dict() == {0: [0.25], 1: [0.75]}
    page = (clone / PAGES / "README.md").read_text(encoding="utf-8")
    assert "| 0 % | 0.500 (0.250 to 0.750) | 0.500 (0.250 to 0.750) at 0 to 1 |" in page
    assert "undecided: a verdict takes 5 replicates" in page
    assert (clone / PAGES / "figure1.png").read_bytes().startswith(b"\x89PNG")
    # Without results, what was published stays.
    before = contents(clone)
    reproduce(clone)
    assert contents(clone) == before


def test_the_page_of_the_second_paper_has_its_own_tables(clone, monkeypatch):
    observed = {replicate: Observed(0.5) for replicate in range(5)}
    made = [part.__class__(**{**vars(part), "observed": observed}) for part in parts(Mystery(), GM)]
    tables = {
        "mystery": tidy(made),
        "costs": pd.DataFrame([["train", "net", 0, 1, 0.5, 0.25, 300]], columns=COSTS),
        "ends": pd.DataFrame(
            [["net", 0.5, 0, 6000, f"{of}", k, 0.5 + k / 4] for k in (0, 1) for of in QUANTITIES],
            columns=ENDS,
        ),
        "software": pd.DataFrame({"name": ["torch"], "value": ["2.15"], "replicate": [0]}),
    }
    (clone / "results/mystery").mkdir(parents=True)
    monkeypatch.setattr(publish, "replicates_in", lambda results: [0] if results.is_dir() else [])
    monkeypatch.setattr(publish, "tables_in", lambda config, results: tables)
    reproduce(clone)
    page = (clone / MYSTERY / "README.md").read_text(encoding="utf-8")
    # If all statistics are one and the same number, some claims hold and others do not.
    assert "| G9 | training with a few examples replaced" in page
    assert "| holds |" in page
    assert "| contradicted |" in page
    assert "| train | net | 1 | 0.50 | 0.25 | 300 |" in page
    assert f"| net | 50% | 0 | 6,000 | 2 |{3 * ' 0.625 (0.500 to 0.750) |'}" in page
    assert (clone / MYSTERY / "mystery.png").read_bytes().startswith(b"\x89PNG")
    assert not list((clone / PAGES).glob("*.csv"))


def test_the_replicates_are_those_that_most_figures_show(tmp_path):
    assert replicates_in(tmp_path) == []
    for figure, replicates in {"a": range(10), "b": [3, 1], "c": [1, 3], "d": None}.items():
        table = pd.DataFrame({"value": [0.5]} if replicates is None else {"replicate": [*replicates] * 2})
        (tmp_path / "figures").mkdir(exist_ok=True)
        table.to_csv(tmp_path / "figures" / f"{figure}.csv", index=False)
    assert replicates_in(tmp_path) == [1, 3]


def test_tables_of_earlier_code_are_not_mixed_with_new_ones(clone, monkeypatch):
    give_results(clone, monkeypatch, 0, 0.5)
    (clone / PAGES / "figure1.csv").write_text("replicate,mean\n1,0.5\n")
    before = contents(clone)
    with pytest.raises(TableError, match="columns replicate, mean, and the new one panel"):
        reproduce(clone)
    assert contents(clone) == before


def test_results_that_are_not_complete_change_nothing(clone):
    figures = clone / "results/paper/figures"
    figures.mkdir(parents=True)
    figure1(0, 0.5).to_csv(figures / "figure1.csv", index=False)
    before = contents(clone)
    message = (
        r"results/paper is not complete, and nothing was published: .*history\.nc not found: .* stage train"
    )
    with pytest.raises(ResultsError, match=message):
        reproduce(clone)
    assert contents(clone) == before


def test_a_file_that_this_does_not_make_is_refused(clone):
    (clone / PAGES / "notes.md").write_text("mine")
    before = contents(clone)
    with pytest.raises(FileExistsError, match=r"notes\.md, which this does not make"):
        reproduce(clone)
    assert contents(clone) == before


def test_every_part_of_the_pages_is_marked():
    for config, name, of_page in publish.PAGES.values():
        page = (ROOT / name / "README.md").read_text(encoding="utf-8")
        assert all(f"begin {part} -->" in page or f"check {part} -->" in page for part in of_page)
        assert yaml.safe_load((ROOT / config).read_text(encoding="utf-8"))["name"]
    assert "<!-- begin claims -->" in (ROOT / OVERVIEW[0]).read_text(encoding="utf-8")


# --- What the runs took ---------------------------------------------------------------------------


def benchmark(path, seconds, cpu, rss):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"s\th:m:s\tmax_rss\tcpu_time\n{seconds}\t0:00:00\t{rss}\t{cpu}\n")


def test_costs_are_summed_by_stage_and_experiment(tmp_path):
    benchmark(tmp_path / "data.tsv", 36, 18, 10.4)
    for replicate, rss in ((0, 700), (1, "-")):
        benchmark(tmp_path / f"train/wide/noise-050/winsor-0/replicate-{replicate}.tsv", 3600, 1800, rss)
    benchmark(tmp_path / "train/together/noise-050/replicate-0.tsv", 360, 360, 500)
    benchmark(tmp_path / "corrupt/noise-050/replicate-0.tsv", 36, 36, 100)
    benchmark(tmp_path / "corrupt/examples-50/noise-050/replicate-0.tsv", 36, 36, 90)
    # Of runs that are not published:
    benchmark(tmp_path / "train/wide/noise-050/winsor-0/replicate-2.tsv", 36, 36, 100)
    benchmark(tmp_path / "train/deep/noise-050/winsor-0/replicate-0.tsv", 36, 36, 100)
    benchmark(tmp_path / "corrupt/noise-075/replicate-0.tsv", 36, 36, 100)
    benchmark(tmp_path / "corrupt/noise-050/replicate-2.tsv", 36, 36, 100)
    runs = ["wide/noise-050/winsor-0/replicate-0", "wide/noise-050/winsor-0/replicate-1"]
    runs += ["together/noise-050/winsor-2/replicate-0"]
    histories = [Path("results/paper") / run / "history.nc" for run in runs]
    rows = costs_of(tmp_path, histories).to_dict("split", index=False)
    assert rows["columns"] == [
        *("stage", "experiment", "replicate", "jobs"),
        *("wall_hours", "cpu_hours", "largest_rss_mb"),
    ]
    assert rows["data"] == [
        ["corrupt", "all", 0, 2, 0.02, 0.02, 100],
        ["data", "all", -1, 1, 0.01, 0.005, 10],
        ["train", "together", 0, 1, 0.1, 0.1, 500],
        ["train", "wide", 0, 1, 1, 0.5, 700],
        ["train", "wide", 1, 1, 1, 0.5, pytest.approx(float("nan"), nan_ok=True)],
    ]


def test_results_without_benchmarks_are_an_error(tmp_path):
    with pytest.raises(ResultsError, match="holds no benchmark files"):
        costs_of(tmp_path, [])
