"""The tables of the conventions of the released code: by the text, and how the code differs from it."""

import pandas as pd

from cgpipe.reproduction.conventions import learning, winsorized
from cgpipe.reproduction.conventions_findings import alike, lower_best, replicates, same_course, sooner
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
    assert learning(other).splitlines()[2].strip("| ").split(" | ") == ["10", *["–", "–"] * 3]


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


def both(name, code, text):
    """Tables of one quantity by each convention, of two replicates each."""
    rows = [
        {**at, "noise": 0.5, "replicate": k, "value": value + k / 1000}
        for of in (code, text)
        for at, value in of
        for k in (0, 1)
    ]
    half = 2 * len(code)
    return Tables({name: pd.DataFrame(rows[:half]), f"text {name}": pd.DataFrame(rows[half:])})


def of_corrupt(values):
    at = {"panel": "d", "group": "corrupt"}
    return [({**at, "step": step}, value) for step, value in zip((5000, 10_000, 20_000), values, strict=True)]


def of_way(values):
    at = {"row": "data", "group": "pristine"}
    return [({**at, "step": step}, value) for step, value in zip((10, 20, 3600, 9600), values, strict=True)]


def best(values):
    at = {"step": 60_000, "curve": "best test accuracy"}
    return [({**at, "winsor": c}, value) for c, value in zip((0, 1, 2, 4), values, strict=True)]


def test_corrupt_examples_are_sooner_right_only_if_all_are_at_each_step():
    text = of_corrupt([0.1, 0.2, 0.3])
    assert sooner(both("figure1", of_corrupt([0.11, 0.21, 0.4]), text)) == (True, ("0.40", "0.30"))
    for values in ([0.1, 0.21, 0.4], [0.11, 0.19, 0.4], [0.11, 0.21, 0.299]):
        assert not sooner(both("figure1", of_corrupt(values), text)).holds


def test_the_course_is_the_same_only_if_both_conventions_have_it():
    course, others = of_way([1, 0.95, 0.4, 0.3]), ([0.8, 1, 0.4, 0.3], [1, 1, 0.5, 0.3], [1, 1, 0.4, 0.6])
    assert same_course(both("figure2_displacement", course, course)).holds
    for values in others:
        assert not same_course(both("figure2_displacement", course, of_way(values))).holds
        assert not same_course(both("figure2_displacement", of_way(values), course)).holds


def test_the_best_test_accuracy_is_lower_only_if_it_is_in_each_replicate_at_each_c():
    text = best([0.96, 0.95, 0.92, 0.9])
    lower = both("figure4", best([0.95, 0.93, 0.915, 0.88]), text)
    assert lower_best(lower) == (True, ("0.005", "0.020"))
    assert replicates(lower) == (True, ("2", "2"))
    for values in ([0.96, 0.93, 0.915, 0.88], [0.95, 0.93, 0.915, 0.901]):
        assert not lower_best(both("figure4", best(values), text)).holds


def test_they_are_alike_up_to_the_largest_difference():
    def tables(corrupt, best):
        steps, levels = (10, 100, 1000, 10_000, 20_000, 50_000, 100_000), (0, 1, 2, 4, 8)
        learned = [({"panel": "d", "group": "corrupt", "step": step}, 0.5) for step in steps]
        reached = [({"step": 60_000, "curve": "best test accuracy", "winsor": c}, 0.9) for c in levels]
        made = {}
        for name, rows, by in (("figure1", learned, corrupt), ("figure4", reached, best)):
            (at, value), *others = rows[::-1]
            made |= both(name, [*others, (at, value + by)], rows).frames
        return Tables(made)

    assert alike(tables(0.04, -0.02)) == (True, ("0.04", "0.02"))
    assert not alike(tables(-0.06, 0)).holds
    assert not alike(tables(0, 0.04)).holds
