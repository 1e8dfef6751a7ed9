"""The sentences on the paper's page: they follow from the published tables, and from no others."""

from pathlib import Path

import pandas as pd
import pytest

from cgpipe.reproduction import findings
from cgpipe.reproduction.pages import parts_of
from cgpipe.reproduction.publish import FOLDER
from cgpipe.reproduction.tables import Tables, read_table

FINDINGS = parts_of(findings)
PUBLISHED = {
    path.stem: read_table(path) for path in sorted((Path(__file__).parents[2] / FOLDER).glob("*.csv"))
}


def test_all_follow_from_the_published_tables():
    assert {name for name, find in FINDINGS.items() if not find(Tables(PUBLISHED)).holds} == set()


# Finding, table, rows, and a value with which it does not hold.
DISPLACEMENT, SAMPLE, ALL = ({"estimator": of} for of in ("displacement", "sample", "all"))
AT_25, AT_50, AT_75 = ({"noise": noise} for noise in (0.25, 0.5, 0.75))
C1 = {"winsor": 1}
AGAINST = [
    ("learned-first", "figure1", {"group": "pristine", **AT_75, "step": 3000}, 0.89),
    ("learned-first", "figure1", {"group": "corrupt", **AT_25, "step": 3000}, 0.06),
    ("learned-first", "figure1", {"group": "corrupt", **AT_50, "step": 60_000}, 0.89),
    ("lost-again", "figure1", {"group": "pristine", **AT_75, "step": 20_000}, 0.94),
    ("lost-again", "claims", {"part": "pristine, last learned, 75% noise"}, 0.1),
    ("first-way", "claims", {**DISPLACEMENT, "part": "start, 75% noise"}, 0.49),
    ("first-way", "claims", {**DISPLACEMENT, "part": "start, 25% noise"}, 0.49),
    ("first-way", "claims", {"claim": "C8", "part": "the first window, 25% noise"}, -0.1),
    ("taken-over", "claims", {**DISPLACEMENT, "part": "memorizing, 50% noise"}, 0.51),
    ("taken-over", "claims", {**DISPLACEMENT, "part": "memorizing, 75% noise"}, 0.51),
    ("taken-over", "figure2_displacement", {"row": "data", "group": "pristine", "step": 10_600}, 0.51),
    ("larger-gradients", "figure2_displacement", {"row": "data", "group": "pristine", "step": 10_600}, 0.1),
    ("larger-gradients", "figure2_displacement", {"row": "data", "group": "pristine", "step": 10}, 0.1),
    ("larger-gradients", "figure2_displacement", {"row": "data", "group": "pristine", "step": 60_600}, 0.4),
    ("larger-gradients", "figure2_displacement", {"row": "stratified high", "step": 10_600}, 0.6),
    ("crossing-at-75", "claims", {**DISPLACEMENT, "part": "start, 75% noise"}, 0.49),
    ("crossing-at-75", "claims", {**DISPLACEMENT, "part": "memorizing, 75% noise"}, 0.51),
    ("crossing-at-75", "claims", {**ALL, "part": "start, 75% noise"}, 0.49),
    ("crossing-at-75", "claims", {**ALL, "part": "memorizing, 75% noise"}, 0.51),
    ("crossing-at-75", "claims", {**SAMPLE, "part": "start, 75% noise"}, 0.51),
    ("crossing-at-75", "claims", {**SAMPLE, "part": "memorizing, 75% noise"}, 0.51),
    ("apart", "claims", {**DISPLACEMENT, "part": "meet, 25% noise"}, -0.09),
    ("apart", "claims", {**ALL, "part": "meet, 25% noise"}, 0.05),
    ("null-worlds", "claims", {**DISPLACEMENT, "claim": "C7", "part": "50% noise"}, 1e-4),
    ("single-steps", "claims", {**SAMPLE, "part": "memorizing, 25% noise"}, 0.51),
    ("single-steps", "claims", {**ALL, "part": "memorizing, 25% noise"}, 0.49),
    (
        "wrong-sign",
        "descent",
        {"steps": "first ten", "quantity": "actual", "group": "corrupt", **AT_75},
        0.01,
    ),
    ("wrong-sign", "descent", {"steps": "first ten", "quantity": "predicted", **AT_25}, -0.01),
    ("wrong-sign", "descent", {"steps": "full-batch", "quantity": "actual", **AT_50}, -0.01),
    ("delayed", "matched", {"quantity": "corrupt slowdown", **AT_50, **C1}, 1.9),
    ("delayed", "matched", {"quantity": "pristine slowdown", **AT_25, **C1}, 1.3),
    ("delayed", "figure4", {"curve": "test accuracy", **AT_50, **C1, "step": 60_000}, 0.5),
    ("delayed", "figure4", {"curve": "training accuracy", **AT_50, **C1, "step": 60_000}, 0.95),
    ("no-better", "matched", {"quantity": "best test accuracy", "noise": 0, **C1}, 1),
    ("no-better", "matched", {"quantity": "test accuracy, mean", **AT_75, "winsor": 4}, 0.0005),
    ("no-better", "matched", {"quantity": "test accuracy, mean", **AT_25, "winsor": 4}, 0.002),
    ("no-fewer-memorized", "matched", {"quantity": "corrupt right, mean", **AT_25, "winsor": 8}, -0.1),
    ("collapse", "figure4", {"curve": "test accuracy", **AT_50, "winsor": 8}, 0.84),
    ("collapse", "claims", {"claim": "C11", "part": "test, c = 8, 0% noise"}, 0.1),
    ("worse-at-25", "figure4", {"curve": "test accuracy", **AT_25, **C1, "step": 60_000}, 0.95),
    ("pure-noise", "claims", {"claim": "C9", "part": "c = 4, 100% noise"}, -0.1),
    ("full-batch", "claims", {"claim": "C12"}, 0.01),
]


