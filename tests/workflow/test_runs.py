"""Whole runs: the files that are there, the same bytes twice, and training that was killed."""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import warm
import xarray as xr
import yaml
from safetensors.numpy import load_file
from trees import ROOT, SMALL, Tree

from cgpipe.inference.claims.registry import all_claims
from cgpipe.inference.verdicts import verdicts
from cgpipe.pipeline.config.load import load
from cgpipe.pipeline.plan import all_figures, all_runs

PLOTTED = ("pdf", "svg", "png", "csv")
WRITTEN = ("*.nc", "*.safetensors", *(f"*.{ending}" for ending in PLOTTED))


def digests(folder: Path) -> dict[str, str]:
    """Content of every result, by path."""
    files = [path for pattern in WRITTEN for path in folder.rglob(pattern)]
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_no_file_is_left_over(finished: Tree) -> None:
    left = [p for p in finished.results.rglob(".*") if p.name.startswith(".")]
    assert left == []


def test_every_rule_has_a_log_and_a_benchmark(finished: Tree) -> None:
    logs = {p.relative_to(finished.results / "logs").with_suffix("") for p in finished.results.rglob("*.log")}
    timed = {
        p.relative_to(finished.results / "benchmarks").with_suffix("")
        for p in finished.results.rglob("*.tsv")
    }
    assert logs == timed
    assert {p.parts[0] for p in logs} == {
        "data",
        "corrupt",
        "train",
        "gradients",
        "contributions",
        "coherence",
        "bursts",
        "clipping",
        "heldout",
        "similarity",
        "twins",
        "nullworlds",
        "nullworlds_exact",
        "nullworlds_displacement",
        "displacement",
        "runs",
        "claims",
        "figures",
    }


def test_training_log_has_a_line_for_each_logged_step(finished: Tree) -> None:
    log = finished.results / "logs/train/label_noise/noise-050/winsor-0/replicate-0.log"
    lines = [line for line in log.read_text(encoding="utf-8").splitlines() if " step " in line]
    assert len(lines) == 12  # 0 to 9, 10, and the last, 12
    for part in ("step 12 of 12", "loss ", "accuracy ", "(training)", "(test)", " examples/s", " left"):
        assert part in lines[-1]


def test_artifacts_say_how_they_were_made(finished: Tree) -> None:
    paths = list(finished.results.rglob("*.nc"))
    assert len(paths) == 35
    for path in paths:
        with xr.open_dataset(path, engine="netcdf4") as dataset:
            for attribute in ("title", "source", "references", "spec", "code", "software"):
                assert dataset.attrs[attribute], (path, attribute)
            assert isinstance(json.loads(dataset.attrs["spec"]), dict)
            assert all("long_name" in of.attrs for of in dataset.variables.values())
            assert {of.attrs.get("units", "1") for of in dataset.variables.values()} == {"1"}
            assert not any("_FillValue" in of.encoding for of in dataset.variables.values())
            assert dataset.attrs["Conventions"] == "CF-1.11"
    worlds = xr.open_dataset(
        finished.results / "label_noise/noise-050/winsor-0/replicate-0/nullworlds.nc", engine="netcdf4"
    )
    with worlds:
        made_from = json.loads(worlds.attrs["inputs"])
    assert set(made_from) == {"data", "corrupt", "train", "gradients"}
    assert json.loads(made_from["train"]["spec"])["noise"] == 0.5


def test_fractions_of_the_groups_add_up_to_one(finished: Tree) -> None:
    path = finished.results / "label_noise/noise-050/winsor-0/replicate-0/nullworlds.nc"
    with xr.open_dataset(path, engine="netcdf4") as worlds:
        np.testing.assert_allclose(worlds["f"].sum("group"), 1, rtol=1e-12)
        np.testing.assert_allclose(worlds["f_null"].sum("group"), 1, rtol=1e-12)


def test_dead_units_are_those_that_no_training_image_activates(finished: Tree) -> None:
    run = finished.results / "winsorization/noise-050/winsor-2/replicate-0"
    tensors = load_file(run / "snapshots.safetensors")
    with (
        xr.open_dataset(run / "history.nc", engine="netcdf4") as history,
        xr.open_dataset(finished.results / "dataset.nc", engine="netcdf4") as dataset,
    ):
        images = dataset["train_images"].values.reshape(dataset.sizes["train_example"], -1)
        pixels = images.astype("f4") / np.float32(dataset.attrs["pixel_max"])
        for t in (0, -1):
            active = pixels @ tensors["0.weight"][t].T + tensors["0.bias"][t] > 0
            assert history["active"][t, 0] == pytest.approx(active.mean(), abs=1e-4)
            assert history["dead"][t, 0] == pytest.approx((~active.any(0)).mean())


