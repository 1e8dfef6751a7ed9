"""What cgpipe is compared with on convolutional networks computes the same."""

import numpy as np
import pytest
import torch
from problems import conv_problem

from benchmarks import networks, ways


@pytest.mark.parametrize("way", [way for way in networks.POPULATION if way not in ("plain", "cgpipe")])
@pytest.mark.parametrize("at_once", [1, 4, 7])
def test_norms_and_products_are_those_of_cgpipe(way, at_once, monkeypatch):
    of = networks.problem("lenet5", 7)
    monkeypatch.setattr(networks, "MOST_FORMED", at_once * of.parameters)
    found, expected = networks.POPULATION[way](of)(), networks.cgpipe(of)()
    assert list(found) == list(expected)[: len(found)]
    for name, values in found.items():
        largest = float(expected[name].abs().max())
        torch.testing.assert_close(values.double(), expected[name], rtol=1e-4, atol=1e-5 * largest)


def test_opacus_has_the_same_gradients_of_a_network_with_group_norm():
    network, images, labels = conv_problem(9, torch.float32)
    along = {name: torch.randn_like(p) for name, p in network.module.named_parameters()}
    of = networks.Problem(network.module.train(), ways.Data(images, labels), along)
    found, expected = networks.by_opacus(of)(), networks.cgpipe(of)()
    for name, values in found.items():
        torch.testing.assert_close(values.double(), expected[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("c", [0, 1, 4])
@pytest.mark.parametrize("way", ["vmap_topk", "opacus_sort", "plain_sgd_eager"])
def test_every_way_makes_the_step_of_cgpipe(way, c):
    of, clipped = networks.problem("lenet5", 30), 0 if way == "plain_sgd_eager" else c
    theirs, ours = (ways.WAYS[name](of.module, of.data, 10, clipped) for name in (way, "cgpipe"))
    rng = np.random.default_rng(0)
    for _ in range(3):
        batch = rng.permutation(30)[:10]
        with torch.no_grad():
            theirs.step(batch)
            ours.step(batch)
    for mine, wanted, before in zip(ours.parameters, theirs.parameters, of.module.parameters(), strict=True):
        assert not torch.equal(wanted, before)
        torch.testing.assert_close(mine, wanted, rtol=1e-4, atol=1e-6)


def test_a_way_that_is_wrong_is_not_timed(monkeypatch):
    def wrong(of):
        return lambda: {"norm": 2 * networks.cgpipe(of)()["norm"]}

    monkeypatch.setattr(
        networks, "POPULATION", {"plain": networks.plain, "cgpipe": networks.cgpipe, "wrong": wrong}
    )
    with pytest.raises(RuntimeError, match="norm of wrong, lenet5: off by 1 of the largest value"):
        networks.population(("lenet5",), 1)
