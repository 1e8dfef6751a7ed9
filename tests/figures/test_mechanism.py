"""Figures of first order against actual loss and of what is clipped: what is tabled and plotted."""

import numpy as np
import pytest
import xarray as xr

from cgpipe.figures import clipping, descent
from cgpipe.figures.drawing import draw
from cgpipe.figures.summary import summarise
from cgpipe.inference.descent import first_steps, full_batch_steps
from cgpipe.runs import Run


def bursts(seed: int, corrupt: int = 20) -> xr.Dataset:
    rng = np.random.default_rng(seed)
    steps, descents = np.arange(15), [0, 1, 10]
    return xr.Dataset(
        {
            "product": (("burst_step", "group"), 1 + rng.random((15, 2))),
            "size": ("group", [40 - corrupt, corrupt]),
            "loss_before": (("descent_step", "group"), 5 + rng.random((3, 2))),
            "loss_after": (("descent_step", "rate", "group"), 4 + rng.random((3, 2, 2))),
        },
        coords={
            "burst_step": steps,
            "snapshot": ("burst_step", np.minimum(steps, 10)),
            "descent_step": descents,
            "rate": [0.1, 0.01],
            "group": ["pristine", "corrupt"],
        },
    )


def test_descent_shows_predicted_and_actual_falls_of_each_group() -> None:
    a, b = bursts(0), bursts(1)
    runs = [Run(0.0, 0, 0, bursts(2, corrupt=0)), Run(0.5, 0, 0, a), Run(0.5, 0, 1, b)]
    numbers, figure = draw("descent", runs, learning_rate=0.25)
    table = summarise(numbers)
    at = table.set_index(["steps", "quantity", "group", "noise", "rate", "step"])
    first = [first_steps(of, 0.25).sel(group="corrupt") for of in (a, b)]
    for quantity in ("predicted", "actual"):
        row = at.loc[("first ten", quantity, "corrupt", 0.5, 0.25, 0)]
        np.testing.assert_allclose(row["mean"], np.mean([of[quantity] for of in first]))
        assert row["n"] == 2
    each = [full_batch_steps(of).sel(group="pristine", descent_step=1, rate=0.01) for of in (a, b)]
    row = at.loc[("full-batch", "ratio", "pristine", 0.5, 0.01, 1)]
    ratios = [float(of["actual"] / of["predicted"]) for of in each]
    np.testing.assert_allclose([row["mean"], row["low"], row["high"]], [np.mean(ratios), *sorted(ratios)])
    # A group without examples is not in the table.
    assert set(table[table["noise"] == 0]["group"]) == {"all", "pristine"}
    curves = sum(len(line.get_xdata()) > 0 for axes in figure.axes for line in axes.lines)
    # In ten steps: two falls and a line at 0 in each panel; then a line at 0 and at 1, and the ratios.
    assert curves == 3 * 3 + 2 * (3 * 2 + 3 + 2)


def clipped(seed: int) -> xr.Dataset:
    rng = np.random.default_rng(seed)
    dims, shape = ("step", "batch", "winsor"), (3, 2, 3)
    odds = 1 + rng.random(shape)
    odds[:, :, 0] = np.nan  # of plain SGD nothing is clipped
    return xr.Dataset(
        {
            "odds": (dims, odds),
            "zero": (dims, rng.random(shape)),
            "norm_ratio": (dims, rng.random(shape)),
            "cosine": ((*dims, "other"), rng.random((*shape, 4))),
            "squared_bias": (("step", "winsor"), rng.random((3, 3))),
            "changed": ((*dims, "group"), rng.random((*shape, 2))),
        },
        coords={
            "step": [0, 1, 10],
            "winsor": [0, 1, 8],
            "other": ["minibatch", "all", "pristine", "corrupt"],
            "group": ["pristine", "corrupt"],
        },
    )


def test_clipping_shows_means_over_the_minibatches_of_each_replicate() -> None:
    a, b = clipped(0), clipped(1)
    numbers, figure = draw("clipping", [Run(0.5, 0, 0, a), Run(0.5, 0, 1, b), Run(0.5, 8, 0, clipped(2))])
    table = summarise(numbers)
    at = table.set_index(["quantity", "noise", "trained", "winsor", "step"])
    for quantity, of in (
        ("norm_ratio", lambda run: run["norm_ratio"]),
        ("zero", lambda run: run["zero"]),
        ("cosine with corrupt", lambda run: run["cosine"].sel(other="corrupt")),
    ):
        expected = [float(of(run).sel(step=10, winsor=8).mean()) for run in (a, b)]
        row = at.loc[(quantity, 0.5, 0, 8, 10)]
        np.testing.assert_allclose([row["mean"], row["n"]], [np.mean(expected), 2])
    odds = [float(np.sqrt(run["odds"].sel(step=1, winsor=1).prod())) for run in (a, b)]
    np.testing.assert_allclose(at.loc[("odds", 0.5, 0, 1, 1), ["low", "high"]].tolist(), sorted(odds))
    assert at.loc[("squared_bias", 0.5, 8, 1, 1), "n"] == 1
    assert ("odds", 0.5, 0, 0, 1) not in at.index
    curves = sum(len(line.get_xdata()) > 0 for axes in figure.axes for line in axes.lines)
    # Of both trainings: seven quantities at three levels, of the odds at two, and a line across each panel.
    assert curves == 2 * (7 * 3 - 1 + len(clipping.PANELS))


@pytest.mark.parametrize("module", [clipping, descent])
def test_every_quantity_that_is_plotted_is_in_the_table(module) -> None:
    runs = [Run(0.5, 0, 0, clipped(0) if module is clipping else bursts(0))]
    options = {} if module is clipping else {"learning_rate": 0.1}
    named = (
        [quantity for panel in clipping.PANELS for quantity in panel.quantities]
        if module is clipping
        else [*descent.FALLS, "ratio"]
    )
    assert set(named) <= set(module.table(runs, **options)["quantity"])
