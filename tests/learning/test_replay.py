"""Updates made again from a snapshot are the training's own, bit by bit."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from cgpipe.learning.replay import Replay
from cgpipe.learning.run import Examples, examples
from cgpipe.learning.training import train
from cgpipe.networks.dense import Layer, initial_layers

RUN = {"batch_size": 20, "learning_rate": 0.5}


def trained(device="cpu", width=784, **changes):
    """Snapshots of a run of 31 updates on images of which most pixels are 0, and what it was trained on."""
    rng = np.random.default_rng(0)
    images = rng.random((110, width), np.float32)
    images[rng.random(images.shape) < 0.8] = 0
    training = examples(images, rng.integers(0, 10, 110), device)
    kept = {}
    train(
        *training,
        *training,
        hidden=[30],
        steps=31,
        rng=1,
        batch_rng=np.random.default_rng(2),
        device=device,
        on_logged=lambda run: kept.update(
            {run.step: [Layer(*(p.clone() for p in of)) for of in run.network.stack]}
        ),
        **{**RUN, **changes},
    )
    return kept, training


def replay_of(kept, training, update="winsorized_mean", c=0):
    # As from a file: every layer output by output in memory.
    stored = {step: [Layer(w.contiguous(), b) for w, b in of] for step, of in kept.items()}
    replay = Replay(stored[0], training, update=update, c=c, batch_rng=np.random.default_rng(2), **RUN)
    return replay, stored


def assert_made_again(kept, training, update="winsorized_mean", c=0):
    replay, stored = replay_of(kept, training, update, c)
    for start in (10, 0, 10):  # from anywhere, again
        seen = set()
        for step, (network, _) in enumerate(replay.updates(start, stored[start], 30 - start), start):
            if step in kept:
                assert all(
                    torch.equal(*pair)
                    for pair in zip(sum(network.stack, ()), sum(kept[step], ()), strict=True)
                )
                seen.add(step)
        assert {10, 20} <= seen
        assert all(
            torch.equal(*pair) for pair in zip(sum(replay.network.stack, ()), sum(kept[30], ()), strict=True)
        )


@pytest.mark.parametrize(("update", "c"), [("winsorized_mean", 0), ("winsorized_mean", 2), ("m3", 0)])
def test_from_a_snapshot_on_the_next_snapshots_come_again(update, c):
    assert_made_again(*trained(update=update, c=c), update, c)


@pytest.mark.gpu
@pytest.mark.parametrize(("update", "c"), [("winsorized_mean", 0), ("winsorized_mean", 2), ("m3", 0)])
def test_on_a_gpu_too(update, c):
    assert_made_again(*trained("cuda", update=update, c=c), update, c)


def test_an_update_is_by_the_minibatch_that_comes_with_it():
    kept, training = trained()
    replay, stored = replay_of(kept, training)
    updates = [
        ([p.double() for of in network.stack for p in of], b)
        for network, b in replay.updates(10, stored[10], 7)
    ]
    for (before, batch), (after, _) in pairwise(updates):
        assert len(set(batch)) == 20
        # Plain SGD by autograd, in float64.
        weight, bias, out, out_bias = (p.requires_grad_() for p in before)
        hidden = torch.relu(training.images[batch].double() @ weight.T + bias)
        loss = torch.nn.functional.cross_entropy(hidden @ out.T + out_bias, training.labels[batch])
        for p, moved, slope in zip(before, after, torch.autograd.grad(loss, before), strict=True):
            torch.testing.assert_close(moved, p.detach() - 0.5 * slope, rtol=0, atol=1e-6)


@pytest.mark.parametrize("update", ["rm3", "ra3"])
def test_a_rule_that_remembers_is_refused(update):
    layers = initial_layers([4, 3], "xavier", np.random.default_rng(0))
    training = Examples(torch.rand(40, 4), torch.arange(40) % 3)
    with pytest.raises(
        ValueError, match=f"update {update} depends on earlier minibatches.*another update rule"
    ):
        Replay(layers, training, update=update, c=0, batch_rng=np.random.default_rng(2), **RUN)
