"""Predicted and actual falls of the loss, against a network whose steps are made in float64."""

import numpy as np
import pytest
import torch
from problems import problem

from cgpipe.gradients.bursts import measure_bursts
from cgpipe.inference.descent import first_steps, full_batch_steps
from cgpipe.networks.dense import Layer, forward, losses, output_gradients

RATE = 0.05
PRISTINE = np.arange(30) < 20


def gradient(layers, images, labels):
    """Of the summed loss."""
    inputs, logits = forward(layers, images)
    pairs = zip(inputs, output_gradients(layers, inputs, logits, labels), strict=True)
    return [Layer(δ.T @ a, δ.sum(0)) for a, δ in pairs]


def moved(layers, along, rate):
    return [
        Layer(*(p - rate * g for p, g in zip(*of, strict=True))) for of in zip(layers, along, strict=True)
    ]


def mean_losses(layers, images, labels, groups):
    each = losses(forward(layers, images)[1], labels)
    return {name: float(each[torch.from_numpy(of)].mean()) for name, of in groups.items()}


def product(one, other):
    return sum(float((p * q).sum()) for of in zip(one, other, strict=True) for p, q in zip(*of, strict=True))


GROUPS = {"all": np.ones(30, bool), "pristine": PRISTINE, "corrupt": ~PRISTINE}


@pytest.fixture(scope="module")
def followed():
    """Eleven steps of a full-batch run, its bursts, and the networks."""
    layers, images, labels = problem([6, 8, 3], 30)
    networks = [layers]
    for _ in range(10):
        networks.append(moved(networks[-1], gradient(networks[-1], images, labels), RATE / 30))
    bursts = measure_bursts(((t, t, network) for t, network in enumerate(networks)), images, labels, PRISTINE)
    return networks, bursts, images, labels


def test_the_first_ten_steps_are_those_of_a_loop(followed):
    networks, bursts, images, labels = followed
    found = first_steps(bursts, RATE)
    assert set(found.coords) == {"group"}
    before, after = (mean_losses(network, images, labels, GROUPS) for network in (networks[0], networks[10]))
    for name, of in GROUPS.items():
        rows = torch.from_numpy(of)
        predicted = sum(
            RATE
            / 30
            * product(gradient(at, images, labels), gradient(at, images[rows], labels[rows]))
            / of.sum()
            for at in networks[:10]
        )
        np.testing.assert_allclose(found["predicted"].sel(group=name), predicted, rtol=1e-9)
        np.testing.assert_allclose(found["actual"].sel(group=name), before[name] - after[name], rtol=1e-9)
    # The loss is convex along a small step: it falls by less than predicted, and by nearly as much.
    assert 0.9 < float((found["actual"] / found["predicted"]).sel(group="all")) < 1


def test_a_step_by_all_examples_is_that_of_a_loop(followed):
    networks, bursts, images, labels = followed
    found = full_batch_steps(bursts)
    assert set(found["actual"].dims) == set(found.coords) == {"descent_step", "rate", "group"}
    for step in (0, 10):
        whole = gradient(networks[step], images, labels)
        before = mean_losses(networks[step], images, labels, GROUPS)
        for rate in (0.1, 0.01):
            after = mean_losses(moved(networks[step], whole, rate / 30), images, labels, GROUPS)
            for name, of in GROUPS.items():
                at = found.sel(descent_step=step, rate=rate, group=name)
                rows = torch.from_numpy(of)
                along = product(whole, gradient(networks[step], images[rows], labels[rows]))
                np.testing.assert_allclose(at["predicted"], rate / 30 * along / of.sum(), rtol=1e-9)
                np.testing.assert_allclose(at["actual"], before[name] - after[name], rtol=1e-6)


def test_what_was_not_measured_or_has_no_example_is_undefined(followed):
    _, bursts, *_ = followed
    short = bursts.sel(burst_step=slice(0, 8), descent_step=slice(0, 8))
    assert np.isnan(first_steps(short, RATE).to_dataarray()).all()
    single = bursts.assign(size=("group", [29, 1]))
    for found in (first_steps(single, RATE), full_batch_steps(single)):
        assert np.isfinite(found.to_dataarray()).all()
    empty = bursts.assign(size=("group", [30, 0]))
    for found in (first_steps(empty, RATE), full_batch_steps(empty)):
        for of in found.values():
            assert np.isnan(of.sel(group="corrupt")).all()
            assert np.isfinite(of.sel(group=["all", "pristine"])).all()
