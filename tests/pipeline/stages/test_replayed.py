"""Stages `bursts` and `displacement`: a run's own updates again, alone and with other runs in a job."""

import json
import logging
import re
from itertools import islice

import pytest
import torch
import xarray as xr

import cgpipe
from cgpipe.data.images import flat_images
from cgpipe.gradients.bursts import measure_bursts
from cgpipe.gradients.displacement import Window, measure_displacement
from cgpipe.learning.batches import BatchOrder
from cgpipe.networks.dense import Layer
from cgpipe.pipeline.artifacts import Provenance, open_tensors, read_netcdf, write_tensors
from cgpipe.pipeline.canonical import canonical
from cgpipe.pipeline.stages import bursts, corrupt, data, displacement, train
from cgpipe.pipeline.streams import stream

TRAINING = {
    "batch_size": 100,
    "device": "cpu",
    "init": "xavier",
    "learning_rate": 0.05,
    "momentum": 0.0,
    "network": {"dense": [8]},
    "normalize": True,
    "schedule": "constant",
    "seed": 3,
    "snapshots": True,
    "steps": 45,
    "update": "winsorized_mean",
    "weight_decay": 0.1,
    "winsor": 0,
}
LEVELS = [{"noise": noise, "replicate": replicate} for noise, replicate in ((0.0, 0), (0.5, 0), (0.5, 1))]
STAGES = {"bursts": bursts, "displacement": displacement}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A dataset, and labels and snapshots of a run at each level."""
    folder = tmp_path_factory.mktemp("runs")
    dataset = folder / "dataset.nc"
    made = Provenance("data", "{}", "")
    data.run(data.Spec("digits"), made, dataset=dataset, data_root=None, downloads=folder)
    files = {"dataset": dataset, "corrupted": [], "snapshots": []}
    for number, levels in enumerate(LEVELS):
        labels = folder / f"{number}.nc"
        spec = corrupt.Spec(**levels, seed=3, selection="exact")
        made = Provenance("corrupt", canonical(vars(spec)), "")
        corrupt.run(spec, made, dataset=dataset, corrupted=labels)
        spec = train.Spec(**TRAINING, **levels)
        made = Provenance("train", canonical(vars(spec)), "")
        train.run(spec, made, dataset=dataset, corrupted=[labels], folders=[folder / f"{number}"])
        files["corrupted"].append(labels)
        files["snapshots"].append(folder / f"{number}" / "snapshots.safetensors")
    return files


def job(name, files, numbers, folder, several=True):
    """Run a stage for the runs with these numbers, in one job."""
    folder.mkdir(exist_ok=True)
    stage, outs = STAGES[name], [folder / f"{name}-{n}.nc" for n in numbers]
    specs = [{"device": "cpu", **LEVELS[n]} for n in numbers]
    read = [stage.Spec(**spec) for spec in specs]
    given, text = (read, canonical(specs)) if several else (read[0], canonical(specs[0]))
    those = {kind: [files[kind][n] for n in numbers] for kind in ("corrupted", "snapshots")}
    stage.run(given, Provenance(name, text, ""), dataset=files["dataset"], **those, **{name: outs})
    return outs


@pytest.mark.parametrize("name", STAGES)
def test_a_run_has_the_same_bytes_alone_and_in_any_company(made, tmp_path, name):
    numbers = [2, 0, 1]
    for number, together in zip(numbers, job(name, made, numbers, tmp_path / "together"), strict=True):
        (alone,) = job(name, made, [number], tmp_path / "alone", several=False)
        assert alone.read_bytes() == together.read_bytes()


@pytest.fixture(scope="module")
def path(made):
    """The second run: its weights before every update, its minibatches, images, labels and designations."""
    digits, read = read_netcdf(made["dataset"], "data"), read_netcdf(made["corrupted"][1], "corrupt")
    images = flat_images(digits, "train", normalize=TRAINING["normalize"])
    labels = read["label_train"].values
    weights = []

    def keep(run):
        parameters = [torch.from_numpy(values) for values in run.parameters().values()]
        weights.append([Layer(*parameters[:2]), Layer(*parameters[2:])])

    names = ("batch_size", "init", "learning_rate", "weight_decay")
    settings = {name: TRAINING[name] for name in names} | {"hidden": TRAINING["network"]["dense"]}
    rng, batch_rng = (stream(3, concern, 0) for concern in ("initialisation", "batches"))
    # Beyond the end of the run, as far as the burst there goes.
    cgpipe.learning.train(
        images, labels, images, labels, steps=51, rng=rng, batch_rng=batch_rng, on_step=keep, **settings
    )
    order = BatchOrder(len(images), 100, stream(3, "batches", 0))
    batches = [order.next() for _ in weights]
    return weights, batches, torch.from_numpy(images), torch.from_numpy(labels), read["pristine"].values


def test_bursts_are_of_the_updates_of_the_run(made, path, tmp_path):
    weights, _, *examples = path
    (out,) = job("bursts", made, [1], tmp_path)
    found = read_netcdf(out, "bursts")
    snapshots = [(step, 1) for step in range(10)] + [(step, 5) for step in (10, 20, 30, 40, 45)]
    steps = [(start, start + k) for start, count in snapshots for k in range(count)]
    expected = measure_bursts([(*of, weights[of[1]]) for of in steps], *examples)
    assert found["descent_step"].values.tolist() == list(range(11))
    xr.testing.assert_allclose(found, expected, rtol=1e-5)
    assert found.attrs["replay_difference"] == 0


def test_displacement_is_of_the_updates_of_the_run(made, path, tmp_path):
    weights, batches, images, labels, pristine = path
    (out,) = job("displacement", made, [1], tmp_path)
    found = read_netcdf(out, "displacement")
    halves = {0: 10, 10: 10, 20: len(images) // 100}  # an epoch
    windows = [
        Window(
            start,
            half,
            lambda start=start, half=half: islice(
                zip(weights, batches, strict=True), start, start + 2 * half
            ),
        )
        for start, half in halves.items()
    ]
    expected = measure_displacement(windows, images, labels, pristine)
    assert found["half"].values.tolist() == list(halves.values())
    xr.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * float(found["contribution"].std()))
    assert found.attrs["replay_difference"] == 0


@pytest.mark.parametrize(("name", "step"), [("bursts", 7), ("displacement", 30)])
def test_a_replay_that_differs_from_a_snapshot_is_told_once_and_measured(made, tmp_path, caplog, name, step):
    with open_tensors(made["snapshots"][1]) as (description, file):
        tensors = {key: file.get_tensor(key).copy() for key in file}
    at = description["steps"].index(step)
    tensors["1.bias"][at] *= 1 + 1e-3
    changed = tmp_path / "changed.safetensors"
    write_tensors(tensors, changed, {key: of for key, of in description.items() if key != "sha256"})
    files = {**made, "snapshots": [None, changed]}
    with caplog.at_level(logging.WARNING):
        (out,) = job(name, files, [1], tmp_path)
    (said,) = caplog.messages
    assert re.match(rf"step {step}, trained again, differs from its snapshot by 1\.0e-03: .*threads", said)
    assert read_netcdf(out, name).attrs["replay_difference"] == pytest.approx(1e-3, rel=1e-2)


def test_runs_whose_updates_depend_on_earlier_minibatches_are_refused(made, tmp_path):
    with open_tensors(made["snapshots"][1]) as (description, file):
        tensors = {key: file.get_tensor(key) for key in file}
        spec = canonical({**json.loads(description["spec"]), "update": "rm3"})
        write_tensors(tensors, tmp_path / "rm3.safetensors", {**description, "spec": spec})
    for name in STAGES:
        with pytest.raises(ValueError, match="update rm3 depends on earlier minibatches"):
            job(name, {**made, "snapshots": [None, tmp_path / "rm3.safetensors"]}, [1], tmp_path / name)
        assert not list((tmp_path / name).iterdir())
