"""Stages that make a run's own updates again, alone and with others in a job."""

import json
import logging
import re
from itertools import islice

import numpy as np
import pytest
import torch
import xarray as xr

import cgpipe
from cgpipe.data.corruption import corruption
from cgpipe.data.images import flat_images
from cgpipe.gradients.bursts import measure_bursts
from cgpipe.gradients.displacement import Window, measure_displacement
from cgpipe.gradients.heldout import Sample, measure_heldout
from cgpipe.gradients.similarity import measure_similarity
from cgpipe.learning.batches import BatchOrder
from cgpipe.networks.dense import Layer
from cgpipe.pipeline.artifacts import Provenance, open_tensors, read_netcdf, write_tensors
from cgpipe.pipeline.canonical import canonical
from cgpipe.pipeline.stages import bursts, corrupt, data, displacement, heldout, similarity, train
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
SNAPSHOTS = [*range(11), 20, 30, 40, 45]
LEVELS = [{"noise": noise, "replicate": replicate} for noise, replicate in ((0.0, 0), (0.5, 0), (0.5, 1))]
STAGES = {"bursts": bursts, "displacement": displacement, "heldout": heldout, "similarity": similarity}
MORE = {
    "heldout": {"examples": 60, "seed": 3, "selection": "exact"},
    "similarity": {"examples": 30, "seed": 3},
}


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
    specs = [{"device": "cpu", **LEVELS[n], **MORE.get(name, {})} for n in numbers]
    read = [stage.Spec(**spec) for spec in specs]
    given, text = (read, canonical(specs)) if several else (read[0], canonical(specs[0]))
    those = {kind: [files[kind][n] for n in numbers] for kind in ("corrupted", "snapshots")}
    stage.run(given, Provenance(name, text, ""), dataset=files["dataset"], **those, **{name: outs})
    return outs


def changed(files, folder, change):
    """Files with other snapshots of the second run."""
    with open_tensors(files["snapshots"][1]) as (description, file):
        tensors = {key: file.get_tensor(key).copy() for key in file}
    change(tensors, description)
    path = folder / "changed.safetensors"
    write_tensors(tensors, path, {key: of for key, of in description.items() if key != "sha256"})
    return {**files, "snapshots": [None, path]}


def remember(tensors, description):
    """Let the run be one whose updates depend on earlier minibatches."""
    description["spec"] = canonical({**json.loads(description["spec"]), "update": "rm3"})


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
    def change(tensors, description):
        tensors["1.bias"][description["steps"].index(step)] *= 1 + 1e-3

    files = changed(made, tmp_path, change)
    with caplog.at_level(logging.WARNING):
        (out,) = job(name, files, [1], tmp_path)
    (said,) = caplog.messages
    assert re.match(rf"step {step}, trained again, differs from its snapshot by 1\.0e-03: .*threads", said)
    assert read_netcdf(out, name).attrs["replay_difference"] == pytest.approx(1e-3, rel=1e-2)


def test_runs_whose_updates_depend_on_earlier_minibatches_are_refused(made, tmp_path):
    files = changed(made, tmp_path, remember)
    for name in ("bursts", "displacement"):
        with pytest.raises(ValueError, match="update rm3 depends on earlier minibatches"):
            job(name, files, [1], tmp_path / name)
        assert not list((tmp_path / name).iterdir())


def test_of_such_runs_held_out_coherence_is_measured_at_every_snapshot_alone(made, tmp_path):
    def mark(tensors, description):
        remember(tensors, description)
        description["marks"] = {"2": 20}

    (out,) = job("heldout", changed(made, tmp_path, mark), [1], tmp_path)
    found = read_netcdf(out, "heldout")
    assert found["burst_step"].values.tolist() == SNAPSHOTS
    assert "replay_difference" not in found.attrs
    assert found["mark_step"].sel(mark=2) == 20


def test_held_out_coherence_is_of_the_updates_after_marks(made, path, tmp_path):
    def mark(tensors, description):
        description["marks"] = {"1.5": 40, "12": 20}

    (out,) = job("heldout", changed(made, tmp_path, mark), [1], tmp_path)
    found = read_netcdf(out, "heldout")
    steps = [*range(11), *range(20, 25), 30, *range(40, 50)]
    assert found["burst_step"].values.tolist() == steps
    assert found["snapshot"].values.tolist() == [max(s for s in SNAPSHOTS if s <= step) for step in steps]
    assert found["mark_step"].values.tolist() == [20, 40]
    assert found["mark"].values.tolist() == [12, 1.5]
    assert found.attrs["replay_difference"] == 0
    weights, _, images, labels, pristine = path
    rng = stream(3, "heldout", 0)
    digits = read_netcdf(made["dataset"], "data")
    test = digits["test_labels"].values
    chosen, others = (np.sort(rng.choice(len(of), 60, replace=False)) for of in (labels, test))
    noisy = corruption(test[others], 0.5, rng=rng)
    test_images = torch.from_numpy(flat_images(digits, "test", normalize=True))
    sets = {
        "training": Sample(images[chosen], labels[chosen], pristine[chosen]),
        "held-out": Sample(test_images[others], torch.from_numpy(noisy.label_train), noisy.pristine),
    }
    expected = measure_heldout([(step, step, weights[step]) for step in steps], sets)
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-4, atol=1e-4, err_msg=name)


def test_more_examples_than_a_set_has_are_refused(made, tmp_path, monkeypatch):
    monkeypatch.setitem(MORE, "heldout", {**MORE["heldout"], "examples": 798})
    with pytest.raises(
        ValueError, match=r"examples: 798 of .* 1,000 and of a test set of 797: .* at most 797"
    ):
        job("heldout", made, [0], tmp_path)


def test_similarity_is_of_a_sample_that_levels_of_noise_share(made, path, tmp_path):
    def mark(_, description):
        description["marks"] = {"2": 20}

    (out,) = job("similarity", changed(made, tmp_path, mark), [1], tmp_path)
    found = read_netcdf(out, "similarity")
    steps = [*range(11), *range(20, 25), 30, 40, *range(45, 50)]
    assert found["burst_step"].values.tolist() == steps
    assert found["mark_step"].values.tolist() == [20]
    weights, _, images, labels, pristine = path
    position = found["position"].values
    expected = measure_similarity(
        [(step, step, weights[step]) for step in steps], images[position], labels[position]
    )
    for name in ("product", "pixel_distance"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-4, atol=1e-5, err_msg=name)
    np.testing.assert_array_equal(found["label"], labels[position])
    np.testing.assert_array_equal(found["pristine"], pristine[position])
    true = read_netcdf(made["dataset"], "data")["train_labels"].values
    np.testing.assert_array_equal(found["true_label"], true[found["index"]])
    assert np.bincount(found["true_label"]).tolist() == [3] * 10
    (clean,) = job("similarity", made, [0], tmp_path)
    np.testing.assert_array_equal(read_netcdf(clean, "similarity")["index"], found["index"])
