from functools import wraps
from itertools import pairwise
from typing import get_args

import numpy as np
import pytest
import torch
from problems import PRIVATE, Temperature, by_example, conv_problem, flat, private, problem, update
from scipy.optimize import brentq

from cgpipe.kernels import oracle
from cgpipe.learning import rules
from cgpipe.learning.descent import Descent
from cgpipe.learning.module_trainer import ModuleTrainer
from cgpipe.learning.rules import RULES, Clipped, Mean
from cgpipe.learning.trainer import Trainer
from cgpipe.names import CLIPPING, MOST_PAIRED, UpdateName
from cgpipe.networks.dense import Layer, forward, initial_layers, output_gradients

RATE = 0.1
NAMES = get_args(UpdateName)
OF_THREE_STEPS = ("rm3", "ra3")
WITH_STATE = (*OF_THREE_STEPS, "random_drop", "dp_sgd")
WIDTHS = [6, 5, 4]
SEED = 3


def update_rule(name, *arguments):
    return rules.update_rule(name, *arguments, **private(name))


# --- each rule as it is defined, in float64, from the gradients of single examples ----------------

# Takes the gradients of all parameters, (step, example, parameter), up to now, a layer's weights before its
# biases, c and the shapes of the parameters by layer; returns the direction of this step, (parameter,).


def each_on_its_own(direction):
    """For a rule that is defined for one parameter, from (step, example)."""

    @wraps(direction)
    def of_all(gradients, c, shapes=None):
        return np.array([direction(of_one, c) for of_one in np.moveaxis(gradients, -1, 0)])

    return of_all


@each_on_its_own
def winsorized_mean(gradients, c):
    ordered = sorted(gradients[-1])
    return np.mean(np.clip(gradients[-1], ordered[c], ordered[-1 - c]))


@each_on_its_own
def trimmed_mean(gradients, c):
    return np.mean(sorted(gradients[-1])[c : len(gradients[-1]) - c])


@each_on_its_own
def median(gradients, c):
    return np.median(gradients[-1])


@each_on_its_own
def m3(gradients, c):
    return np.median([np.mean(group) for group in np.array_split(gradients[-1], 3)])


@each_on_its_own
def rm3(gradients, c):
    return np.median(gradients[-3:].mean(1)) if len(gradients) > 2 else 0.0


@each_on_its_own
def ra3(gradients, c):
    return np.mean(gradients[-3:].mean(1)) if len(gradients) > 2 else 0.0


@each_on_its_own
def sign_of_sum(gradients, c):
    return np.sign(np.sum(gradients[-1]))


@each_on_its_own
def sum_of_signs(gradients, c):
    return np.mean(np.sign(gradients[-1]))


@each_on_its_own
def inlier_clip(gradients, c):
    return oracle.inlier_clipped_mean(gradients[-1], c)


def scaled_mean(gradients, c, shapes):
    mean = gradients[-1].mean(0)
    return mean * np.linalg.norm(winsorized_mean(gradients, c)) / np.linalg.norm(mean)


def norm_clip(gradients, c, shapes):
    norms = np.linalg.norm(gradients[-1], axis=1)

    def mean(τ):
        return np.mean([g * min(1, τ / norm) for g, norm in zip(gradients[-1], norms, strict=True)], axis=0)

    def short(τ):
        return np.linalg.norm(winsorized_mean(gradients, c)) - np.linalg.norm(mean(τ))

    for low, high in pairwise([0.0, *sorted(norms)]):
        if short(high) <= 0:
            return mean(brentq(short, low, high, xtol=1e-15))
    return gradients[-1].mean(0)


def random_drop(gradients, c, shapes):
    seed, batch = np.random.default_rng(SEED).integers(2**63), gradients.shape[1]
    rng = np.random.Generator(np.random.PCG64([seed, len(gradients) - 1]))
    order = rng.permutation(batch)
    starts = []
    for of_layer in shapes:
        if len(of_layer[0]) == 2:  # a linear layer's weights and biases are drawn unit by unit
            out, into = of_layer[0]
            drawn = rng.integers(batch, size=(out, into + 1))
            starts += [*drawn[:, :-1].ravel(), *drawn[:, -1]]
        else:
            starts += [start for shape in of_layer for start in rng.integers(batch, size=shape).ravel()]
    return np.array(
        [
            np.delete(gradients[-1][:, p], [order[(start + k) % batch] for k in range(2 * c)]).mean()
            for p, start in enumerate(starts)
        ]
    )


