"""Figure 2 from all examples and all parameters, with what a sample would show of it, and longer times."""

from collections.abc import Sequence

import pandas as pd
import xarray as xr

from cgpipe.figures.figure2 import FRACTION
from cgpipe.figures.null_rows import EXACT, added
from cgpipe.inference.sampling import burst_fraction, decade_fraction, sample_fraction
from cgpipe.runs import Run

_BURSTS = "First row: sums over five steps; bands: range of these. $p$ and null worlds: of single steps."


def table(runs: Sequence[Run], *, examples: int) -> pd.DataFrame:
    """Numbers of the figure; see `cgpipe.figures.null_rows.Statistic.table`.

    Parameters
    ----------
    runs : sequence of Run
        Null worlds of plain SGD, of all examples and parameters, at each noise level and replicate.
    examples : int
        Size of the sample whose expected f is in the rows `in a sample`.

    Returns
    -------
    DataFrame
        As of figure 2, with rows `burst`, `in a sample` and `of sums`, and without those of draws.
    """

    def more(null: xr.Dataset) -> xr.Dataset:
        return xr.Dataset(
            {"f_in_a_sample": sample_fraction(null, examples), "f_of_sums": decade_fraction(null)}
        )

    return FRACTION.table(added(runs, more, burst_fraction))


draw = FRACTION._replace(source=f"{EXACT}\n{_BURSTS}").draw
