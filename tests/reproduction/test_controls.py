"""The table of the controls."""

import pandas as pd

from cgpipe.reproduction.controls import comparison
from cgpipe.reproduction.tables import Tables


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
