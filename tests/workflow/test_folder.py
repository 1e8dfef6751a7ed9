"""From one's own images to a figure."""

import os
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr
from folders import write_folder
from trees import SMALL, Tree

FIGURE = "results/small/figures/figure1.csv"


def test_a_folder_of_images_of_three_classes_becomes_a_figure(
    fresh: Tree, tmp_path: Path, digits: xr.Dataset
) -> None:
    images = write_folder(tmp_path / "{my} $1 'images'", digits, examples=20, enlarged=2)
    one = {**SMALL["experiments"]["label_noise"], "examples": 45, "batch_size": 15}
    settings: dict[str, Any] = {
        "name": "small",
        "dataset": {"folder": str(images), "size": 8},
        "experiments": {"label_noise": one},
        "figures": {"figure1": {"experiment": "label_noise"}},
        "gradients": {"examples": 20},
        "contributions": {"stiffness_examples": 20},
    }
    fresh.configure(settings)
    fresh.snakemake(FIGURE)
    assert set(pd.read_csv(fresh.folder / FIGURE)["noise"]) == {0, 0.5}
    with xr.open_dataset(fresh.results / "dataset.nc") as dataset:
        assert dict(dataset.sizes) == {
            "train_example": 60,
            "test_example": 60,
            "height": 8,
            "width": 8,
            "channel": 1,
            "class": 3,
        }
        assert dataset["class"].to_numpy().tolist() == ["class 0", "class 1", "class 2"]
    history = fresh.results / "label_noise/noise-050/winsor-0/replicate-0/history.nc"
    with xr.open_dataset(history) as run:
        assert (run.attrs["classes"], run.sizes["example"]) == (3, 45)
    # Where it lies and when it was written is nothing to what it is.
    moved = images.rename(tmp_path / "moved")
    os.utime(moved / "train/class 0/0.png", (1, 1))
    settings["dataset"]["folder"] = "../moved"
    fresh.configure(settings)
    assert fresh.planned(FIGURE) == {}
    image = moved / "test/class 2/7.png"
    content = image.read_bytes()
    image.with_name("0.png").write_bytes(content)
    assert fresh.planned(FIGURE) == {"data": 1, "corrupt": 2, "train": 2, "figure1": 1}
    # What is wrong with another than the first image is told when it is read.
    image.write_bytes(content[: len(content) // 2])
    done = fresh.snakemake("results/small/dataset.nc", check=False)
    assert done.returncode != 0
    assert "moved/test/class 2/7.png cannot be read as an image" in done.stdout + done.stderr
    assert not (fresh.results / "dataset.nc").exists()
    image.write_bytes(content)
    assert fresh.planned(FIGURE) == {"data": 1, "corrupt": 2, "train": 2, "figure1": 1}
