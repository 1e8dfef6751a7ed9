"""The tables of the conventions of the released code: by the text, and how the code differs from it."""

import pandas as pd

from cgpipe.reproduction.conventions import learning, winsorized
from cgpipe.reproduction.tables import Tables


def figure1(replicates, by):
    levels = [("a", "all"), ("b", "all"), ("d", "corrupt")]
    at = {"noise": 0.5}
    rows = [
        {**at, "panel": panel, "group": group, "step": step, "replicate": k, "value": 0.5 + by + k / 100}
        for panel, group in levels
        for step in (10, 100, 1000, 10_000, 20_000, 50_000, 100_000)
        for k in replicates
    ]
    return pd.DataFrame(rows)


def test_replicates_are_compared_in_pairs():
    tables = Tables({"figure1": figure1([0, 2], 0.125), "text figure1": figure1([0, 1, 2], 0)})
    first = learning(tables).splitlines()[2].strip("| ").split(" | ")
    assert first == ["10", *["0.510 (0.500 to 0.520)", "+0.125, +0.125"] * 3]
    other = Tables({"figure1": figure1([3], 0), "text figure1": figure1([0], 0)})
    assert learning(other).splitlines()[2].strip("| ").split(" | ") == ["10", *["0.500", "–"] * 3]


def test_a_row_for_each_level_of_winsorization():
    at = {"noise": 0.5, "step": 60_000, "replicate": 0}
    rows = [
        {**at, "winsor": c, "curve": f"{of} accuracy", "value": c / 10}
        for c in (0, 1, 2, 4, 8)
        for of in ("training", "test", "best test")
    ]
    table = pd.DataFrame(rows)
    lines = winsorized(Tables({"figure4": table, "text figure4": table.assign(value=0.25)})).splitlines()
    assert [line.strip("| ").split(" | ")[:3] for line in lines[2:]] == [
        ["c = 0", "0.250", "-0.250"],
        ["c = 1", "0.250", "-0.150"],
        ["c = 2", "0.250", "-0.050"],
        ["c = 4", "0.250", "+0.150"],
        ["c = 8", "0.250", "+0.550"],
    ]
