"""Pages whose sentences do not follow from the tables are refused."""

import pandas as pd
import pytest

from cgpipe.inference.verdicts import Observed, Part, tidy
from cgpipe.reproduction.pages import (
    NOTHING,
    at_least,
    at_most,
    fill,
    of_a_verdict,
    says,
    sentences,
    verdict_on,
)
from cgpipe.reproduction.tables import TableError, Tables

TABLES = Tables({"figure1": pd.DataFrame({"replicate": [0], "value": [0.5]})})
PAGE = "A.\n\n<!-- begin numbers -->\nold\n<!-- end numbers -->\n\nIt is 0.5.\n<!-- check it -->\n"


def test_a_table_is_written_anew_and_a_sentence_checked():
    parts = {"numbers": lambda t: str(t.at("figure1")[0]), "it": lambda t: says(True, "0.5")}
    page, refused = fill("page", PAGE, parts, TABLES)
    assert page == PAGE.replace("old", "0.5")
    assert refused == []


def test_a_sentence_that_does_not_follow_is_named():
    parts = {"numbers": lambda t: "", "it": lambda t: says(False)}
    assert fill("page", PAGE, parts, TABLES)[1] == [
        "it (page): the tables no longer say so, write it anew: It is 0.5."
    ]
    parts["it"] = lambda t: says(True, "0.7")
    assert fill("page", PAGE, parts, TABLES)[1] == ["it (page): the numbers are now 0.7: It is 0.5."]


def test_numbers_of_the_tables_before_are_replaced_where_the_condition_holds():
    page = "- Of 3 it was 2 of\n  3, or 0.5. It is 0.5. <!-- check it -->\n\nAnother 0.5.\n"
    before, now = Tables({"old": TABLES.frames["figure1"]}), TABLES

    def after(numbers, of_before=("2 of 3", "0.5"), holds=True):
        parts = {"it": lambda t: says(holds, *(of_before if t is before else numbers))}
        return fill("page", page, parts, now, before)

    written, refused = after(("4 of 4", "0.7"))
    assert refused == []
    assert written == page.replace("2 of\n  3", "4 of 4").replace("or 0.5", "or 0.7")
    for refuses in (
        after(("4 of 4", "0.7"), holds=False),
        after(("4 of 4", "0.7"), of_before=("1 of 3", "0.5")),
        after(("4 of 4", "0.7", "1")),
        after(("all 4", "0.7")),
        after(("4 of 4", "-0.7")),
    ):
        assert refuses[0] == page
        assert len(refuses[1]) == 1

    def lacking(tables):
        return says(True, str(tables.at("figure1")[0]))

    assert len(fill("page", "It is 2. <!-- check it -->", {"it": lacking}, now, before)[1]) == 1


def test_before_the_first_replicate_there_are_no_tables():
    parts = {"numbers": lambda t: str(t.at("figure1")[0])}
    page = PAGE[: PAGE.index("It is")]
    assert fill("page", page, parts, Tables({}))[0] == page.replace("old", NOTHING)


def test_a_part_that_is_marked_and_not_defined_or_lacks_a_number_is_an_error():
    with pytest.raises(ValueError, match="it: marked in the page or defined in the code, but not both"):
        fill("page", PAGE, {"numbers": lambda t: ""}, TABLES)
    parts = {"numbers": lambda t: str(t.at("figure2")), "it": lambda t: says(True)}
    with pytest.raises(TableError, match="page, numbers: there is no table figure2"):
        fill("page", PAGE, parts, TABLES)


def test_numbers_are_looked_for_as_a_whole_and_in_their_order():
    page = "It is 10.52 or 0.5.\n\n- One is 0.52 and\n  two 0.91. <!-- check it -->\n"
    assert [*sentences(page, "it")] == ["- One is 0.52 and\n  two 0.91. "]

    def refused(*numbers):
        return fill("page", page, {"it": lambda _: says(True, *numbers)}, TABLES)[1]

    assert refused("0.52", "0.91") == []
    assert refused() == []
    assert all(refused(*numbers) for numbers in [("0.91", "0.52"), ("0.5",), ("52",), ("0.9",)])


def test_a_conclusion_may_end_several_paragraphs_and_each_is_checked():
    page = "First 1.\n<!-- check other --> <!-- check it -->\n\n- Then 2. <!-- check it -->\n- Last.\n"
    assert [*sentences(page, "it")] == ["First 1.\n", "- Then 2. "]
    parts = {"it": lambda _: says(True, "1"), "other": lambda _: says(True)}
    assert fill("page", page, parts, TABLES)[1] == ["it (page): the numbers are now 1: Then 2."]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([1.0, 1.1, 0.9, 1.2], "G1."),
        ([1.0, 1.1, 0.9, 1.2, 1.0], "G1 holds."),
        ([-1.0, -1.1, -0.9, -1.2, -1.0], "G1 is contradicted."),
        ([1.0, -1.1, 0.9, 1.2, 1.0], "G1 is undecided."),
    ],
)
def test_a_sentence_on_a_claim_begins_with_its_verdict(values, said):
    def one(claim, of):
        observed = {k: Observed(value) for k, value in enumerate(of)}
        return Part(part="a", statistic="s", rule="above", bound=0, observed=observed, claim=claim)

    table = tidy([one("G2", [1.0]), one("G1", values)])
    assert verdict_on("G1", table) == said
    page = f"- **{said}** It was so. <!-- check it -->\n"
    assert fill("page", page, {"it": lambda _: says(True, verdict_on("G1", table))}, TABLES)[1] == []


def test_that_all_replicates_are_there_is_not_said_by_a_sentence_on_some():
    def refused(text):
        return fill("page", f"{text} <!-- check it -->\n", {"it": lambda _: of_a_verdict(5)}, TABLES)[1]

    assert refused("All 5 replicates are finished.") == []
    assert len(refused("So far 2 of 5 replicates are finished.")) == 1


@pytest.mark.parametrize(
    ("digits", "least", "most"), [(1, "0.2", "1.0"), (2, "0.29", "0.95"), (3, "0.294", "0.950")]
)
def test_bounds_are_those_of_all_replicates_and_rounded_outward(digits, least, most):
    values = [pd.Series([0.2941, 0.5]), pd.Series([0.7, 0.95])]
    assert at_least(*values, digits=digits) == least
    assert at_most(*values, digits=digits) == most


def test_a_bound_on_a_difference_is_rounded_as_in_the_table():
    assert at_most(pd.Series([0.3 - 0.1])) == "0.200"  # it is 0.19999999999999998
    assert at_least(pd.Series([0.1 + 0.2])) == "0.300"  # 0.30000000000000004
    assert at_most(pd.Series([-0.0004])) == "0.000"
    assert at_most(pd.Series([float("nan")])) == "–"
