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
        Steps at which only some of the replicates were logged are left out: runs pass marks of the training
        loss at steps of their own, and a mean over other runs is not a point of the same curve.
    """
    values = values[_of_all_replicates(values)]
    grouped = values.groupby(_keys(values), sort=True, observed=True)["value"]
    return grouped.agg(mean="mean", low="min", high="max", n="count").reset_index()


def _of_all_replicates(values: pd.DataFrame) -> pd.Series:
    """Whether all replicates of a run have something at the step."""
    levels = [column for column in ("source", "experiment", "noise", "winsor") if column in values]
    if "step" not in values or not levels:
        return pd.Series(True, values.index)
    replicates = values.groupby([*levels, "step"])["replicate"].transform("nunique")
    return replicates == replicates.groupby([values[key] for key in levels]).transform("max")


def _keys(values: pd.DataFrame) -> list[str]:
    return [column for column in values.columns if column not in ("replicate", "value")]
