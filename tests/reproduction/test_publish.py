"""`make reproduction` publishes all of its results or nothing."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from cgpipe.reproduction import publish
from cgpipe.reproduction.pages import ConclusionError
from cgpipe.reproduction.publish import reproduce
from cgpipe.reproduction.results import ResultsError, costs_of

ROOT = Path(__file__).parents[2]
PAGES = "docs/reproduction"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def clone(tmp_path):
    """What `make reproduction` reads and writes, without results."""
    shutil.copytree(ROOT / PAGES, tmp_path / PAGES)
    shutil.copytree(ROOT / "config", tmp_path / "config")
    shutil.copy(ROOT / "README.md", tmp_path)
    return tmp_path


def give_results(clone, monkeypatch, files):
    """Let the replicates have results from which these files are published."""
    (clone / "results/replicates").mkdir(parents=True)
    monkeypatch.setattr(publish, "files_of", lambda config, results: files)


def other_table(clone, name, where, **new):
    table = pd.read_csv(clone / PAGES / "replicates" / f"{name}.csv")
    table.loc[table.query(where).index, list(new)] = list(new.values())
    return table.to_csv(index=False, lineterminator="\n").encode()


def test_new_results_and_what_the_pages_say_of_them_are_published_together(clone, monkeypatch):
    folder = clone / PAGES / "replicates"
    where = "curve == 'overfit' and winsor == 8 and step == 60000"
    table = other_table(clone, "figure4", where, mean=0.0061)
    (folder / ".figure1.png.1234.tmp").write_bytes(b"of a command that was killed")
    give_results(clone, monkeypatch, {"figure4.csv": table, "figure4.png": b"new", "figure1.svg": b"small"})
    reproduce(clone)
    assert (folder / "figure4.csv").read_bytes() == table
    assert (folder / "figure4.png").read_bytes() == b"new"
    for page in ("replicates", "conventions"):
        assert "| 0.006 (0.002 to 0.009) |" in (clone / PAGES / page / "README.md").read_text(
            encoding="utf-8"
        )
    # An SVG that is no longer small is not kept, nor is what a killed command left.
    assert {path.name for path in folder.iterdir() if path.suffix in (".svg", ".tmp")} == {"figure1.svg"}


def test_results_that_do_not_support_what_is_said_change_nothing(clone, monkeypatch):
    table = other_table(
        clone, "figure4", "curve == 'test accuracy' and winsor == 0", low=0.9, mean=0.9, high=0.9
    )
    give_results(clone, monkeypatch, {"figure4.csv": table, "figure4.png": b"new"})
    before = contents(clone)
    with pytest.raises(ConclusionError, match=r"headline .*write it anew: Winsorized SGD"):
        reproduce(clone)
    assert contents(clone) == before


def test_results_that_are_not_complete_change_nothing(clone):
    (clone / "results/paper/logs").mkdir(parents=True)
    before = contents(clone)
    message = (
        r"results/paper is not complete, and nothing was published: .*history\.nc not found: .* stage train"
    )
    with pytest.raises(ResultsError, match=message):
        reproduce(clone)
    assert contents(clone) == before


def test_only_small_svgs_are_kept_in_the_repository():
    assert all(path.stat().st_size < 100_000 for path in (ROOT / PAGES).rglob("*.svg"))


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
    assert rows["columns"] == ["stage", "experiment", "jobs", "wall_hours", "cpu_hours", "largest_rss_mb"]
    assert rows["data"] == [
        ["corrupt", "all", 2, 0.02, 0.02, 100],
        ["data", "all", 1, 0.01, 0.005, 10],
        ["train", "together", 1, 0.1, 0.1, 500],
        ["train", "wide", 2, 2, 1, 700],
    ]


def test_results_without_benchmarks_are_an_error(tmp_path):
    with pytest.raises(ResultsError, match="holds no benchmark files"):
        costs_of(tmp_path, [])