def dp_sgd(gradients, c, shapes):
    clip, noise = PRIVATE["clip_norm"], PRIVATE["noise_multiplier"]
    total = np.zeros(gradients.shape[2])
    for one in gradients[-1]:
        total += one * min(1, clip / np.linalg.norm(one))
    seed = np.random.default_rng(SEED).integers(2**63)
    rng = np.random.Generator(np.random.PCG64([seed, len(gradients) - 1]))
    drawn = [rng.standard_normal(shape, np.float32).ravel() for of_layer in shapes for shape in of_layer]
    return (total + noise * clip * np.concatenate(drawn)) / gradients.shape[1]


DEFINITIONS = {
    definition.__name__: definition
    for definition in (
        *(winsorized_mean, trimmed_mean, median, m3, rm3, ra3, sign_of_sum, sum_of_signs),
        *(scaled_mean, random_drop, inlier_clip, norm_clip, dp_sgd),
    )
}


def test_every_rule_has_a_row_and_a_definition_here():
    assert tuple(RULES) == NAMES
    assert set(DEFINITIONS) == set(NAMES)


class Definition:
    """Parameters in NumPy, by layer, that go by a definition, with momentum and weight decay if given."""

    def __init__(self, layers, name, c, momentum=0.0, weight_decay=0.0):
        self.layers = [[p.numpy().astype(np.float64) for p in layer] for layer in layers]
        self.direction, self.c = DEFINITIONS[name], c
        self.momentum, self.weight_decay, self.velocity = momentum, weight_decay, 0.0
        self.seen = []  # of each step, (example, parameter)

    def step(self, gradients, rate=RATE):
        """Step by the gradients of the examples, (example, parameter)."""
        self.seen.append(gradients)
        direction = self.direction(
            np.array(self.seen), self.c, [[p.shape for p in layer] for layer in self.layers]
        )
        parameters = [parameter for layer in self.layers for parameter in layer]
        whole = np.concatenate([parameter.ravel() for parameter in parameters])
        self.velocity = self.momentum * self.velocity + direction + self.weight_decay * whole
        ends = np.cumsum([parameter.size for parameter in parameters])
        for parameter, part in zip(parameters, np.split(self.velocity, ends[:-1]), strict=True):
            parameter -= rate * part.reshape(parameter.shape)


def per_example(inputs, gradients):
    """Gradients of the examples, (example, parameter), of linear layers."""
    parts = []
    for entered, at_output in zip(inputs, gradients, strict=True):
        a, δ = entered.numpy().astype(np.float64), at_output.numpy().astype(np.float64)
        parts += [(δ[:, :, None] * a[:, None, :]).reshape(len(a), -1), δ]
    return np.concatenate(parts, axis=1)


def network(dtype=torch.float64):
    layers = initial_layers(WIDTHS, "xavier", np.random.default_rng(0))
    return [Layer(*(parameter.to(dtype) for parameter in layer)) for layer in layers]


def copy_of(layers):
    return [Layer(layer.weight.clone(), layer.bias.clone()) for layer in layers]


def minibatch(layers, rng, size, dtype=torch.float64):
    """What enters each layer, a fifth of the pixels 0, and the gradients at its output."""
    pixels = rng.uniform(size=(size, 6)) * (rng.random((size, 6)) < 0.8)
    inputs, logits = forward(layers, torch.from_numpy(pixels).to(dtype))
    labels = torch.from_numpy(rng.integers(0, 4, size))
    return inputs, output_gradients(layers, inputs, logits, labels)


def assert_equal(layers, others):
    for layer, other in zip(layers, others, strict=True):
        assert torch.equal(layer.weight, other.weight)
        assert torch.equal(layer.bias, other.bias)


def changed(layers, others):
    return any(
        not torch.equal(x, y) for x, y in zip(layers, others, strict=True) for x, y in zip(x, y, strict=True)
    )


