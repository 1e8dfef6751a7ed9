"""The table of the controls, and the sentences about it."""

from pathlib import Path

import pandas as pd
import pytest

from cgpipe.reproduction import controls_findings
from cgpipe.reproduction.controls import comparison
from cgpipe.reproduction.tables import Tables, read_table

PUBLISHED = read_table(Path(__file__).parents[2] / "docs/controls/controls.csv")


def of_run(update, winsor, replicate, difference, slowed, bound=""):
    values = {
        "test accuracy, mean": (difference, ""),
        "test accuracy, best": (difference + 0.01, ""),
        "corrupt slowdown": (slowed, bound),
        "pristine slowdown": (1.0, ""),
        "S": (slowed, bound),
    }
    at = {"update": update, "winsor": winsor, "noise": 0.5, "replicate": replicate}
    return [{**at, "quantity": name, "value": value, "bound": of} for name, (value, of) in values.items()]


def test_each_rule_stands_beside_winsorized_sgd():
    rows = [
        *of_run("random_drop", 2, 0, -0.02, 1.5),
        *of_run("rm3", 0, 0, 0.03, 2),
        *of_run("winsorized_mean", 1, 0, -0.01, 3, ">="),
        *of_run("winsorized_mean", 1, 1, -0.03, 12),
    ]
    lines = comparison(Tables({"controls": pd.DataFrame(rows)})).splitlines()
    assert [line.strip("| ").split(" | ") for line in lines[2:]] == [
        [
            *("winsorized mean", "1", "2", "-0.020 (-0.030 to -0.010)", "-0.010 (-0.020 to 0.000)"),
            *("≥ 6.00 (3.00 to 12.00)", "1.00 (1.00 to 1.00)", "≥ 6.00 (3.00 to 12.00)"),
        ],
        ["random drop", "2", "1", "-0.020", "-0.010", "1.50", "1.00", "1.50"],
        ["rm3", "–", "1", "0.030", "0.040", "2.00", "1.00", "2.00"],
    ]


# Finding, update rule, quantity, and a value with which it does not hold.
AGAINST = [
    ("extremes", "m3", "corrupt slowdown", 1.1),
    ("extremes", "winsorized_mean", "corrupt slowdown", 1.1),
    ("extremes", "norm_clip", "corrupt slowdown", 2.0),
    ("no_better", "trimmed_mean", "test accuracy, mean", 0.1),
    ("kinds_of_medians", "rm3", "corrupt slowdown", 9.0),
    ("kinds_of_medians", "ra3", "corrupt slowdown", 2.0),
]


@pytest.mark.parametrize("finding", ["extremes", "no_better", "kinds_of_medians", "replicates"])
def test_what_is_said_follows_from_the_published_table(finding):
    assert getattr(controls_findings, finding)(Tables({"controls": PUBLISHED})).holds


@pytest.mark.parametrize(("finding", "rule", "quantity", "value"), AGAINST)
def test_none_follows_if_one_replicate_says_otherwise(finding, rule, quantity, value):
    rows = PUBLISHED[(PUBLISHED["update"] == rule) & (PUBLISHED["quantity"] == quantity)]
    for row in rows.index:
        changed = PUBLISHED.copy()
        changed.loc[row, "value"] = value
        assert not getattr(controls_findings, finding)(Tables({"controls": changed})).holds
    assert len(rows)


@pytest.mark.parametrize(("made", "said"), [(2, "Finished so far: 2 of 5"), (5, "All 5 replicates")])
def test_how_many_replicates_there_are(made, said):
    tables = Tables({"controls": pd.DataFrame({"replicate": range(made)})})
    assert controls_findings.replicates(tables) == (True, (said,))