def test_a_sample_of_a_subset_is_named_by_its_places_in_the_dataset(finished: Tree) -> None:
    run = finished.results / "label_noise/noise-050/winsor-0/replicate-0"
    labels = finished.results / "corrupted/examples-900/noise-050/replicate-0.nc"
    with (
        xr.open_dataset(finished.results / "dataset.nc", engine="netcdf4") as dataset,
        xr.open_dataset(labels, engine="netcdf4") as corrupted,
        xr.open_dataset(run / "gradients.nc", engine="netcdf4") as sample,
    ):
        assert corrupted.sizes == {"example": 900}
        true = dataset["train_labels"].values
        np.testing.assert_array_equal(corrupted["label_true"], true[corrupted["index"]])
        assert sample.sizes["example"] == 60
        places = np.searchsorted(corrupted["index"], sample["example"])
        np.testing.assert_array_equal(corrupted["index"][places], sample["example"])
        np.testing.assert_array_equal(corrupted["pristine"][places], sample["pristine"])


def test_contributions_of_all_examples_fulfil_their_identities(finished: Tree) -> None:
    for noise in ("000", "050"):
        run = finished.results / f"label_noise/noise-{noise}/winsor-0/replicate-0"
        with (
            xr.open_dataset(run / "contributions.nc", engine="netcdf4") as each,
            xr.open_dataset(run / "coherence.nc", engine="netcdf4") as coherence,
            xr.open_dataset(run / "history.nc", engine="netcdf4") as history,
        ):
            whole = coherence.sel(group="all", part="network")
            np.testing.assert_allclose(
                each["contribution"].astype("f8").sum(["example", "layer"]), whole["squared_norm"], rtol=1e-4
            )
            np.testing.assert_allclose(
                each["squared_norm"].astype("f8").sum(["example", "layer"]), whole["energy"], rtol=1e-4
            )
            np.testing.assert_allclose(whole["loss"], history["loss_training"], rtol=1e-5)
            learned = each["size"].sel(group=each["group_learned"]).sum("group")
            np.testing.assert_array_equal(learned, history["correct"].sum("example"))
            layers = coherence.sel(group="all", part=["layer 0", "layer 1"])
            weighted = (layers["alpha"] * layers["energy"]).sum("part") / layers["energy"].sum("part")
            np.testing.assert_allclose(weighted, whole["alpha"], rtol=1e-10)
            of_corrupt = coherence.sel(group="corrupt", part="network")
            of_pristine = coherence.sel(group="pristine", part="network")
            product = whole["squared_norm"] - of_pristine["squared_norm"] - of_corrupt["squared_norm"]
            lengths = np.sqrt(of_pristine["squared_norm"] * of_corrupt["squared_norm"])
            cosine = (product / 2 / lengths).where(lengths > 0)
            np.testing.assert_allclose(coherence["cosine"].sel(part="network"), cosine, rtol=1e-6, atol=1e-9)
            if noise == "000":  # an empty group
                assert (of_corrupt["size"] == 0).all()
                assert of_corrupt["alpha"].isnull().all()  # noqa: PD003
                assert of_corrupt["squared_norm"].equals(0 * of_corrupt["squared_norm"])
            else:
                assert ((of_corrupt["alpha"] > 0) & (of_corrupt["alpha"] <= 1)).all()


