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
AGAINST = [
    ("learned-first", "figure1", {"group": "pristine", "noise": 0.75, "step": 3000}, 0.89),
    ("learned-first", "figure1", {"group": "corrupt", "noise": 0.25, "step": 3000}, 0.06),
    ("learned-first", "figure1", {"group": "corrupt", "noise": 0.5, "step": 60_000}, 0.89),
    ("first-way", "claims", {"estimator": "displacement", "part": "start, 75% noise"}, 0.49),
    ("first-way", "claims", {"estimator": "displacement", "part": "start, 25% noise"}, 0.49),
    ("crossing", "claims", {"estimator": "displacement", "part": "memorizing, 50% noise"}, 0.51),
    ("crossing", "claims", {"estimator": "displacement", "part": "memorizing, 75% noise"}, 0.51),
    ("crossing-at-75", "claims", {"estimator": "displacement", "part": "start, 75% noise"}, 0.49),
    ("crossing-at-75", "claims", {"estimator": "displacement", "part": "memorizing, 75% noise"}, 0.51),
    ("crossing-at-75", "claims", {"estimator": "sample", "part": "start, 75% noise"}, 0.51),
    ("crossing-at-75", "claims", {"estimator": "sample", "part": "memorizing, 75% noise"}, 0.51),
    ("apart", "claims", {"estimator": "displacement", "part": "meet, 25% noise"}, -0.09),
    ("null-worlds", "claims", {"estimator": "displacement", "claim": "C7", "part": "50% noise"}, 1e-4),
    ("null-worlds", "claims", {"estimator": "sample", "claim": "C7"}, 0),
    ("estimators", "claims", {"estimator": "sample", "part": "memorizing, 25% noise"}, 0.51),
    ("estimators", "claims", {"estimator": "all", "part": "memorizing, 25% noise"}, 0.49),
    ("estimators", "claims", {"estimator": "all", "part": "start, 75% noise"}, 0.49),
    ("wrong-sign", "descent", {"quantity": "actual", "group": "corrupt", "noise": 0.75}, 0.01),
    ("wrong-sign", "descent", {"quantity": "predicted", "group": "corrupt", "noise": 0.25}, -0.01),
    ("delayed", "matched", {"quantity": "corrupt slowdown", "noise": 0.5, "winsor": 1}, 1.9),
    ("delayed", "matched", {"quantity": "pristine slowdown", "noise": 0.5, "winsor": 1}, 1.3),
    ("no-better", "matched", {"quantity": "best test accuracy", "noise": 0, "winsor": 1}, 1),
    ("no-better", "matched", {"quantity": "test accuracy, mean", "noise": 0.75, "winsor": 4}, 0.001),
    ("collapse", "figure4", {"curve": "test accuracy", "noise": 0.5, "winsor": 8}, 0.84),
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
    assert {finding for finding, *_ in AGAINST} == {*FINDINGS} - {"replicates"}


@pytest.mark.parametrize(("made", "said"), [(1, "1 of 5"), (4, "4 of 5"), (5, "5"), (7, "7")])
def test_how_many_replicates_there_are(made, said):
    tables = Tables({"claims": pd.DataFrame({"replicate": [*range(made)] * 2})})
    assert FINDINGS["replicates"](tables) == (True, (said,))
