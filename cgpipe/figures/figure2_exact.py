"""Figure 2 from all examples and all parameters, with what a sample would show of it, and longer times."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from cgpipe.figures import null_rows
from cgpipe.figures.figure2 import FRACTION
from cgpipe.figures.style import Style
from cgpipe.gradients.contributions import fraction
from cgpipe.inference.decades import decades
from cgpipe.inference.sampling import expected_product
from cgpipe.runs import Run


def table(runs: Sequence[Run], *, examples: int) -> pd.DataFrame:
    """Numbers of the figure; see `cgpipe.figures.null_rows.table`.

    Parameters
    ----------
    runs : sequence of Run
        Null worlds of plain SGD, of all examples and parameters, at each noise level and replicate.
    examples : int
        Size of the sample whose expected f is in the rows `in a sample`.

    Returns
    -------
    DataFrame
        As of figure 2, with rows `in a sample` and `of sums`.
    """
    return null_rows.table(
        [
            run._replace(data=run.data.assign(in_a_sample(run.data, examples)).assign(of_sums(run.data)))
            for run in runs
        ],
        FRACTION,
    )


def draw(numbers: pd.DataFrame, style: Style, colors: list[Any]) -> Figure:
    """Plot the table; see `cgpipe.figures.null_rows.draw`."""
    return null_rows.draw(numbers, style, colors, FRACTION, null_rows.EXACT)


def in_a_sample(null: xr.Dataset, examples: int) -> dict[str, tuple[Any, ...]]:
    """Expected f of the pristine examples in a random sample.

    Parameters
    ----------
    null : Dataset
        Null worlds of all examples (stage nullworlds).
    examples : int
        Size of the sample; where there are fewer examples, all of them are taken.

    Returns
    -------
    dict
        `f_in_a_sample`, float64 of shape (step,): a ratio of expectations, see `expected_product`.
    """
    of_all, f = null["squared_norm"].values, null["f"].sel(group="pristine").values
    alone = null["self_term_share"].values * of_all
    in_pairs = null["f_pairs"].sel(group="pristine").values * (of_all - alone)
    size = int(null["group_size"].sum())
    sample = {"drawn": min(examples, size), "size": size}
    expected = fraction(
        expected_product(f * of_all, f * of_all - in_pairs, **sample),
        expected_product(of_all, alone, **sample),
    )
    return {"f_in_a_sample": ("step", expected)}


def of_sums(null: xr.Dataset) -> dict[str, tuple[Any, ...]]:
    """Take f of the pristine examples from sums of ⟨g, g^p⟩ and ⟨g, g⟩ over the logged steps of a decade.

    Parameters
    ----------
    null : Dataset
        Null worlds of all examples (stage nullworlds).

    Returns
    -------
    dict
        `f_of_sums`, float64 of shape (first_step,), and `first_step`, the first step of each decade.
    """
    of_all, steps = null["squared_norm"].values, null["step"].values
    of_pristine = null["f"].sel(group="pristine").values * of_all
    first = np.unique(decades(steps), return_index=True)[1]  # where each decade begins
    f = fraction(np.add.reduceat(of_pristine, first), np.add.reduceat(of_all, first))
    return {"f_of_sums": ("first_step", f), "first_step": ("first_step", steps[first])}
