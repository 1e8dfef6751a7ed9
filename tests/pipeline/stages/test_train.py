"""Stage `train`: what made the updates, and what is done where the fused kernel is not at hand."""

import json
import logging
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

import cgpipe
from cgpipe.data.images import flat_images
from cgpipe.kernels import operators
from cgpipe.learning.evaluation import snapshot_steps
from cgpipe.learning.rules import kernel, update_rule
from cgpipe.pipeline.artifacts import ArtifactError, Provenance, open_tensors, read_netcdf
from cgpipe.pipeline.canonical import canonical
from cgpipe.pipeline.checkpoints import StoppedError
from cgpipe.pipeline.stages import corrupt, data, train
from cgpipe.pipeline.stages.results import read_current
from cgpipe.pipeline.streams import stream
from cgpipe.reproduction.results import made_with

SPEC = {
    "batch_size": 50,
    "device": "cpu",
    "init": "xavier",
    "kernel": "auto",
    "learning_rate": 0.1,
    "momentum": 0.0,
    "network": {"dense": [8]},
    "noise": 0.5,
    "normalize": False,
    "replicate": 0,
    "schedule": "constant",
    "seed": 3,
    "snapshots": False,
    "steps": 12,
    "update": "winsorized_mean",
    "weight_decay": 0.0,
    "winsor": 2,
}
GPU = ("SLURM_JOB_GPUS", "SLURM_STEP_GPUS", "SLURM_GPUS_ON_NODE", "SLURM_JOB_ID", "CUDA_VISIBLE_DEVICES")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    paths = {"dataset": folder / "dataset.nc", "corrupted": folder / "corrupted.nc"}
    data.run(
        data.Spec("digits"),
        Provenance("data", "{}", ""),
        dataset=paths["dataset"],
        data_root=None,
        downloads=folder,
    )
    corrupt.run(corrupt.Spec(0.5, 0, 3, "exact"), Provenance("corrupt", "{}", ""), **paths)
    return paths


class Stop:
    """Asks to stop after so many updates of this process, or never."""

    def __init__(self, after):
        self.after = after
        self.asked = 0  # once before each update

    @property
    def signal(self):
        self.asked += 1
        return signal.SIGTERM if self.after is not None and self.asked > self.after else None


@pytest.fixture
def trained(tmp_path, inputs, monkeypatch):
    """Train in several processes, in effect: each stops after so many updates.

    Each is (updates or None, why the kernel is missing, threads, environment).
    """
    monkeypatch.setattr(
        train.Checkpoint, "hold", lambda self: self._folder.mkdir(parents=True, exist_ok=True)
    )
    for name in GPU:
        monkeypatch.delenv(name, raising=False)
    threads = torch.get_num_threads()

    def function(*parts, name="run", files=(), **changes):
        spec = {**SPEC, **changes}
        for after, missing, number, environment in parts:
            with monkeypatch.context() as patch:
                patch.setattr(train, "StopRequest", lambda after=after: Stop(after))
                if missing:
                    patch.setattr(operators, "missing", lambda _, missing=missing: missing)
                for variable, value in environment.items():
                    patch.setenv(variable, value)
                torch.set_num_threads(number)
                provenance = Provenance("train", canonical(spec), "code")
                given = train.Spec(**spec)
                try:
                    train.run(
                        given,
                        provenance,
                        dataset=inputs["dataset"],
                        corrupted=[inputs["corrupted"]],
                        folders=[tmp_path / name],
                        start=files,
                    )
                except StoppedError:
                    assert after is not None
                else:
                    assert after is None
        return tmp_path / name / "history.nc"

    yield function
    torch.set_num_threads(threads)


def made_by(history):
    return json.loads(read_netcdf(history, "train").attrs["made_by"])