EVERY_RULE = pytest.mark.parametrize(
    ("name", "c"),
    [("winsorized_mean", 0), *((name, c) for name in NAMES for c in ((1, 3) if name in CLIPPING else (0,)))],
)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-14), (torch.float32, 1e-6)])
@pytest.mark.parametrize("size", [9, 10])
@EVERY_RULE
def test_each_rule_is_its_definition(name, c, size, dtype, tolerance):
    layers, rule, rng = network(dtype), update_rule(name, c, size, SEED), np.random.default_rng(1)
    exact = Definition(layers, name, c)
    trail = [copy_of(layers)]
    for _ in range(5):
        inputs, gradients = minibatch(layers, rng, size, dtype)
        before = [factor.clone() for factor in (*inputs, *gradients)]
        update(rule, layers, inputs, gradients, RATE)
        assert all(torch.equal(x, y) for x, y in zip(before, (*inputs, *gradients), strict=True))
        exact.step(per_example(inputs, gradients))
        for layer, wanted in zip(layers, exact.layers, strict=True):
            assert layer.weight.dtype == layer.bias.dtype == dtype
            np.testing.assert_allclose(layer.weight, wanted[0], rtol=0, atol=tolerance)
            np.testing.assert_allclose(layer.bias, wanted[1], rtol=0, atol=tolerance)
        trail.append(copy_of(layers))
    looked_at = 2 if name in OF_THREE_STEPS else 0
    for number, (earlier, later) in enumerate(pairwise(trail)):
        assert changed(earlier, later) == (number >= looked_at)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 5e-6)])
@pytest.mark.parametrize(("momentum", "weight_decay"), [(0.0, 0.0), (0.7, 0.1)])
@EVERY_RULE
def test_each_rule_is_its_definition_for_a_convolutional_network(
    name, c, momentum, weight_decay, dtype, tolerance
):
    network, images, labels = conv_problem(30, dtype, last=[Temperature()])
    descent = Descent(momentum, weight_decay)
    trainer = ModuleTrainer(network, images, labels, 10, update_rule(name, c, 10, SEED), descent)
    exact = Definition([of.values() for of in network.parameters()], name, c, momentum, weight_decay)
    rng = np.random.default_rng(1)
    for number in range(4):
        batch, rate = rng.permutation(30)[:10], RATE / (number + 1)
        exact.step(flat(by_example(network, images[batch], labels[batch])), rate)
        trainer.step(batch, rate)
        for layer, wanted in zip(network.parameters(), exact.layers, strict=True):
            for found, values in zip(layer.values(), wanted, strict=True):
                assert found.dtype == dtype
                np.testing.assert_allclose(found, values, rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", ["winsorized_mean", "m3", "random_drop", "dp_sgd"])
def test_a_dense_network_goes_by_the_same_momentum_and_weight_decay(name):
    c = 2 if name in CLIPPING else 0
    layers, images, labels = problem(WIDTHS, 30)
    trainer = Trainer(layers, images, labels, 10, update_rule(name, c, 10, SEED), Descent(0.7, 0.1))
    exact = Definition(layers, name, c, 0.7, 0.1)
    rng = np.random.default_rng(1)
    for _ in range(4):
        batch = rng.permutation(30)[:10]
        inputs, logits = forward(layers, images[batch])
        exact.step(per_example(inputs, output_gradients(layers, inputs, logits, labels[batch])))
        trainer.step(batch, RATE)
        for layer, wanted in zip(layers, exact.layers, strict=True):
            for found, values in zip(layer, wanted, strict=True):
                np.testing.assert_allclose(found, values, rtol=0, atol=1e-13)


# --- winsorized, trimmed, median ------------------------------------------------------------------


@pytest.mark.parametrize("name", CLIPPING)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_without_clipping_it_is_plain_sgd(name, dtype):
    layers, rng = network(dtype), np.random.default_rng(1)
    plain = copy_of(layers)
    rule = update_rule(name, 0, 10)
    for _ in range(3):
        minibatches = minibatch(layers, rng, 10, dtype)
        update(rule, layers, *minibatches, RATE)
        update(Mean(), plain, *minibatches, RATE)
    assert_equal(layers, plain)
    assert changed(layers, network(dtype))


@pytest.mark.parametrize("size", [1, 2, 3, 10, 33, 34, 35, 36, 99, 100])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_median_is_that_of_numpy(size, dtype):
    rng = np.random.default_rng(size)
    layer = Layer(torch.zeros(7, 5, dtype=dtype), torch.zeros(7, dtype=dtype))
    a = torch.from_numpy(rng.standard_normal((size, 5))).to(dtype)
    δ = torch.from_numpy(rng.standard_normal((size, 7))).to(dtype)
    update(update_rule("median", 0, size), [layer], [a], [δ], 1.0)
    per_example = δ.double().numpy()[:, :, None] * a.double().numpy()[:, None, :]
    tolerance = {"rtol": 100 * torch.finfo(dtype).eps, "atol": torch.finfo(dtype).eps}
    np.testing.assert_allclose(-layer.weight, np.median(per_example, axis=0), **tolerance)
    np.testing.assert_allclose(-layer.bias, np.median(δ.double(), axis=0), **tolerance)


def test_clipped_and_trimmed_differ():
    layers = network()
    clipped, trimmed, all_of_them = copy_of(layers), copy_of(layers), copy_of(layers)
    given = minibatch(layers, np.random.default_rng(1), 10)
    for changing, rule in ((clipped, Clipped(2)), (trimmed, Clipped(2, trimmed=True)), (all_of_them, Mean())):
        update(rule, changing, *given, RATE)
    assert changed(clipped, trimmed)
    assert changed(clipped, all_of_them)
    assert changed(trimmed, all_of_them)


# --- medians of means -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "groups"), [(3, (1, 1, 1)), (10, (4, 3, 3)), (11, (4, 4, 3)), (100, (34, 33, 33))]
)
def test_the_groups_of_m3_are_in_order_and_of_nearly_one_size(size, groups):
    layer = Layer(torch.zeros(1, 1), torch.zeros(1))
    first, second, _ = groups
    δ = torch.zeros(size, 1)
    # If these are the groups, their means are 3, 1 and 2.
    δ[first - 1] = 3.0 * first
    δ[first : first + second] = 1.0
    δ[first + second :] = 2.0
    update(update_rule("m3", 0, size), [layer], [torch.ones(size, 1)], [δ], 1.0)
    assert layer.bias.item() == pytest.approx(-2.0, rel=1e-6)
    assert layer.weight.item() == pytest.approx(-2.0, rel=1e-6)


