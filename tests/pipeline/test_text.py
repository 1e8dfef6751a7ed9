from pathlib import Path

import pandas as pd
import pytest

from cgpipe.pipeline.stages.text import TextError, costs_of, render

TABLES = {
    "figure1": pd.DataFrame(
        {"panel": ["a", "a", "b"], "noise": [0.0, 0.5, 0.5], "step": [10, 10, 10], "mean": [0.25, 0.5, 0.125]}
    ),
    "software": pd.DataFrame({"name": ["torch", "cgpipe"], "value": ["2.15", "0.1"]}),
    "claims": pd.DataFrame({"claim": ["C1", "C2", "C2"], "p": [float("nan"), 0.00012345, 0.5]}),
}


def filled(text):
    return render(text, TABLES)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{{ at("figure1", "mean", noise=0.0) | percent }}', "25.0 %"),
        ('{{ row("figure1", noise=0.0).mean | percent }}', "25.0 %"),
        ('{{ at("figure1", "mean", panel="b", noise=0.5, step=10) | fixed(2) }}', "0.12"),
        ('{{ at("figure1", "mean", noise=0.0) | percent(0) }}', "25 %"),
        ('{% for row in rows("claims", claim="C2") %}\n{{ row.p | p }}\n{% endfor %}\n', "0.00012\n0.5\n"),
        ('{{ check(0.5 > at("figure1", "mean", noise=0.0), "So it is.") }}', "So it is."),
        ("{{ 0.0 | p }} {{ 2e-16 | p }}", "< 1e-16 2e-16"),
        ('{{ at("claims", "p", claim="C1") | p }} {{ at("claims", "p", claim="C1") | fixed }}', "– –"),
        ('{{ rows("claims") | length }} & {{ at("software", "value", name="torch") }} <b>', "3 & 2.15 <b>"),
    ],
)
def test_numbers_are_those_of_the_tables(text, expected):
    assert filled(text) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{{ at("figure9", "mean") }}', "there is no table figure9; there are claims, figure1, software"),
        ('{{ at("figure1", "mean", noise=0.75) }}', r"no row with noise = 0\.75 .*; there are 0\.0, 0\.5"),
        ('{{ at("figure1", "mean", nose=0.5) }}', "has no column nose; there are panel, noise, step, mean"),
        ('{{ at("figure1", "median", noise=0.0) }}', "has no column median; there are"),
        ('{{ at("figure1", "mean", step=10) }}', "3 rows with .* but one is needed"),
        ('{{ row("figure1", step=10).mean }}', "3 rows with .* but one is needed"),
        ("{{ nothing }}", "cannot be filled in: 'nothing' is undefined"),
        ('{{ check(false, "Not so.") }}', "the tables no longer say so, write it anew: Not so."),
        ("{% if %}", "cannot be filled in"),
        ('{{ rows("claims") | percent }}', "cannot be filled in: unsupported"),
    ],
)
def test_a_number_that_is_not_there_is_told(text, said):
    with pytest.raises(TextError, match=said):
        filled(text)


def benchmark(path, seconds, cpu, rss):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"s\th:m:s\tmax_rss\tcpu_time\n{seconds}\t0:00:00\t{rss}\t{cpu}\n")


def test_costs_are_summed_by_stage_and_experiment(tmp_path):
    benchmark(tmp_path / "data.tsv", 36, 18, 10.4)
    for replicate, rss in ((0, 700), (1, "-")):
        benchmark(tmp_path / f"train/wide/noise-050/winsor-0/replicate-{replicate}.tsv", 3600, 1800, rss)
    benchmark(tmp_path / "train/together/noise-050/replicate-0.tsv", 360, 360, 500)
    benchmark(tmp_path / "corrupt/noise-050/replicate-0.tsv", 36, 36, 100)
    benchmark(tmp_path / "publish.tsv", 36, 36, 100)
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
        ["corrupt", "all", 1, 0.01, 0.01, 100],
        ["data", "all", 1, 0.01, 0.005, 10],
        ["train", "together", 1, 0.1, 0.1, 500],
        ["train", "wide", 2, 2, 1, 700],
    ]


def test_results_without_benchmarks_are_told(tmp_path):
    with pytest.raises(TextError, match="holds no benchmark files"):
        costs_of(tmp_path, [])
