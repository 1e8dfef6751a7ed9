from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from problems import copy_of, fitted, pixels_of, private, problem

from cgpipe.kernels import operators, oracle, reference
from cgpipe.learning.batches import BatchOrder
from cgpipe.learning.evaluation import evaluate
from cgpipe.learning.finite import NonFiniteError
from cgpipe.learning.rules import Clipped, Mean, UpdateRule, update_rule
from cgpipe.learning.trainer import Trainer
from cgpipe.names import UpdateName
from cgpipe.networks.dense import Layer, forward, initial_layers, output_gradients


def step(layers, images, labels, rate, rule):
    """One update by all of the examples."""
    Trainer(layers, images, labels, len(images), rule).step(np.arange(len(images)), rate)


@pytest.mark.parametrize("widths", [[6, 4], [6, 5, 4], [6, 7, 5, 4]])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("rule", [Mean, lambda: Clipped(0), lambda: update_rule("winsorized_mean", 0, 12)])
def test_a_step_without_clipping_is_that_of_torch(widths, dtype, rule):
    layers, images, labels = problem(widths, 12, dtype)
    with torch.enable_grad():
        tracked = [Layer(*(p.clone().requires_grad_() for p in layer)) for layer in layers]
        optimizer = torch.optim.SGD([p for layer in tracked for p in layer], lr=0.3)
        x = images
        for layer in tracked[:-1]:
            x = torch.nn.functional.linear(x, *layer).relu()
        logits = torch.nn.functional.linear(x, *tracked[-1])
        torch.nn.functional.cross_entropy(logits, labels).backward()
        optimizer.step()
    before = copy_of(layers)
    step(layers, images, labels, 0.3, rule())
    for layer, expected, old in zip(layers, tracked, before, strict=True):
        for found, wanted, start in zip(layer, expected, old, strict=True):
            torch.testing.assert_close(found, wanted.detach(), rtol=0, atol=20 * torch.finfo(dtype).eps)
            assert not torch.equal(found, start)


@pytest.mark.parametrize("trimmed", [False, True])
@pytest.mark.parametrize("c", [1, 3])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-14), (torch.float32, 1e-6)])
def test_a_winsorized_step_is_that_of_the_oracle(c, trimmed, dtype, tolerance):
    layers, images, labels = problem([6, 5, 4], 11, dtype)
    before = copy_of(layers)
    inputs, logits = forward(layers, images)
    δ = output_gradients(layers, inputs, logits, labels)
    step(layers, images, labels, 0.5, Clipped(c, trimmed=trimmed))
    for number, (layer, old) in enumerate(zip(layers, before, strict=True)):
        weight, bias = oracle.winsorized_linear_gradient(inputs[number], δ[number], c, trimmed=trimmed)
        np.testing.assert_allclose(layer.weight, old.weight.numpy() - 0.5 * weight, rtol=0, atol=tolerance)
        np.testing.assert_allclose(layer.bias, old.bias.numpy() - 0.5 * bias, rtol=0, atol=tolerance)
        assert layer.weight.dtype == layer.bias.dtype == dtype


