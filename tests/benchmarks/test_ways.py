"""What is compared with cgpipe computes the same."""

import numpy as np
import pytest
import torch

from benchmarks import ways

WIDTHS = [12, 9, 7, 4]
BATCH = 10


@pytest.fixture
def data() -> ways.Data:
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.random((40, WIDTHS[0]), np.float32))
    return ways.Data(images, torch.from_numpy(rng.integers(0, WIDTHS[-1], 40)))


def after_steps(name: str, data: ways.Data, c: int, steps: int = 5) -> list[torch.Tensor]:
    way = ways.WAYS[name](ways.network(WIDTHS), data, BATCH, c)
    rng = np.random.default_rng(1)
    with torch.no_grad():
        for _ in range(steps):
            way.step(rng.permutation(len(data.labels))[:BATCH])
    return way.parameters


@pytest.mark.parametrize("c", [0, 1, 2, 4])
@pytest.mark.parametrize("name", ["vmap_topk", "opacus_sort", "plain_sgd_eager"])
def test_every_way_makes_the_step_of_cgpipe(name: str, c: int, data: ways.Data) -> None:
    theirs = after_steps(name, data, 0 if name == "plain_sgd_eager" else c)
    ours = after_steps("cgpipe", data, 0 if name == "plain_sgd_eager" else c)
    start = [t for layer in ways.network(WIDTHS) for t in (layer.weight, layer.bias)]
    for mine, wanted, before in zip(ours, theirs, start, strict=True):
        assert not torch.equal(wanted, before)
        torch.testing.assert_close(mine, wanted, rtol=1e-5, atol=1e-6)


def test_the_number_clipped_matters(data: ways.Data) -> None:
    one, four = (after_steps("vmap_topk", data, c)[0] for c in (1, 4))
    assert (one - four).abs().max() > 1e-4


def test_a_way_leaves_the_network_it_was_given(data: ways.Data) -> None:
    layers = ways.network(WIDTHS)
    for name, make in {**ways.WAYS, "dense_products": ways.dense_products}.items():
        with torch.no_grad():
            make(layers, data, BATCH, 1).step(np.arange(BATCH))
        for layer, fresh in zip(layers, ways.network(WIDTHS), strict=True):
            assert torch.equal(layer.weight, fresh.weight), name
            assert torch.equal(layer.bias, fresh.bias), name
