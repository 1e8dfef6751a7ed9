"""Updates made again from a snapshot are the training's own, bit by bit."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from problems import PRIVATE, conv_problem, private

from cgpipe.learning.replay import Replay
from cgpipe.learning.run import examples
from cgpipe.learning.training import train
from cgpipe.networks.dense import Layer, initial_layers
from cgpipe.networks.fully_connected import Dense

RUN = {"batch_size": 20, "learning_rate": 0.5, "steps": 31}
RULES = [("winsorized_mean", 0), ("winsorized_mean", 2), ("m3", 0), ("random_drop", 2), ("dp_sgd", 0)]


def trained(device="cpu", make=None, **changes):
    """Snapshots of a run on images of which most pixels are 0, what it was trained on, and its network."""
    rng = np.random.default_rng(0)
    images = rng.random((110, 784), np.float32)
    images[rng.random(images.shape) < 0.8] = 0
    training = examples(images, rng.integers(0, 10, 110), device)
    network = Dense(initial_layers([784, 30, 10], "xavier", np.random.default_rng(1), device))
    if make:
        made, *those = make(110, torch.float32)
        network, training = made.module, examples(*those, device)
    kept = {}
    train(
        *training,
        *training,
        network=network,
        batch_rng=np.random.default_rng(2),
        update_rng=np.random.default_rng(3),
        device=device,
        on_logged=lambda run: kept.update({run.step: run.network.copy()}),
        **{**RUN, **changes},
    )
    return kept, training


def replay_of(kept, training, **changes):
    # As from a file: every layer of a dense network output by output in memory.
    stored = {
        step: Dense([Layer(w.contiguous(), b) for w, b in of.stack]) if isinstance(of, Dense) else of
        for step, of in kept.items()
    }
    settings = {"update": "winsorized_mean", "c": 0, **RUN, **changes}
    rngs = {"batch_rng": np.random.default_rng(2), "update_rng": np.random.default_rng(3)}
    return Replay(stored[0], training, **rngs, **settings), stored


def same(network, other):
    return all(
        torch.equal(*pair) for pair in zip(network.state().values(), other.state().values(), strict=True)
    )


def assert_made_again(kept, training, **changes):
    replay, stored = replay_of(kept, training, **changes)
    for start in (10, 0, 10):  # from anywhere, again
        seen = set()
        for step, (network, _) in enumerate(replay.updates(start, stored[start], 30 - start), start):
            if step in kept:
                assert same(network, kept[step])
                seen.add(step)
        assert {10, 20} <= seen
        assert same(replay.network, kept[30])
    assert not same(kept[20], kept[30])


@pytest.mark.parametrize(("update", "c"), RULES)
@pytest.mark.parametrize("more", [{}, {"schedule": "cosine", "weight_decay": 0.01}])
@pytest.mark.parametrize("make", [None, conv_problem])
def test_from_a_snapshot_on_the_next_snapshots_come_again(make, more, update, c):
    changes = {"update": update, "c": c, **private(update), **more}
    assert_made_again(*trained(make=make, **changes), **changes)


@pytest.mark.filterwarnings("ignore:layer 1.* taken in eval mode")
def test_with_batch_normalization_statistics_come_again_too():
    def make(count, dtype):
        return conv_problem(count, dtype, torch.nn.BatchNorm2d)

    kept, training = trained(make=make)
    assert_made_again(kept, training)
    assert not torch.equal(kept[20].state()["1.running_mean"], kept[30].state()["1.running_mean"])


@pytest.mark.gpu
@pytest.mark.parametrize(("update", "c"), RULES)
@pytest.mark.parametrize("make", [None, conv_problem])
def test_on_a_gpu_too(make, update, c):
    changes = {"update": update, "c": c, **private(update)}
    assert_made_again(*trained("cuda", make, **changes), **changes)


def test_an_update_is_by_the_minibatch_that_comes_with_it():
    kept, training = trained()
    replay, stored = replay_of(kept, training)
    updates = [
        ([p.double() for p in network.state().values()], b)
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


@pytest.mark.parametrize("changes", [{"update": "rm3"}, {"update": "ra3"}, {"momentum": 0.9}])
@pytest.mark.parametrize("make", [None, conv_problem])
def test_what_remembers_minibatches_is_refused(make, changes):
    kept, training = trained(make=make, steps=0)
    ((name, value),) = changes.items()
    with pytest.raises(
        ValueError, match=f"{name} {value} depends on earlier minibatches.* rule, without momentum"
    ):
        replay_of(kept, training, **changes)


def test_a_rule_that_samples_needs_the_generator_of_the_run():
    kept, training = trained(steps=0)
    settings = {**RUN, "update": "dp_sgd", **PRIVATE}
    with pytest.raises(ValueError, match="update dp_sgd samples: give update_rng"):
        Replay(kept[0], training, batch_rng=np.random.default_rng(2), **settings)