def test_bursts_and_displacements_are_of_the_runs_and_fulfil_their_identities(tree: Tree) -> None:
    run = tree.results / "label_noise/noise-050/winsor-0/replicate-0"
    of_run = run.relative_to(tree.folder)
    tree.snakemake(f"{of_run}/bursts.nc", f"{of_run}/displacement.nc")
    with (
        xr.open_dataset(run / "contributions.nc", engine="netcdf4") as each,
        xr.open_dataset(run / "bursts.nc", engine="netcdf4") as bursts,
        xr.open_dataset(run / "displacement.nc", engine="netcdf4") as displacement,
    ):
        u = each["contribution"].astype("f8").sum("layer").rename(step="burst_step")
        pristine = each["pristine"].values.astype(bool)
        for group, members in (("pristine", pristine), ("corrupt", ~pristine)):
            product = bursts["product"].sel(group=group, burst_step=u["burst_step"])
            of_group = u.sel(example=members).sum("example")
            np.testing.assert_allclose(product, of_group, rtol=1e-5, atol=1e-5 * np.abs(u).max())
        assert bursts.attrs["replay_difference"] == displacement.attrs["replay_difference"] == 0
        # A run of 12 updates has one window, of all of them.
        assert displacement["visits"].sum() == 12 * 50
        total = displacement["contribution"].astype("f8").sum("example")
        np.testing.assert_allclose(total, displacement["way"], rtol=1e-5)


def test_exact_fractions_add_up_and_are_those_of_the_contributions(finished: Tree) -> None:
    run = finished.results / "label_noise/noise-050/winsor-0/replicate-0"
    with (
        xr.open_dataset(run / "contributions.nc", engine="netcdf4") as each,
        xr.open_dataset(run / "nullworlds_exact.nc", engine="netcdf4") as worlds,
    ):
        np.testing.assert_allclose(worlds["f"].sum("group"), 1, rtol=1e-12)
        u = each["contribution"].astype("f8").sum("layer")
        of_pristine = u.sel(example=each["pristine"].values.astype(bool)).sum("example")
        np.testing.assert_allclose(
            worlds["f"].sel(group="pristine"), of_pristine / u.sum("example"), rtol=1e-10
        )
        assert int(worlds["group_size"].sum()) == each.sizes["example"] == 900


def test_claims_are_all_there_and_none_holds_after_a_dozen_steps_that_is_of_the_end(finished: Tree) -> None:
    table, found = (pd.read_csv(finished.results / f"{name}.csv") for name in ("claims", "verdicts"))
    assert set(found["claim"]) == {claim.name for claim in all_claims("CG 2020")}
    assert set(found["verdict"]) == {"undecided", "shown"}  # one replicate is no verdict
    assert found.loc[found["verdict"] == "undecided", "why"].notna().all()
    texts = dict.fromkeys(("trend", "estimator", "why"), "")
    pd.testing.assert_frame_equal(verdicts(table), found.fillna(texts))
    # Of the beginning there are statistics, from all that was measured; of the end there is none.
    for claim, estimators in (
        ("C5", ["sample", "all", "displacement"]),
        ("C8", ["sample", "all", "displacement"]),
    ):
        begin = found[(found["claim"] == claim) & found["part"].str.contains("(?:start|step 0|window), 50%")]
        assert begin["n"].tolist() == [1] * len(estimators)
        assert begin["estimator"].tolist() == estimators
    for claim in ("C1", "C9"):
        assert set(found.loc[found["claim"] == claim, "n"]) == {0}


def test_runs_trained_in_one_job_are_those_trained_apart(finished: Tree) -> None:
    apart, together = (
        {path: digest for path, digest in digests(finished.results / name).items() if "clipping" not in path}
        for name in ("winsorization", "pair")
    )
    assert len(apart) == 4
    assert apart == together


LONG = {
    "batch_size": 50,
    "device": "cpu",
    "init": "xavier",
    "learning_rate": 0.1,
    "momentum": 0.0,
    "network": {"dense": [256, 256]},
    "noise": 0.5,
    "normalize": False,
    "replicate": 0,
    "schedule": "constant",
    "seed": 3,
    "snapshots": True,
    "steps": 3000,
    "update": "winsorized_mean",
    "weight_decay": 0.0,
    "winsor": 1,
}


SAVES_OFTEN = """
import sys
sys.path.insert(0, {root!r})
from cgpipe.cli import main
from cgpipe.pipeline.stages import train
train.SECONDS_BETWEEN_SAVES, train.SAVING = 0.05, 1.0
main()
"""


