"""Figures of similarity and of twins: what is tabled and plotted."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from cgpipe.figures import similarity
from cgpipe.figures.drawing import draw, plot
from cgpipe.inference.similarity import cosines, similarity_curves
from cgpipe.runs import Run

SNAPSHOTS = [0, 1, 2, 10, 10, 10, 20, 30, 30, 40, 40]
STEPS = [0, 1, 2, 10, 11, 12, 20, 30, 31, 40, 41]
LABELS = np.array([2, 0, 1, 0, 2, 1, 0, 1])


def sample(seed: int, marks: list[int] | None = None) -> xr.Dataset:
    rng = np.random.default_rng(seed)
    gradients = rng.normal(size=(len(SNAPSHOTS), len(LABELS), 5))
    pixels = rng.random((len(LABELS), 3))
    distance = np.linalg.norm(pixels[:, None] - pixels, axis=-1)
    pair = ("example", "other_example")
    variables = {
        "product": (("burst_step", *pair), np.float32(gradients @ gradients.transpose(0, 2, 1))),
        "pixel_distance": (pair, distance),
        "label": ("example", LABELS),
    }
    if marks is not None:
        variables["mark_step"] = "mark", marks
    steps = {"burst_step": STEPS, "snapshot": ("burst_step", SNAPSHOTS)}
    return xr.Dataset(variables, coords=steps)


def test_curves_are_medians_over_a_burst_of_each_replicate() -> None:
    a, b = sample(0), sample(1)
    numbers, figure = draw("similarity", [Run(1.0, 0, 0, sample(2)), Run(0.0, 0, 1, b), Run(0.0, 0, 0, a)])
    curves = numbers[numbers["example"].isna()].set_index(["quantity", "noise", "step", "replicate"])["value"]
    for replicate, data in enumerate((a, b)):
        for name, of in similarity_curves(data).items():
            found = curves.loc[name, 0.0, 10, replicate]
            assert found == pytest.approx(float(of.isel(burst_step=slice(3, 6)).median()))
    assert set(curves.index.get_level_values("quantity")) == set(similarity_curves(a))
    shown = [line for axes in figure.axes for line in axes.lines if len(line.get_xdata()) == 7]
    assert len(shown) == 2 * len(set(similarity_curves(a)))
    # Real labels first.
    (within,) = [line for line in figure.axes[-1].lines if line.get_linestyle() == "-"][1:2]
    tabled = curves.loc["pixels_within", 0.0].groupby("step").mean()
    np.testing.assert_allclose(within.get_ydata(), tabled.reindex(within.get_xdata()))
    names = [text.get_text() for text in figure.subfigs[1].legends[0].get_texts()]
    assert names == ["real labels", "random labels"]


def test_a_burst_from_a_mark_on_goes_past_the_next_snapshot() -> None:
    data = sample(0, marks=[-1, 1]).assign_coords(burst_step=[0, 1, 2, 3, 4, 5, 20, 30, 31, 40, 41])
    numbers, _ = draw("similarity", [Run(0.0, 0, 0, data)])
    curves = numbers[numbers["example"].isna()].set_index(["quantity", "step"])["value"]
    for name, of in similarity_curves(data).items():
        for step, burst in ((0, [0]), (1, [1, 2, 3, 4, 5]), (2, [2]), (10, [3, 4, 5])):
            assert curves.loc[name, step] == pytest.approx(float(of.sel(burst_step=burst).median()))


def test_tables_of_several_machines_show_the_matrices_of_the_first_replicate() -> None:
    (one, alone), (other, _) = (
        draw("similarity", [Run(0.0, 0, replicate, sample(replicate, marks))])
        for replicate, marks in ((0, None), (1, [1, 10]))
    )
    moments = [set(of[of["quantity"] == "cosine"]["step"]) for of in (one, other)]
    assert moments[0] != moments[1]
    together = plot("similarity", pd.concat([one, other]))
    found, expected = ([axes for axes in of.axes if axes.images] for of in (together, alone))
    assert [axes.get_title() for axes in found] == [axes.get_title() for axes in expected]
    for axes, same in zip(found, expected, strict=True):
        np.testing.assert_array_equal(
            np.ma.filled(axes.images[0].get_array(), 9), np.ma.filled(same.images[0].get_array(), 9)
        )


def test_matrices_are_mean_cosines_of_the_first_run_ordered_by_class() -> None:
    a = sample(0)
    numbers, figure = draw(
        "similarity", [Run(1.0, 0, 0, sample(2)), Run(0.0, 0, 1, a), Run(0.0, 0, 2, sample(3))]
    )
    pairs = numbers[numbers["quantity"] == "cosine"]
    assert set(zip(pairs["noise"], pairs["replicate"], strict=True)) == {(0.0, 1)}
    order = np.argsort(LABELS, kind="stable")
    images = [axes.images[0] for axes in figure.axes if axes.images]
    assert [axes.get_title() for axes in figure.axes if axes.images] == [
        "step 0",
        "step 2",
        "step 20",
        "step 40",
    ]
    for image, step in zip(images, (0, 2, 20, 40), strict=True):
        of_step = cosines(a["product"].values[np.array(SNAPSHOTS) == step]).mean(0)[order][:, order]
        shown = np.ma.filled(image.get_array(), np.nan)
        apart = ~np.eye(len(LABELS), dtype=bool)
        np.testing.assert_allclose(shown[apart], of_step[apart], atol=1e-6)
        assert np.isnan(np.diag(shown)).all()
    one = pairs[pairs["step"] == 0]
    assert len(one) == 8 * 7 / 2
    assert [*dict(zip(one["example"], one["class"], strict=True)).values()] == sorted(LABELS)[:-1]
    assert "up to 3 examples of each class" in figure.get_supxlabel()


@pytest.mark.parametrize("place", [0, 3, 7])
def test_an_example_without_a_gradient_is_blank(place: int) -> None:
    a = sample(0)
    last = np.array(SNAPSHOTS) == 40
    order = np.argsort(LABELS, kind="stable")
    a["product"].values[last, order[place]] = a["product"].values[last, :, order[place]] = 0
    _, figure = draw("similarity", [Run(0.0, 0, 0, a)])
    matrix = [axes for axes in figure.axes if axes.images][3]
    shown = np.ma.filled(matrix.images[0].get_array(), np.nan)
    expected = cosines(a["product"].values[last]).mean(0)[order][:, order]
    expected[np.eye(8, dtype=bool)] = np.nan
    assert np.isnan(expected[place]).all()
    np.testing.assert_allclose(shown, expected, atol=1e-6)
    assert len(matrix.lines) == 2 * 2  # between three classes, across and down


def test_few_examples_of_each_class_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(similarity, "SHOWN", 2)
    pairs = similarity.table([Run(0.0, 0, 0, sample(0))]).query("quantity == 'cosine' and step == 0")
    assert len(pairs) == 6 * 5 / 2


@pytest.mark.parametrize(
    ("marks", "steps"),
    [
        (None, {0, 2, 20, 40}),
        ([10, -1], {0, 2, 20, 40}),  # too few
        ([10, 30, -1], {0, 10, 30, 40}),
        ([2, 10, 30, 30], {0, 2, 30, 40}),
    ],
)
def test_moments_are_marks_if_there_are_two(marks: list[int] | None, steps: set[int]) -> None:
    pairs = similarity.table([Run(0.0, 0, 0, sample(0, marks))]).query("quantity == 'cosine'")
    assert set(pairs["step"]) == steps


def twin(seed: int) -> xr.Dataset:
    rng = np.random.default_rng(seed)
    norms = {name: (("step", "layer"), rng.random((3, 2))) for name in ("distance", "travelled")}
    for _, values in norms.values():
        values[0] = 0
    of_test = {name: ("step", rng.random(3)) for name in ("disagreement", "variation")}
    return xr.Dataset({**norms, **of_test}, {"step": [0, 1, 10], "layer": ["a", "b"]}, {"replaced": 5})


def test_twins_are_shown_as_a_whole_and_tabled_layer_by_layer() -> None:
    a, b = twin(0), twin(1)
    numbers, figure = draw("twins", [Run(0.0, 0, 0, a), Run(1.0, 0, 0, b)])
    assert set(numbers["replaced"]) == {5}
    at = numbers.set_index(["quantity", "layer", "noise", "step"])["value"]
    here = b.sel(step=10)
    assert at["distance", "b", 1.0, 10] == pytest.approx(float(here["distance"][1]))
    whole = {name: float(np.sqrt((here[name] ** 2).sum())) for name in ("distance", "travelled")}
    assert at["distance", "network", 1.0, 10] == pytest.approx(whole["distance"])
    ratio = whole["distance"] / whole["travelled"]
    assert at["relative_distance", "network", 1.0, 10] == pytest.approx(ratio)
    assert ("relative_distance", "network", 1.0, 0) not in at.index
    assert at["variation", "network", 0.0, 1] == pytest.approx(float(a["variation"].sel(step=1)))
    assert ("variation", "a", 0.0, 1) not in at.index
    assert [len(axes.lines) for axes in figure.axes] == [2] * 4
    assert [list(axes.lines[0].get_xdata()) for axes in figure.axes] == [[1, 10]] * 2 + [[0, 1, 10]] * 2
    assert "replaced: 5" in figure.get_supxlabel()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["real labels", "random labels"]


def test_twins_that_never_part_are_shown() -> None:
    same = twin(0) * 0
    _, figure = draw("twins", [Run(0.0, 0, 0, same.assign_attrs(replaced=5))])
    figure.canvas.draw()
    assert [len(axes.lines[0].get_xdata()) for axes in figure.axes] == [0, 0, 3, 3]