@pytest.mark.parametrize(
    ("network", "name"),
    [
        ({"dense": [8, 9]}, "64-8-9-10"),
        ({"conv_small": {}}, "conv_small"),
        ({"alexnet_small": {"channels": 8}}, "alexnet_small channels=8"),
        (
            {"args": {"width": 2, "deep": [3]}, "module": "of/my/net.py:build", "source": ""},
            "net.py:build width=2 deep=[3]",
        ),
    ],
)
def test_a_run_is_titled_by_its_network(inputs, network, name):
    spec = train.Spec(**{**SPEC, "network": network})
    flat = "dense" in network
    data = train.Data(inputs["dataset"], torch.device("cpu"), normalize=False, flat=flat)
    assert train.label(spec, data) == name


def test_snapshots_are_kept_at_some_of_the_logged_steps(trained):
    schedule = {"steps": 11_500, "batch_size": 1, "winsor": 0, "learning_rate": 0.001}
    history = trained((10_500, "", 1, {}), (None, "", 1, {}), snapshots=True, **schedule)
    assert read_netcdf(history, "train")["step"].values.tolist()[-3:] == [10_000, 11_000, 11_500]
    with open_tensors(history.with_name("snapshots.safetensors")) as (description, tensors):
        assert description["steps"] == snapshot_steps(11_500)
        assert len(tensors.get_tensor("0.bias")) == len(description["steps"])


@pytest.mark.parametrize(("update", "normalize"), [("winsorized_mean", False), ("random_drop", True)])
def test_the_stage_writes_what_a_direct_call_returns(trained, inputs, update, normalize):
    history = trained((None, "", 1, {}), snapshots=True, update=update, normalize=normalize)
    torch.set_num_threads(1)
    digits, labels = read_netcdf(inputs["dataset"], "data"), read_netcdf(inputs["corrupted"], "corrupt")
    snapshots: dict[str, list[np.ndarray]] = {}

    def keep(run):
        for name, values in run.parameters().items():
            snapshots.setdefault(name, []).append(values)

    returned = cgpipe.learning.train(
        flat_images(digits, "train", normalize=normalize),
        labels["label_train"].values,
        flat_images(digits, "test", normalize=normalize),
        digits["test_labels"].values,
        hidden=[8],
        steps=12,
        batch_size=50,
        learning_rate=0.1,
        update=update,
        c=2,
        pristine=labels["pristine"].values,
        rng=stream(3, "initialisation", 0),
        batch_rng=stream(3, "batches", 0),
        update_rng=stream(3, "update", 0),
        on_logged=keep,
    )
    written = read_netcdf(history, "train")
    assert written.attrs["classes"] == returned.attrs["classes"] == 10
    assert written.equals(returned)
    with open_tensors(history.with_name("snapshots.safetensors")) as (description, tensors):
        assert description["steps"] == returned["step"].values.tolist()
        assert tensors.keys() == snapshots.keys()
        for name, values in snapshots.items():
            assert np.array_equal(tensors.get_tensor(name), np.stack(values))


HERE = operators.build.instruction_set()
GONE = pytest.mark.filterwarnings("ignore:the fused CPU kernel:RuntimeWarning")


def test_an_undisturbed_run_and_one_that_goes_on_alike_have_the_same_bytes(trained):
    undisturbed = trained((None, "", 1, {}), name="undisturbed")
    resumed = trained((0, "", 1, {}), (4, "", 1, {}), (3, "", 1, {}), (None, "", 1, {}), name="resumed")
    assert made_by(undisturbed) == [{"device": "cpu", "kernel": HERE, "threads": 1, "steps": [1, 12]}]
    assert undisturbed.read_bytes() == resumed.read_bytes()


@GONE
def test_every_kernel_and_number_of_threads_that_took_part_is_noted_in_order(trained):
    history = trained(
        (3, "", 1, {}),
        (2, "no compiler", 1, {}),
        (2, "no compiler", 2, {}),
        (2, "", 2, {}),
        (None, "", 2, {}),
    )
    noted = made_by(history)
    assert [(one["kernel"], one["threads"], one["steps"]) for one in noted] == [
        (HERE, 1, [1, 3]),
        ("reference", 1, [4, 5]),
        ("reference", 2, [6, 7]),
        (HERE, 2, [8, 12]),
    ]
    made = made_with([read_netcdf(history, "train")]).set_index("name")["value"]
    assert made["device"] == "cpu"
    assert made["kernel"] == f"{HERE}, then reference"


