from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cgpipe.reproduction.pages import each, fixed, percent, spread, table
from cgpipe.reproduction.tables import TableError, Tables, Values, met, read_tables, summarised, values_of

FIGURE = pd.DataFrame(
    {
        "panel": ["a", "a", "b"],
        "noise": [0.0, 0.5, 0.5],
        "step": [10, 10, 10],
        "mean": [0.25, 0.5, 0.125],
        "low": [0.25, 0.375, 0.125],
        "high": [0.25, 0.75, 0.125],
        "n": [1, 3, 1],
    }
)
SOFTWARE = pd.DataFrame({"name": ["torch", "cgpipe"], "value": ["2.15", "0.1"]})
TABLES = Tables({"figure1": summarised(FIGURE), "software": summarised(SOFTWARE)})
CLAIM = {"claim": "C1", "statistic": "some", "criterion": "≥ 0.5", "estimate": 0.5, "low": 0.25, "high": 0.75}


def test_numbers_are_those_of_the_tables():
    assert TABLES.at("figure1", noise=0.0) == Values((0.25,), 0.25, 0.25, 0.25, 1)
    assert TABLES.at("figure1", panel="a", noise=0.5, step=10).each == (0.375, 0.375, 0.75)
    assert TABLES.at("figure1", panel="b").mean == 0.125
    assert TABLES.row("software", name="torch")["value"] == "2.15"
    assert len(TABLES.rows("figure1", noise=0.5)) == 2


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: TABLES.rows("figure9"), "there is no table figure9; there are figure1, software"),
        (lambda: TABLES.at("figure1", noise=0.75), r"no row with noise = 0\.75 .*; there are 0\.0, 0\.5"),
        (lambda: TABLES.at("figure1", nose=0.5), "has no column nose; there are panel, noise, step, mean"),
        (lambda: TABLES.at("software", name="torch"), "software has no column mean; there are name, value"),
        (lambda: TABLES.at("figure1", step=10), "figure1: 3 rows with {'step': 10}, but one is needed"),
    ],
)
def test_a_number_that_is_not_there_is_an_error_that_lists_what_is(ask, message):
    with pytest.raises(TableError, match=message):
        ask()


def test_a_file_that_is_no_table_is_an_error():
    with pytest.raises(
        TableError, match=r"claims\.csv is no CSV table \(No columns to parse from file\): give"
    ):
        read_tables({Path("claims.csv"): b""})


def test_of_a_table_with_rows_from_another_workflow_its_own_are_read():
    both = pd.concat([FIGURE.assign(source="here"), FIGURE.assign(source="other.csv")])
    content = BytesIO()
    both.to_csv(content, index=False)
    read = read_tables({Path("a/figure1.csv"): content.getvalue(), Path("a/figure1.png"): b""})
    pd.testing.assert_frame_equal(read.frames["figure1"], TABLES.frames["figure1"])


def test_a_row_a_replicate_gives_the_same_as_their_summary():
    values = [0.5, 0.25, 0.75, 0.125, 0.875]
    rows = [
        {"noise": noise, "replicate": r, "value": v + noise} for noise in (0, 1) for r, v in enumerate(values)
    ]
    found = Tables({"figure1": summarised(pd.DataFrame(rows).sample(frac=1, random_state=0))})
    assert found.at("figure1", noise=0) == Values(tuple(values), 0.5, 0.125, 0.875, 5)
    assert found.at("figure1", noise=1).each == tuple(value + 1 for value in values)


def test_the_p_value_of_several_replicates_is_the_largest_or_none():
    rows = pd.DataFrame({"claim": ["C1", "C1", "C2", "C2"], "replicate": [0, 1, 0, 1], "value": 1.0})
    found = summarised(rows.assign(p=[0.25, 0.5, 0.25, np.nan]))
    assert found["p"].tolist()[0] == 0.5
    assert np.isnan(found["p"].tolist()[1])


@pytest.mark.parametrize(
    ("n", "mean", "expected"),
    [(0, np.nan, ()), (1, 0.5, (0.5,)), (2, 0.5, (0.25, 0.75)), (3, 0.5, (0.25, 0.5, 0.75)), (3, 0.1, None)],
)
def test_up_to_three_values_follow_from_their_summary(n, mean, expected):
    found = summarised(pd.DataFrame([{"mean": mean, "low": 0.25, "high": 0.75, "n": n}]))
    each_of = values_of(found.to_dict("records")[0]).each
    assert each_of == (expected or ((0.25, 0.25, 0.75) if n else ()))  # never outside the extremes


def test_more_than_three_values_do_not_follow_and_it_says_what_to_do():
    found = summarised(pd.DataFrame([{"mean": 0.5, "low": 0.25, "high": 0.75, "n": 5}])).to_dict("records")[0]
    assert values_of(found).mean == 0.5
    with pytest.raises(
        TableError, match=r"values of 5 replicates do not follow .* one row for each replicate"
    ):
        _ = values_of(found).each


@pytest.mark.parametrize(
    ("criterion", "expected"),
    [("≥ 0.5", [False, True, True]), ("> 0.5", [False, False, True]), ("< 0.3", [True, False, False])],
)
def test_a_criterion_is_met_by_replicate(criterion, expected):
    row = summarised(pd.DataFrame([CLAIM | {"criterion": criterion, "n": 3}])).to_dict("records")[0]
    assert met(row) == expected


def test_numbers_as_the_pages_have_them():
    values = TABLES.at("figure1", panel="a", noise=0.5)
    assert (spread(values, 2), spread(TABLES.at("figure1", noise=0.0), 2)) == ("0.50 (0.38 to 0.75)", "0.25")
    assert (percent(0.25), percent(0.125, 1), fixed(0.125, 2), fixed(np.nan)) == (
        "25 %",
        "12.5 %",
        "0.12",
        "–",
    )
    assert each(Values((0.5, 0.25), 0.375, 0.25, 0.5, 2), 2) == "0.25, 0.50"
    assert table(["a", "b"], [["|x|", "1"]]) == "| a | b |\n|---|---|\n| \\|x\\| | 1 |"
