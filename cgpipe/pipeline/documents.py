"""Parts of documents that are written by a program."""

from pathlib import Path


def write_between(path: Path, name: str, text: str) -> None:
    """Put text between the lines `<!-- begin NAME -->` and `<!-- end NAME -->` of a document.

    Parameters
    ----------
    path : Path
        The document, UTF-8.
    name : str
        Name of the two lines.
    text : str
        What is to stand between them, with a newline at its end.

    Raises
    ------
    ValueError
        If the document lacks one of the lines; it is left as it was.
    """
    before, _, after = _parts(path, name)
    path.write_text(before + text + after, encoding="utf-8")


def read_between(path: Path, name: str) -> str:
    """Text between the lines `<!-- begin NAME -->` and `<!-- end NAME -->`; as for `write_between`."""
    return _parts(path, name)[1]


def _parts(path: Path, name: str) -> tuple[str, str, str]:
    begin, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->"
    before, begun, rest = path.read_text(encoding="utf-8").partition(begin)
    between, ended, after = rest.partition(end)
    if not (begun and ended):
        raise ValueError(f"{path} has no lines {begin.strip()} and {end}")
    return before + begin, between, end + after