@GONE
def test_a_process_that_made_no_update_is_not_noted(trained):
    (only,) = made_by(trained((0, "no compiler", 1, {}), (None, "", 1, {})))
    assert only["kernel"] == HERE


@pytest.mark.parametrize(
    ("environment", "idle"),
    [
        ({}, False),
        ({"SLURM_JOB_ID": "7", "SLURM_JOB_GPUS": "0"}, True),
        ({"SLURM_JOB_ID": "7", "SLURM_STEP_GPUS": "0,1"}, True),
        ({"SLURM_JOB_ID": "7", "SLURM_JOB_GPUS": ""}, False),
        ({"CUDA_VISIBLE_DEVICES": "0"}, True),
        ({"CUDA_VISIBLE_DEVICES": "GPU-8932f937"}, True),
        *(({"CUDA_VISIBLE_DEVICES": none}, False) for none in ("", " ", "-1", "-1,0", "NoDevFiles")),
    ],
)
def test_a_gpu_that_the_job_holds_and_does_not_use_is_noted(trained, environment, idle):
    (only,) = made_by(trained((None, "", 1, environment)))
    assert only.get("gpu_idle", False) is idle
    assert ("gpu_idle" in only) is idle


@GONE
@pytest.mark.parametrize(
    ("update", "winsor", "with_kernel", "without"),
    [
        ("winsorized_mean", 0, HERE, "torch"),
        ("winsorized_mean", 2, HERE, "reference"),
        ("trimmed_mean", 20, HERE, "reference"),
        ("median", 0, HERE, "reference"),
        ("m3", 0, "torch", "torch"),
        ("sign_of_sum", 0, "torch", "torch"),
        ("scaled_mean", 2, HERE, "reference"),
        ("norm_clip", 9, HERE, "reference"),
        ("inlier_clip", 2, HERE, "reference"),
        ("random_drop", 2, "torch", "torch"),
    ],
)
def test_the_kernel_is_named_by_what_makes_the_updates(monkeypatch, update, winsor, with_kernel, without):
    rule = update_rule(update, winsor, 50)
    assert kernel(rule, "cpu") == with_kernel
    monkeypatch.setattr(operators, "missing", lambda _: "no compiler")
    assert kernel(rule, "cpu") == without


@pytest.mark.filterwarnings("ignore:the fused GPU kernel:RuntimeWarning")
@pytest.mark.parametrize(
    ("update", "winsor", "with_kernel", "without"),
    [
        ("winsorized_mean", 0, "torch", "torch"),
        ("winsorized_mean", 2, "triton", "reference"),
        ("trimmed_mean", 17, "torch", "torch"),
        ("median", 0, "torch", "torch"),
        ("m3", 0, "torch", "torch"),
        ("norm_clip", 2, "triton", "reference"),
        ("scaled_mean", 17, "torch", "torch"),
        ("inlier_clip", 2, "torch", "torch"),
    ],
)
def test_so_it_is_on_a_gpu(monkeypatch, update, winsor, with_kernel, without):
    rule = update_rule(update, winsor, 50)
    for missing, expected in (("", with_kernel), ("no compiler", without)):
        monkeypatch.setattr(operators, "missing", lambda _, missing=missing: missing)
        assert kernel(rule, "cuda") == expected


# --- marks, start, dp_sgd --------------------------------------------------------------------------


def snapshots_of(history):
    """The description of the snapshots of a run, and the tensors."""
    with open_tensors(history.with_name("snapshots.safetensors")) as (description, tensors):
        return description, {name: tensors.get_tensor(name) for name in tensors}


MARKED = {"steps": 65, "snapshots": True, "winsor": 0, "learning_rate": 0.5, "marks": [9.0, 2.25, 2.18, 0.01]}


