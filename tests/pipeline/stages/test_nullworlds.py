"""The stage of null worlds where one group of examples is empty: what is defined is there, and no more."""

import json
import logging

import numpy as np
import pytest
import xarray as xr

from cgpipe.figures.drawing import draw
from cgpipe.pipeline.artifacts import Provenance, read_netcdf, write_netcdf
from cgpipe.pipeline.stages import nullworlds
from cgpipe.runs import Run

STEPS = np.array([*range(10), 20])
BURST_STEPS = np.array([*range(10), *range(20, 25)])


def with_names(variables, **coords):
    named = {name: (*of, {"long_name": name}) for name, of in variables.items()}
    steps = {"step": ("step", STEPS, {"long_name": "step"})}
    return xr.Dataset(named, coords={**steps, **coords})


def gradients_of(pristine, draws=1):
    return np.random.default_rng(len(pristine)).normal(size=(draws, len(STEPS), len(pristine), 6)) + 0.3


def artifact(source, pristine, draws=2):
    """An artifact of the stage that null worlds of a source are made from, as far as they read it."""
    g = gradients_of(pristine, draws)  # (draw, step, example, weight)
    u, alone = np.einsum("dtew,dtw->dte", g, g.sum(2)), np.einsum("dtew,dtew->dte", g, g)
    of_examples = {
        "pristine": ("example", pristine),
        "label": ("example", np.arange(len(pristine)) % 2),
    }
    if source == "sampled":
        over = ("draw", "step", "drawn_example")
        drawn = (over[::2], np.tile(pristine, (draws, 1)))
        return with_names({"contribution": (over, u), "self_term": (over, alone), "drawn_pristine": drawn})
    if source == "exact":
        over = ("step", "example", "layer")
        halves = {
            "contribution": (over, np.stack([u[0] / 4, u[0] * 3 / 4], axis=2)),
            "squared_norm": (over, np.stack([alone[0] / 4, alone[0] * 3 / 4], axis=2)),
        }
        return with_names({**halves, **of_examples})
    over = ("step", "example")
    way = {"contribution": (over, u[0]), "squared_norm_sum": (over, alone[0])}
    half = ("step", np.minimum(600, np.maximum(10, STEPS)), {"long_name": "updates in each half"})
    return with_names({**way, **of_examples}, half=half)


def bursts():
    """An artifact of stage bursts."""
    product = (("burst_step", "group"), np.arange(2.0 * len(BURST_STEPS)).reshape(-1, 2))
    at = {
        "burst_step": ("burst_step", BURST_STEPS, {"long_name": "updates made"}),
        "snapshot": ("burst_step", np.minimum(BURST_STEPS, 20), {"long_name": "step of the snapshot"}),
        "group": ("group", ["pristine", "corrupt"], {"long_name": "group"}),
    }
    return with_names({"product": product}, **at).drop_vars("step")


def worlds_of(tmp_path, pristine, source="exact", noise=0.002, with_bursts=False):
    """Run the stage on made-up contributions, a sample or a displacement."""
    stage = {"exact": "contributions", "sampled": "gradients", "displacement": "displacement"}[source]
    made = artifact(source, np.asarray(pristine))
    write_netcdf(made, tmp_path / "in.nc", title="", provenance=Provenance(stage, "{}", ""))
    more = {}
    if with_bursts:
        more["bursts"] = tmp_path / "bursts.nc"
        write_netcdf(bursts(), more["bursts"], title="", provenance=Provenance("bursts", "{}", ""))
    spec = nullworlds.Spec(count=50, level=0.9, noise=noise, replicate=0, seed=1, shown=2, source=source)
    made = Provenance("nullworlds", json.dumps({"noise": noise, "replicate": 0}), "")
    nullworlds.run(spec, made, source=tmp_path / "in.nc", nullworlds=tmp_path / "out.nc", **more)
    return read_netcdf(tmp_path / "out.nc", "nullworlds")


