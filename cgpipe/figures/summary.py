"""From the replicates to the line and the band that a figure shows."""

import pandas as pd


def summarise(values: pd.DataFrame) -> pd.DataFrame:
    """Mean, smallest, largest and number of the replicates.

    Parameters
    ----------
    values : DataFrame
        Columns `replicate` and `value`, and any others, which say what the value is of.

    Returns
    -------
    DataFrame
        One row for each combination of the others, in ascending order: they and `mean`, `low`, `high`, `n`.
    """
    keys = [column for column in values.columns if column not in ("replicate", "value")]
    grouped = values.groupby(keys, sort=True, observed=True)["value"]
    return grouped.agg(mean="mean", low="min", high="max", n="count").reset_index()
