"""DP-SGD beside Opacus: the clipped sum, and ε. Its definition, by a loop in float64, is in test_rules.py."""

import sys
import warnings
from importlib.metadata import version

import numpy as np
import pytest
import torch
from problems import PRIVATE
from torch.nn.functional import cross_entropy

from cgpipe.learning.private import PrivateSGD, epsilons
from cgpipe.learning.training import train, trainer
from cgpipe.networks.build import build
from cgpipe.networks.dense import Layer, initial_layers
from cgpipe.networks.fully_connected import Dense
from cgpipe.networks.module import ModuleNetwork
from cgpipe.networks.per_example.linear import LinearGradients


@pytest.fixture
def opacus():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # theirs
        import opacus
        from opacus import optimizers
    return opacus, optimizers


def lenet5():
    """LeNet-5, images and labels, as a network and as a module."""
    module = build("lenet5", (1, 28, 28), 10, seed=0)
    images = torch.rand((12, 1, 28, 28), generator=torch.Generator().manual_seed(0))
    return ModuleNetwork(module, (1, 28, 28)), module, images, torch.arange(12) % 10


def dense():
    layers = initial_layers([20, 16, 10], "xavier", np.random.default_rng(0))
    linear = [torch.nn.Linear(20, 16), torch.nn.Linear(16, 10)]
    for of, layer in zip(linear, layers, strict=True):
        of.load_state_dict(layer._asdict())
    images = torch.rand((12, 20), generator=torch.Generator().manual_seed(0))
    module = torch.nn.Sequential(linear[0], torch.nn.ReLU(), linear[1])
    return Dense(layers), module, images, torch.arange(12) % 10


@pytest.mark.filterwarnings("ignore")  # theirs
@pytest.mark.parametrize("problem", [lenet5, dense])
@pytest.mark.parametrize("quantile", [0.0, 0.5, 1.0])
def test_the_clipped_sum_is_that_of_opacus(opacus, problem, quantile):
    opacus, optimizers = opacus
    network, module, images, labels = problem()
    squares = [layer.squared_norms() for layer in network.pass_examples(images, labels).layers]
    norms = torch.stack(squares).sum(0).sqrt()
    clip_norm = 0.99 * float(norms.quantile(quantile))  # all, half or one of them are clipped
    private = opacus.GradSampleModule(module, loss_reduction="sum")
    optimizer = optimizers.DPOptimizer(
        torch.optim.SGD(private.parameters(), lr=1.0),
        noise_multiplier=0.0,
        max_grad_norm=clip_norm,
        expected_batch_size=12,
    )
    cross_entropy(private(images), labels, reduction="sum").backward()
    optimizer.clip_and_accumulate()
    theirs = [p.summed_grad.double() for p in private.parameters()]

    before = [p.clone().double() for of in network.parameters() for p in of.values()]
    rule = PrivateSGD(clip_norm, 1e-12, np.random.default_rng(0))
    with torch.no_grad():
        trainer(network, images, labels, 12, rule).step(np.arange(12), 1.0)
    after = [p.double() for of in network.parameters() for p in of.values()]
    for one, other, sought in zip(before, after, theirs, strict=True):
        torch.testing.assert_close(12 * (one - other), sought, rtol=1e-4, atol=1e-5 * clip_norm)


def change(rule, δ):
    """By how much a rule moves a wide layer, at rate 1."""
    layer = Layer(torch.zeros(δ.shape[1], 300), torch.zeros(δ.shape[1]))
    a = torch.zeros(len(δ), 300)
    rule.update([LinearGradients(layer, (a,), δ)], [layer._asdict()], 1.0)
    return layer


def test_noise_has_its_deviation_and_depends_on_the_seed_and_the_update():
    δ = torch.zeros(5, 200)  # gradients of 0 are not clipped
    rules = [PrivateSGD(2.0, 1.5, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    first, again, other = (change(rule, δ).weight for rule in rules)
    assert torch.equal(first, again)
    later = change(rules[0], δ).weight
    for noise in (first, other, later):
        # Of 60,000 values, the deviation is known to 0.3 %.
        assert float(noise.std()) == pytest.approx(2.0 * 1.5 / 5, rel=0.015)
        assert abs(float(noise.mean())) < 4 * 0.6 / 60_000**0.5
    assert abs(float((first * other).mean())) < 4 * 0.36 / 60_000**0.5
    assert abs(float((first * later).mean())) < 4 * 0.36 / 60_000**0.5


@pytest.mark.filterwarnings("ignore")  # theirs
@pytest.mark.parametrize(("σ", "batch", "size"), [(0.6, 10, 200), (1.1, 100, 10_000), (4.0, 50, 50)])
def test_epsilon_is_that_of_an_accountant_that_sees_every_step(opacus, σ, batch, size):
    account = opacus[0].accountants.RDPAccountant()
    found = epsilons([0, 1, 7, 30], noise_multiplier=σ, sample_rate=batch / size, delta=1 / size)
    sought = {}
    for step in range(31):
        sought[step] = account.get_epsilon(1 / size)
        account.step(noise_multiplier=σ, sample_rate=batch / size)
    assert found.tolist() == [sought[step] for step in (0, 1, 7, 30)]
    assert found[0] == 0 < found[1] < found[2] < found[3]


DATA = np.random.default_rng(0).random((40, 6)), np.arange(40) % 3
RUN = {"hidden": [4], "steps": 12, "batch_size": 8, "learning_rate": 0.1, "rng": 0}


def test_a_history_has_epsilon_at_a_delta_of_one_example():
    history = train(*DATA, *DATA, **RUN, update="dp_sgd", **PRIVATE)
    settings = {"noise_multiplier": PRIVATE["noise_multiplier"], "sample_rate": 8 / 40, "delta": 1 / 40}
    assert history["epsilon"].dims == ("step",)
    assert history["epsilon"].values.tolist() == epsilons(history["step"].values, **settings).tolist()
    accountant = f"Opacus {version('opacus')}, RDP"
    assert history.attrs == {"classes": 3, "delta": 1 / 40, "accountant": accountant}
    assert "epsilon" not in train(*DATA, *DATA, **RUN)


def test_without_opacus_it_stops_before_the_first_step(monkeypatch):
    monkeypatch.setitem(sys.modules, "opacus.accountants", None)
    called = []
    watch = {"on_logged": called.append, "on_step": called.append}
    with pytest.raises(ImportError, match=r"dp_sgd needs Opacus.* pip install 'cgpipe\[privacy\]'"):
        train(*DATA, *DATA, **RUN, update="dp_sgd", **PRIVATE, **watch)
    assert called == []
    train(*DATA, *DATA, **RUN)
