"""What the sentences on the pages of the conventions say was found, of all replicates of both conventions."""

import pandas as pd

from cgpipe.reproduction.conventions import NOISE, TEXT
from cgpipe.reproduction.pages import Conclusion, all_hold, at_least, at_most, fixed, says
from cgpipe.reproduction.paper import END_WINSORIZED
from cgpipe.reproduction.tables import Tables

WAY = "figure2_displacement"


def replicates(tables: Tables) -> Conclusion:
    """How many there are by each convention."""
    code, text = (tables.rows(name)["replicate"].nunique() for name in ("figure4", f"{TEXT} figure4"))
    return says(True, f"{code}", f"{text}")


def same_course(tables: Tables) -> Conclusion:
    """Pristine examples make up most of the displacement at first, then corrupt ones, by both conventions."""
    found = []
    for name in (WAY, f"{TEXT} {WAY}"):
        rows = tables.rows(name, row="data", noise=NOISE, group="pristine")
        found += [rows[rows["step"] <= 20]["value"] > 0.9, rows[rows["step"] >= 3600]["value"] < 0.5]
    return says(all_hold(*found))


def sooner(tables: Tables) -> Conclusion:
    """From step 5,000 to 20,000 more of the corrupt examples are right by the convention of the code."""
    at = {"panel": "d", "noise": NOISE, "group": "corrupt"}
    conditions = []
    for step in (5000, 10_000, 20_000):
        code, text = _both(tables, "figure1", step=step, **at)
        conditions.append(code > text)
    means = [fixed(of.mean(), 2) for of in _both(tables, "figure1", step=20_000, **at)]
    return says(all_hold(*conditions), *means)


def lower_best(tables: Tables) -> Conclusion:
    """The best test accuracy, of plain and of winsorized SGD up to c = 4."""
    at = {"noise": NOISE, "step": END_WINSORIZED, "curve": "best test accuracy"}
    pairs = [_both(tables, "figure4", winsor=c, **at) for c in (0, 1, 2, 4)]
    lower = [text - code for code, text in pairs]
    return says(all_hold(*(of > 0 for of in lower)), at_least(*lower), at_most(*lower))


def alike(tables: Tables) -> Conclusion:
    """How far they are apart, at most: the corrupt examples right at any step, and the best test accuracy."""
    at = {"panel": "d", "noise": NOISE, "group": "corrupt"}
    steps = [10, 100, 1000, 10_000, 20_000, 50_000, 100_000]
    of_corrupt = [_both(tables, "figure1", step=step, **at) for step in steps]
    at = {"noise": NOISE, "step": END_WINSORIZED, "curve": "best test accuracy"}
    of_best = [_both(tables, "figure4", winsor=c, **at) for c in (0, 1, 2, 4, 8)]
    corrupt, best = ([(code - text).abs() for code, text in pairs] for pairs in (of_corrupt, of_best))
    alike = all_hold(*(of < 0.05 for of in corrupt), *(of < 0.03 for of in best))
    return says(alike, at_most(*corrupt, digits=2), at_most(*best, digits=2))


def _both(tables: Tables, name: str, **at: object) -> tuple[pd.Series, pd.Series]:
    """A quantity by the convention of the code and by that of the text, in the replicates that both have."""
    code, text = tables.at(name, **at), tables.at(f"{TEXT} {name}", **at)
    return code.align(text, join="inner")