class Trainer:
    """Training outside of snakemake, on the data of a finished tree."""

    def __init__(self, tree: Tree, out: Path) -> None:
        self.out = out
        program = tree.folder / "saves_often.py"
        program.write_text(SAVES_OFTEN.format(root=str(ROOT)), encoding="utf-8")
        self.command = [
            *("-I", str(program), "train", "--spec", json.dumps(LONG)),
            *("--dataset", str(tree.results / "dataset.nc")),
            *("--corrupted", str(tree.results / "corrupted/noise-050/replicate-0.nc")),
            str(out),
        ]
        # One thread: two of them would wait for each other on a busy machine.
        self.environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def stop(
        self, signalled: signal.Signals | None = None, after: str = "", *, delay: float = 0
    ) -> tuple[int, str]:
        """Signal the run once it has said something, and a little later; exit status and what it said."""
        reading, writing = os.pipe()
        with os.fdopen(reading) as told:
            with os.fdopen(writing, "w") as telling:
                process = warm.Process(self.command, ROOT, self.environment, telling, telling)
            said = ""
            for line in told:
                said += line
                if signalled and after in line:
                    time.sleep(delay)
                    os.kill(process.pid, signalled)
                    signalled = None
        return process.wait(), said

    def finish(self) -> str:
        status, said = self.stop()
        assert status == 0, said
        return said

    def finish_anew(self) -> str:
        """In a process that imports everything itself."""
        command, options = [sys.executable, *self.command], {"capture_output": True, "text": True}
        return subprocess.run(command, cwd=ROOT, env=self.environment, check=True, **options).stderr

    def results(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.out.iterdir()}


