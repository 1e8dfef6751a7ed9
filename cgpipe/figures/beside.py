"""Numbers of the same figure from elsewhere, drawn pale behind those from here."""

from collections.abc import Sequence

import pandas as pd

HERE = "here"


def put_beside(
    numbers: pd.DataFrame, other: pd.DataFrame, source: str, levels: Sequence[str]
) -> pd.DataFrame:
    """Join the numbers of a figure with those that the same figure shows elsewhere.

    Parameters
    ----------
    numbers : DataFrame
        Table of a figure.
    other : DataFrame
        Another table of the same figure.
    source : str
        Where that is from.
    levels : sequence of str
        Columns of levels, such as `noise`: of the other table what has the levels of this one is taken.

    Returns
    -------
    DataFrame
        A column `source`, `here` or as given, and those of the table.

    Raises
    ------
    ValueError
        If the other is not a table of the same figure, or has no level in common with this.
    """
    if list(other.columns) != list(numbers.columns):
        raise ValueError(
            f"{source} is no table of this figure: its columns are {', '.join(other.columns)}, and should be "
            f"{', '.join(numbers.columns)}"
        )
    shared = other.merge(numbers[list(levels)].drop_duplicates(), on=list(levels))
    if shared.empty:
        raise ValueError(f"{source} has nothing at the levels of {' and '.join(levels)} that are drawn here")
    joined = pd.concat([numbers.assign(source=HERE), shared.assign(source=source)], ignore_index=True)
    return joined[["source", *numbers.columns]]


def split_sources(numbers: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows from here, and those from elsewhere, of which there are none without a column `source`."""
    if "source" not in numbers:
        return numbers, numbers.iloc[:0]
    here = numbers["source"] == HERE
    return numbers[here], numbers[~here]


def beside_note(beside: pd.DataFrame) -> str:
    """Say what the pale lines are; nothing where there are none."""
    if beside.empty:
        return ""
    return f" Pale: {beside['source'].iloc[0]} (n = {beside['n'].max()})."
