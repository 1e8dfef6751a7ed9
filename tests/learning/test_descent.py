"""Schedules, momentum and weight decay, against torch's own optimizer and schedulers."""

import numpy as np
import pytest
import torch
from problems import conv_problem, copy_of, problem
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import ConstantLR, CosineAnnealingLR, MultiStepLR

from cgpipe.learning.descent import Descent, Rate
from cgpipe.learning.rules import update_rule
from cgpipe.learning.training import train, trainer
from cgpipe.networks.given import network_of

STEPS = 15  # half of them and three quarters are no whole numbers
SCHEDULERS = {
    "constant": lambda optimizer: ConstantLR(optimizer, 1.0),
    "cosine": lambda optimizer: CosineAnnealingLR(optimizer, STEPS),
    "step": lambda optimizer: MultiStepLR(optimizer, [8, 12]),
}


def dense_problem(examples):
    layers, images, labels = problem([6, 5, 4], examples)
    return network_of(layers, images), images, labels


def logits(network, parameters, images):
    """What a network of other parameters makes of some images."""
    if hasattr(network, "module"):
        return torch.func.functional_call(network.module, parameters, images)
    hidden = torch.relu(images @ parameters["0.weight"].T + parameters["0.bias"])
    return hidden @ parameters["1.weight"].T + parameters["1.bias"]


def by_torch(network, images, labels, batches, schedule, **settings):
    """The parameters after each step of torch.optim.SGD."""
    tracked = {name: p.clone().requires_grad_() for name, p in network.state().items()}
    optimizer = torch.optim.SGD(tracked.values(), lr=0.3, **settings)
    scheduler = SCHEDULERS[schedule](optimizer)
    for batch in batches:
        optimizer.zero_grad()
        cross_entropy(logits(network, tracked, images[batch]), labels[batch]).backward()
        optimizer.step()
        scheduler.step()
        yield {name: p.detach().clone() for name, p in tracked.items()}


@pytest.mark.parametrize("schedule", SCHEDULERS)
@pytest.mark.parametrize(("momentum", "weight_decay"), [(0.0, 0.0), (0.9, 0.0), (0.0, 0.05), (0.6, 0.05)])
@pytest.mark.parametrize("make", [dense_problem, conv_problem])
def test_plain_sgd_is_that_of_torch(make, momentum, weight_decay, schedule):
    network, images, labels = make(30)
    rng = np.random.default_rng(0)
    batches = [rng.permutation(30)[:8] for _ in range(STEPS)]
    wanted = by_torch(
        network, images, labels, batches, schedule, momentum=momentum, weight_decay=weight_decay
    )
    start = {name: p.clone() for name, p in network.state().items()}
    rate, rule = Rate(0.3, schedule, STEPS), update_rule("winsorized_mean", 0, 8)
    stepping = trainer(network, images, labels, 8, rule, Descent(momentum, weight_decay))
    for step, (batch, expected) in enumerate(zip(batches, wanted, strict=True)):
        stepping.step(batch, rate.at(step))
        for name, p in network.state().items():
            torch.testing.assert_close(p, expected[name], rtol=0, atol=1e-13)
    assert all(not torch.equal(p, start[name]) for name, p in network.state().items())


@pytest.mark.parametrize("make", [dense_problem, conv_problem])
def test_a_training_takes_its_settings(make):
    network, images, labels = make(30)
    kept, batches = {}, []
    settings = {"momentum": 0.6, "weight_decay": 0.05}
    train(
        *(images, labels, images, labels),
        network=network.copy().module.float() if hasattr(network, "module") else as_float(network),
        steps=STEPS,
        batch_size=8,
        learning_rate=0.3,
        schedule="cosine",
        rng=0,
        on_step=lambda run: batches.append(next_batch(run)),
        on_logged=lambda run: kept.update({run.step: run.parameters()}),
        **settings,
    )
    wanted = [*by_torch(network, images, labels, batches, "cosine", **settings)]
    assert list(kept)[-1] == len(wanted) == STEPS
    for step in list(kept)[1:]:
        for name, p in wanted[step - 1].items():
            np.testing.assert_allclose(kept[step][name], p, rtol=0, atol=2e-6)


def as_float(network):
    return [type(layer)(*(p.float() for p in layer)) for layer in copy_of(network.stack)]


def next_batch(run):
    """The minibatch of the next update, which is taken from the order again."""
    state = run.order.state()
    batch = run.order.next()
    run.order.restore(state)
    return batch


@pytest.mark.parametrize("steps", [1, 2, 7, 100])
def test_the_rates_of_a_schedule_are_those_of_torch(steps):
    for schedule, milestones in (("cosine", None), ("step", [-(-steps // 2), -(-3 * steps // 4)])):
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3)
        scheduler = MultiStepLR(optimizer, milestones) if milestones else CosineAnnealingLR(optimizer, steps)
        for step in range(steps):
            assert Rate(0.3, schedule, steps).at(step) == pytest.approx(scheduler.get_last_lr()[0], rel=1e-9)
            optimizer.step()
            scheduler.step()


@pytest.mark.parametrize(
    ("momentum", "weight_decay", "message"),
    [
        (1.0, 0.0, "momentum 1.0: give at least 0 and less than 1"),
        (-0.1, 0.0, "momentum -0.1"),
        (0.0, -1.0, "weight decay -1.0: give at least 0"),
        (0.0, float("nan"), "weight decay nan"),
        (float("nan"), 0.0, "momentum nan"),
    ],
)
def test_what_is_no_descent_is_refused(momentum, weight_decay, message):
    with pytest.raises(ValueError, match=message):
        Descent(momentum, weight_decay)
