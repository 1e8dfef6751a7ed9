"""The sentences on the second paper's page: they follow from the published tables, and from no others."""

from pathlib import Path

import pandas as pd
import pytest

from cgpipe.reproduction.publish import MYSTERY_FINDINGS
from cgpipe.reproduction.tables import Tables, read_table

FOLDER = Path(__file__).parents[2] / "docs/mystery"
PUBLISHED, FRONTIER = (read_table(FOLDER / f"{name}.csv") for name in ("mystery", "frontier"))

# Finding, claim, part, and a value with which it does not hold.
AGAINST = [
    ("real-and-random", "G1", "alexnet, training", -0.1),
    ("real-and-random", "G1", "dense, held-out of like loss", -0.1),
    ("rise", "G2", "alexnet, falls to the end", -0.1),
    ("rise", "G2", "alexnet, returns to 1", 0.8),
    ("layers", "G3", "lenet5, real labels, early", -0.1),
    ("layers", "G3", "alexnet, random labels, late", -0.1),
    ("same-examples", "G4", "two initialisations", 0.2),
    ("same-examples", "G4", "two initialisations", 0.9),
    ("own-kind", "G5", "hard on hard", 0.1),
    ("own-kind", "G5", "unselected on easy", 1),
    ("own-kind", "G5", "easy on all", 0.99),
    ("own-kind", "G5", "hard on all", 0.99),
    ("more-coherent", "G6", "from the start", -0.1),
    ("more-coherent", "G6", "along training", -0.1),
    ("more-coherent", "G6", "start, any class: easy", 0.9),
    ("stopping", "G7", "alexnet, at the best step", 0.8),
    ("stopping", "G7", "dense, at the end", 0.7),
    ("twins", "G9", "lenet5_twin, predictions", -0.1),
    ("twins", "G9", "dense_twin, parameters over their way", -0.1),
    ("twins", "G9", "lenet5_twin, parameters, mean", 0.1),
    ("adversarial", "G10", "test accuracy: random_start", 0.1),
    ("adversarial", "G10", "fits", 0.9),
    ("width", "G11", "test accuracy, by width", -0.1),
    ("clipped-norms", "G12", "DP-SGD", -0.1),
    ("clipped-norms", "G12", "winsorized SGD", -0.1),
    ("likeness", "G13", "more of class", -0.1),
    ("likeness", "G13", "less of pixels, random labels", 0),
]


def test_all_follow_from_the_published_table():
    tables = Tables({"mystery": PUBLISHED, "frontier": FRONTIER})
    assert {name for name, find in MYSTERY_FINDINGS.items() if not find(tables).holds} == set()


@pytest.mark.parametrize(("finding", "claim", "part", "value"), AGAINST)
def test_none_follows_if_one_replicate_says_otherwise(finding, claim, part, value):
    rows = PUBLISHED[(PUBLISHED["claim"] == claim) & (PUBLISHED["part"] == part)]
    for row in rows.index:
        changed = PUBLISHED.copy()
        changed.loc[row, "value"] = value
        assert not MYSTERY_FINDINGS[finding](Tables({"mystery": changed, "frontier": FRONTIER})).holds
    assert len(rows)


# Finding, claim, part, which number of the sentence says in how many replicates, and of it being above 0.
COUNTED = [
    ("rise", "G2", "lenet5, rises from the start", 1, 1),
    ("rise", "G2", "dense, rises from the start", 5, 1),
    ("layers", "G3", "lenet5, real labels, late", 3, 1),
    ("layers", "G3", "alexnet, real labels, late", 5, 1),
    ("medians-of-means", "G8", "m3", 1, 1),
    ("medians-of-means", "G8", "rm3, beside ra3", 7, 1),
    ("adversarial", "G10", "m-coherence: random_start", 3, 1e6),
    ("width", "G11", "coherence, by width", 3, -1),
    ("likeness", "G13", "less of pixels, real labels", 3, 1e-3),
]


@pytest.mark.parametrize(("finding", "claim", "part", "place", "value"), COUNTED)
def test_in_how_many_replicates_it_was_so_is_counted(finding, claim, part, place, value):
    rows = (PUBLISHED["claim"] == claim) & (PUBLISHED["part"] == part)
    of = int(rows.sum())
    for count in range(of + 1):
        changed = PUBLISHED.copy()
        changed.loc[rows, "value"] = [value] * count + [-value] * (of - count)
        found = MYSTERY_FINDINGS[finding](Tables({"mystery": changed, "frontier": FRONTIER}))
        assert found.numbers[place] == f"{count} of {of}"


def test_what_is_said_of_privacy_follows_from_the_frontier():
    changed = FRONTIER.copy()
    chosen = (changed["experiment"] == "private_high_noise") & (changed["quantity"] == "epsilon")
    changed.loc[chosen, "value"] = 9
    assert not MYSTERY_FINDINGS["not-private"](Tables({"mystery": PUBLISHED, "frontier": changed})).holds


def test_each_is_driven_to_failure():
    assert {finding for finding, *_ in AGAINST} == {*MYSTERY_FINDINGS} - {
        *("replicates", "not-private", "medians-of-means")
    }


@pytest.mark.parametrize(("made", "said"), [(1, "Finished so far: 1 of 5"), (5, "All 5 replicates")])
def test_how_many_replicates_there_are(made, said):
    at = {"claim": "G1", "part": "dense, training", "value": 0.5}
    tables = Tables({"mystery": pd.DataFrame([{**at, "replicate": k} for k in range(made)])})
    assert MYSTERY_FINDINGS["replicates"](tables) == (True, (said,))
