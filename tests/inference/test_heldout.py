"""Coherence of the parts of a network, and at marks, against sums by hand."""

import numpy as np
import pytest
import xarray as xr
from made_runs import HELDOUT_STEPS, heldout_of

from cgpipe.inference.heldout import END, START, bursts_at_marks, with_coherence


def test_coherence_of_a_part_is_that_of_the_sums_over_its_layers() -> None:
    made = heldout_of(0)
    found = with_coherence(made)
    for part, layers in {"network": [0, 1, 2, 3, 4], "convolutional": [0, 2], "last linear": [4]}.items():
        of = made.isel(layer=layers).sum("layer")
        m = of["squared_norm"] / of["energy"]
        np.testing.assert_allclose(found["m_coherence"].sel(part=part), m)
        np.testing.assert_allclose(found["alpha"].sel(part=part), m / 7)
        np.testing.assert_allclose(found["pair_coherence"].sel(part=part), (m - 1) / 6)
    np.testing.assert_array_equal(found["cosine"], made["cosine"])


def test_a_part_that_is_not_there_has_no_coherence() -> None:
    found = with_coherence(heldout_of(0, ["Linear"]))
    assert np.isnan(found["m_coherence"].sel(part="convolutional")).all()
    assert np.isfinite(found["m_coherence"].sel(part="last linear")).all()


def test_a_mark_has_the_median_and_the_range_of_the_five_steps_from_it_on() -> None:
    made = with_coherence(heldout_of(1))
    made["cosine"][:] = np.arange(len(HELDOUT_STEPS))[:, None, None] * 10.0
    made["cosine"][6:10, 0, 0] = np.nan
    marks = xr.DataArray([20, -1], {"mark": [1.5, 0.1]}, "mark")
    found = bursts_at_marks(made, marks)["cosine"]
    assert found["mark"].values.tolist() == [START, 1.5, END]
    one = found.sel(set="held-out", group="all")
    assert one.sel(statistic=["median", "low", "high"], mark=1.5).values.tolist() == [80, 60, 100]
    assert one.sel(statistic="median").values.tolist() == [20, 80, 130]
    # A step without a value is left out.
    assert float(found.sel(set="training", group="all", mark=1.5, statistic="low")) == 100
    assert bursts_at_marks(made)["mark"].values.tolist() == [START, END]


def test_a_run_that_cannot_be_continued_has_single_steps() -> None:
    made = with_coherence(heldout_of(2)).sel(burst_step=[0, 10, 40])
    found = bursts_at_marks(made.assign_coords(snapshot=made["burst_step"]))["cosine"]
    for statistic in ("median", "low", "high"):
        np.testing.assert_array_equal(found.sel(statistic=statistic, mark=END), made["cosine"][-1])
    assert float(found.sel(mark=START, statistic="low")[0, 0]) == pytest.approx(
        float(made["cosine"][0, 0, 0])
    )
