"""The figure of runs compared at the same accuracy: what its table holds, and that all of it is plotted."""

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

from cgpipe.figures import matched
from cgpipe.figures.drawing import draw
from cgpipe.inference.curves import mean_over_log_steps
from cgpipe.inference.matching import matched_accuracy, slowdown
from cgpipe.learning.evaluation import learned_steps
from cgpipe.runs import Run

STEPS = np.array([0, 1, 10, 100])


def history(seed: int, speed: float = 1, share: float = 0.5) -> xr.Dataset:
    """Pristine examples are learned by step 10, corrupt ones by step 100 at speed 1."""
    rng = np.random.default_rng(seed)
    pristine = np.arange(40) < share * 40
    chance = np.where(pristine, 1 - np.exp(-speed * STEPS[:, None] / 3), (speed * STEPS[:, None] / 100) ** 2)
    correct = rng.random(40) < np.clip(chance, 0.05, 1)
    first, last = learned_steps(STEPS, correct)
    return xr.Dataset(
        {
            "correct": (("step", "example"), correct),
            "accuracy_training": ("step", correct.mean(1)),
            "accuracy_test": ("step", rng.random(4)),
            **{
                name: ("example", of)
                for name, of in {"learned_first": first, "learned_last": last, "pristine": pristine}.items()
            },
        },
        coords={"step": STEPS},
    )


def runs(replicates: int = 2) -> list[Run]:
    return [
        Run(noise, c, k, history(7 * k + c, 1 / (1 + c), 1 - noise))
        for noise in (0.0, 0.5)
        for c in (0, 2, 8)
        for k in range(replicates)
    ]


def curves(figure: Figure, row: int) -> int:
    """Lines with more than one point, in a row of panels; those at 0 and 1 are across, with two."""
    return sum(
        len(line.get_xdata()) > 1 for axes in figure.axes[2 * row : 2 * row + 2] for line in axes.lines
    )


def test_the_table_holds_what_the_comparison_of_each_run_gives() -> None:
    given = runs()
    table = matched.table(given)
    assert list(table.columns) == matched.COLUMNS
    by = {run[:3]: run.data for run in given}
    for (noise, c, k), of in by.items():
        rows = table.query("noise == @noise and winsor == @c and replicate == @k").set_index("quantity")
        test = of["accuracy_test"].values
        best = rows.loc["best test accuracy"]
        assert (best["value"], best["step"]) == (test.max(), STEPS[np.argmax(test)])
        if c == 0:
            assert len(rows) == 1
            continue
        found = matched_accuracy(of, by[noise, 0, k])
        for name in ("test accuracy", "corrupt right"):
            known = found.where(found[name].notnull(), drop=True)
            shown = rows.loc[[name]]
            np.testing.assert_array_equal(shown["value"], known[name])
            np.testing.assert_array_equal(shown["accuracy"], known[f"{name}, on"])
            np.testing.assert_array_equal(shown["step"], known["step"])
            assert rows.loc[f"{name}, best", "value"] == known[name].max()
            assert rows.loc[f"{name}, mean", "value"] == mean_over_log_steps(STEPS, found[name])
        for name, (value, bound) in slowdown(of, by[noise, 0, k]).items():
            np.testing.assert_equal((rows.loc[name, "value"], rows.loc[name, "bound"]), (value, bound))
    assert ">=" in set(table["bound"])


@pytest.mark.parametrize("replicates", [1, 2])
def test_every_replicate_and_the_mean_is_plotted(replicates: int) -> None:
    table, figure = draw("matched", runs(replicates))
    each = replicates + 1 if replicates > 1 else 1
    assert curves(figure, 0) == curves(figure, 1) == 2 * (2 * each + 1)
    known = table[table["quantity"].isin(matched.SLOWDOWNS)].dropna(subset=["value"])
    marks = [line for axes in figure.axes[4:] for line in axes.lines if line.get_markersize() == 2.5]
    assert len(marks) == len(known)
    bounds = [line for line in marks if line.get_marker() != "o"]
    assert len(bounds) == (known["bound"] != "").sum() > 0
    assert f"n = {replicates}" in figure.get_supxlabel()


def test_a_mean_of_bounds_is_a_bound() -> None:
    rows = matched.table(runs()).iloc[:0]
    for given, expected in (
        ([(2, ""), (8, "")], (4, "")),
        ([(2, ""), (8, ">=")], (4, ">=")),
        ([(2, "<="), (8, "<=")], (4, "<=")),
        ([(2, "<="), (8, ">=")], (np.nan, "")),
        ([(0, ""), (8, "")], (np.nan, "")),
    ):
        of = rows.reindex(range(2)).assign(value=[v for v, _ in given], bound=[b for _, b in given])
        value, bound = matched.mean_of(of)
        np.testing.assert_allclose(value, expected[0])
        assert bound == expected[1]


def test_a_run_without_plain_sgd_to_compare_with_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"no run of plain SGD \(c = 0\) at noise 0.5, replicate 1"):
        matched.table([Run(0.5, 0, 0, history(0)), Run(0.5, 2, 1, history(1))])