@pytest.mark.parametrize("size", [1, 2])
def test_m3_refuses_fewer_examples_than_groups_and_leaves_the_network(size):
    layers = network()
    before = copy_of(layers)
    given = minibatch(layers, np.random.default_rng(1), size)
    with pytest.raises(ValueError, match=rf"m3 with a minibatch of {size}: .* at least 3 examples"):
        update(update_rule("m3", 0, size), layers, *given, RATE)
    assert_equal(layers, before)


def test_one_bad_minibatch_of_three_does_not_move_rm3_but_moves_ra3():
    for name, moved in (("rm3", 0.0), ("ra3", -1e6 / 3)):
        layer = Layer(torch.zeros(1, 1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64))
        rule = update_rule(name, 0, 2)
        for of_all in (0.0, 1e6, 0.0):
            δ = torch.full((2, 1), of_all, dtype=torch.float64)
            update(rule, [layer], [torch.ones_like(δ)], [δ], 1.0)
        assert layer.weight.item() == layer.bias.item() == pytest.approx(moved)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("taken_at", [0, 1, 2, 3, 5])
@pytest.mark.parametrize("name", NAMES)
def test_a_restored_rule_goes_on_bit_by_bit(name, taken_at, dtype):
    c = 2 if name in CLIPPING else 0
    layers, rule, rng = network(dtype), update_rule(name, c, 10), np.random.default_rng(1)
    for _ in range(taken_at):
        update(rule, layers, *minibatch(layers, rng, 10, dtype), RATE)
    state, other = rule.state(), copy_of(layers)
    # As a checkpoint keeps it.
    kept = {name: torch.from_numpy(values.numpy().copy()) for name, values in state.items()}
    assert bool(kept) == (name in WITH_STATE)
    again = update_rule(name, c, 10)
    again.restore(kept)
    as_kept = {name: values.clone() for name, values in kept.items()}
    for _ in range(4):
        given = minibatch(layers, rng, 10, dtype)
        update(rule, layers, *given, RATE)
        update(again, other, *given, RATE)
        assert_equal(layers, other)
    assert changed(layers, network(dtype))
    # What was kept stays as it was.
    assert all(torch.equal(kept[name], values) for name, values in as_kept.items())


