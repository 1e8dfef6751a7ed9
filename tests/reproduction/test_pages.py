"""Pages whose sentences do not follow from the tables, or whose files do not belong, are refused."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from cgpipe.reproduction.pages import ConclusionError, fill, says, sentences
from cgpipe.reproduction.publish import reproduce, tables_of
from cgpipe.reproduction.tables import TableError

ROOT = Path(__file__).parents[2]
PUBLISHED = tables_of(ROOT, {})


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
    with pytest.raises(
        ConclusionError, match=r"(?s)not-lasting .*no longer say so.*headline .*write it anew"
    ):
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
    assert [*sentences(page, "it")] == ["One is 0.52 and two 0.91."]

    def refused(*numbers: str) -> list[str]:
        return fill("page", page, {"it": lambda _: says(True, *numbers)}, PUBLISHED)[1]

    assert refused("0.52", "0.91") == []
    assert refused() == []
    assert all(refused(*numbers) for numbers in [("0.91", "0.52"), ("0.5",), ("52",), ("0.9",)])


def test_a_conclusion_may_end_several_paragraphs_and_each_is_checked() -> None:
    page = "First 1.\n<!-- check other --> <!-- check it -->\n\n- Then 2. <!-- check it -->\n- Last.\n"
    assert [*sentences(page, "it")] == ["First 1.", "Then 2."]
    parts = {"it": lambda _: says(True, "1"), "other": lambda _: says(True)}
    assert fill("page", page, parts, PUBLISHED)[1] == ["it (page): the numbers are now 1: Then 2."]
