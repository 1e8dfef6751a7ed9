"""Each conclusion holds on the published tables, and is refused where its numbers are others."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest

from cgpipe.reproduction import publish, winsorized
from cgpipe.reproduction.claims import CLAIMS_OF_THE_PAPER
from cgpipe.reproduction.publish import FOLDERS
from cgpipe.reproduction.registry import PARTS, Conclusion, ConclusionError, fill
from cgpipe.reproduction.tables import Published, TableError, Tables, summarised

ROOT = Path(__file__).parents[2]
RAW = {
    page: {path.stem: pd.read_csv(path) for path in (ROOT / folder).glob("*.csv")}
    for page, (_, folder) in FOLDERS.items()
}
HERE = publish.tables_of(ROOT, {})
CONCLUSIONS = {
    block.__name__: block
    for parts in PARTS.values()
    for blocks in parts.values()
    for block in blocks
    if isinstance(block(HERE), Conclusion)
}


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
    "number_of_replicates": [Change("replicates", "figure4", {}, {"n": 2})],
    "replicates_agree_on_some": [
        claim("replicates", "C8", "50%", verdict="does not hold"),
        claim("replicates", "C5", CROSSING, why="still rising"),
        claim("paper", "C5", CROSSING, verdict="holds"),
    ],
    "pristine_are_learned_first": [claim("paper", "C3", "chance", verdict="inconclusive")],
    "pristine_contribute_more_at_first": [
        claim("paper", "C8", "25%", verdict="does not hold"),
        claim("paper", "C8", "25%", p=0.01),
        Change("paper", "figure3", P_OF_CURVE, {"value": 0.01}),
    ],
    "gradients_of_pristine_agree_more": [
        of_network("pair_coherence", "pristine", 0.5, 300, 0.0),
        of_network("pair_coherence", "pristine", 0.25, 300, 1.0),
    ],
    "clipping_one_example_holds_memorization_back": [
        end("training accuracy", 0.5, 1, 0.9),
        end("training accuracy", 1.0, 1, 0.8),
    ],
    "crossing_comes_of_the_sample": [f("in a sample", 0.5, 1000, 30.0)],
    "crossing_of_all_is_late": [
        claim("replicates", "C5", CROSSING, value=0.1),
        claim("replicates", "C5", CROSSING, value=-0.1),
        f("of sums", 0.5, 10_000, 0.6, page="replicates"),
    ],
    "some_noise_is_memorized": [end("excess", 1.0, 2, 0.04), end("excess", 1.0, 4, 0.01)],
    "test_accuracy_does_not_last": [
        end("test accuracy", 0.5, 4, 0.8, "replicates"),
        end("test accuracy", 0.5, 2, 0.5, "replicates"),
        end("test accuracy", 0.5, 2, 0.7, "conventions"),
    ],
    "units_fall_out_of_use": [Change("paper", "activity", DEAD, {"value": 0.0})],
    "test_accuracy_is_best_long_before": [
        Change("paper", "figure1", {"noise": 0.5, "group": "step of the best"}, {"value": 20_000})
    ],
    "corrupt_are_slower_than_pure_noise": [
        learned("corrupt", 0.5, 1000, 0.12),
        learned("corrupt", 0.5, 100_000, 0.9),
    ],
    "pristine_are_slower_with_noise": [
        learned("pristine", 0.75, 20_000, 0.96),
        learned("pristine", 0.75, 100, 0.85),
    ],
    "sample_behaves_as_the_paper_says": [
        f("data", 0.25, 0, -9.0, "figure2"),
        f("data", 0.5, 100_000, 9.0, "figure2"),
        f("data", 0.75, 100, 9.0, "figure2"),
    ],
    "all_examples_behave_otherwise": [f("data", 0.5, 1000, -9.0), f("data", 0.75, 0, -9.0)],
    "it_depends_on_replicate_and_average": [
        claim("replicates", "C5", CROSSING, value=0.1),
        f("of sums", 0.5, 10_000, 0.6, page="replicates"),
    ],
    "self_terms_make_the_difference": [
        f("self terms", 0.5, 1000, -9.0, "figure2"),
        f("self terms", 0.5, 1000, 0.2),
        f("in a sample", 0.5, 1000, 30.0),
    ],
    "far_above_at_first": [f("data", 0.25, 0, -9.0), f("data", 0.75, 0, -9.0)],
    "about_the_share_later": [f("data", 0.25, 100, -9.0), f("data", 0.25, 1000, 9.0)],
    "below_the_share_at_the_end": [
        f("data", 0.25, 100_000, 9.0),
        f("of sums", 0.5, 10_000, 0.56, page="replicates"),
    ],
    "above_f_of_the_corrupt_at_75": [f("data", 0.75, 0, -9.0)],
    "gradients_come_to_oppose": [of_network("cosine", "pristine, corrupt", 0.5, 1000, -0.6)],
    "gradients_are_equally_long": [
        of_network("squared_norm", "pristine", 0.5, 2000, 0.0),
        of_network("squared_norm", "all", 0.5, 2000, 0.0),
        of_network("squared_norm", "all", 0.5, 2000, 1e12),
    ],
    "averages_disagree": [f("of sums", 0.5, 10_000, 0.6)],
    "one_crosses_another_meets": [
        claim("replicates", "C5", CROSSING, value=-0.1),
        claim("replicates", "C5", MEETING, value=0.05),
        claim("replicates", "C5", CROSSING, high=0.05),
    ],
    "worlds_hardly_ever_cross": [claim("paper", "C7", "75%", value=0.99)],
    "worlds_of_the_sample_may_cross": [
        Change("paper", "figure2", {"row": "null low", "noise": 0.5, "group": "pristine"}, {"value": 0.51})
    ],
    "pristine_contribute_more": [claim("paper", "C8", "75%", verdict="inconclusive")],
    "never_above_below_100": [end("excess", 0.25, 2, 0.02)],
    "above_at_100": [end("excess", 1.0, 2, 0.01), end("excess", 1.0, 8, 0.03), end("excess", 1.0, 8, 0.01)],
    "too_short_for_a_trend": [
        claim("paper", "C10", "τ", verdict="holds"),
        claim("paper", "C10", "τ", value=0.5),
        claim("paper", "C10", "τ", p=0.1),
        claim("paper", "C10", "τ", why="replicates disagree"),
    ],
    "order_is_open": [
        claim("paper", "C11", "τ", why="replicates disagree"),
        claim("paper", "C11", "τ", value=-1.0),
        claim("replicates", "C11", "τ", value=-1.0),
        claim("replicates", "C11", "τ", value=-0.6),
    ],
    "half_is_lost_at_25_and_50": [
        end("test accuracy", 0.25, 4, 0.8),
        end("test accuracy", 0.25, 4, 0.95, step=50_000),
    ],
    "most_is_kept_at_75_with_two": [end("test accuracy", 0.75, 2, 0.4), end("test accuracy", 0.75, 8, 0.6)],
    "loss_depends_on_the_replicate": [
        end("test accuracy", 0.5, 2, 0.5),
        end("test accuracy", 0.5, 4, 0.5),
        end("test accuracy", 0.5, 8, 0.3),
    ],
    "training_accuracy_falls_too": [end("training accuracy", 0.5, 4, 0.9)],
    "one_keeps_nine_tenths": [end("test accuracy", 0.25, 1, 0.7), end("test accuracy", 0.75, 1, 0.9)],
    "pristine_agree_more_in_pairs": [
        Change(
            "paper",
            "coherence",
            {"quantity": "pair_coherence", "group": "pristine", "noise": 0.25},
            {"value": 0.0},
        )
    ],
    "few_pristine_are_left_to_learn": [
        Change(
            "paper",
            "coherence",
            {"quantity": "pair_coherence", "group": "pristine, not learned", "noise": 0.25},
            {"value": -1.0},
        )
    ],
    # The replicates
    "number": [Change("replicates", "figure1", {}, {"n": 2})],
    "pristine_have_most_at_first": [
        f("of sums", 0.5, 0, 0.7, page="replicates"),
        f("of sums", 0.5, 10_000, 0.6, page="replicates"),
    ],
    "pairs_of_pristine_agree_more": [of_network("pair_coherence", "pristine", 0.5, 60, 0.0, "replicates")],
    "one_keeps_what_plain_sgd_loses": [
        end("test accuracy", 0.5, 0, 0.7, "replicates"),
        end("test accuracy", 0.5, 1, 0.7, "replicates"),
    ],
    "crossing_and_meeting": [claim("replicates", "C5", CROSSING, why="still rising")],
    "test_accuracy_with_large_c": [
        end("test accuracy", 0.5, 2, 0.5, "replicates"),
        Change(
            "replicates", "figure4", {"curve": "test accuracy", "winsor": 4, "step": 60_000}, {"low": 0.1}
        ),
    ],
    "side_of_a_half": [f("of sums", 0.5, 1000, 0.6, page="replicates")],
    "order_of_training_accuracy": [claim("replicates", "C11", "τ", value=-1.0)],
    # The conventions
    "numbers": [Change("replicates", "figure1", {"panel": "a", "step": 0}, {"n": 1})],
    "plain_sgd_is_alike": [end("training accuracy", 0.5, 1, 0.6, "conventions")],
    "memorization_begins_sooner": [learned("corrupt", 0.5, 10_000, 0.04, "conventions")],
    "best_test_accuracy_is_lower": [end("best test accuracy", 0.5, 1, 0.96, "conventions")],
    "more_is_left_with_two": [
        end("test accuracy", 0.5, 2, 0.5, "conventions"),
        end("test accuracy", 0.5, 2, 0.9, "conventions"),
    ],
    "a_third_is_lost_with_more": [
        end("test accuracy", 0.5, 4, 0.8, "conventions"),
        end("best test accuracy", 0.5, 8, 0.5, "replicates"),
    ],
    "f_is_smaller_at_first": [
        f("of sums", 0.5, 0, 0.9, page="conventions"),
        f("of sums", 0.5, 0, 0.56, page="conventions"),
        f("of sums", 0.5, 10_000, 0.6, page="conventions"),
    ],
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


def documents() -> dict[Any, str]:
    return {
        page: (ROOT / folder / "README.md").read_text(encoding="utf-8")
        for page, (_, folder) in FOLDERS.items()
    }


def test_refused_sentences_are_named_all_together() -> None:
    changed = with_change(end("excess", 1.0, 2, 0.04))
    with pytest.raises(ConclusionError, match="the tables no longer say so, write it anew:") as caught:
        fill(documents(), changed)
    for start in (
        "c9-where (paper): With pure noise, all three",
        "unlike-the-paper (paper): With pure noise, c = 2",
    ):
        assert f"\n- {start}" in str(caught.value)


def test_a_part_that_asks_for_what_is_not_there_is_named() -> None:
    frames = {name: frame for name, frame in HERE.paper.frames.items() if name != "activity"}
    with pytest.raises(
        TableError, match=r"the part .* of the page paper: there is no table activity; there are"
    ):
        fill(documents(), HERE._replace(paper=Tables(frames)))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "<!-- begin costs -->",
            "<!-- begin cost -->",
            "has the parts cost, which nothing writes; there are claims",
        ),
        ("<!-- end costs -->", "", "the page paper has no lines <!-- begin costs --> and <!-- end costs -->"),
    ],
)
def test_the_markers_of_a_page_are_those_of_its_parts(old: str, new: str, message: str) -> None:
    pages = documents()
    with pytest.raises(ValueError, match=message):
        fill(pages | {"paper": pages["paper"].replace(old, new)}, HERE)


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


def test_tables_with_a_row_a_replicate_give_the_same_pages() -> None:
    same = Published(*(Tables({n: summarised(tidy(t)) for n, t in tables.frames.items()}) for tables in HERE))
    assert fill(documents(), same) == documents()


def test_every_claim_of_the_paper_has_a_sentence() -> None:
    assert list(dict.fromkeys(HERE.paper.rows("claims")["claim"])) == list(CLAIMS_OF_THE_PAPER)


def test_the_commonest_label_is_that_of_mnist(mnist: Any) -> None:
    labels = mnist.train_labels
    assert np.bincount(labels).max() / len(labels) == winsorized.COMMONEST