@pytest.mark.parametrize("name", [name for name in NAMES if name not in WITH_STATE])
def test_a_rule_without_state_refuses_one(name):
    state = update_rule("rm3", 0, 10).state()
    with pytest.raises(ValueError, match=r"keeps no state, and was given \['held'\]"):
        update_rule(name, 1 if name in CLIPPING else 0, 10).restore(state)


@pytest.mark.parametrize("name", WITH_STATE)
def test_a_rule_with_state_refuses_none(name):
    with pytest.raises(ValueError, match="state"):
        update_rule(name, 1 if name in CLIPPING else 0, 10).restore({})


# --- signs ----------------------------------------------------------------------------------------


def test_signs_are_1_0_and_minus_1_for_each_parameter():
    δ = torch.tensor([[1.0, 1.0, 0.0, -3.0], [2.0, -1.0, 0.0, -1.0], [4.0, -7.0, 0.0, 0.0]])
    a = torch.tensor([[1.0, 0.0], [1.0, 0.0], [-2.0, 1.0]])
    for name, weight, bias in (
        ("sign_of_sum", [[-1, 1], [1, -1], [0, 0], [-1, 0]], [1, -1, 0, -1]),
        ("sum_of_signs", [[1, 1], [1, -1], [0, 0], [-2, 0]], [3, -1, 0, -2]),
    ):
        layer = Layer(torch.zeros(4, 2), torch.zeros(4))
        update(update_rule(name, 0, 3), [layer], [a], [δ], 1.0)
        share = 1 if name == "sign_of_sum" else 1 / 3
        torch.testing.assert_close(layer.weight, -share * torch.tensor(weight, dtype=torch.float32))
        torch.testing.assert_close(layer.bias, -share * torch.tensor(bias, dtype=torch.float32))


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize("c", [0, 2])
def test_a_rule_that_does_not_exist_is_refused_with_those_that_do(c):
    with pytest.raises(ValueError, match=r"no update rule 'mean': give one of winsorized_mean, .* norm_clip"):
        update_rule("mean", c, 10)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in CLIPPING])
def test_a_rule_that_clips_nothing_refuses_a_c(name):
    with pytest.raises(ValueError, match=rf"{name} with c = 2: only winsorized_mean, .*; give c = 0"):
        update_rule(name, 2, 10)


@pytest.mark.parametrize("name", CLIPPING)
@pytest.mark.parametrize(("c", "size"), [(5, 10), (6, 10), (-1, 10), (1, 1), (1, 2)])
def test_clipping_everything_is_refused(name, c, size):
    with pytest.raises(ValueError, match=rf"c = {c} .* {size}: .* 0 to {(size - 1) // 2}$"):
        update_rule(name, c, size)


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_minibatch_is_refused(name):
    with pytest.raises(ValueError, match="minibatch is empty"):
        update_rule(name, 0, 0)


def test_clipping_by_norm_refuses_a_minibatch_with_too_many_pairs():
    update_rule("norm_clip", 1, MOST_PAIRED)
    with pytest.raises(ValueError, match=r"norm_clip with a minibatch of 2001: give at most 2000 examples"):
        update_rule("norm_clip", 1, MOST_PAIRED + 1)


@pytest.mark.parametrize("c", [1.0, True, None])
def test_a_c_that_is_no_integer_is_refused(c):
    with pytest.raises(TypeError, match="give an integer"):
        update_rule("winsorized_mean", c, 10)


@pytest.mark.parametrize("given", [{}, {"clip_norm": 1.0}, {"noise_multiplier": 1.0}])
def test_dp_sgd_needs_a_norm_and_noise_and_no_other_rule_takes_them(given):
    with pytest.raises(ValueError, match=r"dp_sgd without .*: give both, above 0"):
        rules.update_rule("dp_sgd", 0, 10, **given)
    for name in set(NAMES) - {"dp_sgd"} if given else ():
        with pytest.raises(ValueError, match=rf"{next(iter(given))} with {name}: only dp_sgd"):
            rules.update_rule(name, 0, 10, **given)


@pytest.mark.parametrize("key", PRIVATE)
@pytest.mark.parametrize("value", [0.0, -1.0, np.inf, np.nan])
def test_norm_and_noise_are_above_0(key, value):
    with pytest.raises(ValueError, match=rf"{key} {value}: give a finite number above 0"):
        rules.update_rule("dp_sgd", 0, 10, **{**PRIVATE, key: value})
