"""Published tables: numbers by level and replicate, and tables of several machines put together."""

from pathlib import Path

import pandas as pd
import pytest

from cgpipe.reproduction.pages import fixed, percent, spread, table
from cgpipe.reproduction.tables import TableError, Tables, merged, read_table

FIGURE = pd.DataFrame(
    {
        "panel": ["a", "a", "a", "b"],
        "noise": [0.0, 0.5, 0.5, 0.5],
        "replicate": [0, 3, 1, 0],
        "value": [0.25, 0.5, 0.75, 0.125],
    }
)
SOFTWARE = pd.DataFrame({"name": ["torch", "cgpipe"], "value": ["2.15", "0.1"]})
TABLES = Tables({"figure1": FIGURE, "software": SOFTWARE})


def test_numbers_are_those_of_the_tables_by_replicate():
    assert TABLES.at("figure1", panel="a", noise=0.5).to_dict() == {1: 0.75, 3: 0.5}
    assert TABLES.at("figure1", panel="b").to_dict() == {0: 0.125}
    assert len(TABLES.rows("figure1", noise=0.5)) == 3


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: TABLES.rows("figure9"), "there is no table figure9; there are figure1, software"),
        (lambda: TABLES.at("figure1", noise=0.75), r"no row with noise = 0\.75 .*; there are 0\.0, 0\.5"),
        (
            lambda: TABLES.at("figure1", nose=0.5),
            "no column nose; there are panel, noise, replicate, value",
        ),
        (lambda: TABLES.at("figure1"), "figure1: several rows of a replicate with {}; give more levels"),
    ],
)
def test_a_number_that_is_not_there_is_an_error_that_lists_what_is(ask, message):
    with pytest.raises(TableError, match=message):
        ask()


def test_new_replicates_are_added_and_replicates_made_again_are_replaced():
    new = pd.DataFrame({"panel": ["a", "b"], "noise": 0.5, "replicate": [2, 3], "value": [1.0, 2.0]})
    whole = merged(FIGURE, new)
    assert whole["replicate"].tolist() == [0, 0, 1, 2, 3]
    assert whole.query("replicate == 3")["value"].tolist() == [2.0]
    pd.testing.assert_frame_equal(merged(whole, new), whole)
    first = merged(None, whole.iloc[::-1])
    assert first["replicate"].tolist() == [0, 0, 1, 2, 3]
    pd.testing.assert_frame_equal(merged(first, whole.iloc[::-1]), first)
    assert merged(SOFTWARE, SOFTWARE.iloc[:1]).equals(SOFTWARE.iloc[:1])
    # What is about all replicates together comes last.
    together = new.assign(replicate=[-1, 1])
    assert merged(None, together)["replicate"].tolist() == [1, -1]


def test_an_experiment_with_more_replicates_does_not_replace_those_of_others():
    columns = ["experiment", "replicate", "value"]
    old = pd.DataFrame(
        [("net", 0, 0.5), ("seeds", 0, 0.1), ("seeds", 1, 0.2), ("gone", 0, 1)], columns=columns
    )
    new = pd.DataFrame([("net", 1, 0.75), ("seeds", 0, 0.3), ("seeds", 1, 0.4)], columns=columns)
    expected = [("net", 0, 0.5), ("seeds", 0, 0.3), ("net", 1, 0.75), ("seeds", 1, 0.4)]
    assert [*merged(old, new).itertuples(index=False, name=None)] == expected
    old, new = (table.rename(columns={"experiment": "claim"}) for table in (old, new))
    assert [*merged(old, new).itertuples(index=False, name=None)] == expected


def test_tables_of_other_columns_are_not_put_together():
    with pytest.raises(TableError, match="columns panel, noise, replicate, value, and the new one replicate"):
        merged(FIGURE, FIGURE[["replicate", "value"]])


def test_a_file_that_is_no_table_is_an_error():
    with pytest.raises(TableError, match=r"a\.csv is no CSV table"):
        read_table(Path("a.csv"), b"")


@pytest.mark.parametrize("column", ["experiment", "layer", "part"])
@pytest.mark.parametrize("names", [["1", "2"], ["01", "1e3"], ["relu1", "2"], ["", "3"]])
def test_names_stay_text_where_they_are_digits(column, names):
    written = pd.DataFrame({column: names, "noise": [0, 0.5], "replicate": [0, 1], "value": [0.5, 1]})
    read = read_table(Path("a.csv"), written.to_csv(index=False).encode())
    pd.testing.assert_frame_equal(read, written.astype({column: object}))


def test_text_of_numbers():
    assert (percent(0.25), percent(0.125, 1), fixed(0.12345), fixed(float("nan"))) == (
        "25 %",
        "12.5 %",
        "0.123",
        "–",
    )
    assert spread(pd.Series([0.5])) == "0.500"
    assert spread(pd.Series([0.5, float("nan"), 0.25]), 2) == "0.38 (0.25 to 0.50)"
    assert spread(pd.Series([], dtype=float)) == "–"
    assert table(["|x|", "y"], [["1", "2"]]) == "| \\|x\\| | y |\n|---|---|\n| 1 | 2 |"
