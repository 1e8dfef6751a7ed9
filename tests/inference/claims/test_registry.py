"""The tables about the claims."""

import numpy as np
import pandas as pd
import pytest

from cgpipe.inference.claims.claim import Runs, claim
from cgpipe.inference.claims.registry import all_claims, criteria_table, parts, summary_table
from cgpipe.inference.verdicts import CLAIMS, Part


def row(name, estimator="", p=np.nan, verdict="undecided", of_parts=(3, 2, 1), met=(4, 5, 0), why=""):
    given = {"claim": name, "estimator": estimator, "verdict": verdict, "p_holm": p, "why": why}
    counts = "parts", "parts_met", "hold", "met", "n", "cannot"
    return given | dict(zip(counts, (*of_parts, *met), strict=True))


def test_a_claim_is_told_once_and_each_of_its_lines_has_a_verdict():
    against = "contradicted: a; undecided: b"
    rows = [
        row("C4", "sample", 0.0123),
        row("C4", "loss", 0.5, "holds", (4, 4, 4), (5, 5, 0)),
        row("C1", met=(1, 4, 0)),
        row("C2", p=1, verdict="contradicted", met=(0, 3, 2), why=against),
    ]
    lines = summary_table(pd.DataFrame(rows, columns=list(CLAIMS))).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert {len(line) for line in cells} == {7}
    assert set(cells[1]) == {"---"}
    sentences = {one.name: one.sentence for one in all_claims()}
    assert cells[2:] == [
        ["C4 by the paper's sample", sentences["C4"], "4 of 5", "2 of 3", "1 of 3", "0.012", "undecided"],
        ["C4 by the actual loss", "", "5 of 5", "4 of 4", "4 of 4", "0.5", "holds"],
        ["C1", sentences["C1"], "1 of 4", "2 of 3", "–", "–", "undecided"],
        ["C2", sentences["C2"], "0 of 3 (2 cannot decide)", "2 of 3", "1 of 3", "–", against],
    ]


def test_a_claim_that_is_not_registered_is_named():
    with pytest.raises(ValueError, match="C16, D1: not among the claims of CG 2020, C1, C2"):
        summary_table(pd.DataFrame([row("D1"), row("C1"), row("C16")]))


def test_a_function_that_yields_parts_becomes_a_claim():
    @claim("C0", "networks are trained", paper="another")
    def trained(runs):
        yield Part(part="trained", statistic="experiments", rule="above", bound=len(runs))

    assert (trained.paper, trained.name, trained.sentence) == ("another", "C0", "networks are trained")
    assert [(part.claim, part.bound) for part in trained.parts(Runs())] == [("C0", len(Runs()))]


def test_the_claims_of_a_paper_are_those_of_all_that_it_makes():
    assert all_claims("CG 2020") == [one for one in all_claims() if one.paper == "CG 2020"]
    assert all_claims("another") == parts(Runs(), "another") == []
    assert len(criteria_table("another").splitlines()) == 2
    with pytest.raises(ValueError, match="C1: not among the claims of another"):
        summary_table(pd.DataFrame([row("C1")]), "another")
