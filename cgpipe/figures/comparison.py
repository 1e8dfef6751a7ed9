"""The table of the same figure from another workflow, plotted pale behind the curves of this one."""

from collections.abc import Sequence

import pandas as pd

HERE = "here"


def compare(numbers: pd.DataFrame, other: pd.DataFrame, source: str, levels: Sequence[str]) -> pd.DataFrame:
    """Join the table of a figure with another table of the same figure.

    Parameters
    ----------
    numbers : DataFrame
        Table of a figure.
    other : DataFrame
        Another table of the same figure.
    source : str
        Where the other table is from.
    levels : sequence of str
        Columns of levels, such as `noise`. Of the other table, the rows at the levels of this one are taken.

    Returns
    -------
    DataFrame
        The columns of the table after a column `source`, which is `here` or as given.

    Raises
    ------
    ValueError
        If the other is not a table of the same figure, or has no level in common with this one.
    """
    if list(other.columns) != list(numbers.columns):
        raise ValueError(
            f"{source} is no table of this figure: its columns are {', '.join(other.columns)}, and should be "
            f"{', '.join(numbers.columns)}"
        )
    shared = other.merge(numbers[list(levels)].drop_duplicates(), on=list(levels))
    if shared.empty:
        raise ValueError(
            f"{source} has nothing at the levels of {' and '.join(levels)} that are plotted here"
        )
    joined = pd.concat([numbers.assign(source=HERE), shared.assign(source=source)], ignore_index=True)
    return joined[["source", *numbers.columns]]


def split_sources(numbers: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows from here, and those from elsewhere, of which there are none without a column `source`."""
    if "source" not in numbers:
        return numbers, numbers.iloc[:0]
    here = numbers["source"] == HERE
    return numbers[here], numbers[~here]


def comparison_note(elsewhere: pd.DataFrame) -> str:
    """What the pale lines are; nothing where there are none."""
    if elsewhere.empty:
        return ""
    return f" Pale: {elsewhere['source'].iloc[0]} (n = {elsewhere['n'].max()})."
