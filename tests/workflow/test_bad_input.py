"""Bad input: one clear error, no traceback, nothing half written, no other result lost."""

import copy
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import warm
from trees import SMALL, Tree


def fails(done: subprocess.CompletedProcess[str]) -> str:
    """What a command said that has to fail, without a traceback."""
    said = done.stdout + done.stderr
    assert done.returncode != 0, said
    assert "Traceback" not in said
    return said


def cgpipe(*arguments: str) -> str:
    return fails(warm.cgpipe(*arguments))


def test_several_mistakes_are_told_at_once(fresh: Tree) -> None:
    settings: dict[str, Any] = copy.deepcopy(SMALL)
    settings["sed"] = settings.pop("seed")
    settings["dataset"] = "mnits"
    noisy = settings["experiments"]["label_noise"]
    noisy |= {"noise": [0.5, 1.5], "learning_rate": "1e-3", "winsor": [0, 25]}
    settings["figures"]["figure4"]["experiment"] = "winsorisation"
    fresh.configure(settings)
    said = fails(fresh.snakemake("-n", check=False))
    for part in (
        "6 mistakes in the config",
        "sed: there is no such key (did you mean seed?)",
        "dataset: given 'mnits' (text); allowed: 'digits', 'mnist', 'fashion_mnist', 'cifar10' or {folder: ",
        "(did you mean mnist?)",
        "experiments.label_noise.noise.1: given 1.5; allowed: less than or equal to 1",
        "experiments.label_noise.learning_rate: given '1e-3' (text)",
        "write 1.0e-3",
        "figures.figure4.experiment: given 'winsorisation' (text); allowed: one of bare, label_noise, "
        "original, pair, replaced, winsorization (did you mean winsorization?)",
        "experiments.label_noise.winsor.1: given 25; allowed: c with 2c below batch_size, which is 50",
    ):
        assert part in said


def test_a_config_that_is_no_config_is_told(fresh: Tree) -> None:
    (fresh.folder / "config/small.yaml").write_text("- just\n- a list\n", encoding="utf-8")
    fails(fresh.snakemake("-n", check=False))


def test_what_yaml_swallows_is_told_with_all_other_mistakes(fresh: Tree) -> None:
    config = fresh.folder / "config/small.yaml"
    lines = config.read_text(encoding="utf-8").count("\n")
    with config.open("a", encoding="utf-8") as file:
        file.write("seed: 010\nkernel_: 1\n")
    said = fails(fresh.snakemake("-n", "--config", "device=1_0", check=False))
    for part in (
        "4 mistakes in the config",
        f"config/small.yaml, line {lines + 1}: seed: given twice, first on line ",
        f"config/small.yaml, line {lines + 1}: seed: given 010, which YAML reads as 8: write 8, or 10",
        f"config/small.yaml, line {lines + 2}: kernel_: there is no such key",
        "--config: device: given 1_0, which Snakemake reads as 10; allowed: 'auto', 'cpu' or 'cuda'",
    ):
        assert part in said


@pytest.mark.parametrize("named", [True, False])
def test_a_config_that_snakemake_cannot_read_is_told_with_its_line(fresh: Tree, *, named: bool) -> None:
    """Of a file that the command line names, Snakemake says neither name nor line, or has a traceback."""
    config = fresh.folder / "config" / ("small.yaml" if named else "config.yaml")
    config.write_bytes(f"{config.read_text(encoding='utf-8')}data_root: /J\u00fcrgen\n".encode("latin-1"))
    line = len(config.read_bytes().splitlines())
    command = [sys.executable, "-m", "snakemake", "-n", *(["--configfile", str(config)] if named else [])]
    environment = {**os.environ, "SLURM_CONF": os.devnull, "PYTHONPATH": str(fresh.folder)}
    done = subprocess.run(
        command, cwd=fresh.folder, env=environment, capture_output=True, text=True, check=False
    )
    assert f"config/{config.name}, line {line}, column 14: the byte 0xfc is no UTF-8" in fails(done)


