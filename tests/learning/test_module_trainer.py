"""Steps of a module in which something is not finite."""

import numpy as np
import pytest
import torch
from problems import conv_problem
from torch import nn

from cgpipe.learning.descent import Descent
from cgpipe.learning.finite import NonFiniteError
from cgpipe.learning.module_trainer import ModuleTrainer
from cgpipe.learning.rules import update_rule
from cgpipe.learning.training import train
from cgpipe.networks.given import network_of

BATCH = np.arange(10)
RULES = [("winsorized_mean", 0), ("winsorized_mean", 2), ("sum_of_signs", 0), ("random_drop", 1), ("m3", 0)]


def trainer_of(name, c, network, images, labels, **settings):
    return ModuleTrainer(network, images, labels, 10, update_rule(name, c, 10, 0), Descent(**settings))


def copy_of(network):
    return {name: values.clone() for name, values in network.state().items()}


def assert_left(network, before):
    assert all(torch.equal(values, before[name]) for name, values in network.state().items())


@pytest.mark.parametrize(("name", "c"), RULES)
@pytest.mark.parametrize("settings", [{}, {"momentum": 0.5}])
@pytest.mark.parametrize(
    ("layer", "value", "place"),
    [
        ("0", 3e38, "the output of layer 0 is not finite"),
        ("4", float("inf"), "the output of layer 4 is not finite"),
        ("7", 3e38, "gradient at the output of layer 4 is not finite"),
    ],
)
def test_a_step_that_is_not_finite_names_the_layer_and_leaves_the_network(
    name, c, settings, layer, value, place
):
    network, images, labels = conv_problem(10, torch.float32)
    trainer = trainer_of(name, c, network, images, labels, **settings)
    trainer.step(BATCH, 0.1)
    weight = network.state()[f"{layer}.weight"]
    if layer == "7":  # opposite weights: logits are 0, and what goes back is not
        weight.copy_(torch.tensor([value, -value, 0, 0])[:, None].expand_as(weight))
        weight[:, 1:] *= -1
    else:
        weight.fill_(value)
    before = copy_of(network)
    with pytest.raises(NonFiniteError, match=place):
        trainer.step(BATCH, 0.1)
    assert_left(network, before)


class Scaled(nn.Module):
    """What enters the last layer and the gradient that leaves it are scaled."""

    def __init__(self, last):
        super().__init__()
        self.first, self.last, self.scale = nn.Conv2d(1, 1, 1), last, 1.0

    def forward(self, x):
        entering = self.scale**3 * self.first(x)
        if isinstance(self.last, nn.Linear):
            entering = entering.flatten(1)
        return self.scale * self.last(entering).flatten(1)


@pytest.mark.parametrize("last", [nn.Conv2d(1, 2, 1), nn.Linear(1, 2)])
@pytest.mark.parametrize("c", [0, 2])
def test_a_product_that_overflows_leaves_the_network(c, last):
    images, labels = torch.rand(10, 1, 1, 1) + 1, torch.arange(10) % 2
    network = network_of(Scaled(last), images)
    for values in network.state().values():
        values.fill_(0.5)
    network.module.scale = 1e10  # 1e30 enters, 1e10 comes back
    network.state()["last.weight"].fill_(1e-30)
    network.state()["last.bias"].fill_(0)
    before = copy_of(network)
    with pytest.raises(NonFiniteError, match="the gradient of a parameter is not finite"):
        trainer_of("winsorized_mean", c, network, images, labels).step(BATCH, 0.1)
    assert_left(network, before)


@pytest.mark.filterwarnings("ignore:layer 1.* taken in eval mode")
def test_statistics_of_batch_normalization_are_left_too():
    network, images, labels = conv_problem(10, torch.float32, norm=nn.BatchNorm2d)
    trainer = trainer_of("winsorized_mean", 0, network, images, labels)
    images[3] = float("nan")
    before = copy_of(network)
    with pytest.raises(NonFiniteError, match="the output of layer 0 is not finite"):
        trainer.step(BATCH, 0.1)
    assert_left(network, before)


def test_a_network_in_float64_is_refused():
    network, images, labels = conv_problem(30)
    of = {"steps": 1, "batch_size": 10, "learning_rate": 0.1, "rng": 0}
    with pytest.raises(ValueError, match=r"is torch\.float64, and images are torch\.float32: give a network"):
        train(images, labels, images, labels, network=network.module, **of)


@pytest.mark.parametrize("c", [0, 1])
def test_a_module_that_diverges_names_the_step_the_layer_and_the_rate(c):
    network, images, labels = conv_problem(30, torch.float32)
    with pytest.raises(
        NonFiniteError,
        match=r"the run diverged: after \d updates the .* layer \d is not finite\. "
        r"The learning rate, 1e\+30, is probably too large for this network",
    ):
        train(
            *(images, labels, images, labels),
            network=network.module,
            steps=9,
            batch_size=10,
            learning_rate=1e30,
            c=c,
            rng=0,
        )
