"""Which steps belong to a window, by the state of the run at them."""

import numpy as np
import pytest
from made_runs import bursts, history, of_levels, right, worlds

from cgpipe.inference.claims.claim import Runs
from cgpipe.inference.claims.statistics import UndecidedError
from cgpipe.inference.claims.windows import measured, share_of_gradient, within


def steps_in(window, half=None, **given):
    """Steps of six that belong to a window."""
    pristine = {"pristine": np.arange(20) < 0, "accuracy_training": np.zeros(6)}
    label_noise = of_levels(history(range(6), **(pristine | given)))
    made = of_levels(worlds(range(6), np.ones((1, 6, 2)), half=half))
    runs = Runs(label_noise, sampled=made)
    return within(runs, measured(runs, "sampled", 0.5), 0.5, window)["step"].values.tolist()


@pytest.mark.parametrize(
    ("counts", "steps"),
    [
        (6 * [10], [0, 1, 2, 3, 4, 5]),  # never below 10 %
        ([10, 1, 2, 18, 19, 20], [2, 3]),
        ([2, 10, 18, 20, 20, 20], [0, 1, 2]),
        ([10, 2, 1, 3, 1, 10], [5]),
    ],
)
def test_memorizing_begins_after_the_last_chance_and_ends_at_90_percent(counts, steps):
    correct = right(corrupt=np.array(counts), sizes=(0, 20))
    assert steps_in("memorizing", correct=correct) == steps
    shifted = steps_in("memorizing", correct=correct, half=[1] * 6)
    assert shifted == [step for step in range(6) if min(step + 1, 5) in steps]


def test_the_end_begins_with_the_first_99_percent():
    assert steps_in("end", accuracy_training=[0.5, 0.9, 0.99, 0.9, 1, 1]) == [2, 3, 4, 5]
    with pytest.raises(UndecidedError, match="nothing was measured from 99% training accuracy on"):
        steps_in("end", accuracy_training=np.full(6, 0.989))


def test_bursts_are_measured_in_one_draw():
    one = history([0], pristine=np.arange(20) < 1)
    found = measured(Runs(of_levels(one), bursts=of_levels(bursts([0], [[3, 1]]))), "bursts", 0.5)
    assert found["product"].dims == ("draw", "step", "group")
    assert found["product"].values.tolist() == [[[3, 1]]]
    assert found["group_size"].dims == ("draw", "group")
    assert found["group_size"].values.tolist() == [[1, 19]]


def test_a_group_of_one_example_has_a_share():
    assert share_of_gradient(worlds([0], [[[3, 1]]], sizes=(1, 1))).values == [0.75]
