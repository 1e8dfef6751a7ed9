"""Parts of documents that are written by a program."""

from pathlib import Path


def put_between(document: str, name: str, text: str, title: str = "the document") -> str:
    """Put text between the lines `<!-- begin NAME -->` and `<!-- end NAME -->` of a document.

    Parameters
    ----------
    document : str
        What holds the two lines.
    name : str
        Name of the two lines.
    text : str
        What is to stand between them, with a newline at its end.
    title : str
        What the document is called in an error.

    Raises
    ------
    ValueError
        If the document lacks one of the lines.
    """
    begin = f"<!-- begin {name} -->\n"
    return document.replace(begin + between(document, name, title), begin + text, 1)


def write_between(path: Path, name: str, text: str) -> None:
    """As `put_between` for a file in UTF-8; after an error it is left as it was."""
    document = path.read_text(encoding="utf-8")
    path.write_text(put_between(document, name, text, str(path)), encoding="utf-8")


def between(document: str, name: str, title: str = "the document") -> str:
    """Text between the lines `<!-- begin NAME -->` and `<!-- end NAME -->`; as for `put_between`."""
    begin, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->"
    _, begun, rest = document.partition(begin)
    inside, ended, _ = rest.partition(end)
    if not (begun and ended):
        raise ValueError(f"{title} has no lines {begin.strip()} and {end}")
    return inside
