"""The fall of the loss that the gradient predicts (Chatterjee 2020, equation 1), and the actual one."""

import xarray as xr

FIRST = 10  # steps, as in figure 3


def first_steps(bursts: xr.Dataset, learning_rate: float) -> xr.Dataset:
    """Predicted and actual fall of the mean loss over the first ten steps of SGD.

    To first order, step t changes the summed loss of a group k by -rate/m · ⟨g, g^k⟩, if the gradient of the
    minibatch is that of all m examples.

    Parameters
    ----------
    bursts : Dataset
        Of plain SGD (stage bursts).
    learning_rate : float
        That of the training.

    Returns
    -------
    Dataset
        Over group (all, pristine, corrupt): `predicted` and `actual`, in nats; positive where the loss falls.
        NaN for a group without examples, and where one of the steps was not measured.
    """
    products, size = _with_all(bursts["product"]), _with_all(bursts["size"])
    m = size.sel(group="all")
    along = products.reindex(burst_step=range(FIRST)).sum("burst_step", skipna=False)
    losses = _with_all(bursts["loss_before"]).reindex(descent_step=[0, FIRST])
    fall = -losses.diff("descent_step").isel(descent_step=0, drop=True)
    of_group = size.where(size > 0)
    return xr.Dataset({"predicted": learning_rate / m * along / of_group, "actual": fall / of_group})


def full_batch_steps(bursts: xr.Dataset) -> xr.Dataset:
    """Predicted and actual fall of the mean loss after one step by all examples.

    Without the noise of minibatches, what the prediction lacks is the curvature of the loss.

    Parameters
    ----------
    bursts : Dataset
        Of a run (stage bursts).

    Returns
    -------
    Dataset
        Over descent_step, rate and group (all, pristine, corrupt): `predicted` and `actual`, in nats;
        positive where the loss falls. NaN for a group without examples.
    """
    size = _with_all(bursts["size"])
    products = _with_all(bursts["product"]).sel(burst_step=bursts["descent_step"])
    of_group = size.where(size > 0)
    fall = _with_all(bursts["loss_before"]) - _with_all(bursts["loss_after"])
    predicted = bursts["rate"] / size.sel(group="all") * products / of_group
    return xr.Dataset({"predicted": predicted, "actual": fall / of_group}).drop_vars(
        ["burst_step", "snapshot"]
    )


def _with_all(of_groups: xr.DataArray) -> xr.DataArray:
    """Sums over the groups, as another group before them."""
    whole = of_groups.sum("group").expand_dims(group=["all"])
    return xr.concat([whole, of_groups], "group")
