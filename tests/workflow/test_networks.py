"""A network of one's own, in a file outside of the package, from images to figures."""

from collections import Counter
from typing import Any

import pandas as pd
import pytest
import xarray as xr
from trees import Tree

from cgpipe.pipeline.artifacts import open_tensors

NET = '''\
from collections import OrderedDict

import torch
from torch import nn


class Scale(nn.Module):
    """A layer without a closed form."""

    def __init__(self, channels):
        super().__init__()
        self.factor = nn.Parameter(torch.ones(channels))

    def forward(self, images):
        return self.factor[:, None, None] * images


def build(shape, classes, width=8, norm=nn.GroupNorm):
    channels, rows, columns = shape
    return nn.Sequential(OrderedDict(
        conv=nn.Conv2d(channels, width, 3, padding=1),
        norm=norm(2, width) if norm is nn.GroupNorm else norm(width),
        scale=Scale(width),
        relu=nn.ReLU(),
        pool=nn.AvgPool2d(2),
        flat=nn.Flatten(),
        linear=nn.Linear(width * (rows // 2) * (columns // 2), classes),
    ))


def of_batches(shape, classes):
    return build(shape, classes, norm=nn.BatchNorm2d)


def fails():
    raise RuntimeError("no weights today")
'''
LAYERS = ["conv", "norm", "scale", "linear"]
FIGURES = ["figure1", "figure2", "figure2_exact", "figure2_displacement", "figure3_displacement", "figure4"]
FIGURES += ["coherence", "strata", "activity", "clipping"]


def experiment(function: str, **changed: Any) -> dict[str, Any]:
    return {
        "network": {"module": f"config/net.py:{function}"},
        "learning_rate": 0.25,
        "examples": 200,
        "batch_size": 20,
        "steps": 22,
        "noise": [0.5],
        "runs_per_job": 2,
        **changed,
    }


@pytest.fixture
def own(fresh: Tree) -> Tree:
    """A tree with a network beside the config."""
    (fresh.folder / "config/net.py").write_text(NET, encoding="utf-8")
    fresh.configure(
        {
            "name": "small",
            "dataset": "digits",
            "replicates": 1,
            "experiments": {
                "own": experiment(
                    "build",
                    network={"module": "config/net.py:build", "args": {"width": 4}},
                    schedule="cosine",
                    weight_decay=0.01,
                    winsor=[0, 2],
                ),
                "of_batches": experiment("of_batches", replicates=2, momentum=0.5, snapshots=False),
                "fails": experiment("fails", runs_per_job=1, snapshots=False),
            },
            "gradients": {"examples": 40, "weights": 30, "draws": 2},
            "contributions": {"stiffness_examples": 40},
            "clipping": {"levels": [1, 4], "batches": 2},
            "nullworlds": {"shown": 2, "count": 100},
            "figures": {name: {"experiment": "own"} for name in FIGURES},
        }
    )
    return fresh


def test_a_network_of_ones_own_goes_through_all_stages(own: Tree) -> None:
    targets = [f"results/small/figures/{name}.csv" for name in FIGURES]
    own.snakemake(*targets)
    tables = {name: pd.read_csv(own.results / f"figures/{name}.csv") for name in FIGURES}
    assert set(tables["activity"]["layer"]) == {"relu"}
    assert {"network", *(f"layer {name}" for name in LAYERS)} <= set(tables["coherence"]["part"])
    assert set(tables["figure4"]["winsor"]) == {0, 2}

    run = own.results / "own/noise-050/winsor-0/replicate-0"
    with xr.open_dataset(run / "history.nc") as history:
        name = "net.py:build width=4 with 50% noise, winsorization c = 0, replicate 0"
        assert history.attrs["title"] == f"Training of {name}"
        assert history["loss_training"][-1] < history["loss_training"][0]
    with open_tensors(run / "snapshots.safetensors") as (_, tensors):
        assert {key.split(".")[0] for key in tensors} == set(LAYERS)
        assert tensors.get_tensor("scale.factor").shape[1:] == (4,)
    with xr.open_dataset(run / "gradients.nc") as sample:
        # All weights of a layer that has fewer than are sampled; norms and factors have no matrix of weights.
        assert Counter(sample["layer_name"].values.tolist()) == {"conv": 30, "linear": 30}
    for stage in ("bursts", "displacement"):
        with xr.open_dataset(run / f"{stage}.nc") as again:
            assert again.attrs["replay_difference"] == 0

    # The fingerprint is of the file alone.
    (own.folder / "config/other.py").write_text("OTHER = 1\n", encoding="utf-8")
    assert own.planned(*targets) == Counter()
    net = own.folder / "config/net.py"
    net.write_text(NET.replace("AvgPool2d", "MaxPool2d"), encoding="utf-8")
    of_plain = ("gradients", "nullworlds", "contributions", "bursts", "nullworlds_exact", "displacement")
    once = [*of_plain, "nullworlds_displacement", "coherence", "train_own_1", "clipping_own_1"]
    rules = [name if name.startswith("figure") else f"figure_{name}" for name in FIGURES]
    assert own.planned(*targets) == Counter([*once, *rules])
    net.write_text(NET, encoding="utf-8")
    assert own.planned(*targets) == Counter()


def test_what_is_to_be_told_of_a_module_is_told_once(own: Tree) -> None:
    runs = [f"results/small/of_batches/noise-050/winsor-0/replicate-{n}/history.nc" for n in (0, 1)]
    own.snakemake(*runs)
    log = (own.results / "logs/train/of_batches/noise-050/winsor-0/replicate-0.log").read_text()
    assert log.count("taken in eval mode, with saved statistics") == 1
    with xr.open_dataset(own.folder / runs[1]) as history:
        assert history["loss_training"][-1] < history["loss_training"][0]


def test_a_module_that_raises_is_one_error_and_nothing_is_written(own: Tree) -> None:
    run = "results/small/fails/noise-050/winsor-0/replicate-0/history.nc"
    done = own.snakemake(run, check=False)
    assert done.returncode != 0
    log = (own.results / "logs/train/fails/noise-050/winsor-0/replicate-0.log").read_text()
    (line,) = log.splitlines()
    told = "error: module: config/net.py:fails failed: RuntimeError: no weights today (at config/net.py:"
    assert f"cgpipe train: {told}" in line
    assert line in done.stdout + done.stderr
    assert not [path for path in own.results.glob("fails/**/*") if path.is_file()]