@pytest.mark.parametrize("dp", [{}, {"update": "dp_sgd", "clip_norm": 1.0, "noise_multiplier": 0.01}])
def test_marks_are_logged_and_kept_and_a_resumed_run_passes_them_alike(trained, dp):
    undisturbed = trained((None, "", 1, {}), name="undisturbed", **MARKED, **dp)
    # Before there is a mean, at the step of the first mark, and after it.
    parts = [(after, "", 1, {}) for after in (15, 5, 3, 20, None)]
    resumed = trained(*parts, name="resumed", **MARKED, **dp)
    for name in ("history.nc", "snapshots.safetensors"):
        assert undisturbed.with_name(name).read_bytes() == resumed.with_name(name).read_bytes()
    history, (description, tensors) = read_netcdf(undisturbed, "train"), snapshots_of(undisturbed)
    passed = history["mark_step"].values.tolist()
    assert passed[0] == 20 < passed[1] < passed[2]
    assert passed[3] == -1
    assert history["mark"].values.tolist() == MARKED["marks"]
    assert description["marks"] == dict(zip(("9.0", "2.25", "2.18"), passed[:3], strict=True))
    assert description["steps"] == sorted({*snapshot_steps(65), *passed[:3]})
    assert description["steps"] == history["step"].values.tolist()
    assert len(tensors["0.bias"]) == len(description["steps"])
    assert ("epsilon" in history) == bool(dp)


def test_marks_without_snapshots_are_logged_alone(trained):
    history = trained((None, "", 1, {}), **{**MARKED, "snapshots": False})
    assert set(read_netcdf(history, "train")["mark_step"].values) <= {
        -1,
        *read_netcdf(history, "train")["step"].values,
    }
    assert [path.name for path in history.parent.iterdir()] == ["history.nc"]
    without = trained((None, "", 1, {}), name="without", snapshots=True)
    assert snapshots_of(without)[0]["marks"] == {}
    assert "mark" not in read_netcdf(without, "train").dims


def test_a_run_begins_with_the_last_weights_of_another(trained, inputs):
    before = trained((None, "", 1, {}), name="before", snapshots=True, replicate=7)
    start = {"files": [before.with_name("snapshots.safetensors")], "start": "before"}
    (description, weights), changes = snapshots_of(before), {"snapshots": True, "winsor": 0}
    after = trained((None, "", 1, {}), name="after", **start, **changes)
    (of_start, found), made = snapshots_of(after), read_netcdf(after, "train")
    assert all(np.array_equal(values[0], weights[name][-1]) for name, values in found.items())
    assert made["loss_training"][0] == read_netcdf(before, "train")["loss_training"][-1]
    # Its order of minibatches is its own.
    other = trained((None, "", 1, {}), name="other", **start, **changes, replicate=1)
    assert not np.array_equal(snapshots_of(other)[1]["0.weight"][1], found["0.weight"][1])
    for attributes in (made.attrs, of_start):
        noted = json.loads(attributes["inputs"])
        assert noted["start"] == {key: description[key] for key in ("spec", "code", "sha256")}
        read = {read_netcdf(inputs[of], stage).encoding["sha256"] for of, stage in STAGES_READ}
        assert set(json.loads(attributes["input_sha256"])) == {*read, description["sha256"]}
    resumed = trained((5, "", 1, {}), (None, "", 1, {}), name="resumed", **start, **changes)
    assert after.read_bytes() == resumed.read_bytes()


STAGES_READ = (("dataset", "data"), ("corrupted", "corrupt"))


def test_what_began_from_weights_that_were_replaced_since_is_not_read(trained):
    at = "{}/noise-050/winsor-0/replicate-0"
    before = trained((None, "", 1, {}), name=at.format("before"), snapshots=True)
    files = [before.with_name("snapshots.safetensors")]
    after = trained((None, "", 1, {}), name=at.format("after"), files=files, start="before")
    assert read_current(after, "train").equals(read_netcdf(after, "train"))
    trained((None, "", 1, {}), name=at.format("before"), snapshots=True, learning_rate=0.2)
    with pytest.raises(
        ArtifactError, match=r"made from another snapshots\.safetensors than .* now, .*before"
    ):
        read_current(after, "train")


