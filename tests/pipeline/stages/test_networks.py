"""Networks as the settings of a training name them."""

import logging

import numpy as np
import pytest
import torch
import xarray as xr

from cgpipe.networks.dense import initial_layers
from cgpipe.networks.registry import source_hash
from cgpipe.pipeline.stages.networks import is_dense, network_of_settings
from cgpipe.pipeline.streams import stream

CPU = torch.device("cpu")
OF_BATCHES = """
from torch import nn

def build(classes, width=3):
    after = nn.BatchNorm2d(width), nn.Flatten(), nn.Linear(width * 12, classes)
    return nn.Sequential(nn.Conv2d(2, width, 3), *after)
"""


@pytest.fixture(scope="module")
def images():
    """Labels of five classes, and colour images of 5x6 pixels."""
    pixels = np.zeros((7, 5, 6, 2), np.uint8)
    return xr.Dataset(
        {
            "train_images": (("train_example", "height", "width", "channel"), pixels),
            "train_labels": ("train_example", np.arange(7) % 5),
        }
    )


def settings(network, replicate=0, **changed):
    return {"network": network, "init": "xavier", "seed": 3, "replicate": replicate, **changed}


def state(network):
    return {name: values.clone() for name, values in network.state().items()}


@pytest.mark.parametrize("init", ["xavier", "official"])
def test_a_dense_network_is_of_flat_images_and_has_its_own_stream(images, init):
    given = settings({"dense": [4]}, init=init)
    found = network_of_settings(given, images, CPU)
    expected = initial_layers([60, 4, 5], init, stream(3, "initialisation", 0))
    assert is_dense(given)
    pairs = zip(found.state().values(), (p for layer in expected for p in layer), strict=True)
    assert all(torch.equal(*pair) for pair in pairs)


def test_other_networks_take_images_as_they_are_and_start_by_seed_and_replicate(images):
    given = settings({"conv_small": {}})
    first, again, other = (
        state(network_of_settings({**given, "replicate": replicate}, images, CPU)) for replicate in (0, 0, 1)
    )
    assert not is_dense(given)
    assert first["conv1.weight"].shape == (16, 2, 3, 3)
    assert first["linear3.bias"].shape == (5,)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["conv1.weight"], other["conv1.weight"])


def test_a_network_of_ones_own_is_that_of_when_the_job_was_planned_and_told_of_once(images, tmp_path, caplog):
    path = tmp_path / "net.py"
    path.write_text(OF_BATCHES)
    reference = f"{path}:build"
    # As they come from JSON, in alphabetical order.
    network = {"args": {"width": 4}, "module": reference, "source": source_hash(reference)}
    with caplog.at_level(logging.WARNING):
        for replicate in (0, 1):
            found = network_of_settings(settings(network, replicate), images, CPU)
    assert state(found)["0.weight"].shape == (4, 2, 3, 3)
    (told,) = caplog.messages
    assert told.startswith("layer 1: taken in eval mode, with saved statistics")
    path.write_text(OF_BATCHES + "# another\n")
    with pytest.raises(
        ValueError, match=r"net\.py:build has changed since this job was planned .*: start snakemake"
    ):
        network_of_settings(settings(network), images, CPU)