@pytest.fixture(scope="session")
def undisturbed(finished: Tree, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Results of the long run, never killed."""
    trainer = Trainer(finished, tmp_path_factory.mktemp("undisturbed"))
    assert "going on" not in trainer.finish_anew()
    return trainer.results()


def test_killed_training_resumes_and_ends_bitwise_equal(
    finished: Tree, tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    trainer = Trainer(finished, tmp_path / "killed")
    moments = [
        ("winsorization c = 1", 0.0),  # before the first step
        ("step 0 of", 0.0),
        ("step 7 of", 0.0),
        ("step 200 of", 0.05),  # between two logged steps
        ("step 1000 of", 0.2),
        ("step 2000 of", 0.0),
    ]
    for after, delay in moments:
        status, said = trainer.stop(signal.SIGKILL, after, delay=delay)
        assert status == 128 + signal.SIGKILL, said
        assert not (trainer.out / "history.nc").exists()
    said = re.search(r"going on from a checkpoint at step (\d+)", trainer.finish())
    assert said
    assert int(said[1]) > 1000
    assert trainer.results() == undisturbed


def test_training_asked_to_stop_saves_where_it_is_and_goes_on(
    finished: Tree, tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    trainer = Trainer(finished, tmp_path / "stopped")
    for number, name in ((signal.SIGUSR1, "SIGUSR1"), (signal.SIGTERM, "SIGTERM")):
        status, said = trainer.stop(number, "step 1000 of" if number == signal.SIGUSR1 else "going on")
        assert status == 1
        assert f"stopped by {name} at step" in said
        assert "Traceback" not in said
    assert "going on from a checkpoint" in trainer.finish()
    assert trainer.results() == undisturbed


def test_checkpoint_of_other_settings_is_never_gone_on_from(
    finished: Tree, tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    trainer = Trainer(finished, tmp_path / "other")
    other = Trainer(finished, tmp_path / "other")
    other.command[other.command.index("--spec") + 1] = json.dumps(LONG | {"learning_rate": 0.2})
    other.stop(signal.SIGKILL, "step 1000 of")
    assert "going on" not in trainer.finish()
    assert trainer.results() == undisturbed


@pytest.mark.slow
def test_a_killed_workflow_goes_on_and_writes_the_bytes_of_one_that_was_not(
    finished: Tree, fresh: Tree
) -> None:
    """Kill a running snakemake and its trainers: the next one finishes, in processes that start anew."""
    environment = {**os.environ, "PYTHONPATH": str(fresh.folder)}
    history = fresh.results / "label_noise/noise-050/winsor-0/replicate-0/history.nc"
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--configfile", "config/small.yaml"]
    with subprocess.Popen(
        command,
        cwd=fresh.folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as workflow:
        assert workflow.stdout is not None
        for line in workflow.stdout:
            if line.startswith("localrule train"):
                os.killpg(workflow.pid, signal.SIGKILL)
                break
    assert workflow.returncode == -signal.SIGKILL
    assert not history.exists()
    fresh.snakemake("--unlock")
    fresh.snakemake(anew=True)
    assert fresh.planned() == {}
    first, second = digests(finished.results), digests(fresh.results)
    assert {Path(name).suffix for name in first} == {".nc", ".safetensors", ".pdf", ".svg", ".png", ".csv"}
    assert [name for name in first if first[name] != second.get(name)] == []
    assert first.keys() == second.keys()


def test_every_variable_and_attribute_is_documented(finished: Tree) -> None:
    text = (ROOT / "docs" / "artifacts.md").read_text(encoding="utf-8")
    missing = set()
    for path in finished.results.rglob("*.nc"):
        with xr.open_dataset(path, engine="netcdf4") as dataset:
            names = [*dataset.variables, *dataset.dims, *dataset.attrs]
            if path.name == "claims.nc":  # documented without the name of the table before theirs
                names = [re.sub("^(statistic|part|claim)_(?!row)", "", str(name)) for name in names]
            missing |= {(path.name, str(name)) for name in names if f"`{name}`" not in text}
    assert missing == set()


def test_report_holds_figures_and_numbers_with_captions(finished: Tree) -> None:
    report = finished.folder / "results" / "report.html"
    finished.snakemake("--report", str(report))
    page = report.read_text(encoding="utf-8")
    for number in "1234":
        for part in (f"figure{number}.svg", f"figure{number}.csv", f"(Chatterjee 2020, figure {number})"):
            assert part in page
    for part in ("figure2_exact.svg", "figure3_exact.svg", "coherence.svg", "claims.svg", "claims.csv"):
        assert part in page
    first_page = re.search(r"^ *var workflow_desc = (.*);$", page, re.MULTILINE)
    assert first_page
    shown = re.findall(r"src=.{,3}data:image/svg\+xml,", first_page[1])
    assert len(shown) == len(list(finished.results.glob("figures/*.svg"))) == 22
    assert "system-message" not in first_page[1]
    for part in ("gradients of similar examples", "Numbers", "Winsorized SGD: accuracies and overfit"):
        assert part in page


def test_dry_run_of_the_paper_lists_every_run() -> None:
    settings = load(yaml.safe_load((ROOT / "config" / "config.yaml").read_text(encoding="utf-8")))
    command = [sys.executable, "-m", "snakemake", "-n", "--nolock", "--forceall"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    planned = set(re.findall(r"results/paper/\S+/history\.nc", said.stdout + said.stderr))
    expected = {
        "results/paper/{}/noise-{}/winsor-{}/replicate-{}/history.nc".format(*run)
        for run in all_runs(settings)
    }
    assert len(expected) == 5 * (5 + 25 + 5 + 5)
    assert planned == expected


def test_a_workflow_says_at_its_end_how_many_runs_were_made_by_sorting(
    fresh: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = SMALL["experiments"]["winsorization"] | {"steps": 2, "snapshots": False}
    fresh.configure({**SMALL, "device": "cpu", "experiments": {"few": few}, "figures": {}, "claims": None})
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("CXX", "/bin/false")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    done = fresh.snakemake()
    said = done.stdout + done.stderr
    # With c = 0 torch makes the updates, with c = 2 sorting; CUDA_VISIBLE_DEVICES names a GPU.
    assert "1 of 2 runs were made, in part at least, by sorting" in said
    assert "2 of 2 runs were made, in part at least, on the CPU of a job that held a GPU" in said
    made = pd.read_csv(fresh.results / "runs.csv")
    assert made[["winsor", "kernel", "first_step", "last_step"]].values.tolist() == [
        [0, "torch", 1, 2],
        [2, "reference", 1, 2],
    ]
    report = fresh.folder / "report.html"
    fresh.snakemake("--report", str(report))
    assert "runs.csv" in report.read_text(encoding="utf-8")


@pytest.mark.slow
def test_every_stage_runs_on_mnist(fresh: Tree, mnist_root: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(fresh.folder), "CGPIPE_DATA_ROOT": str(mnist_root)}
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--configfile", "config/mnist-small.yaml"]
    done = subprocess.run(
        command, cwd=fresh.folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    results = fresh.folder / "results" / "mnist_small"
    settings = load(yaml.safe_load((ROOT / "config" / "mnist-small.yaml").read_text(encoding="utf-8")))
    assert len(list((results / "figures").iterdir())) == 5 * len(all_figures(settings))
    history = results / "label_noise/noise-000/winsor-0/replicate-0/history.nc"
    with xr.open_dataset(history, engine="netcdf4") as run:
        assert run.sizes["example"] == 6_000
        assert float(run["accuracy_test"][-1]) > 0.85
