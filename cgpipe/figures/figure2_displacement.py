"""Figure 2 for the way that training makes: the share of the displacement that each group makes."""

from collections.abc import Sequence

import pandas as pd
import xarray as xr

from cgpipe.figures.figure2 import FRACTION
from cgpipe.figures.null_rows import added, stratified_band
from cgpipe.runs import Run

SOURCE = (
    "All examples, all parameters; two epochs around each step, and fewer steps in the first epoch.\n"
    "Hatched: 95 % of the null worlds that permute only among examples of the same class and of gradients\n"
    "of like size."
)
WAY = FRACTION._replace(label="share of the way $f$", source=SOURCE)
draw = WAY.draw


def table(runs: Sequence[Run]) -> pd.DataFrame:
    """Numbers of the figure; see `cgpipe.figures.null_rows.Statistic.table`.

    Parameters
    ----------
    runs : sequence of Run
        Null worlds of the displacement, of plain SGD at each noise level and replicate.

    Returns
    -------
    DataFrame
        As of figure 2, with the middle of the window as `step`, and rows `stratified low` and `stratified
        high` instead of those of pairs and draws.
    """
    return WAY.table(of_windows(runs))


def of_windows(runs: Sequence[Run]) -> list[Run]:
    """Null worlds of the displacement at the middle of each window, with the band of strata."""

    def centred(null: xr.Dataset) -> xr.Dataset:
        middle = null["step"] + null["half"]
        # Two visits of one example are no pair of examples.
        return null.assign_coords(step=middle.values).drop_vars(["f_pairs", "self_term_share"])

    return [run._replace(data=centred(run.data)) for run in added(runs, stratified_band)]
