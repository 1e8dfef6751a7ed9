"""Marks of the training loss: when they are passed, and that watching them changes nothing."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from problems import conv_problem
from torch.nn.functional import cross_entropy

from cgpipe.learning.batches import BatchOrder
from cgpipe.learning.evaluation import logged_steps
from cgpipe.learning.lockstep.served import serves
from cgpipe.learning.marks import WINDOW, Marks
from cgpipe.learning.run import examples, start_run
from cgpipe.learning.training import train


@given(st.lists(st.floats(0, 4), max_size=60), st.sets(st.floats(0.01, 4), max_size=5))
def test_a_mark_is_passed_when_the_mean_of_the_last_minibatches_first_falls_to_it(losses, levels):
    marks = Marks(sorted(levels, reverse=True))
    for step, loss in enumerate(losses, 1):
        marks.see(loss, step)
    means = {step: sum(losses[step - WINDOW : step]) / WINDOW for step in range(WINDOW, len(losses) + 1)}
    first = [next((step for step, mean in means.items() if mean <= level), -1) for level in marks.levels]
    assert marks.steps == first
    assert marks.left == (-1 in first)
    assert marks.passed() == {level: at for level, at in zip(marks.levels, first, strict=True) if at > 0}


def problem(kind):
    """Images and labels of which most are learned in 60 steps, and a network for them."""
    rng = np.random.default_rng(0)
    if kind == "convolutional":
        network, images, labels = conv_problem(40, torch.float32)
        return images, labels, {"network": network.module}
    images = rng.uniform(size=(40, 6)).astype(np.float32)
    return torch.from_numpy(images), torch.from_numpy(images[:, :4].argmax(1)), {"hidden": [16]}


@pytest.mark.parametrize("kind", ["dense", "convolutional"])
def test_marks_are_logged_and_watching_them_changes_nothing(kind):
    images, labels, network = problem(kind)
    settings = {**network, "steps": 60, "batch_size": 9, "learning_rate": 0.5, "rng": 0}
    batches, seen, plain = np.random.default_rng(1), {}, {}
    without = train(
        *(images, labels, images, labels),
        **{**settings, "batch_rng": np.random.default_rng(1)},
        on_step=lambda run: plain.update({run.step: (run.network.double(), run.parameters())}),
    )
    # Before each update, in float64.
    order, losses = BatchOrder(40, 9, np.random.default_rng(1)), []
    for network, _ in plain.values():
        batch = torch.from_numpy(order.next())
        logits = network.logits(images[batch].double())
        losses.append(float(cross_entropy(logits, labels[batch])))
    means = [np.mean(losses[step - WINDOW : step]) for step in range(WINDOW, 61)]
    levels = [9.0, (means[0] + means[1]) / 2, (means[24] + means[25]) / 2, min(means) / 2]
    first = [next((WINDOW + k for k, mean in enumerate(means) if mean <= level), -1) for level in levels]
    assert first[0] == WINDOW < first[1] < first[2]
    assert first[3] == -1

    history = train(
        *(images, labels, images, labels),
        **{**settings, "batch_rng": batches},
        marks=levels,
        on_step=lambda run: seen.update({run.step: run.parameters()}),
    )
    assert history["mark"].values.tolist() == levels
    assert history["mark_step"].values.tolist() == first
    assert history["step"].values.tolist() == sorted({*logged_steps(60), *first} - {-1})
    xr_marks = history.sel(step=logged_steps(60)).drop_vars(["mark", "mark_step"])
    curves = ["loss_training", "accuracy_test", "correct"]
    assert xr_marks[curves].identical(without[curves])
    for step, (_, parameters) in plain.items():
        assert all(np.array_equal(seen[step][name], values) for name, values in parameters.items())


def test_only_runs_without_marks_train_in_lockstep():
    training = examples(np.random.default_rng(0).random((20, 4)), np.arange(20) % 3)
    settings = {"hidden": [3], "batch_size": 5, "learning_rate": 0.1, "rng": 0}
    assert serves(start_run(training, training, **settings))
    assert not serves(start_run(training, training, **settings, marks=[1.0]))