@given(
    st.lists(st.integers(1, 40), min_size=2, max_size=5),
    st.integers(1, 30),
    st.data(),
    st.booleans(),
    st.integers(0, 2**16),
)
def test_a_step_in_one_operator_is_the_step_by_parts(widths, batch, data, trimmed, seed):
    c = data.draw(st.integers(0, (batch - 1) // 2))
    rng = np.random.default_rng(seed)
    pixels = rng.uniform(-0.5, 1, (batch + 5, widths[0])).astype(np.float32)
    images = torch.from_numpy(np.where(rng.random(pixels.shape) < 0.4, 0, pixels))
    labels = torch.from_numpy(rng.integers(0, widths[-1], len(images)))
    at_once, by_parts = (initial_layers(widths, "official", np.random.default_rng(seed)) for _ in range(2))
    trainers = [
        Trainer(layers, images, labels, batch, Clipped(c, trimmed=trimmed)) for layers in (at_once, by_parts)
    ]
    assert trainers[0]._in_one_operator == (operators.ready() != "reference")
    trainers[1]._in_one_operator = False
    indices = rng.permutation(len(images))[:batch]
    for trainer in trainers:
        trainer.step(indices, 0.1)
    for made, wanted in zip(trainers[0]._outputs, trainers[1]._outputs, strict=True):
        torch.testing.assert_close(made, wanted, rtol=1e-5, atol=1e-5)
    for made, wanted in zip(at_once, by_parts, strict=True):
        torch.testing.assert_close(made.weight, wanted.weight, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(made.bias, wanted.bias, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("width", [1, 2, 3, 10])
@pytest.mark.parametrize("at_once", [True, False])
def test_a_step_sees_what_a_fitted_example_still_has_to_learn(at_once, width):
    layers, images, labels = fitted(width, torch.float32)
    exact, of_exact, _ = fitted(width, torch.float64)
    trainer = Trainer(layers, images, labels, len(images), Mean())
    trainer._in_one_operator = trainer._in_one_operator and at_once
    trainer.step(np.arange(len(images)), 1.0)
    expected = output_gradients(exact, *forward(exact, of_exact), labels)[0]
    assert width == 1 or 0 < expected.abs().min() < expected.abs().max() < 1e-3
    torch.testing.assert_close(trainer._gradients[0].double(), expected, rtol=1e-5, atol=0)
    torch.testing.assert_close(layers[0].bias.double(), -expected.mean(0), rtol=1e-5, atol=1e-15)


WITHOUT_STATE = [name for name in get_args(UpdateName) if name not in ("rm3", "ra3")]


@pytest.mark.parametrize("name", WITHOUT_STATE)
def test_every_rule_goes_on_with_fitted_examples_as_in_float64(name):
    moved = []
    for dtype in (torch.float32, torch.float64):
        layers, images, labels = fitted(5, dtype)
        step(layers, images, labels, 1.0, update_rule(name, 0, len(images), 0, **private(name)))
        moved.append(layers[0].bias.double())
    assert moved[1].abs().min() > 0
    torch.testing.assert_close(*moved, rtol=1e-5, atol=0)


def test_the_sum_of_signs_counts_an_example_that_is_fitted_to_the_last_bit_of_its_probability():
    layers, images = [Layer(torch.zeros(3, 1), torch.tensor([30.0, 0.0, 0.0]))], torch.ones(4, 1)
    step(layers, images, torch.zeros(4, dtype=torch.int64), 0.5, update_rule("sum_of_signs", 0, 4))
    assert layers[0].weight.ravel().tolist() == [0.5, -0.5, -0.5]


def test_a_label_beyond_the_classes_is_told():
    layers, images, labels = problem([6, 5, 4], 11, torch.float32)
    labels[3] = 4
    before = copy_of(layers)
    with pytest.raises(IndexError, match="label 4 of example 3 of the minibatch: give 0 to 3"):
        step(layers, images, labels, 0.1, Mean())
    assert torch.equal(layers[0].weight, before[0].weight)


RULES = [Mean, lambda: Clipped(1), lambda: update_rule("rm3", 0, 11)]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_batch_of_indices_is_a_step_by_these_examples(dtype, rule):
    layers, images, labels = problem([6, 5, 4], 50, dtype)
    directly = copy_of(layers)
    trainer, order = Trainer(layers, images, labels, 11, rule()), np.random.default_rng(0)
    by_hand = rule()
    for _ in range(4):
        batch = order.permutation(50)[:11]
        trainer.step(batch, 0.5)
        step(directly, images[batch], labels[batch], 0.5, by_hand)
    for layer, wanted, start in zip(layers, directly, problem([6, 5, 4], 50, dtype)[0], strict=True):
        assert torch.equal(layer.weight, wanted.weight)
        assert torch.equal(layer.bias, wanted.bias)
        assert not torch.equal(layer.weight, start.weight)


@pytest.mark.parametrize("rule", RULES)
def test_steps_change_neither_images_nor_labels(rule):
    layers, images, labels = problem([6, 5, 4], 30)
    before = images.clone(), labels.clone()
    trainer = Trainer(layers, images, labels, 11, rule())
    for start in range(5):
        trainer.step(np.arange(start, start + 11), 0.5)
    assert torch.equal(images, before[0])
    assert torch.equal(labels, before[1])


def test_a_step_does_not_change_the_batch():
    layers, images, labels = problem([6, 5, 4], 30)
    batch = np.array([3, 1, 4, 15, 9])
    Trainer(layers, images, labels, 5, Mean()).step(batch, 0.5)
    assert batch.tolist() == [3, 1, 4, 15, 9]


class Seen(UpdateRule):
    """Does nothing but look at what it is given."""

    def __init__(self):
        self.values, self.held = [], []

    def update(self, layers, into, rate):
        tensors = [*(layer.inputs[0] for layer in layers), *(layer.δ for layer in layers)]
        self.values.append([tensor.clone() for tensor in tensors])
        self.held.append(tensors)  # so that no memory is freed and then given out again
        assert rate == 0.5


def test_every_step_writes_into_the_same_memory():
    layers, images, labels = problem([6, 5, 4], 30)
    rule = Seen()
    trainer = Trainer(layers, images, labels, 11, rule)
    batches = [np.arange(start, start + 11) for start in range(5)]
    for batch in batches:
        trainer.step(batch, 0.5)
    places = [[tensor.data_ptr() for tensor in tensors] for tensors in rule.held]
    assert places == [places[0]] * 5
    assert len(set(places[0])) == 4
    for batch, values in zip(batches, rule.values, strict=True):
        inputs, logits = forward(layers, images[batch])
        wanted = [*inputs, *output_gradients(layers, inputs, logits, labels[batch])]
        assert all(torch.equal(x, y) for x, y in zip(values, wanted, strict=True))
        assert torch.equal(values[0], images[batch])


@pytest.mark.parametrize("damaged", [0, 1, 2])
@pytest.mark.parametrize("rule", RULES)
def test_a_step_names_the_layer_that_diverged_and_leaves_the_network(damaged, rule):
    layers, images, labels = problem([6, 5, 4, 3], 11, torch.float32)
    for layer in layers:
        layer.weight.abs_()  # so that something positive reaches every layer
    layers[damaged].weight.fill_(3e38)
    layers[damaged].bias.fill_(3e38)
    before = copy_of(layers)
    shape = ["5x6", "4x5", "3x4"][damaged]
    with pytest.raises(NonFiniteError, match=rf"layer {damaged + 1} of 3 \(weights {shape}\) is not finite"):
        step(layers, images, labels, 0.1, rule())
    for layer, old in zip(layers, before, strict=True):
        assert torch.equal(layer.weight, old.weight)
        assert torch.equal(layer.bias, old.bias)


def test_a_step_names_the_layer_whose_gradient_diverged_and_leaves_the_network():
    layers, images, labels = problem([6, 5, 4, 3], 11, torch.float32)
    for layer, factor in zip(layers, (1e-30, 1e20, 1e25), strict=True):
        layer.weight.abs_().mul_(factor)  # on the way forward the first makes up for the others
    before = copy_of(layers)
    with pytest.raises(NonFiniteError, match=r"gradient at the output of layer 1 of 3 \(weights 5x6\)"):
        step(layers, images, labels, 0.1, Clipped(1))
    for layer, old in zip(layers, before, strict=True):
        assert torch.equal(layer.weight, old.weight)
        assert torch.equal(layer.bias, old.bias)


def step_in_float64(layers, images, labels, rate, c):
    """The same step by sorting in float64; and how near to 0 an output before a ReLU came."""
    layers = [Layer(layer.weight.double(), layer.bias.double()) for layer in layers]
    inputs, logits = forward(layers, images.double())
    outputs = [
        torch.nn.functional.linear(entered, *layer)
        for layer, entered in zip(layers[:-1], inputs[:-1], strict=True)
    ]
    nearest = min((float(output.abs().min()) for output in outputs), default=np.inf)
    δ = output_gradients(layers, inputs, logits, labels)
    for layer, entered, at_output in zip(layers, inputs, δ, strict=True):
        weight, bias = reference.winsorized_linear_gradient(entered, at_output, c)
        layer.weight.sub_(weight, alpha=rate)
        layer.bias.sub_(bias, alpha=rate)
    return layers, nearest


def assert_is_the_step_in_float64(made, before, images, labels, rate, c):
    expected, nearest = step_in_float64(before, images, labels, rate, c)
    if nearest < 1e-6:  # on which side of its ReLU an output falls is then a matter of rounding
        return
    for layer, wanted in zip(made, expected, strict=True):
        for found, exact in zip(layer, wanted, strict=True):
            torch.testing.assert_close(found.double(), exact, rtol=1e-5, atol=1e-6)


@given(
    st.lists(st.sampled_from([1, 3, 16, 17, 64, 65, 150, 300]), min_size=2, max_size=4),
    st.integers(1, 40),
    st.sampled_from([0.0, 0.02, 0.2, 0.45, 0.6, 1.0]),
    st.booleans(),
    st.booleans(),
    st.sampled_from([0, 0, 1, 2, 3, 8]),
    st.integers(0, 2**16),
)
def test_a_step_by_sparse_or_dense_images_is_that_of_float64(widths, batch, share, signed, whole, c, seed):
    rng = np.random.default_rng(seed)
    images = pixels_of(rng, batch if whole else batch + 5, widths[0], share, signed)
    labels = torch.from_numpy(rng.integers(0, widths[-1], len(images)))
    layers = initial_layers(widths, "xavier", rng)
    for layer in layers:
        layer.bias.copy_(torch.from_numpy(rng.uniform(-0.5, 0.5, len(layer.bias))))
    before, c = copy_of(layers), min(c, (batch - 1) // 2)
    indices = rng.permutation(len(images))[:batch]
    Trainer(layers, images, labels, batch, Clipped(c)).step(indices, 0.1)
    assert_is_the_step_in_float64(layers, before, images[indices], labels[indices], 0.1, c)


@pytest.mark.parametrize("batch", [14, 30, 40])  # as many as two parts; more; all
@pytest.mark.parametrize("share", [0.2, 1.0])
def test_a_plain_step_in_parts_is_the_step(monkeypatch, batch, share):
    monkeypatch.setattr(Trainer, "AT_ONCE", 7)
    rng = np.random.default_rng(1)
    images, labels = pixels_of(rng, 40, 50, share, False), torch.from_numpy(rng.integers(0, 3, 40))
    layers = initial_layers([50, 20, 3], "xavier", rng)
    before, indices = copy_of(layers), rng.permutation(40)[:batch]
    trainer = Trainer(layers, images, labels, batch, Mean())
    trainer.step(indices, 0.1)
    assert len(trainer._outputs[0]) == 7
    for made, old in zip(layers, before, strict=True):
        assert not torch.equal(made.weight, old.weight)
    assert_is_the_step_in_float64(layers, before, images[indices], labels[indices], 0.1, 0)


@pytest.mark.parametrize("rule", [Mean, lambda: Clipped(2)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_step_by_all_examples_is_the_same_bits_in_any_order_and_copies_no_image(dtype, rule):
    made = []
    for order in (np.arange(30), np.random.default_rng(0).permutation(30)):
        layers, images, labels = problem([6, 5, 4], 30, dtype)
        trainer = Trainer(layers, images, labels, 30, rule())
        trainer.step(order, 0.5)
        made.append(layers)
        assert trainer._batch_images is images
    for one, other in zip(*made, strict=True):
        assert torch.equal(one.weight, other.weight)
        assert torch.equal(one.bias, other.bias)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("rows", [500, 3])
def test_a_weight_of_a_sparse_image_that_is_not_finite_is_named(monkeypatch, rows, value):
    monkeypatch.setattr(Trainer, "AT_ONCE", rows)
    rng = np.random.default_rng(0)
    images, labels = torch.zeros(11, 50), torch.from_numpy(rng.integers(0, 3, 11))
    images[8, 7] = 1
    layers = initial_layers([50, 20, 3], "xavier", rng)
    trainer = Trainer(layers, images, labels, 11, Mean())
    layers[0].weight[4, 6] = value  # of a pixel that is 0 in all
    trainer.step(np.arange(11), 0.1)
    layers[0].weight[4, 7] = value
    with pytest.raises(NonFiniteError, match=r"the output of layer 1 of 2 \(weights 20x50\) is not finite"):
        trainer.step(np.arange(11), 0.1)


def test_the_number_of_threads_changes_no_bit_of_a_sparse_product():
    rng = np.random.default_rng(0)
    # So wide that the weights of all pixels are beyond the cache.
    images, labels = pixels_of(rng, 90, 300, 0.2, True), torch.from_numpy(rng.integers(0, 1100, 90))
    made, before = [], torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            layers = initial_layers([300, 1100], "xavier", np.random.default_rng(0))
            start = copy_of(layers)
            step(layers, images, labels, 0.1, Mean())
            made.append(layers[0].weight)
    finally:
        torch.set_num_threads(before)
    assert_is_the_step_in_float64(layers, start, images, labels, 0.1, 0)
    assert torch.equal(made[0], made[1])
    assert torch.equal(made[0], made[2])


def test_60_steps_on_mnist_are_each_that_of_float64(mnist):
    rng = np.random.default_rng(0)
    pixels = mnist["train_images"].to_numpy().reshape(-1, 784)[:2000].astype(np.float32)
    images = torch.from_numpy(pixels / np.float32(mnist.attrs["pixel_max"]))
    labels = torch.from_numpy(mnist["train_labels"].to_numpy()[:2000])
    layers = initial_layers([784, 32, 32, 32, 10], "xavier", rng)
    started_at = evaluate(layers, images, labels).loss
    trainer, order = Trainer(layers, images, labels, 100, Clipped(2)), BatchOrder(2000, 100, rng)
    compared = 0
    for _ in range(60):
        batch, before = order.next(), copy_of(layers)
        trainer.step(batch, 0.1)
        expected, nearest = step_in_float64(before, images[batch], labels[batch], 0.1, 2)
        if nearest < 1e-6:  # on which side of its ReLU an output falls is then a matter of rounding
            continue
        compared += 1
        for layer, wanted, old in zip(layers, expected, before, strict=True):
            for found, exact, start in zip(layer, wanted, old, strict=True):
                moved = float((exact - start).abs().max())
                assert moved > 0
                # Of the step, and of the weight that it is added to.
                allowed = 1e-5 * moved + 1e-7 * float(exact.abs().max())
                assert float((found.double() - exact).abs().max()) < allowed
    assert compared > 50
    assert evaluate(layers, images, labels).loss < started_at