def test_a_checkpoint_from_another_start_is_never_gone_on_from(trained, caplog):
    caplog.set_level(logging.INFO, "cgpipe")
    paths = [
        trained((None, "", 1, {}), name=name, snapshots=True, learning_rate=rate).with_name(
            "snapshots.safetensors"
        )
        for name, rate in (("one", 0.1), ("two", 0.2))
    ]
    trained((5, "", 1, {}), files=paths[:1], start="before")
    trained((None, "", 1, {}), files=paths[1:], start="before")
    assert "going on from" not in caplog.text


def test_weights_of_another_network_and_files_without_a_name_are_refused(trained, tmp_path):
    before = trained((None, "", 1, {}), name="before", snapshots=True)
    file = before.with_name("snapshots.safetensors")
    with pytest.raises(ArtifactError, match=r"snapshots\.safetensors does not fit: .*\(8, 64\).* `start`"):
        trained((None, "", 1, {}), files=[file], start="before", network={"dense": [9]})
    for files, start in (([file], None), ([], "before")):
        with pytest.raises(ValueError, match=r"start .* with --start .*: give both or neither"):
            trained((None, "", 1, {}), files=files, start=start)
    assert not (tmp_path / "run" / "history.nc").exists()


def test_dp_sgd_is_titled_by_its_norm_and_its_noise(trained):
    history = trained((None, "", 1, {}), update="dp_sgd", clip_norm=0.5, noise_multiplier=1.25, winsor=0)
    assert "dp_sgd C = 0.5, σ = 1.25" in read_netcdf(history, "train").attrs["title"]


# --- kernel: required -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("device", "update", "winsor", "refused"),
    [
        ("cpu", "winsorized_mean", 0, True),
        ("cpu", "winsorized_mean", 2, True),
        ("cpu", "median", 0, True),
        ("cpu", "m3", 0, False),
        ("cpu", "ra3", 0, False),
        ("cuda", "winsorized_mean", 0, False),
        ("cuda", "trimmed_mean", 2, True),
        ("cuda", "winsorized_mean", 17, False),
        ("cuda", "sum_of_signs", 0, False),
    ],
)
def test_a_run_is_refused_only_where_a_kernel_is_made_for_it(monkeypatch, device, update, winsor, refused):
    monkeypatch.setattr(operators, "missing", lambda of: f"no compiler for {of}")
    changed = {"update": update, "winsor": winsor}
    train.require_kernel(train.Spec(**{**SPEC, **changed}), torch.device(device))
    required = train.Spec(**{**SPEC, **changed, "kernel": "required"})
    if refused:
        with pytest.raises(train.KernelError, match=f"no compiler for {device}.*kernel: auto"):
            train.require_kernel(required, torch.device(device))
    else:
        train.require_kernel(required, torch.device(device))
    monkeypatch.setattr(operators, "missing", lambda _: "")
    train.require_kernel(required, torch.device(device))


@pytest.mark.parametrize("packed", [False, True])
def test_required_stops_before_the_first_step_with_the_reason(tmp_path, inputs, packed):
    one = {**SPEC, "kernel": "required"}
    specs = [one, {**one, "winsor": 3}] if packed else one
    labels = ["--corrupted", str(inputs["corrupted"])] * (1 + packed)
    folders = [str(tmp_path / str(number)) for number in range(1 + packed)]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "cgpipe", "train", "--spec", json.dumps(specs)),
            *("--dataset", str(inputs["dataset"]), *labels, *folders),
        ],
        env={**os.environ, "CXX": "/nonexistent", "TORCH_EXTENSIONS_DIR": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    for words in ("error: kernel: required", "/nonexistent: not found", "Or set kernel: auto"):
        assert words in done.stderr
    assert "Warning" not in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("?"))
