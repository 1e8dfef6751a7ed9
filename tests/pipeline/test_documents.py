import pytest

from cgpipe.pipeline.documents import between, write_between


def test_what_stands_between_the_lines_is_replaced_and_nothing_else(tmp_path):
    path = tmp_path / "a.md"
    path.write_text("a\n<!-- begin x -->\nold\n<!-- end x -->\nb <!-- begin y -->\n", encoding="utf-8")
    for _ in range(2):
        write_between(path, "x", "new: é\n")
        written = "a\n<!-- begin x -->\nnew: é\n<!-- end x -->\nb <!-- begin y -->\n"
        assert path.read_text(encoding="utf-8") == written
        assert between(written, "x") == "new: é\n"


@pytest.mark.parametrize("text", ["", "<!-- begin x -->\n", "<!-- end x -->\n<!-- begin x -->\n"])
def test_a_document_without_the_lines_is_left_alone(tmp_path, text):
    path = tmp_path / "a.md"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"a\.md has no lines <!-- begin x --> and <!-- end x -->"):
        write_between(path, "x", "new\n")
    assert path.read_text(encoding="utf-8") == text
