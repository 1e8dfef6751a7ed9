"""Inner products of the gradient with those of groups of examples, in windows of a run by its state."""

from typing import Literal

import numpy as np
import xarray as xr

from cgpipe.inference.claims import statistics as st
from cgpipe.inference.claims.claim import Runs

Window = Literal["start", "memorizing", "end"]
NO_GRADIENT = "the gradient is zero, or not finite"
MEMORIZING = (0.1, 0.9)  # share of the corrupt examples right
# In words; that of "start" is of analyses of steps, a displacement starts with its first window.
WINDOWS: dict[Window, str] = {
    "start": "over steps 0 to 9",
    "memorizing": "while 10 to 90 % of the corrupt examples are right",
    "end": f"from {st.MEMORIZED:.0%} training accuracy on",
}


def measured(runs: Runs, of: st.Analysis, noise: float) -> xr.Dataset:
    """Products of a run's gradient with those of its groups, in one form whatever the analysis.

    Parameters
    ----------
    runs : Runs
        Of one replicate.
    of : str
        The analysis: bursts, or null worlds of any source.
    noise : float
        Level of label noise.

    Returns
    -------
    Dataset
        `product` ⟨g, Σ g_e⟩ and `energy` Σ‖g_e‖² (draw, step, group: pristine, corrupt), sums, nats², 0 where
        the group is empty; `group_size` (draw, group). Of null worlds also `null_product` (draw, null_world,
        step), that of the pristine group. With coordinate `half` (step), of displacements.

    Raises
    ------
    UndecidedError
        If there is no such analysis of the run.
    """
    data = st.find(runs, of, noise)
    if of == "bursts":
        pristine = st.find(runs, "label_noise", noise)["pristine"].values.astype(bool)
        data = data[["product", "energy"]].rename(burst_step="step").expand_dims("draw")
        data["group_size"] = ("draw", "group"), [[pristine.sum(), (~pristine).sum()]]
    data = data[[name for name in ("product", "energy", "group_size", "null_product") if name in data]]
    if (there := data["group_size"] > 0).all():
        return data
    return data.assign({name: data[name].where(there, 0) for name in ("product", "energy")})


def first_steps(data: xr.Dataset, last: int = 9) -> xr.Dataset:
    """Steps 0 to `last` of what was measured; of displacements, the window that starts at 0.

    Raises
    ------
    UndecidedError
        If one of them was not measured.
    """
    wanted = [0] if "half" in data else list(range(last + 1))
    if missing := sorted({*wanted} - {*data["step"].values.tolist()}):
        raise st.UndecidedError(f"step {missing[0]} was not measured")
    return data.sel(step=wanted)


def within(runs: Runs, data: xr.Dataset, noise: float, window: Window) -> xr.Dataset:
    """The measured steps that belong to a window; a displacement belongs to that of its middle.

    The curves of the history are linear between its logged steps. At first some corrupt examples are right by
    chance, until fewer than 10 % are: "memorizing" begins after that.

    Parameters
    ----------
    runs : Runs
        Of one replicate.
    data : Dataset
        As `measured` returns it.
    noise : float
        Level of label noise.
    window : {"start", "memorizing", "end"}
        See WINDOWS.

    Raises
    ------
    UndecidedError
        If the window is empty.
    """
    if window == "start":
        return first_steps(data)
    history = st.find(runs, "label_noise", noise)
    logged, step = history["step"].values, (data["step"] + data.get("half", 0)).values
    if window == "memorizing":
        right = st.share_right(history, pristine=False)
        few, most = MEMORIZING
        begins = logged[right < few].max(initial=-1)
        now = np.interp(step, logged, right)
        inside = (step > begins) & (now >= few) & (now <= most)
    else:
        memorized = logged[history["accuracy_training"].values >= st.MEMORIZED]
        inside = step >= memorized[0] if len(memorized) else np.zeros(len(step), np.bool_)
    if not inside.any():
        raise st.UndecidedError(f"nothing was measured {WINDOWS[window]}")
    return data.isel(step=inside)


def share_of_gradient(data: xr.Dataset, product: str = "product") -> xr.DataArray:
    """F, the share of the pristine examples in the squared gradient, from sums over the steps.

    Parameters
    ----------
    data : Dataset
        Steps of `measured`.
    product : {"product", "null_product"}
        Whether in the data, or in null worlds.

    Returns
    -------
    DataArray, dimensions draw, and null_world in null worlds
        Σ⟨g, g^p⟩ / Σ⟨g, g⟩.

    Raises
    ------
    UndecidedError
        If a group is empty, or the gradient is zero or not finite.
    """
    if not (data["group_size"] > 0).all():
        raise st.UndecidedError("there is no pristine, or no corrupt, example")
    total = data["product"].sum(["step", "group"], skipna=False)
    pristine = data[product].sel(group="pristine") if product == "product" else data[product]
    share = pristine.astype(np.float64).sum("step", skipna=False) / total.where(total > 0)
    if not np.isfinite(share).all():
        raise st.UndecidedError(NO_GRADIENT)
    return share