@pytest.mark.parametrize(("finding", "table", "rows", "value"), AGAINST)
@pytest.mark.parametrize("replicate", PUBLISHED["claims"]["replicate"].unique())
def test_none_follows_if_one_replicate_says_otherwise(finding, table, rows, value, replicate):
    changed = PUBLISHED[table].copy()
    chosen = changed["replicate"] == replicate
    for column, level in rows.items():
        chosen &= changed[column] == level
    assert chosen.any()
    changed.loc[chosen, "value"] = value
    assert not FINDINGS[finding](Tables({**PUBLISHED, table: changed})).holds


def test_each_is_driven_to_failure():
    assert {finding for finding, *_ in AGAINST} == {*FINDINGS} - {"replicates", "took"}


@pytest.mark.parametrize(
    ("made", "said"),
    [(1, "Finished so far: 1 of 5"), (4, "Finished so far: 4 of 5"), (7, "All 7 replicates")],
)
def test_how_many_replicates_there_are(made, said):
    tables = Tables({"claims": pd.DataFrame({"replicate": [*range(made)] * 2})})
    assert FINDINGS["replicates"](tables) == (True, (said,))


def test_what_a_replicate_took_is_summed_over_its_jobs():
    rows = [("data", "all", -1, 0.1), ("train", "a", 0, 1.0), ("train", "a", 1, 2.0), ("train", "b", 0, 0.4)]
    costs = pd.DataFrame(rows, columns=["stage", "experiment", "replicate", "cpu_hours"])
    assert FINDINGS["took"](Tables({"costs": costs})) == (True, ("2.0",))


def of_two_replicates(table, **rows):
    """The published tables with a second replicate like the first, but for the factor of some values."""
    factor = rows.pop("factor")
    tables = {}
    for name, frame in PUBLISHED.items():
        other = frame[frame["replicate"] == 0].assign(replicate=1) if "replicate" in frame else frame[:0]
        if name == table:
            chosen = pd.Series(True, other.index)
            for column, level in rows.items():
                chosen &= other[column] == level
            assert chosen.any()
            other.loc[chosen, "value"] *= factor
        first = frame[frame["replicate"] == 0] if "replicate" in frame else frame
        tables[name] = pd.concat([first, other], ignore_index=True)
    return Tables(tables)


def test_bounds_are_not_softened_by_other_replicates():
    late = {"panel": "d", "group": "corrupt", "noise": 0.25, "step": 60_000}
    tables = of_two_replicates("figure1", **late, factor=0.97)
    worst = float(tables.at("figure1", **late).loc[1])
    found = FINDINGS["learned-first"](tables)
    assert found.holds
    assert 0 <= worst - float(found.numbers[3]) < 0.001


def test_means_of_replicates_that_go_different_ways_are_refused():
    for noise in (25, 50):
        part = f"meet, {noise}% noise"
        tables = of_two_replicates("claims", estimator="all", part=part, factor=-0.6)
        assert tables.at("claims", claim="C5", estimator="all", part=part).abs().min() > 0.1
        assert not FINDINGS["apart"](tables).holds


def test_the_other_group_ahead_is_not_counted_as_shares_that_meet():
    tables = of_two_replicates("claims", estimator="all", part="meet, 50% noise", factor=0.1)
    assert FINDINGS["apart"](tables)[:2] == (True, FINDINGS["apart"](tables).numbers)
    assert FINDINGS["apart"](tables).numbers[0] == "1 of 2"
