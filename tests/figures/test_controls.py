"""The figure of controls: every rule is compared with plain SGD, and shown beside winsorized SGD."""

import numpy as np
import pytest
from figures.test_matched import history

from cgpipe.figures import controls
from cgpipe.figures.drawing import draw
from cgpipe.figures.matched import mean_of
from cgpipe.inference.curves import mean_over_log_steps
from cgpipe.inference.matching import matched_accuracy, slowdown
from cgpipe.runs import Run

RULES = [("winsorized_mean", 0), ("winsorized_mean", 2), ("random_drop", 2), ("m3", 0)]


def runs(replicates: int = 2) -> list[Run]:
    return [
        Run(0.5, c, k, history(10 * place + k, 1 if place in (0, 3) else 0.2), rule)
        for place, (rule, c) in enumerate(RULES)
        for k in range(replicates)
    ]


def test_every_rule_is_compared_with_plain_sgd_of_its_replicate() -> None:
    given = runs()
    table = controls.table(given)
    assert list(table.columns) == controls.COLUMNS
    plain = {run.replicate: run.data for run in given[:2]}
    assert set(zip(table["update"], table["winsor"], strict=True)) == set(RULES[1:])
    at = table.set_index(["update", "winsor", "replicate", "quantity"])
    for run in given[2:]:
        found = at.loc[run.update, run.winsor, run.replicate]
        slowed = slowdown(run.data, plain[run.replicate])["S"]
        np.testing.assert_equal((found.loc["S", "value"], found.loc["S", "bound"]), tuple(slowed))
        curves = matched_accuracy(run.data, plain[run.replicate])
        mean = mean_over_log_steps(curves["step"], curves["test accuracy"])
        assert found.loc["test accuracy, mean", "value"] == pytest.approx(mean)


def test_every_replicate_is_plotted_and_the_means_of_each_rule() -> None:
    table, figure = draw("controls", runs())
    left, right = figure.axes
    labels = [text.get_text() for text in left.get_yticklabels()]
    assert labels == ["winsorized mean, $c$ = 2", "m3", "random drop, $c$ = 2"]
    for axes, quantity in ((left, "test accuracy, mean"), (right, "S")):
        known = table[table["quantity"] == quantity].dropna(subset=["value"])
        small = sorted(float(line.get_xdata()[0]) for line in axes.lines if line.get_markersize() == 3)
        np.testing.assert_allclose(small, sorted(known["value"]))
    (large,) = (line for line in right.lines if line.get_markersize() == 5 and line.get_ydata()[0] == 0)
    expected = mean_of(table.query("update == 'winsorized_mean' and quantity == 'S'"))
    np.testing.assert_allclose(large.get_xdata()[0], expected.value)
    assert large.get_marker() == controls.MARKERS[expected.bound]
    assert "n = 2" in figure.get_supxlabel()


def test_a_rule_without_plain_sgd_to_compare_it_with_is_an_error() -> None:
    with pytest.raises(
        ValueError, match=r"no run of plain SGD \(c = 0\) at noise 0.5, replicate 0, .* of m3"
    ):
        controls.table([run for run in runs() if run.update == "m3"])
