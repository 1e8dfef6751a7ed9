"""The numbers behind the figures, and that the figures show them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from cgpipe.figures import figure1, figure4
from cgpipe.figures.comparison import compare, split_sources
from cgpipe.figures.drawing import draw, plot
from cgpipe.figures.summary import summarise
from cgpipe.inference.verdicts import TIDY, Observed, Part, tidy
from cgpipe.learning.evaluation import learned_steps
from cgpipe.reproduction.tables import read_table
from cgpipe.runs import Run

STEPS = np.array([0, 1, 2, 10])
DEVIATION = np.array([0.1, 0.2, 0.3, 0.4])


def history(seed: int, share: float = 0.5) -> xr.Dataset:
    rng = np.random.default_rng(seed)
    correct = rng.random((4, 40)) < 0.5
    first, last = learned_steps(STEPS, correct)
    curves = {
        name: ("step", rng.random(4))
        for name in ("loss_training", "loss_test", "accuracy_training", "accuracy_test")
    }
    of_examples = {"learned_first": first, "learned_last": last, "pristine": np.arange(40) < share * 40}
    return xr.Dataset(
        {
            **curves,
            "correct": (("step", "example"), correct),
            **{name: ("example", values) for name, values in of_examples.items()},
        },
        coords={"step": STEPS},
    )


def null_worlds(seed: int, draws: int = 3) -> xr.Dataset:
    rng = np.random.default_rng(seed)
    variables: dict[str, tuple[tuple[str, ...], np.ndarray]] = {}
    for name, step, n in (("f", "step", 4), ("i", "early_step", 3)):
        variables |= {
            name: (("group", step), rng.random((2, n))),
            f"{name}_null": (("group", "world", step), rng.random((2, 2, n))),
            f"{name}_null_low": (("group", step), np.zeros((2, n))),
            f"{name}_null_high": (("group", step), np.ones((2, n))),
            f"{name}_p": ((step,), rng.random(n)),
            f"{name}_curve_p": ((), rng.random()),
        }
    variables["f_pairs"] = (("group", "step"), 5 * rng.normal(size=(2, 4)))
    variables["self_term_share"] = (("step",), rng.random(4))
    variables["squared_norm"] = (("step",), 1 + rng.random(4))
    variables["product"] = (("draw", "step", "group"), 1 + rng.random((draws, 4, 2)))
    variables["group_size"] = (("draw", "group"), np.full((draws, 2), [6, 4]))
    variables["f_stratified_mean"], variables["f_stratified_sd"] = (
        (("step",), rng.random(4)),
        (("step",), DEVIATION),
    )
    variables["f_stratified_p"] = (("step",), rng.random(4))
    variables["cosine"] = (("step", "group"), rng.random((4, 2)))
    variables["burst_product"] = (("burst_step", "group"), 1 + rng.random((6, 2)))
    coords = {
        "group": ["pristine", "corrupt"],
        "step": STEPS,
        "early_step": STEPS[:3],
        "world": [1, 2],
        "burst_step": [0, 1, 2, 10, 11, 12],
        "snapshot": ("burst_step", [0, 1, 2, 10, 10, 10]),
    }
    return xr.Dataset(variables, coords=coords)


def lines(figure) -> int:
    return sum(len(axes.get_lines()) for axes in figure.axes)


def test_summary_is_mean_smallest_largest_and_number_of_the_replicates() -> None:
    values = pd.DataFrame(
        {"noise": [0.5, 0.5, 0.25], "replicate": [1, 0, 0], "value": [3.0, 1.0, 7.0]},
    )
    expected = pd.DataFrame(
        {
            "noise": [0.25, 0.5],
            "mean": [7.0, 2.0],
            "low": [7.0, 1.0],
            "high": [7.0, 3.0],
            "n": [1, 2],
        }
    )
    pd.testing.assert_frame_equal(summarise(values), expected)


def test_steps_are_those_of_all_replicates_of_a_source() -> None:
    at = {"here": ([0], (10, 100)), "there": ([0, 1, 2], (10, 60))}
    rows = [(source, 0.5, step, k, 1.0) for source, (ks, steps) in at.items() for step in steps for k in ks]
    rows += [("there", 0.5, 70, 1, 1.0)]
    columns = ["source", "noise", "step", "replicate", "value"]
    found = summarise(pd.DataFrame(rows, columns=columns))
    assert found[["source", "step"]].values.tolist() == [
        ["here", 10],
        ["here", 100],
        ["there", 10],
        ["there", 60],
    ]


def test_figure1_shows_curves_and_the_shares_of_both_groups_that_are_right() -> None:
    a, b = history(0), history(1)
    table = summarise(figure1.table([Run(0.5, 0, 0, a), Run(0.5, 0, 1, b)]))
    at = table.set_index(["panel", "group", "step"])
    assert at.loc[("b", "all", 2), "mean"] == pytest.approx((a.accuracy_test[2] + b.accuracy_test[2]) / 2)
    right = [float(run.correct[3, 20:].mean()) for run in (a, b)]
    assert at.loc[("d", "corrupt", 10), ["low", "high"]].tolist() == pytest.approx(sorted(right))
    assert set(table["n"]) == {2}


@pytest.mark.parametrize("learned", ["first", "last"])
def test_figure1_counts_what_was_learned_until_a_step(learned: str) -> None:
    of = history(2)
    table = summarise(figure1.table([Run(0.5, 0, 0, of)], learned=learned)).query(
        "panel == 'd' and group == 'pristine'"
    )
    since = of[f"learned_{learned}"].values[:20]
    expected = [np.mean((since >= 0) & (since <= step)) for step in STEPS]
    np.testing.assert_allclose(table["mean"], expected)
    assert (np.diff(table["mean"]) >= 0).all()


def test_another_word_for_learned_is_an_error() -> None:
    with pytest.raises(ValueError, match="learned: given 'lst'; allowed: at_step, first, last"):
        draw("figure1", [Run(0.5, 0, 0, history(2))], learned="lst")


def test_figure1_has_no_curve_of_an_empty_group() -> None:
    table = summarise(figure1.table([Run(0.0, 0, 0, history(0, share=1.0))]))
    assert set(table.query("panel == 'd'")["group"]) == {"pristine"}


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_figure4_overfit_is_what_test_accuracy_and_noise_do_not_explain(classes: int) -> None:
    of = history(3)
    numbers, figure = draw("figure4", [Run(0.25, 2, 0, of)], classes=classes)
    table = summarise(numbers)
    ta, va = of.accuracy_training.values, of.accuracy_test.values
    overfit = table.set_index(["curve", "step"]).loc["overfit", "mean"]
    np.testing.assert_allclose(overfit, ta - (0.25 / classes + 0.75 * va))
    _, proper, *_ = figure.axes[0].get_lines()
    np.testing.assert_allclose(proper.get_ydata(), 0.75 + 0.25 / classes)


def test_the_best_of_a_run_is_taken_before_the_mean_over_runs() -> None:
    a, b = history(4), history(5)
    peaks = [float(STEPS[np.argmax(of.accuracy_test.values)]) for of in (a, b)]
    assert peaks[0] != peaks[1]
    of_4 = summarise(figure4.table([Run(0.25, 2, k, of) for k, of in enumerate((a, b))], classes=10))
    at = of_4.set_index(["curve", "step"])["mean"]
    assert at["best test accuracy", 10] == pytest.approx(np.mean([of.accuracy_test.max() for of in (a, b)]))
    excess = [float(of.accuracy_training.max() - 0.5) for of in (a, b)]
    assert at["excess", 10] == pytest.approx(np.mean(excess))
    of_1 = summarise(figure1.table([Run(0.25, 0, k, of) for k, of in enumerate((a, b))])).query(
        "panel == 'b'"
    )
    best, step = (of_1[of_1["group"] == group].iloc[0] for group in ("best", "step of the best"))
    assert best["mean"] == pytest.approx(at["best test accuracy", 10])
    assert [step["low"], step["high"]] == sorted(peaks)


def test_a_figure_is_compared_with_another_table_of_it_at_the_levels_of_both() -> None:
    here = figure4.table([Run(0.5, c, 0, history(c)) for c in (0, 2)], classes=10)
    there = figure4.table([Run(noise, c, 0, history(9)) for noise in (0.25, 0.5) for c in (2, 4)], classes=10)
    joined = compare(here, there, "there.csv", ["noise", "winsor"])
    own, other = split_sources(joined)
    pd.testing.assert_frame_equal(own.drop(columns="source").reset_index(drop=True), here)
    assert set(other["source"]) == {"there.csv"}
    expected = there.query("noise == 0.5 and winsor == 2").reset_index(drop=True)
    pd.testing.assert_frame_equal(other.drop(columns="source").reset_index(drop=True), expected)


def test_a_table_that_does_not_fit_is_an_error() -> None:
    here = figure1.table([Run(0.5, 0, 0, history(0))])
    with pytest.raises(
        ValueError, match=r"a\.csv is no table of this figure: its columns are noise, step, value"
    ):
        compare(here, here[["noise", "step", "value"]], "a.csv", ["noise"])
    with pytest.raises(ValueError, match=r"a\.csv has nothing at the levels of noise that are plotted here"):
        compare(here, here.assign(noise=0.75), "a.csv", ["noise"])


@pytest.mark.parametrize(("name", "options", "more"), [("figure1", {}, 5), ("figure4", {"classes": 10}, 3)])
def test_what_a_figure_is_compared_with_is_plotted_and_named(name: str, options: dict, more: int) -> None:
    runs = [Run(0.5, 0, 0, history(0))]
    here, alone = draw(name, runs, **options)
    joined, both = draw(
        name, runs, compare_with=("there.csv", pd.concat([here, here.assign(replicate=1)])), **options
    )
    assert lines(both) - lines(alone) == more
    assert set(joined["source"]) == {"here", "there.csv"}
    assert alone.get_supxlabel() == "Lines: one replicate (n = 1)."
    assert both.get_supxlabel() == "Lines: one replicate (n = 1). Pale: there.csv (n = 2)."


@pytest.mark.parametrize("name", ["figure2", "figure3", "figure3_exact"])
def test_figures_2_and_3_hold_data_worlds_bands_and_p_values(name: str) -> None:
    statistic, step, steps = ("f", "step", STEPS) if name == "figure2" else ("i", "early_step", STEPS[:3])
    a, b = null_worlds(0), null_worlds(1)
    numbers, figure = draw(name, [Run(0.5, 0, 0, a), Run(0.5, 0, 1, b)])
    table = summarise(numbers)
    rows = {"data", "world 1", "world 2", "null low", "null high", "p", "curve p"}
    rows |= {"pairs", "self terms"} if name == "figure2" else set()
    rows |= {"draws mean", "draws low", "draws high"} if name != "figure3_exact" else set()
    assert set(table["row"]) == rows
    at = table.set_index(["row", "group", "step"])
    expected = (a[statistic] + b[statistic]).sel({"group": "corrupt", step: 1}) / 2
    assert at.loc[("data", "corrupt", 1), "mean"] == pytest.approx(float(expected))
    first_world = float(a[f"{statistic}_null"].sel({"group": "corrupt", "world": 2, step: 1}))
    assert at.loc[("world 2", "corrupt", 1), ["mean", "low", "high"]].tolist() == pytest.approx(
        [first_world] * 3
    )
    assert at.loc[("world 2", "corrupt", 1), "n"] == 1  # the mean of several is no null world
    first, _, source = figure.get_supxlabel().split("\n")
    assert first.startswith(
        "Lines: mean over n = 2 replicates; bands: smallest to largest. Null band: mean of"
    )
    assert (source == "All examples, all parameters.") == (name == "figure3_exact")
    largest = max(float(of[f"{statistic}_curve_p"]) for of in (a, b))
    assert at.loc[("curve p", "pristine", steps[-1]), "high"] == pytest.approx(largest)


def test_of_a_sample_the_range_over_the_draws_is_shown() -> None:
    null = null_worlds(0)
    for name, step in (("figure2", "step"), ("figure3", "early_step")):
        numbers, figure = draw(name, [Run(0.5, 0, 0, null)])
        table = summarise(numbers)
        at = table.set_index(["row", "group", "step"])["mean"]
        product = null["product"].sel(step=STEPS[:3])
        of_draws = product / product.sum("group") if name == "figure2" else product.cumsum("step") / 6
        here = of_draws.sel(group="pristine").isel(step=2).values
        for row, expected in {"mean": here.mean(), "low": here.min(), "high": here.max()}.items():
            assert at.loc[f"draws {row}", "pristine", 2] == pytest.approx(expected), (name, step, row)
        labels = [axes.get_ylabel() for axes in figure.axes]
        assert labels[1].endswith("\nmean of draws")
        top = figure.axes[1].collections[0].get_paths()[0].vertices[:, 1].max()
        assert top == pytest.approx(at.loc["draws high", "pristine"].max())


def test_the_exact_figure_2_says_what_a_sample_would_show_and_what_sums_of_decades_and_bursts() -> None:
    null = null_worlds(0, draws=1)
    numbers, figure = draw("figure2_exact", [Run(0.5, 0, 0, null)], examples=4)
    table = summarise(numbers)
    at = table.set_index(["row", "group", "step"])["mean"]
    assert at.loc["in a sample", "pristine"].index.tolist() == STEPS.tolist()
    assert at.loc["of sums", "pristine"].index.tolist() == [0]
    of_burst = null["burst_product"].values[3:]  # (step, group)
    single = of_burst[:, 1] / of_burst.sum(1)
    assert at.loc["burst", "corrupt", 10] == pytest.approx(of_burst[:, 1].sum() / of_burst.sum())
    assert at.loc["burst low", "corrupt", 10] == pytest.approx(single.min())
    assert at.loc["burst high", "corrupt", 10] == pytest.approx(single.max())
    # Its curve of the data is that of the bursts.
    _, corrupt = figure.axes[0].get_lines()
    np.testing.assert_allclose(corrupt.get_ydata(), at.loc["burst", "corrupt"])


@pytest.mark.parametrize("name", ["figure2_displacement", "figure3_displacement"])
def test_the_way_is_shown_at_the_middle_of_its_windows_with_both_null_bands(name: str) -> None:
    null = null_worlds(0, draws=1).assign_coords(half=("step", [10, 10, 10, 600]))
    numbers, figure = draw(name, [Run(0.4, 0, 0, null)])
    table = summarise(numbers)
    at = table.set_index(["row", "group", "step"])["mean"]
    of_share = 0.4 if name == "figure3_displacement" else 1
    corrupt = null["f"].sel(group="corrupt")
    np.testing.assert_allclose(at.loc["data", "corrupt"], corrupt / of_share)
    assert at.loc["data", "corrupt"].index.tolist() == [10, 11, 12, 610]
    mean = 1 - null["f_stratified_mean"]
    np.testing.assert_allclose(at.loc["stratified low", "corrupt"], (mean - 1.96 * DEVIATION) / of_share)
    np.testing.assert_allclose(at.loc["stratified high", "corrupt"], (mean + 1.96 * DEVIATION) / of_share)
    assert not {"pairs", "draws mean", "burst"} & set(table["row"])
    hatched = [of for of in figure.axes[0].collections if of.get_hatch()]
    assert len(hatched) == 2
    assert "stratified" in [text.get_text() for text in figure.legends[0].get_texts()]


def test_strata_shows_cosines_and_both_null_bands() -> None:
    a, b = null_worlds(0, draws=1), null_worlds(1, draws=1)
    numbers, figure = draw("strata", [Run(0.25, 0, 0, a), Run(0.5, 0, 0, b)])
    table = summarise(numbers)
    at = table.set_index(["quantity", "noise", "group", "step"])["mean"]
    pristine, corrupt = a["cosine"].sel(step=2).values
    assert at.loc["cosine", 0.25, "difference", 2] == pytest.approx(float(pristine - corrupt))
    high = b["f_stratified_mean"] + 1.96 * DEVIATION
    np.testing.assert_allclose(at.loc["f_stratified_high", 0.5, "pristine"], high)
    # The cosines of both groups, their difference and the line at 0; f.
    assert lines(figure) == 2 * (4 + 1)


@pytest.mark.parametrize("relus", [["1", "2"], ["features.2", "features.10"]])
def test_activity_shows_the_dead_units_of_each_relu_in_the_order_of_the_forward_pass(
    relus: list[str],
) -> None:
    rng = np.random.default_rng(0)
    runs = [
        Run(
            noise,
            c,
            replicate,
            xr.Dataset(
                {name: (("step", "layer"), rng.random((4, 2))) for name in ("dead", "active")},
                coords={"step": STEPS, "layer": relus},
            ),
        )
        for noise in (0.25, 0.5)
        for c in (0, 2)
        for replicate in (0, 1)
    ]
    numbers, figure = draw("activity", runs)
    table = summarise(numbers)
    at = table.set_index(["quantity", "noise", "winsor", "layer", "step"])
    expected = [float(run.data["dead"].sel(step=10, layer=relus[1])) for run in runs[-2:]]
    assert at.loc[("dead", 0.5, 2, relus[1], 10), "mean"] == pytest.approx(np.mean(expected))
    published = read_table(Path("activity.csv"), numbers.to_csv(index=False).encode())
    for shown in (figure, plot("activity", published)):
        titles = [axes.get_title() for axes in shown.axes[:2]]
        assert titles == (["hidden layer 1", "hidden layer 2"] if relus[0] == "1" else relus)
    # A curve for each noise level, level of winsorization, layer and quantity.
    assert lines(figure) == 2 * 2 * 2 * 2


def test_activity_is_tabled_at_as_many_steps_in_each_decade() -> None:
    steps = [0, 1, 9, 10, 11, 90, 95, 1000, 1100, 20_000, 21_000, 21_500]
    shares = np.linspace(0, 1, len(steps))[:, None]
    data = xr.Dataset(
        dict.fromkeys(("dead", "active"), (("step", "layer"), shares)),
        coords={"step": steps, "layer": ["1"]},
    )
    numbers, _ = draw("activity", [Run(0.5, 0, 0, data)])
    assert sorted(numbers["step"].unique()) == [0, 1, 9, 10, 90, 1000, 20_000, 21_500]


def test_activity_of_a_network_without_relus_is_an_error() -> None:
    none = {name: (("step", "layer"), np.zeros((4, 0))) for name in ("dead", "active")}
    run = Run(0.5, 0, 0, xr.Dataset(none, coords={"step": STEPS, "layer": np.zeros(0, str)}))
    with pytest.raises(ValueError, match=r"no ReLU, .*: leave out figures\.activity"):
        draw("activity", [run])


def test_every_figure_plots_every_curve_of_its_table() -> None:
    noisy = [Run(noise, 0, 0, history(k)) for k, noise in enumerate((0.25, 0.5))]
    clipped = [Run(0.5, c, 0, history(c)) for c in (0, 2)]
    samples = [Run(noise, 0, 0, null_worlds(k)) for k, noise in enumerate((0.25, 0.5))]
    assert lines(draw("figure1", noisy)[1]) == 2 * (3 + 2)
    # Two groups in the data, in each world, in the mean of draws and over pairs; the share of the self terms.
    assert lines(draw("figure2", samples)[1]) == 2 * (4 * 2 + 2 + 1)
    assert lines(draw("figure3", samples)[1]) == 2 * 4 * 2
    # Three curves, and the lines at zero and at the proper accuracy.
    assert lines(draw("figure4", clipped, classes=10)[1]) == 2 * (3 + 2)


def test_a_figure_says_how_many_replicates_it_shows() -> None:
    _, one = draw("figure4", [Run(0.5, 0, 0, history(0))], classes=10)
    _, two = draw("figure4", [Run(0.5, 0, k, history(k)) for k in (0, 1)], classes=10)
    assert "n = 1" in one.get_supxlabel()
    assert "n = 2" in two.get_supxlabel()


def coherence_of(seed: int) -> xr.Dataset:
    rng = np.random.default_rng(seed)
    groups = ["all", "pristine", "corrupt", "not learned", "pristine, not learned", "corrupt, not learned"]
    over_parts = {
        name: (("step", "group", "part"), 1 + rng.random((4, 6, 3)))
        for name in ("m_coherence", "pair_coherence", "energy", "squared_norm")
    }
    return xr.Dataset(
        {
            **over_parts,
            "loss": (("step", "group"), 1 + rng.random((4, 6))),
            "size": (("step", "group"), np.full((4, 6), 40)),
            "cosine": (("step", "part"), rng.random((4, 3))),
            **{f"{of}_stiffness": (("step", "pair"), rng.random((4, 2))) for of in ("sign", "cosine")},
        },
        coords={
            "step": STEPS,
            "group": groups,
            "part": ["network", "layer 0", "layer 1"],
            "pair": ["all", "x"],
        },
    )


def test_coherence_is_tabled_as_it_is_plotted() -> None:
    a, b = coherence_of(0), coherence_of(1)
    a["m_coherence"][:, 5] = np.nan  # an empty group
    numbers, figure = draw("coherence", [Run(0.0, 0, 0, a), Run(1.0, 0, 0, b), Run(1.0, 0, 1, a)])
    table = summarise(numbers)
    at = table.set_index(["quantity", "group", "part", "noise", "step"])
    assert at.loc[("m_coherence", "all", "layer 1", 0.0, 2), "mean"] == pytest.approx(
        float(a["m_coherence"].sel(step=2, group="all", part="layer 1"))
    )
    assert at.loc[("loss", "all", "network", 1.0, 2), "mean"] == pytest.approx(
        float(np.mean([of["loss"].sel(step=2, group="all") for of in (a, b)]))
    )
    assert at.loc[("loss", "all", "network", 1.0, 2), "n"] == 2
    assert set(table["quantity"]) == {"m_coherence", "loss", "size"}
    assert ("m_coherence", "pristine", "layer 1", 1.0, 2) not in at.index
    assert ("m_coherence", "not learned", "network", 1.0, 2) not in at.index
    assert at.loc[("m_coherence", "corrupt, not learned", "network", 1.0, 1), "n"] == 1
    assert ("m_coherence", "corrupt, not learned", "network", 0.0, 1) not in at.index
    # A curve a noise level and group, one a layer, and the lines at 1 and at m.
    assert lines(figure) == 2 * (1 + 1 + 2 + 2) + 2 * 2 + 6 * 2


def test_layers_keep_the_order_of_the_forward_pass() -> None:
    names = ["conv1", "conv10", "conv2", "a last one"]
    whole = coherence_of(0)
    values = np.random.default_rng(1).uniform(1, 2, (4, 6, 5))
    data = whole.drop_dims("part").assign_coords(part=["network", *(f"layer {name}" for name in names)])
    for name in ("m_coherence", "pair_coherence", "energy", "squared_norm"):
        data[name] = ("step", "group", "part"), values
    data["cosine"] = ("step", "part"), values[:, 0]
    _, figure = draw("coherence", [Run(0.5, 0, 0, data)])
    assert len(figure.axes) == 5  # of one level, the layers are drawn once
    assert "conv1, conv10, conv2, a last one, from dark to light" in figure.get_supxlabel()
    of_layers = figure.axes[4].get_lines()[:4]
    for line, name in zip(of_layers, names, strict=True):
        expected = data["m_coherence"].sel(group="all", part=f"layer {name}")
        np.testing.assert_allclose(line.get_ydata(), expected)
    assert [sum(line.get_color()) for line in of_layers] == sorted(
        sum(line.get_color()) for line in of_layers
    )


def test_several_networks_stand_side_by_side_each_with_its_own_layers() -> None:
    of_two = coherence_of(0)
    of_one = coherence_of(1).isel(part=[0, 2]).assign_coords(part=["network", "layer only"])
    runs = [Run(noise, 0, 0, of_two, experiment="first") for noise in (0.0, 1.0)]
    numbers, figure = draw("networks", [*runs, Run(0.0, 0, 0, of_one, experiment="other")])
    assert [axes.get_title() for axes in figure.axes[:2]] == ["first", "other"]
    assert "first: 0, 1, from dark to light" in figure.get_supxlabel()
    assert "other: only, from dark to light" in figure.get_supxlabel()
    row = {"experiment": "other", "quantity": "m_coherence", "group": "all", "part": "layer only", "step": 2}
    found = numbers[(numbers[list(row)] == pd.Series(row)).all(axis=1)]
    assert found["value"].tolist() == [float(of_one["m_coherence"].sel(step=2, group="all")[1])]
    # Of the first network two curves, two against the loss, two layers twice; of the other one each.
    assert lines(figure) == 2 + 2 + 4 + 1 + 1 + 1 + 6


def test_every_replicate_of_a_claim_is_plotted_with_mean_interval_and_verdict() -> None:
    def part(values, **more):
        observed = {k: Observed(value, "" if value < 90 else "too short") for k, value in enumerate(values)}
        given = {"claim": "C5", "part": "start", "statistic": "F", "rule": "above", "bound": 0} | more
        return Part(observed=observed, **given)

    good = [-3.0, 10.0, 12.0, 8.0, 11.0, 25.0, 9.0]  # one beyond the edge
    numbers = tidy(
        [
            part(good, estimator="sample"),
            part([-one for one in good], estimator="all"),
            part([1.0, 99.0], part="meet", rule="within", bound=0.5, estimator="all"),
            part(good, estimator="loss"),
            part(good, rule="shown", part="shown"),
            part([], claim="C6"),
        ],
        seen=[0],
    )
    columns = {f"statistic_{name}": ("row", numbers[name].to_numpy()) for name in TIDY}
    table, figure = draw("claims", [Run(np.nan, 0, 0, xr.Dataset(columns))])
    pd.testing.assert_frame_equal(table, numbers)
    left, right = figure.axes
    labels = [[label.get_text() for label in axes.get_yticklabels()] for axes in (left, right)]
    assert labels == [["C5", "start", "meet"], ["C5, by the actual loss", "start", "C6", "start"]]
    # A line at 0 for each panel; counted dots, others, interval and mean for each part and estimator.
    assert lines(figure) == 2 + 5 * 4
    assert "in the order of the marks above" in figure.get_supxlabel()
    dots, others, interval, mean = left.lines[:4]
    assert list(dots.get_xdata()) == [10.0, 12.0, 8.0, 11.0, 20.0, 9.0]
    assert (list(others.get_xdata()), others.get_markerfacecolor()) == ([-3.0], "none")
    assert mean.get_xdata()[0] == pytest.approx(np.mean(good[1:]))
    assert interval.get_xdata()[0] == pytest.approx(7.33, abs=0.01)
    assert [text.get_text() for text in left.texts] == ["6/6", "0/0", "6/6", "0/6", "0/0"]
    assert [text.get_text() for text in right.texts] == ["6/6", "6/6", "0/0", "0/0"]
    colors = [text.get_color() for text in left.texts]
    assert len(set(colors[2:])) == 3