def test_missing_data_are_told(fresh: Tree, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    settings = {**SMALL, "dataset": "mnist", "data_root": str(tmp_path / "empty")}
    fresh.configure(settings)
    said = fails(fresh.snakemake(check=False))
    assert "train-images-idx3-ubyte" in said
    assert "not found" in said
    assert not (fresh.results / "dataset.nc").exists()


def test_files_that_settings_name_are_looked_for(fresh: Tree) -> None:
    settings = copy.deepcopy({**SMALL, "dataset": "mnist", "data_root": "nowhere"})
    settings["figures"]["figure1"]["compare_with"] = "none.csv"
    fresh.configure(settings)
    said = fails(fresh.snakemake("-n", check=False))
    assert "data_root: given 'nowhere' (text); allowed: a folder that is there" in said
    assert "figures.figure1.compare_with: given 'none.csv' (text); allowed: a table that is there" in said
    assert "MissingInputException" not in said


@pytest.mark.parametrize(
    ("file", "damage"), [("train-images-idx3-ubyte", "cut"), ("t10k-labels-idx1-ubyte", "altered")]
)
def test_damaged_raw_data_are_told(
    fresh: Tree, tmp_path: Path, mnist_root: Path, file: str, damage: str
) -> None:
    raw = tmp_path / "MNIST" / "raw"
    shutil.copytree(mnist_root / "MNIST" / "raw", raw)
    content = bytearray((raw / file).read_bytes())
    if damage == "cut":
        content = content[:-1000]
    else:
        content[5000] ^= 1
    (raw / file).write_bytes(content)
    fresh.configure({**SMALL, "dataset": "mnist", "data_root": str(tmp_path)})
    said = fails(fresh.snakemake("results/small/dataset.nc", check=False))
    assert f"{file} ({len(content):,} bytes) has MD5 " in said
    assert not (fresh.results / "dataset.nc").exists()


def test_a_netcdf_cut_short_is_told_and_nothing_else_is_lost(tree: Tree) -> None:
    corrupted = tree.results / "corrupted/noise-050/replicate-0.nc"
    corrupted.write_bytes(corrupted.read_bytes()[:-1000])
    run = "winsorization/noise-050/winsor-2/replicate-0"
    (tree.results / run / "history.nc").unlink()
    others = {p: p.read_bytes() for p in tree.results.rglob("*.nc") if run not in str(p)}
    # Only this job: snakemake would rather make the labels again.
    arguments = ["--rerun-triggers", "code", "--allowed-rules", "train", "--"]
    said = fails(tree.snakemake(*arguments, f"results/small/{run}/history.nc", check=False))
    assert f"{corrupted.relative_to(tree.folder)} cannot be read" in said
    assert "cut short or damaged" in said
    assert not (tree.results / run / "history.nc").exists()
    assert all(path.read_bytes() == content for path, content in others.items())


def test_images_that_were_edited_are_told(tree: Tree, tmp_path: Path) -> None:
    import netCDF4

    dataset = tree.results / "dataset.nc"
    with netCDF4.Dataset(dataset, "a") as file:
        file["train_images"][0, 0, 0] = 15
    spec = json.dumps({"noise": 0.5, "replicate": 0, "seed": 1, "selection": "exact"})
    out = tmp_path / "corrupted.nc"
    said = cgpipe("corrupt", "--spec", spec, "--dataset", str(dataset), "--corrupted", str(out))
    assert "its SHA-256 is not the one that it notes" in said
    assert not out.exists()


def test_a_diverging_run_names_step_and_layer_and_the_others_go_on(fresh: Tree) -> None:
    settings = copy.deepcopy(SMALL)
    settings["experiments"]["bare"]["learning_rate"] = 1.0e30
    del settings["experiments"]["pair"]
    kept = ("figure1", "figure4", "activity", "style")
    settings["figures"] = {name: SMALL["figures"][name] for name in kept}
    fresh.configure(settings)
    said = fails(fresh.snakemake(check=False))
    assert (
        "the run diverged: after 1 updates the output of layer 2 of 2 (weights 10x16) is not finite" in said
    )
    assert list((fresh.results / "bare").rglob("*.*")) == []
    assert len(list(fresh.results.rglob("history.nc"))) == 6
    assert len(list(fresh.results.rglob("figures/*.png"))) == 3  # all but that of the claims


@pytest.mark.parametrize(
    ("spec", "part"),
    [
        ("not json", "Invalid JSON"),
        ('{"noise": 0.5}', "replicate"),
        ('{"noise": 2, "replicate": 0, "seed": 1, "selection": "exact"}', "noise 2.0: give a share"),
    ],
)
def test_bad_settings_of_a_stage_are_told(finished: Tree, tmp_path: Path, spec: str, part: str) -> None:
    out = tmp_path / "out.nc"
    dataset = str(finished.results / "dataset.nc")
    assert part in cgpipe("corrupt", "--spec", spec, "--dataset", dataset, "--corrupted", str(out))
    assert not out.exists()


def test_an_artifact_that_lacks_a_variable_is_told(finished: Tree, tmp_path: Path) -> None:
    from cgpipe.pipeline.artifacts import Provenance, read_netcdf, write_netcdf

    history = finished.results / "bare/noise-050/winsor-0/replicate-0/history.nc"
    lacking = tmp_path / "history.nc"
    dataset = read_netcdf(history, "train")
    made = Provenance("train", dataset.attrs["spec"], dataset.attrs["code"])
    write_netcdf(dataset.drop_vars("pristine"), lacking, title="Without", provenance=made)
    style = {"width": 6.0, "font_size": 8.0, "dpi": 50, "palette": "colorblind"}
    spec = json.dumps({"figure": "figure1", "style": style, "options": {"learned": "last"}})
    said = cgpipe("figures", "--spec", spec, "--out", str(tmp_path / "figure1"), str(lacking))
    assert "an artifact that was read lacks" in said
    assert "pristine" in said
    assert list(tmp_path.glob("figure1*")) == []


def test_a_style_that_cannot_be_plotted_leaves_nothing(finished: Tree, tmp_path: Path) -> None:
    history = finished.results / "bare/noise-050/winsor-0/replicate-0/history.nc"
    style = {"width": 6.0, "font_size": 8.0, "dpi": 50, "palette": "nope"}
    spec = json.dumps({"figure": "figure1", "style": style, "options": {"learned": "last"}})
    cgpipe("figures", "--spec", spec, "--out", str(tmp_path / "figure1"), str(history))
    assert list(tmp_path.iterdir()) == []


def test_a_data_root_with_odd_characters_is_a_folder_like_any_other(fresh: Tree, tmp_path: Path) -> None:
    odd = tmp_path / "{a} $b 'c'"
    odd.mkdir()
    fresh.configure({**SMALL, "dataset": "mnist", "data_root": str(odd)})
    said = fails(fresh.snakemake("results/small/dataset.nc", check=False))
    assert f"{odd}/MNIST/raw: train-images-idx3-ubyte" in said


def test_a_level_without_corrupt_examples_is_told_and_takes_no_other_with_it(fresh: Tree) -> None:
    import pandas as pd

    settings = copy.deepcopy(SMALL)
    settings["experiments"] = {
        "label_noise": SMALL["experiments"]["label_noise"] | {"examples": "all", "noise": [0.001, 0.002, 0.5]}
    }
    settings["gradients"]["examples"] = 30  # of which at 0.002 none is corrupt
    settings["figures"] = {
        name: of
        for name, of in SMALL["figures"].items()
        if of.get("experiment") not in ("winsorization", "replaced")
    }
    settings["claims"] = {"label_noise": "label_noise"}
    fresh.configure(settings)
    made = (
        "figure1",
        "figure2",
        "figure2_exact",
        "figure3",
        "figure3_exact",
        "strata",
        "coherence",
        "claims",
    )
    done = fresh.snakemake(*(f"results/small/figures/{name}.csv" for name in made))
    said = done.stdout + done.stderr
    assert said.count("config: experiments.label_noise.noise.0: given 0.001; round(1) = 1 of 1,000") == 1
    assert said.count("config: experiments.label_noise.noise.1: given 0.002; on average at most 0.06") == 1
    for figure, levels in (
        ("figure2", [0.002, 0.5]),
        ("figure2_exact", [0.002, 0.5]),
        ("figure1", [0.001, 0.002, 0.5]),
    ):
        table = pd.read_csv(fresh.results / f"figures/{figure}.csv")
        assert sorted(table["noise"].unique()) == levels
        if figure == "figure2":
            assert table[table["row"] == "empty"]["noise"].tolist() == [0.002]
            assert table[(table["row"] == "curve p") & (table["noise"] == 0.5)]["value"].notna().all()
    assert (fresh.results / "figures/claims.png").exists()
    log = (fresh.results / "logs/nullworlds/label_noise/noise-000.2/winsor-0/replicate-0.log").read_text()
    assert "of 30 examples 30 are pristine and 0 corrupt, so there is nothing to permute" in log
    settings["experiments"]["label_noise"]["noise"] = [0, 0.001, 1]
    fresh.configure(settings)
    said = fails(fresh.snakemake("-n", check=False))
    assert "figures.figure3_exact.experiment: given 'label_noise' (text); allowed: an experiment with" in said
    assert "from 0.0015 on with 1,000 training examples" in said
