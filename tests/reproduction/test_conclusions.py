"""Each conclusion holds on the published tables, and is refused where its numbers are others."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest

from cgpipe.reproduction.pages import Conclusion
from cgpipe.reproduction.paper_winsorized import COMMONEST
from cgpipe.reproduction.publish import OVERVIEW, PAGES, tables_of
from cgpipe.reproduction.tables import Published, Tables, summarised

ROOT = Path(__file__).parents[2]
RAW = {
    page: {path.stem: pd.read_csv(path) for path in (ROOT / folder).glob("*.csv")}
    for page, (_, folder, _) in PAGES.items()
}
HERE = tables_of(ROOT, {})
CONCLUSIONS = {
    f"{page}-{name}": function
    for page, (*_, parts) in (("overview", OVERVIEW), *PAGES.items())
    for name, function in parts.items()
    if isinstance(function(HERE), Conclusion)
}
CONCLUSIONS.pop("overview-replicates-agree")  # the same as on the page of the paper


class Change(NamedTuple):
    """Other numbers in the rows of a published table; `value` is that of all replicates."""

    page: str
    table: str
    where: dict[str, Any]
    new: dict[str, Any]


def with_change(change: Change) -> Published:
    """The published tables with other numbers in one."""
    frame = RAW[change.page][change.table].copy()
    rows = np.ones(len(frame), bool)
    for column, value in change.where.items():
        rows &= (
            frame[column].str.contains(value, regex=False)
            if column == "statistic"
            else frame[column] == value
        )
    assert rows.any()
    summary = [c for c in ("mean", "estimate", "low", "high") if c in frame]
    new = dict.fromkeys(summary, change.new["value"]) if "value" in change.new else change.new
    for column, value in new.items():
        frame[column] = frame[column].astype(object if isinstance(value, str) else frame[column].dtype)
        frame.loc[rows, column] = value
    if "source" in frame:
        frame = frame[frame["source"] == "here"].drop(columns="source")
    tables: Tables = getattr(HERE, change.page)
    return HERE._replace(**{change.page: Tables({**tables.frames, change.table: summarised(frame)})})


def claim(page: str, claim: str, statistic: str, **new: Any) -> Change:
    return Change(page, "claims", {"claim": claim, "statistic": statistic}, new)


def f(
    row: str,
    noise: float,
    step: int,
    value: float,
    table: str = "figure2_exact",
    page: str = "paper",
    **more: Any,
) -> Change:
    group = "all" if row == "self terms" else "pristine"
    return Change(
        page, table, {"row": row, "noise": noise, "group": group, "step": step} | more, {"value": value}
    )


def end(curve: str, noise: float, c: int, value: float, page: str = "paper", step: int = 60_000) -> Change:
    return Change(
        page, "figure4", {"curve": curve, "noise": noise, "winsor": c, "step": step}, {"value": value}
    )


def of_network(
    quantity: str, group: str, noise: float, step: int, value: float, page: str = "paper"
) -> Change:
    where = {"quantity": quantity, "group": group, "part": "network", "noise": noise, "step": step}
    return Change(page, "coherence", where, {"value": value})


def learned(
    group: str, noise: float, step: int, value: float, page: str = "paper", panel: str = "d"
) -> Change:
    where = {"panel": panel, "noise": noise, "group": group}
    return Change(page, "figure1", where | ({"step": step} if step else {}), {"value": value})


CROSSING, MEETING = "smallest mean of f^p - f^c over a later decade of steps, 50%", "|mean of f^p - f^c|"
P_OF_CURVE = {"row": "curve p", "noise": 0.75}
DEAD = {"quantity": "dead", "noise": 0.5, "winsor": 1, "layer": 2, "step": 60_000}
REFUSED: dict[str, list[Change]] = {
    # The paper's page
    "paper-replicates": [
        Change("replicates", "figure4", {}, {"n": 2}),
        Change("paper", "claims", {"claim": "C12"}, {"n": 3}),
    ],
    "paper-replicates-agree": [
        claim("replicates", "C8", "50%", verdict="does not hold"),
        claim("replicates", "C5", CROSSING, why="still rising"),
        claim("paper", "C5", CROSSING, verdict="holds"),
    ],
    "paper-pristine-first": [claim("paper", "C3", "chance", verdict="inconclusive")],
    "paper-more-at-first": [
        claim("paper", "C8", "25%", verdict="does not hold"),
        claim("paper", "C8", "25%", p=0.01),
        Change("paper", "figure3", P_OF_CURVE, {"value": 0.01}),
    ],
    "paper-pairs": [
        of_network("pair_coherence", "pristine", 0.5, 300, 0.0),
        of_network("pair_coherence", "pristine", 0.25, 300, 1.0),
    ],
    "paper-one-clipped": [
        end("training accuracy", 0.5, 1, 0.9),
        end("training accuracy", 1.0, 1, 0.8),
    ],
    "paper-pure-noise": [end("excess", 1.0, 2, 0.04), end("excess", 1.0, 4, 0.01)],
    "paper-not-lasting": [
        end("test accuracy", 0.5, 4, 0.8, "replicates"),
        end("test accuracy", 0.5, 2, 0.5, "replicates"),
        end("test accuracy", 0.5, 2, 0.7, "conventions"),
    ],
    "paper-units": [Change("paper", "activity", DEAD, {"value": 0.0})],
    "paper-c1-best": [
        Change("paper", "figure1", {"noise": 0.5, "group": "step of the best"}, {"value": 20_000})
    ],
    "paper-c3-corrupt": [
        learned("corrupt", 0.5, 1000, 0.12),
        learned("corrupt", 0.5, 100_000, 0.9),
    ],
    "paper-c3-pristine": [
        learned("pristine", 0.75, 20_000, 0.96),
        learned("pristine", 0.75, 100, 0.85),
    ],
    "paper-sample-as-the-paper": [
        f("data", 0.25, 0, -9.0, "figure2"),
        f("data", 0.5, 100_000, 9.0, "figure2"),
        f("data", 0.75, 100, 9.0, "figure2"),
    ],
    "paper-all-unlike-the-paper": [f("data", 0.5, 1000, -9.0), f("data", 0.75, 0, -9.0)],
    "paper-one-of-three-crosses": [
        claim("replicates", "C5", CROSSING, value=0.1),
        claim("replicates", "C5", CROSSING, value=-0.1),
        f("of sums", 0.5, 10_000, 0.6, page="replicates"),
    ],
    "paper-self-terms": [
        f("self terms", 0.5, 1000, -9.0, "figure2"),
        f("self terms", 0.5, 1000, 0.2),
        f("in a sample", 0.5, 1000, 30.0),
    ],
    "paper-above-the-share": [
        f("data", 0.25, 0, -9.0),
        f("data", 0.75, 0, -9.0),
        f("data", 0.25, 100, -9.0),
        f("data", 0.25, 1000, 9.0),
    ],
    "paper-below-the-share": [
        f("data", 0.25, 100_000, 9.0),
        f("of sums", 0.5, 10_000, 0.56, page="replicates"),
    ],
    "paper-c6-fails": [f("data", 0.75, 0, -9.0)],
    "paper-oppose": [of_network("cosine", "pristine, corrupt", 0.5, 1000, -0.6)],
    "paper-equally-long": [
        of_network("squared_norm", "pristine", 0.5, 2000, 0.0),
        of_network("squared_norm", "all", 0.5, 2000, 0.0),
        of_network("squared_norm", "all", 0.5, 2000, 1e12),
    ],
    "paper-averages-disagree": [f("of sums", 0.5, 10_000, 0.6)],
    "paper-c5-replicates": [
        claim("replicates", "C5", CROSSING, value=-0.1),
        claim("replicates", "C5", MEETING, value=0.05),
        claim("replicates", "C5", CROSSING, high=0.05),
    ],
    "paper-c7-worlds": [claim("paper", "C7", "75%", value=0.99)],
    "paper-c7-sample": [
        Change("paper", "figure2", {"row": "null low", "noise": 0.5, "group": "pristine"}, {"value": 0.51})
    ],
    "paper-c8-p-values": [claim("paper", "C8", "75%", verdict="inconclusive")],
    "paper-c9-within": [end("excess", 0.25, 2, 0.02)],
    "paper-c9-constant": [
        end("excess", 1.0, 2, 0.01),
        end("excess", 1.0, 8, 0.03),
        end("excess", 1.0, 8, 0.01),
    ],
    "paper-c10-open": [
        claim("paper", "C10", "τ", verdict="holds"),
        claim("paper", "C10", "τ", value=0.5),
        claim("paper", "C10", "τ", p=0.1),
        claim("paper", "C10", "τ", why="replicates disagree"),
    ],
    "paper-c11-open": [
        claim("paper", "C11", "τ", why="replicates disagree"),
        claim("paper", "C11", "τ", value=-1.0),
        claim("replicates", "C11", "τ", value=-1.0),
        claim("replicates", "C11", "τ", value=-0.6),
    ],
    "paper-c11-lost": [
        end("test accuracy", 0.25, 4, 0.8),
        end("test accuracy", 0.25, 4, 0.95, step=50_000),
    ],
    "paper-c11-at-75": [end("test accuracy", 0.75, 2, 0.4), end("test accuracy", 0.75, 8, 0.6)],
    "paper-c11-replicates": [
        end("test accuracy", 0.5, 2, 0.5),
        end("test accuracy", 0.5, 4, 0.5),
        end("test accuracy", 0.5, 8, 0.3),
    ],
    "paper-c11-falls": [end("training accuracy", 0.5, 4, 0.9)],
    "paper-c11-one": [end("test accuracy", 0.25, 1, 0.7), end("test accuracy", 0.75, 1, 0.9)],
    "paper-coherence-pairs": [
        Change(
            "paper",
            "coherence",
            {"quantity": "pair_coherence", "group": "pristine", "noise": 0.25},
            {"value": 0.0},
        )
    ],
    "paper-coherence-unlearned": [
        Change(
            "paper",
            "coherence",
            {"quantity": "pair_coherence", "group": "pristine, not learned", "noise": 0.25},
            {"value": -1.0},
        )
    ],
    "overview-headline": [
        end("training accuracy", 0.5, 1, 0.95, "replicates"),
        end("test accuracy", 0.5, 1, 0.5, "replicates"),
        end("best test accuracy", 0.5, 1, 0.97, "replicates"),
    ],
    # The replicates
    "replicates-number": [Change("replicates", "figure1", {}, {"n": 2})],
    "replicates-most-at-first": [
        f("of sums", 0.5, 0, 0.7, page="replicates"),
        f("of sums", 0.5, 10_000, 0.6, page="replicates"),
    ],
    # The conventions
    "conventions-number": [Change("replicates", "figure1", {"panel": "a", "step": 0}, {"n": 1})],
    "conventions-best-lower": [end("best test accuracy", 0.5, 1, 0.96, "conventions")],
}
CASES = [
    pytest.param(name, change, id=f"{name}-{k}")
    for name, of in REFUSED.items()
    for k, change in enumerate(of)
]


@pytest.mark.parametrize("name", CONCLUSIONS)
def test_a_conclusion_holds_on_the_published_tables(name: str) -> None:
    found = CONCLUSIONS[name](HERE)
    assert isinstance(found, Conclusion)
    assert found.holds


def test_every_conclusion_is_refused_below() -> None:
    assert set(REFUSED) == set(CONCLUSIONS)


@pytest.mark.parametrize(("name", "change"), CASES)
def test_a_conclusion_is_refused_where_its_numbers_are_others(name: str, change: Change) -> None:
    found = CONCLUSIONS[name](with_change(change))
    assert isinstance(found, Conclusion)
    assert not found.holds


def tidy(frame: pd.DataFrame) -> pd.DataFrame:
    """A table with one row for each replicate, as later runs have it."""
    if "replicates" not in frame:
        return frame
    rows = [
        {name: row[name] for name in row if name not in ("mean", "low", "high", "n", "replicates")}
        | {"replicate": replicate, "value": value}
        for row in frame.to_dict("records")
        for replicate, value in enumerate(row["replicates"] or [np.nan])
    ]
    return pd.DataFrame(rows)


def test_tables_with_a_row_for_each_replicate_give_the_same_pages() -> None:
    tidied = Published(
        *(Tables({n: summarised(tidy(t)) for n, t in tables.frames.items()}) for tables in HERE)
    )
    for *_, parts in PAGES.values():
        assert [name for name, part in parts.items() if part(tidied) != part(HERE)] == []


def test_the_commonest_label_is_that_of_mnist(mnist: Any) -> None:
    labels = mnist.train_labels
    assert np.bincount(labels).max() / len(labels) == COMMONEST
