"""Stage `twins`: a run and its twin, from their snapshots; what is no twin is refused."""

import json

import numpy as np
import pytest
import torch

from cgpipe.data.images import flat_images
from cgpipe.learning.twins import measure_twins
from cgpipe.networks.dense import Layer
from cgpipe.networks.given import network_of
from cgpipe.pipeline.artifacts import ArtifactError, Provenance, open_tensors, read_netcdf
from cgpipe.pipeline.canonical import canonical
from cgpipe.pipeline.records import record_of, seal_of
from cgpipe.pipeline.stages import corrupt, data, train, twins

TRAINING = {
    "batch_size": 50,
    "device": "cpu",
    "init": "xavier",
    "learning_rate": 0.1,
    "momentum": 0.0,
    "network": {"dense": [8]},
    "noise": 0.5,
    "normalize": True,
    "replicate": 1,
    "schedule": "constant",
    "seed": 3,
    "snapshots": True,
    "steps": 12,
    "update": "winsorized_mean",
    "weight_decay": 0.0,
    "winsor": 0,
}
REPLACED = 40


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The dataset, and the snapshots of a run, of its twin, of one with another rate and of a longer one."""
    folder = tmp_path_factory.mktemp("runs")
    files = {"dataset": folder / "dataset.nc"}
    made = Provenance("data", "{}", "")
    data.run(data.Spec("digits"), made, dataset=files["dataset"], data_root=None, downloads=folder)
    for name, replaced, changed in (
        ("original", 0, {}),
        ("twin", REPLACED, {}),
        ("other", REPLACED, {"learning_rate": 0.2}),
    ):
        labels = folder / f"{name}.nc"
        examples = corrupt.Examples(examples=500, replaced=replaced)
        spec = corrupt.Spec(noise=0.5, replicate=1, seed=3, selection="exact", examples=examples)
        corrupt.run(
            spec, Provenance("corrupt", name_of(spec), ""), dataset=files["dataset"], corrupted=labels
        )
        spec = train.Spec(**(TRAINING | changed))
        made = Provenance("train", canonical(vars(spec)), "")
        train.run(spec, made, dataset=files["dataset"], corrupted=[labels], folders=[folder / f"run-{name}"])
        files[name] = folder / f"run-{name}" / "snapshots.safetensors"
    return files


def name_of(spec):
    return canonical({**vars(spec), "examples": vars(spec.examples)})


def compared(made, folder, name="twin"):
    spec = twins.Spec(device="cpu", noise=0.5, replicate=1, replaced=REPLACED)
    out = folder / "twins.nc"
    made_by = Provenance("twins", canonical(vars(spec)), "")
    twins.run(
        spec,
        made_by,
        dataset=made["dataset"],
        original=made["original"],
        snapshots=made[name],
        twins=out,
    )
    return out


def networks(path, images):
    with open_tensors(path) as (description, file):
        arrays = {name: torch.from_numpy(file.get_tensor(name)) for name in file}
        return {
            step: network_of(
                [Layer(arrays[f"{k}.weight"][t], arrays[f"{k}.bias"][t]) for k in range(2)], images
            )
            for t, step in enumerate(description["steps"])
        }


def test_twins_are_compared_at_their_snapshots(made, tmp_path):
    found = read_netcdf(compared(made, tmp_path), "twins")
    images = torch.from_numpy(flat_images(read_netcdf(made["dataset"], "data"), "test", normalize=True))
    original, twin = (networks(made[name], images) for name in ("original", "twin"))
    expected = measure_twins([(step, original[step], twin[step]) for step in original], original[0], images)
    assert found["step"].values.tolist() == [*range(11), 12]
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-6, atol=1e-12, err_msg=name)
    assert not found["distance"].sel(step=0).any()
    assert (found["distance"].sel(step=12) > 0).all()
    assert found.attrs["replaced"] == REPLACED


def test_the_record_has_both_runs_so_that_a_changed_original_is_seen(made, tmp_path):
    record = record_of(compared(made, tmp_path))
    read = json.loads(record["input_sha256"])
    assert set(read) == {seal_of(made[name]) for name in ("dataset", "original", "twin")}
    assert json.loads(record["inputs"])["train"]["sha256"] == seal_of(made["twin"])


def test_runs_with_other_settings_are_no_twins(made, tmp_path):
    with pytest.raises(ArtifactError, match=r"are no twins, .* \(learning_rate: 0.2 and 0.1\): give two"):
        compared(made, tmp_path, "other")
    assert not list(tmp_path.iterdir())
