"""Coherence with real and with random labels: what is tabled and what is drawn."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from made_runs import heldout_of

from cgpipe.figures.drawing import draw, plot
from cgpipe.figures.real_and_random import ASIDE, AT_MARKS, OVER_STEPS
from cgpipe.inference.heldout import with_coherence
from cgpipe.runs import Run


def marked(seed: int) -> xr.Dataset:
    return heldout_of(seed).assign(mark_step=("mark", [10, 20])).assign_coords(mark=[2.0, 1.5])


@pytest.fixture(scope="module")
def drawn():
    first = [Run(noise, 0, k, marked(k), experiment="first") for noise in (0.0, 0.5, 1.0) for k in (0, 1)]
    return draw("real_and_random", [*first, Run(0.0, 0, 0, heldout_of(3, ["Linear"]), experiment="other")])


def test_steps_and_marks_are_tabled(drawn) -> None:
    numbers, _ = drawn
    rows = numbers.query(
        "experiment == 'first' and quantity == 'cosine' and noise == 1 and replicate == 1 "
        "and set == 'held-out' and group == 'near chance' and part == 'network'"
    ).set_index(["of", "at"])["value"]
    given = marked(1)["cosine"].sel(set="held-out", group="near chance")
    burst = given.sel(burst_step=slice(20, 24))
    for of, value in {"median": burst.median(), "low": burst.min(), "high": burst.max()}.items():
        assert rows.loc[of, 1.5] == pytest.approx(float(value))
    assert rows.loc["median"].index.tolist() == [0, 1.5, 2, np.inf]
    assert set(numbers.query("experiment == 'other'")["part"]) == {"network", "last linear"}
    for over_steps, expected in ((True, OVER_STEPS), (False, AT_MARKS)):
        keys = numbers[(numbers["of"] == "step") == over_steps][["quantity", "set", "group", "part"]]
        assert {*keys.itertuples(index=False, name=None)} == expected
    single = numbers.query("experiment == 'first' and of == 'step' and noise == 1 and replicate == 1")
    for of_set, of_one in single.groupby("set"):
        assert of_one["at"].tolist() == [0, 1, 2, 3, 4, 10, 20, 40]
        coherence = with_coherence(marked(1))["m_coherence"].sel(set=of_set, group="all", part="network")
        np.testing.assert_allclose(of_one["value"], coherence.sel(burst_step=of_one["at"].to_list()))


def test_the_lowest_and_the_highest_noise_are_drawn_for_each_experiment(drawn) -> None:
    _, figure = drawn
    grid = np.array(figure.axes).reshape(4, 2)
    assert [axes.get_title() for axes in grid[0]] == ["first", "other"]
    # Lines of each noise level, and one where gradients are orthogonal; one level and no convolution there.
    assert [[len(axes.get_lines()) for axes in row] for row in grid] == [[5, 3], [5, 3], [7, 4], [5, 3]]
    # Lines at the same marks lie aside of each other, the later on top.
    training, held_out, near_chance = grid[2, 0].get_lines()[:3]
    for line, aside in ((held_out, ASIDE), (near_chance, ASIDE**2)):
        np.testing.assert_allclose(line.get_xdata(), training.get_xdata() * aside)
        assert line.get_zorder() > training.get_zorder()
    assert "bars are no errors" in figure.get_supxlabel()
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["real labels (0% noise)", "random labels (0% or 100% noise)"]


def test_a_mark_that_not_all_replicates_passed_is_left_out() -> None:
    few = marked(1).assign(mark_step=("mark", [10, -1]))
    runs = [Run(0.0, 0, k, data, experiment="one") for k, data in enumerate((marked(0), few))]
    numbers, figure = draw("real_and_random", runs)
    assert set(numbers.query("replicate == 0 and of == 'median'")["at"]) == {0, 1.5, 2, np.inf}
    line = np.array(figure.axes)[1].get_lines()[0]
    means = numbers.query(
        "quantity == 'm_coherence' and set == 'training' and group == 'all' and part == 'network' "
        "and of == 'median' and at != 1.5"
    )
    np.testing.assert_allclose(sorted(line.get_ydata()), sorted(means.groupby("at")["value"].mean()))


def test_it_is_drawn_from_its_table_too(drawn, tmp_path) -> None:
    numbers, figure = drawn
    numbers.to_csv(tmp_path / "table.csv", index=False)
    again = plot("real_and_random", pd.read_csv(tmp_path / "table.csv"))
    for axes, same in zip(figure.axes, again.axes, strict=True):
        for line, other in zip(axes.get_lines(), same.get_lines(), strict=True):
            np.testing.assert_allclose(line.get_xydata(), other.get_xydata())
