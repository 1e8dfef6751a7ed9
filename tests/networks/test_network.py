"""Dense networks and modules behind one interface."""

import pytest
import torch
from problems import problem

from cgpipe.networks.dense import Layer
from cgpipe.networks.fully_connected import Dense
from cgpipe.networks.given import network_of
from cgpipe.networks.module import ModuleNetwork


def as_module(layers):
    """The same network as a module."""
    modules = []
    for weight, bias in layers:
        linear = torch.nn.Linear(weight.shape[1], len(bias), dtype=weight.dtype)
        linear.weight.data, linear.bias.data = weight.clone(), bias.clone()
        modules += [linear, torch.nn.ReLU()]
    return torch.nn.Sequential(*modules[:-1])


def test_a_dense_network_and_the_same_module_agree():
    layers, images, labels = problem([6, 5, 4], 30)
    dense, module = network_of(layers, images), network_of(as_module(layers), images)
    assert isinstance(dense, Dense)
    assert isinstance(module, ModuleNetwork)
    assert network_of(dense, images) is dense
    assert (dense.classes, dense.width) == (module.classes, module.width) == (4, 6)
    torch.testing.assert_close(dense.logits(images), module.logits(images))
    torch.testing.assert_close(dense.all_logits(images), module.logits(images))
    for one, other in zip(dense.active(images)[1], module.active(images)[1], strict=True):
        assert torch.equal(one, other)
    total = [{name: torch.full_like(p, 0.5) for name, p in of.items()} for of in dense.parameters()]
    for at_once in (None, 7):
        for mine, its in zip(
            dense.passes(images, labels, at_once), module.passes(images, labels, at_once), strict=True
        ):
            assert mine.part == its.part
            for one, other, along in zip(mine.layers, its.layers, dense.as_direction(total), strict=True):
                torch.testing.assert_close(one.squared_norms(), other.squared_norms())
                torch.testing.assert_close(one.products(along), other.products(along))
                torch.testing.assert_close(one.pairs(), other.pairs())
                torch.testing.assert_close(one.sums(), other.sums())


def test_pairs_are_inner_products_of_the_formed_gradients():
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        *(torch.nn.Conv2d(1, 3, 3), torch.nn.GroupNorm(1, 3), torch.nn.ReLU(), torch.nn.Flatten()),
        torch.nn.Linear(12, 4),
    ).double()
    images, labels = torch.rand(5, 1, 4, 4, dtype=torch.float64), torch.arange(5) % 4
    for layer in network_of(module, images).pass_examples(images, labels).layers:
        flat = torch.cat([g.flatten(1) for g in layer.formed().values()], dim=1)
        torch.testing.assert_close(layer.pairs(), flat @ flat.T)


@pytest.mark.parametrize("make", [list, as_module])
def test_a_copy_is_apart_and_takes_the_state_of_another(make):
    layers, images, _ = problem([6, 5, 4], 30)
    network = network_of(make(layers), images)
    other = network.copy()
    for values in other.state().values():
        values.zero_()
    assert bool((network.logits(images) != 0).any())
    assert torch.equal(other.load(network.state()).logits(images), network.logits(images))
    assert network.double().logits(images).dtype == torch.float64


def test_a_copy_of_a_dense_network_lies_in_memory_as_in_training():
    layers, _, _ = problem([6, 5, 4], 30)
    stored = [Layer(weight.contiguous(), bias) for weight, bias in layers]
    first, second = Dense(stored).copy().stack
    assert first.weight.T.is_contiguous()
    assert second.weight.is_contiguous()


@pytest.mark.parametrize("given", [{}, {"0.weight": torch.zeros(1)}])
def test_the_state_of_another_network_is_refused(given):
    layers, images, _ = problem([6, 5, 4], 30)
    network, state = network_of(layers, images), network_of(layers, images).copy().state()
    with pytest.raises(ValueError, match=r"for a network of .*'0.weight': \(5, 6\).* give those of this"):
        network.load({**state, **given} if given else {})
    assert torch.equal(network.state()["0.weight"], state["0.weight"])


def test_where_a_value_is_not_finite_is_told_of_both():
    layers, images, labels = problem([6, 5, 4], 30)
    layers[1].weight[0, 0] = torch.inf
    assert "layer 2 of 2" in network_of(layers, images).non_finite(images, labels)
    network = network_of(as_module(problem([6, 5, 4], 30)[0]), images)
    network.parameters()[1]["weight"][0, 0] = torch.inf
    assert "layer 2" in network.non_finite(images, labels)
