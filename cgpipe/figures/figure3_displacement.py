"""Figure 3 for the way that training makes: what an example of each group contributes to it."""

from collections.abc import Sequence

import pandas as pd
import xarray as xr

from cgpipe.figures.figure2_displacement import WAY, of_windows
from cgpipe.runs import Run

_EACH = WAY._replace(
    name="r", label="contribution $r$", source=f"$r$: mean of all examples is 1. {WAY.source}"
)
draw = _EACH.draw


def table(runs: Sequence[Run]) -> pd.DataFrame:
    """Numbers of the figure: r, the share of the way that a group makes over its share of the examples.

    Parameters
    ----------
    runs : sequence of Run
        As of figure 2 of the displacement.

    Returns
    -------
    DataFrame
        As there, of r: the contribution of an example of the group, in those of an example of all.
    """

    def each(null: xr.Dataset) -> xr.Dataset:
        size = null["group_size"][0]
        of_f = null[[name for name in null if str(name).split("_")[0] == "f"]]
        per_example = of_f.map(
            lambda of: of * size.sum() / size.where(size > 0) if "group" in of.dims else of
        )
        return null.merge(per_example.rename({name: f"r{str(name)[1:]}" for name in of_f}))

    return _EACH.table([run._replace(data=each(run.data)) for run in of_windows(runs)])
