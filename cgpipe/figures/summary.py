"""From the replicates, a row each, to the line and the band that a figure shows."""

import pandas as pd


def each_replicate(values: pd.DataFrame) -> pd.DataFrame:
    """The table of a figure: a row for each replicate, in ascending order of what the values are of.

    Parameters
    ----------
    values : DataFrame
        Columns `replicate` and `value`, and any others, which say what the value is of.

    Returns
    -------
    DataFrame
        The others in their order, `replicate`, `value`.
    """
    keys = _keys(values)
    return values[[*keys, "replicate", "value"]].sort_values([*keys, "replicate"], ignore_index=True)


def summarise(values: pd.DataFrame) -> pd.DataFrame:
    """Mean, smallest, largest and number of the replicates.

    Parameters
    ----------
    values : DataFrame
        As `each_replicate` returns it.

    Returns
    -------
    DataFrame
        One row for each combination of the others, in ascending order: they and `mean`, `low`, `high`, `n`.
    """
    grouped = values.groupby(_keys(values), sort=True, observed=True)["value"]
    return grouped.agg(mean="mean", low="min", high="max", n="count").reset_index()


def _keys(values: pd.DataFrame) -> list[str]:
    return [column for column in values.columns if column not in ("replicate", "value")]
