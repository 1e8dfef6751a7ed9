"""Conclusions follow from the published tables, and pages whose sentences do not are refused."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from cgpipe.reproduction.pages import Conclusion, ConclusionError, fill, says, sentences
from cgpipe.reproduction.publish import OVERVIEW, PAGES, reproduce, tables_of
from cgpipe.reproduction.tables import Published, TableError, Tables, read_tables

ROOT = Path(__file__).parents[2]
PUBLISHED = tables_of(ROOT, {})


def conclusions() -> Iterator[tuple[str, Callable[[Published], Conclusion]]]:
    """All that the pages draw."""
    for page, (*_, parts) in (*PAGES.items(), ("overview", OVERVIEW)):
        for name, function in parts.items():
            if isinstance(function(PUBLISHED), Conclusion):
                yield pytest.param(function, id=f"{page}-{name}")


def altered(how: Callable[[pd.DataFrame], pd.DataFrame]) -> Published:
    """The published tables with other numbers."""

    def of_tables(tables: Tables) -> Tables:
        return Tables({name: how(table.copy()) for name, table in tables.frames.items()})

    return Published(*map(of_tables, PUBLISHED))


def mirrored(table: pd.DataFrame) -> pd.DataFrame:
    if "replicates" in table:
        table["replicates"] = [tuple(1 - v for v in values or ()) for values in table["replicates"]]
        table["mean"], table["low"], table["high"] = 1 - table["mean"], 1 - table["high"], 1 - table["low"]
    return table


def reversed_values(table: pd.DataFrame) -> pd.DataFrame:
    for column in ("mean", "low", "high", "replicates"):
        if column in table:
            table[column] = table[column].to_numpy()[::-1]
    return table


def negated(table: pd.DataFrame) -> pd.DataFrame:
    if "replicates" in table:
        table["mean"], table["low"], table["high"] = -table["mean"], -table["high"], -table["low"]
    return table


def enlarged(table: pd.DataFrame) -> pd.DataFrame:
    if "replicates" in table:
        table[["mean", "low", "high"]] *= 1e6
    return table


def all_alike(table: pd.DataFrame) -> pd.DataFrame:
    if "replicates" in table:
        table["replicates"] = [(0.5, 0.5, 0.5)] * len(table)
        table[["mean", "low", "high"]] = 0.5
        table["n"] = 2
    return table.assign(verdict="inconclusive", why="") if "verdict" in table else table


ALTERATIONS = (mirrored, reversed_values, negated, enlarged, all_alike)


@pytest.mark.parametrize("conclusion", [*conclusions()])
def test_a_conclusion_holds_on_the_published_tables_and_not_on_others(
    conclusion: Callable[[Published], Conclusion],
) -> None:
    published = conclusion(PUBLISHED)
    assert published.holds
    differ = []
    for how in ALTERATIONS:
        try:
            other = altered(how)
            differ += [conclusion(other) != published]
            differ += [conclusion(PUBLISHED._replace(conventions=other.conventions)) != published]
        except (TableError, ZeroDivisionError, IndexError):
            differ.append(True)
    assert any(differ)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """What is published, and the settings, in another place."""
    for name in ("README.md", "config", "docs"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    return tmp_path


def unchanged(repository: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in repository.rglob("*") if path.is_file()}


def test_a_sentence_with_another_number_is_refused_and_nothing_is_written(repository: Path) -> None:
    page = repository / "docs/reproduction/README.md"
    text = page.read_text(encoding="utf-8")
    assert "0.839 at step 20,000" in text
    page.write_text(text.replace("0.839 at step 20,000", "0.893 at step 20,000"), encoding="utf-8")
    before = unchanged(repository)
    with pytest.raises(ConclusionError, match=r"c3-pristine .*the numbers are now 0.957, 0.839: Pristine"):
        reproduce(repository)
    assert unchanged(repository) == before


def test_sentences_that_no_longer_follow_are_all_named_and_nothing_is_written(repository: Path) -> None:
    table = repository / "docs/reproduction/replicates/figure4.csv"
    rows = pd.read_csv(table)
    rows.loc[rows["curve"] == "test accuracy", ["mean", "low", "high"]] = 0.5
    rows.to_csv(table, index=False)
    before = unchanged(repository)
    with pytest.raises(ConclusionError, match=r"(?s)not-lasting .*no longer say so, write it anew.*large-c "):
        reproduce(repository)
    assert unchanged(repository) == before


def test_a_table_is_written_anew(repository: Path) -> None:
    page = repository / "docs/reproduction/README.md"
    text = page.read_text(encoding="utf-8")
    page.write_text(text.replace("| 100 % | 0.995 | – | 0.095 |", "| 100 % | 1.000 | – | 1.000 |"), "utf-8")
    reproduce(repository)
    assert page.read_text(encoding="utf-8") == text


@pytest.mark.parametrize(
    ("path", "content", "error", "message"),
    [
        ("docs/reproduction/notes.md", "mine", FileExistsError, "notes.md, which this does not make"),
        ("docs/reproduction/figure1.png", None, FileNotFoundError, "lacks figure1.png: restore it"),
        ("docs/reproduction/figure1.csv", "a\n1\n", TableError, "figure1 has no column"),
        ("docs/reproduction/figure1.csv", "", TableError, "is no CSV table"),
        ("docs/reproduction/README.md", "# Nothing\n", ValueError, "c1-best.*marked in the page or defined"),
    ],
)
def test_what_does_not_belong_or_is_missing_is_refused_and_nothing_is_written(
    repository: Path, path: str, content: str | None, error: type[Exception], message: str
) -> None:
    if content is None:
        (repository / path).unlink()
    else:
        (repository / path).write_text(content, encoding="utf-8")
    before = unchanged(repository)
    with pytest.raises(error, match=message):
        reproduce(repository)
    assert unchanged(repository) == before


def test_numbers_are_looked_for_as_a_whole_and_in_their_order() -> None:
    page = "It is 10.52 or 0.5.\n\n- One is 0.52 and\n  two 0.91. <!-- check it -->\n"
    assert sentences(page, "it") == "One is 0.52 and two 0.91."

    def refused(*numbers: str) -> list[str]:
        return fill("page", page, {"it": lambda _: says(True, *numbers)}, PUBLISHED)[1]

    assert refused("0.52", "0.91") == []
    assert refused() == []
    assert all(refused(*numbers) for numbers in [("0.91", "0.52"), ("0.5",), ("52",), ("0.9",)])


def test_a_table_with_a_row_for_each_replicate_serves_as_well_as_a_summary() -> None:
    levels = "panel,noise,step\n"
    summary = f"{levels.strip()},mean,low,high,n\na,0.5,9,2.0,1.0,3.0,3\n"
    tidy = f"{levels.strip()},replicate,value\n" + "".join(
        f"a,0.5,9,{replicate},{value}\n" for replicate, value in enumerate([3.0, 1.0, 2.0])
    )
    one, other = (
        read_tables({Path("figure1.csv"): text.encode()}).at("figure1", panel="a", noise=0.5)
        for text in (summary, tidy)
    )
    assert (one.mean, one.low, one.high, one.n) == (other.mean, other.low, other.high, other.n)
    assert sorted(one.each) == sorted(other.each) == [1, 2, 3]
    assert other.each == (3, 1, 2)


def test_of_more_than_three_replicates_a_summary_does_not_tell_the_values() -> None:
    tables = read_tables({Path("x.csv"): b"step,mean,low,high,n\n1,2.0,1.0,3.0,5\n"})
    with pytest.raises(TableError, match="publish a table with one row for each replicate"):
        tables.at("x", step=1).each  # noqa: B018