def test_sums_of_groups_and_of_null_worlds_are_kept_for_each_draw(tmp_path):
    pristine = np.arange(12) < 8
    for source, draws in {"sampled": 2, "exact": 1, "displacement": 1}.items():
        worlds, g = worlds_of(tmp_path, pristine, source), gradients_of(pristine, 2)
        assert worlds["null_product"].shape == (draws, 50 // draws, len(STEPS))
        assert worlds["null_product"].dtype == np.float32
        assert worlds["group_size"].values.tolist() == draws * [[8, 4]]
        for group, members in {"pristine": pristine, "corrupt": ~pristine}.items():
            product = np.einsum("dtw,dtw->dt", g.sum(2), g[:, :, members].sum(2))[:draws]
            np.testing.assert_allclose(worlds["product"].sel(group=group), product)
            energy = (g[:, :, members] ** 2).sum((2, 3))[:draws]
            np.testing.assert_allclose(worlds["energy"].sel(group=group), energy)
        f = worlds["product"][0] / worlds["product"][0].sum("group")
        np.testing.assert_allclose(worlds["f"], f.transpose(*worlds["f"].dims))
        # Of a sample, a class and decile has no two examples.
        assert ("f_stratified_mean" in worlds) == (source != "sampled")
        assert ("half" in worlds) == (source == "displacement")


def test_bursts_come_along(tmp_path):
    worlds = worlds_of(tmp_path, np.arange(12) < 8, with_bursts=True)
    assert worlds["burst_product"].sel(burst_step=22, group="corrupt") == 25
    assert worlds["snapshot"].sel(burst_step=22) == 20
    assert "bursts" in json.loads(worlds.attrs["inputs"])


@pytest.mark.parametrize("noise", [0, 1])
def test_of_an_empty_group_that_was_asked_for_there_is_no_warning(tmp_path, caplog, noise):
    with caplog.at_level(logging.WARNING, "cgpipe"):
        worlds = worlds_of(tmp_path, [noise == 0] * 7, "sampled", noise)
    assert caplog.messages == []
    np.testing.assert_allclose(worlds["product"].sum("group")[0], worlds["squared_norm"])


@pytest.mark.parametrize("source", ["exact", "sampled", "displacement"])
@pytest.mark.parametrize("full", ["pristine", "corrupt"])
def test_an_empty_group_is_a_warning(tmp_path, caplog, source, full):
    with caplog.at_level(logging.WARNING, "cgpipe"):
        worlds = worlds_of(tmp_path, [full == "pristine"] * 7, source)
    (said,) = caplog.messages
    assert "of 7 examples" in said
    assert "nothing to permute" in said
    assert worlds["group_size"].sel(group=full, draw=0) == 7
    assert np.isfinite(worlds["f"]).all()
    assert np.isnan(worlds["f_p"]).all()


def test_of_groups_that_are_not_empty_there_is_no_warning(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "cgpipe"):
        worlds = worlds_of(tmp_path, [True] * 6 + [False])
    assert caplog.messages == []
    assert np.isfinite(worlds["f_p"]).all()


@pytest.mark.parametrize("name", ["figure2", "figure3"])
def test_figures_show_the_other_levels_and_say_that_the_group_is_empty(tmp_path, name):
    none, some = worlds_of(tmp_path, [True] * 7), worlds_of(tmp_path, [True] * 5 + [False] * 2)
    alone, _ = draw(name, [Run(0.5, 0, 0, some)])
    table, figure = draw(name, [Run(0.002, 0, 0, none), Run(0.5, 0, 0, some)])
    assert table[table["noise"] == 0.5].reset_index(drop=True).equals(alone)
    empty = table[table["row"] == "empty"]
    assert empty[["noise", "group", "replicate"]].to_numpy().tolist() == [[0.002, "corrupt", 0]]
    figure.draw_without_rendering()
    texts = [[text.get_text() for text in axes.texts] for axes in figure.axes]
    assert texts == [["no corrupt example"], *[[]] * (len(texts) - 1)]
    titles = [axes.get_title(loc="right") for axes in figure.axes[:2]]
    assert titles[0] == "p undefined"
    assert titles[1].startswith("$p$")
    assert figure.get_supxlabel().startswith("Lines: one replicate (n = 1).")


@pytest.mark.parametrize("name", ["figure2", "figure3"])
def test_a_replicate_with_an_empty_group_does_not_hide_the_other(tmp_path, name):
    none, some = worlds_of(tmp_path, [True] * 7), worlds_of(tmp_path, [True] * 5 + [False] * 2)
    _, figure = draw(name, [Run(0.5, 0, 0, none), Run(0.5, 0, 1, some)])
    assert figure.axes[0].get_title(loc="right").startswith("$p$ ")
    assert figure.axes[0].texts[0].get_text() == "no corrupt example\nin 1 of 2 replicates"


def test_what_a_sample_would_show_of_an_empty_group_is_defined(tmp_path):
    null = worlds_of(tmp_path, [True] * 7, with_bursts=True)
    table, figure = draw("figure2_exact", [Run(0.002, 0, 0, null)], examples=4)
    for row in ("in a sample", "of sums"):
        assert np.allclose(table[table["row"] == row]["value"], 1)
    figure.draw_without_rendering()
