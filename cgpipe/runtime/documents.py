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
    before, begin, rest = path.read_text(encoding="utf-8").partition(f"<!-- begin {name} -->\n")
    _, end, after = rest.partition(f"<!-- end {name} -->")
    if not (begin and end):
        raise ValueError(f"{path} has no lines <!-- begin {name} --> and <!-- end {name} -->")
    path.write_text(f"{before}{begin}{text}{end}{after}", encoding="utf-8")
