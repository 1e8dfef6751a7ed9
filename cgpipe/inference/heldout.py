"""Coherence of the parts of a network, and at marks of the training loss (stage heldout).

One step is one draw: within five consecutive steps coherence can vary by a factor of 20. So runs are compared
at marks, each by the median and the range of a burst of steps.
"""

import math

import numpy as np
import xarray as xr

from cgpipe.gradients.coherence import alpha, m_coherence, pair_coherence
from cgpipe.names import BURST

START, END = math.inf, 0.0  # marks of the first and the last snapshot
STATISTICS = ("median", "low", "high")


def with_coherence(heldout: xr.Dataset) -> xr.Dataset:
    """Coherence of the network, of its convolutional layers and of its last linear one.

    Parameters
    ----------
    heldout : Dataset
        Of a run (stage heldout).

    Returns
    -------
    Dataset
        Over burst_step, set, group and part: `m_coherence`, `alpha` and `pair_coherence`, as of
        `cgpipe.gradients.coherence`; NaN for a part that the network does not have. `loss`, `accuracy`,
        `cosine` and `size` as they were, over burst_step, set and group.
    """
    kinds = heldout["layer_kind"].values.astype(str)
    convolutional = np.char.startswith(kinds, "Conv")
    last = np.flatnonzero(kinds == "Linear")[-1:]
    parts = {
        "network": np.full(len(kinds), True),
        "convolutional": convolutional,
        "last linear": np.isin(np.arange(len(kinds)), last),
    }
    within = xr.DataArray(np.array(list(parts.values())), {"part": list(parts)}, ("part", "layer"))
    squared, energy = (heldout[name].dot(within, dim="layer") for name in ("squared_norm", "energy"))
    size = heldout["size"]
    return heldout[["loss", "accuracy", "cosine", "size"]].assign(
        m_coherence=xr.apply_ufunc(m_coherence, squared, energy),
        alpha=xr.apply_ufunc(alpha, squared, energy, size),
        pair_coherence=xr.apply_ufunc(pair_coherence, squared, energy, size),
    )


def bursts_at_marks(measured: xr.Dataset, marks: xr.DataArray | None = None) -> xr.Dataset:
    """Median and range over the burst of steps at each mark of the training loss.

    Parameters
    ----------
    measured : Dataset
        Over burst_step, with coordinate `snapshot`.
    marks : DataArray, optional
        The step of each mark, -1 of one that the loss did not fall to, as in `mark_step` of a run.

    Returns
    -------
    Dataset
        Over statistic (`median`, `low` and `high`, the smallest and the largest), mark and the other
        dimensions. Marks in nats as they are given, those not fallen to left out; infinity is the first
        snapshot of the run, 0 its last. Steps at which a value is undefined are left out of it.
    """
    steps = (
        [] if marks is None else list(zip(marks["mark"].values.tolist(), marks.values.tolist(), strict=True))
    )
    starts = {
        START: 0,
        **{mark: step for mark, step in steps if step >= 0},
        END: int(measured["snapshot"][-1]),
    }
    found = []
    for start in starts.values():
        burst = measured.sel(burst_step=slice(start, start + BURST - 1)).drop_vars("snapshot")
        taken = [burst.median("burst_step"), burst.min("burst_step"), burst.max("burst_step")]
        found.append(xr.concat(taken, "statistic"))
    together = xr.concat(found, "mark")
    return together.assign_coords(mark=list(starts), statistic=list(STATISTICS))
