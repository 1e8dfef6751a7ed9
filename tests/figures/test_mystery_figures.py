"""Figures of the second paper that plot histories, and statistics of claims."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from cgpipe.figures.drawing import draw, plot
from cgpipe.figures.frontier import at_equal_learning, looks
from cgpipe.figures.registry import FIGURES
from cgpipe.figures.summary import summarise
from cgpipe.inference.claims.registry import parts
from cgpipe.inference.mystery.examples import PURE
from cgpipe.inference.mystery.rules import LEVELS
from cgpipe.inference.mystery.runs import GM, Mystery, Roles
from cgpipe.inference.verdicts import TIDY, Observed, tidy
from cgpipe.runs import Run


def history(pristine_right, corrupt_right, steps=(0, 10, 20), **more):
    """Four pristine and four corrupt examples, of which so many are right at each step."""
    correct = np.zeros((len(steps), 8), bool)
    for step, (p, c) in enumerate(zip(pristine_right, corrupt_right, strict=True)):
        correct[step, :p] = True
        correct[step, 4 : 4 + c] = True
    variables = {
        "correct": (("step", "example"), correct),
        "pristine": ("example", np.arange(8) < 4),
        "accuracy_test": ("step", np.linspace(0.1, 0.9, len(steps))),
        **{name: ("step", values) for name, values in more.items()},
    }
    return xr.Dataset(variables, {"step": list(steps)})


def values(table, **levels):
    for column, value in levels.items():
        table = table[table[column] == value]
    return table.sort_values("step")["value"].tolist()


def rules():
    return [
        Run(0.5, 0, 0, history([0, 2, 4], [0, 1, 4]), experiment="sgd"),
        Run(0.5, 2, 0, history([0, 2, 4], [0, 0, 1]), experiment="clip"),
        Run(0.5, 4, 0, history([0, 2, 4], [0, 0, 0]), experiment="clip"),
        Run(0.5, 0, 0, history([0, 1, 2], [0, 0, 0], epsilon=[0.0, 1.5, 2.5]), "dp_sgd", "private"),
        Run(0.5, 0, 0, history([0, 1, 4], [0, 0, 0], epsilon=[0.0, 1.5, 93025.5]), "dp_sgd", "private_low"),
    ]


def test_frontier_has_shares_of_both_groups_and_the_privacy_of_private_runs():
    table, figure = draw("frontier", rules())
    assert values(table, experiment="sgd", quantity="corrupt") == [0, 0.25, 1]
    assert values(table, experiment="clip", winsor=2, quantity="pristine") == [0, 0.5, 1]
    private = ["DP-SGD (ε = 2.5)", "DP-SGD low (ε = 93,000)"]
    assert words(figure) == ["SGD", "clip, $c$ = 2", "clip, $c$ = 4", *private]


def test_frontier_tells_rules_apart_and_the_reference_is_black():
    table, figure = draw("frontier", rules())
    for reference, black in (("sgd", [("sgd", 0)]), ("absent", [])):
        found = looks(table, ["red", "green", "blue"], reference)
        assert len(set(found.values())) == len(found) == 5
        assert [run for run, (color, _) in found.items() if color == "black"] == black
    # Levels of winsorization share a colour, as private runs do.
    assert [color for color, _ in looks(table, "rgb", "sgd").values()] == ["black", "r", "r", "g", "g"]
    assert figure.axes[0].lines[0].get_color() == "black"


def test_frontier_shows_what_is_memorized_where_as_much_is_first_learned():
    # Three of four at step 15; the pristine share falls between, and comes to 1 at step 40 again.
    steps = (0, 10, 20, 30, 40)
    first = history([0, 2, 4, 1, 4], [0, 0, 2, 4, 4], steps)
    curve = at_equal_learning(draw("frontier", [Run(0.5, 0, 0, first, experiment="sgd")])[0])
    assert curve.set_index("pristine")["corrupt"].loc[[0.75, 1]].tolist() == [0.25, 0.5]
    # A mean is over all replicates, as far as each of them comes.
    other = history([0, 2, 3, 3, 3], [0, 0, 0, 4, 4], steps)
    both = [Run(0.5, 0, k, of, experiment="sgd") for k, of in enumerate((first, other))]
    table, figure = draw("frontier", both)
    mean = at_equal_learning(table).set_index("pristine")["corrupt"]
    assert mean.loc[0.75] == 0.125
    assert mean.loc[0.76:].isna().all()
    line, *levels = figure.axes[0].lines
    np.testing.assert_allclose(line.get_ydata(), mean)
    assert [level.get_xdata()[0] for level in levels] == list(LEVELS)
    assert "n = 2" in figure.get_supxlabel()


def test_stopping_has_the_pristine_share_of_what_is_learned():
    runs = [Run(0.5, 0, r, history([0, 3, 4], [0, 1, 4]), experiment="net") for r in (0, 1)]
    table, figure = draw("stopping", runs)
    # Nothing is learned at step 0, so there is no share.
    assert values(table, quantity="pristine_share", replicate=0) == [0.75, 0.5]
    assert values(table, quantity="pristine_share_of_all") == [0.5, 0.5]
    (axes,) = figure.axes
    heights = [line.get_ydata()[0] for line in axes.lines if len(set(line.get_ydata())) == 1]
    assert heights[::2] == [PURE, 0.5]  # and the dot
    assert words(figure)[-2:] == ["pristine share of all examples", "0.9: nearly all is pristine (G7)"]
    # A table of replicates one below the other, and one that an earlier version wrote.
    old = table[table["quantity"] != "pristine_share_of_all"]
    again = plot("stopping", pd.concat([old[old["replicate"] == 1], table[table["replicate"] == 0]]))
    for line, same in zip(axes.lines, again.axes[0].lines, strict=True):
        np.testing.assert_array_equal(line.get_xydata(), same.get_xydata())
    assert "pristine share of all examples" not in words(plot("stopping", old))


def words(figure):
    (legend,) = figure.legends
    return [text.get_text() for text in legend.get_texts()]


def test_a_mean_is_over_steps_that_all_replicates_logged():
    # The second run passes a mark at step 15.
    runs = [
        Run(0.5, 0, 0, history([0, 3, 4], [0, 1, 4]), experiment="net"),
        Run(0.5, 0, 1, history([0, 3, 3, 4], [0, 1, 1, 4], (0, 10, 15, 20)), experiment="net"),
        Run(0.5, 0, 0, history([0, 3, 4], [0, 1, 4], (0, 10, 30)), experiment="other"),
    ]
    table, _ = draw("stopping", runs)
    assert 15 in set(table["step"])
    means = summarise(table[table["quantity"] == "accuracy_test"])
    assert means.groupby("experiment")["step"].agg(list).to_dict() == {
        "net": [0, 10, 20],
        "other": [0, 10, 30],
    }
    assert set(means[means["experiment"] == "net"]["n"]) == {2}


def statistics(*claims):
    """Statistics in which every part of some claims has the value 0.5 in replicates 0 and 1."""
    observed = {replicate: Observed(0.5) for replicate in (0, 1)}
    made = [
        part.__class__(**{**vars(part), "observed": observed})
        for part in parts(Mystery(Roles(widths=["narrow", "wide"])), GM)
        if part.claim in claims
    ]
    return tidy(made)


def artifact(table):
    columns = {f"statistic_{name}": ("statistic_row", table[name].to_numpy()) for name in TIDY}
    return [Run(np.nan, 0, 0, xr.Dataset(columns))]


@pytest.mark.parametrize(
    ("name", "claims", "panels"),
    [("easy_and_hard", ("G4", "G5", "G6"), list("abcdef")), ("beginnings", ("G10", "G11"), list("abcd"))],
)
def test_statistics_that_are_shown_have_panels(name, claims, panels):
    table, figure = draw(name, artifact(statistics(*claims)))
    assert list(dict.fromkeys(table["panel"])) == panels
    assert set(table["value"]) == {0.5}
    assert len(figure.axes) == len(panels)
    assert ("; in a pairs of runs)" in figure.get_supxlabel()) == (name == "easy_and_hard")
    # Of other claims nothing is known, and nothing is drawn.
    rest, empty = draw(name, artifact(statistics(claims[0])))
    assert 0 < len(empty.axes) < len(panels)
    assert set(rest["claim"]) == {claims[0]}


def test_panels_of_one_quantity_have_one_axis_and_accuracies_and_coherences_begin_at_0():
    table, _ = draw("easy_and_hard", artifact(statistics("G4", "G5", "G6")))
    table["value"] = np.linspace(0.3, 0.9, len(table))
    kappa, easy, hard, either, start, marks = plot("easy_and_hard", table).axes
    assert easy.get_ylim() == hard.get_ylim() == either.get_ylim()
    assert start.get_ylim() == marks.get_ylim()
    assert kappa.get_ylabel() == "agreement κ (0: chance)"
    assert all(axes.get_ylim()[0] <= 0 and axes.get_ylabel() for axes in (kappa, easy, start))
    one, two = (table["panel"] == "a") & (table["replicate"] == 0), table["panel"] != "a"
    assert "n = 1 in a; 2 in b, c, d, e, f" in plot("easy_and_hard", table[one | two]).get_supxlabel()


@pytest.mark.parametrize(
    ("widths", "scale", "names"),
    [
        (["width_16", "width_4096"], "log", ["16", "4,096"]),
        (["width_16", "wide"], "linear", ["width 16", "wide"]),
        (["width_16"], "linear", ["width 16"]),
    ],
)
def test_widths_lie_on_a_logarithmic_axis_where_all_have_numbers(widths, scale, names):
    rows = [("c", "G11", width, k, 0.8 + 0.1 * k) for width in widths for k in (0, 1)]
    rows += [("d", "G11", width, 0, 30.0) for width in widths]
    table = pd.DataFrame(rows, columns=["panel", "claim", "part", "replicate", "value"])
    accuracy, coherence = plot("beginnings", table).axes
    assert accuracy.get_xscale() == coherence.get_xscale() == scale
    assert [label.get_text() for label in accuracy.get_xticklabels()] == names
    assert (accuracy.get_yscale(), coherence.get_yscale()) == ("linear", "log")
    assert "do not begin at 0: c." in plot("beginnings", table).get_supxlabel()


def test_verdicts_stand_below_the_figures_that_they_are_about():
    table, _ = draw("stopping", [Run(0.5, 0, 0, history([0, 3, 4], [0, 1, 4]), experiment="net")])
    of_all = statistics(*(f"G{k}" for k in range(1, 14)))
    below = plot("stopping", table, claims=of_all).get_supxlabel()
    assert below.endswith("\nG7: undecided, met by 0 of 2")
    one = of_all[of_all["claim"] == "G7"].query("rule == 'above'").iloc[[0]]
    five = pd.concat([one.assign(replicate=k, excess=-1.0 - k / 10) for k in range(5)])
    two_parts = pd.concat([five, five.assign(part="other", excess=-five["excess"])])
    below = plot("stopping", table, claims=two_parts).get_supxlabel()
    assert below.endswith("\nG7: contradicted, met by 0 of 5; 1 of 2 parts hold")
    assert "G7" not in plot("stopping", table).get_supxlabel()
    assert "G7" not in plot("figure4", figure4(), claims=of_all, classes=10).get_supxlabel()


def figure4():
    runs = [Run(0.5, 0, 0, history([0, 3, 4], [0, 1, 4], accuracy_training=[0.0, 0.5, 1.0]))]
    return draw("figure4", runs, classes=10)[0]


def test_claims_of_one_estimator_have_no_marks_in_the_legend():
    table, figure = draw("mystery", artifact(statistics("G1", "G7")))
    assert isinstance(table, pd.DataFrame)
    assert words(figure) == ["holds", "contradicted", "undecided"]
    assert "in the order" not in figure.get_supxlabel()
    labels = [label.get_text() for axes in figure.axes for label in axes.get_yticklabels()]
    assert {"LeNet-5, training", "AlexNet, at the best step"} <= {*labels}
    assert all(label.get_text() for axes in figure.axes for label in axes.get_xticklabels())


def test_each_claim_has_a_figure():
    shown = {claim for entry in FIGURES.values() for claim in entry.claims}
    assert shown == {f"G{k}" for k in range(1, 14)}
