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


def contributions(pristine):
    """An artifact of stage contributions, as far as null worlds read it."""
    rng = np.random.default_rng(len(pristine))
    gradients = rng.normal(size=(len(STEPS), len(pristine), 2, 5)) + 0.3  # (step, example, layer, weight)
    u = np.einsum("telw,tlw->tel", gradients, gradients.sum(1))
    alone = np.einsum("telw,telw->tel", gradients, gradients)
    over = ("step", "example", "layer")
    return xr.Dataset(
        {
            "contribution": (over, u.astype(np.float32), {"long_name": "u"}),
            "squared_norm": (over, alone.astype(np.float32), {"long_name": "alone"}),
            "pristine": ("example", pristine, {"long_name": "pristine"}),
        },
        coords={"step": ("step", STEPS, {"long_name": "step"})},
    )


def gradients(pristine):
    """An artifact of stage gradients."""
    values = np.random.default_rng(1).normal(size=(len(STEPS), len(pristine), 6)) + 0.3
    return xr.Dataset(
        {
            "gradient": (("step", "example", "weight"), values.astype(np.float32), {"long_name": "g"}),
            "pristine": ("example", pristine, {"long_name": "pristine"}),
        },
        coords={"step": ("step", STEPS, {"long_name": "step"})},
    )


def worlds_of(tmp_path, pristine, source="exact"):
    """Run the stage on made-up contributions or gradients."""
    stage, make = ("contributions", contributions) if source == "exact" else ("gradients", gradients)
    write_netcdf(
        make(np.asarray(pristine)), tmp_path / "in.nc", title="", provenance=Provenance(stage, "{}", "")
    )
    spec = nullworlds.Spec(count=50, level=0.9, noise=0.002, replicate=0, seed=1, shown=2, source=source)
    made = Provenance("nullworlds", json.dumps({"noise": 0.002, "replicate": 0}), "")
    nullworlds.run(spec, made, source=tmp_path / "in.nc", nullworlds=tmp_path / "out.nc")
    return read_netcdf(tmp_path / "out.nc", "nullworlds")


@pytest.mark.parametrize("source", ["exact", "sampled"])
@pytest.mark.parametrize("full", ["pristine", "corrupt"])
def test_an_empty_group_is_a_warning(tmp_path, caplog, source, full):
    with caplog.at_level(logging.WARNING, "cgpipe"):
        worlds = worlds_of(tmp_path, [full == "pristine"] * 7, source)
    (said,) = caplog.messages
    assert "of 7 examples" in said
    assert "nothing to permute" in said
    assert worlds["group_size"].sel(group=full) == 7
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
    assert empty[["noise", "group", "n"]].to_numpy().tolist() == [[0.002, "corrupt", 1]]
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
    null = worlds_of(tmp_path, [True] * 7)
    table, figure = draw("figure2_exact", [Run(0.002, 0, 0, null)], examples=4)
    for row in ("in a sample", "of sums"):
        assert np.allclose(table[table["row"] == row]["mean"], 1)
    figure.draw_without_rendering()
