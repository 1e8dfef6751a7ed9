"""Sums over the pristine and the corrupt examples at bursts of steps, against autograd in float64."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from problems import conv_problem, problem
from torch.nn.functional import cross_entropy

from cgpipe.gradients.bursts import RATES, burst_steps, measure_bursts
from cgpipe.networks.dense import Layer
from cgpipe.networks.given import network_of


def dense_case():
    """A network, another of its kind, a function from its parameters and images to logits, and examples."""
    layers, images, labels = problem([6, 9, 4], 50)
    other = [Layer(2 * weight, bias + 0.1) for weight, bias in layers]

    def logits(parameters, x):
        for weight, bias in zip(parameters[:-2:2], parameters[1:-2:2], strict=True):
            x = torch.relu(x @ weight.T + bias)
        return x @ parameters[-2].T + parameters[-1]

    return layers, other, logits, images, labels


def conv_case():
    network, images, labels = conv_problem(50)
    names = list(network.state())
    other = network.copy()
    for values in other.state().values():
        values.mul_(1.5).add_(0.1)

    def logits(parameters, x):
        return torch.func.functional_call(network.module, dict(zip(names, parameters, strict=True)), x)

    return network, other, logits, images, labels


@pytest.mark.parametrize("case", [dense_case, conv_case])
def test_sums_and_losses_are_those_of_autograd(case):
    first, other, logits, images, labels = case()

    def group_loss(parameters, members):
        return cross_entropy(logits(parameters, images[members]), labels[members], reduction="sum")

    pristine = np.arange(50) % 3 > 0
    steps = [(10, 10, first), (10, 11, other), (100, 100, other), (200, 200, first)]
    made = measure_bursts(iter(steps), images, labels, pristine)
    assert made["burst_step"].values.tolist() == [10, 11, 100, 200]
    assert made["snapshot"].values.tolist() == [10, 10, 100, 200]
    assert made["descent_step"].values.tolist() == [10, 100]
    assert made["size"].values.tolist() == [pristine.sum(), (~pristine).sum()]
    groups = {"pristine": torch.from_numpy(pristine), "corrupt": torch.from_numpy(~pristine)}
    for _, step, network in steps:
        here = made.sel(burst_step=step)
        parameters = [p.clone().requires_grad_() for p in network_of(network, images).state().values()]
        sums = {
            name: torch.autograd.grad(group_loss(parameters, members), parameters)
            for name, members in groups.items()
        }
        total = [sum(parts) for parts in zip(*sums.values(), strict=True)]
        for name, members in groups.items():
            each = [
                torch.autograd.grad(group_loss(parameters, e), parameters) for e in torch.nonzero(members)
            ]
            energy = sum(float(g.square().sum()) for of in each for g in of)
            assert float(here["energy"].sel(group=name)) == pytest.approx(energy)
            product = sum(float((g * h).sum()) for g, h in zip(total, sums[name], strict=True))
            assert float(here["product"].sel(group=name)) == pytest.approx(product)
            for partner, others in sums.items():
                inner = sum(float((g * h).sum()) for g, h in zip(sums[name], others, strict=True))
                assert float(here["gram"].sel(group=name, other_group=partner)) == pytest.approx(inner)
            if step not in made["descent_step"]:
                continue
            loss = made.sel(descent_step=step, group=name)
            before = group_loss(parameters, members)
            assert float(loss["loss_before"]) == pytest.approx(before.item())
            for rate in RATES:
                moved = [p - rate * g / 50 for p, g in zip(parameters, total, strict=True)]
                after = group_loss(moved, members)
                assert float(loss["loss_after"].sel(rate=rate)) == pytest.approx(after.item())


def test_a_small_step_changes_the_loss_as_predicted():
    layers, images, labels = problem([6, 9, 4], 50)
    pristine = np.arange(50) % 3 > 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cgpipe.gradients.bursts.RATES", (1e-6,))
        made = measure_bursts([(0, 0, layers)], images, labels, pristine)
    change = (made["loss_after"] - made["loss_before"]).squeeze()
    np.testing.assert_allclose(change, -1e-6 / 50 * made["product"].squeeze(), rtol=1e-3)


def test_a_group_without_examples_sums_to_0():
    layers, images, labels = problem([6, 9, 4], 20)
    made = measure_bursts([(0, 0, layers)], images, labels, np.full(20, True))
    for name in ("product", "energy", "loss_before", "loss_after"):
        assert not made[name].sel(group="corrupt").any()
        assert made[name].sel(group="pristine").all()


@given(
    snapshots=st.sets(st.integers(1, 40)).map(lambda steps: [0, *sorted(steps)]),
    marks=st.sets(st.integers(0, 40)),
)
def test_each_step_is_measured_once_and_after_the_snapshot_before_it(snapshots, marks):
    marks &= set(snapshots)
    begin = {0, *marks, snapshots[-1]}
    wanted = {*snapshots, *(start + k for start in begin for k in range(5))}
    found = burst_steps(snapshots, marks)
    assert [start for start, _ in found] == snapshots
    assert [start + k for start, count in found for k in range(count)] == sorted(wanted)


def test_every_snapshot_begins_a_burst_if_all_are_marks():
    found = burst_steps([0, 1, 2, 10, 13, 20, 30], [0, 1, 2, 10, 13, 20, 30])
    assert found == [(0, 1), (1, 1), (2, 5), (10, 3), (13, 5), (20, 5), (30, 5)]
