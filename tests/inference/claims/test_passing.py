"""C13 to C15 by value."""

import numpy as np
import pytest
from made_runs import NOISE, clipped, history, of_levels, reasons, right, seen

from cgpipe.inference.claims.claim import Runs

STEPS = (0, 1, 10, 20, 100)
MIXED = ("25%", "50%", "75%")


def curve(peak, last):
    return [0.1, 0.1, peak, 0.1, last]


@pytest.mark.parametrize(("last", "met"), [(0.7, True), (0.788, True), (0.792, False), (0.8, False)])
def test_early_stopping_helps_or_not(last, met):
    parts = seen("C13", Runs(of_levels(history(STEPS, accuracy_test=curve(0.8, last)))))
    assert list(parts) == [f"{noise} noise" for noise in MIXED]
    assert all(one.value == pytest.approx(0.8 - last) for one in parts.values())
    assert all(one.met == met for one in parts.values())


def corrupt_right(*counts):
    """A history of ten pristine and ten corrupt examples, of which so many are right at each step."""
    correct = right(pristine=10, corrupt=np.array(counts), sizes=(10, 10))
    return history(STEPS, correct=correct, pristine=np.arange(20) < 10)


@pytest.mark.parametrize(
    ("counts", "step"),
    [
        ((1, 0, 1, 1, 9), 20 + 80 / 8),
        ((1, 0, 1, 1, 1), 100),
        ((1, 0, 9, 9, 9), 1 + 9 * 2 / 9),
        ((0, 8, 9, 9, 9), 0.25),
    ],
)
def test_small_c_delays_memorization_or_not(counts, step):
    plain, other = corrupt_right(1, 0, 1, 3, 10), corrupt_right(*counts)  # 20 % at step 15
    parts = seen("C14", clipped({0: plain, 1: other, 2: other, 4: plain}))
    assert list(parts) == [f"c = {c}, {noise} noise" for c in (1, 2) for noise in MIXED]
    for one in parts.values():
        assert (one.value, one.reason) == (pytest.approx(step / 15), "")
        assert one.excess == pytest.approx(np.log(step / 15))


@pytest.mark.parametrize(
    ("plain", "other", "reason"),
    [
        (
            corrupt_right(1, 0, 1, 1, 1),
            corrupt_right(0, 0, 1, 1, 9),
            "plain SGD does not come to 20% of the corrupt",
        ),
        (
            corrupt_right(2, 0, 1, 1, 9),
            corrupt_right(0, 0, 1, 1, 9),
            "20% of the corrupt examples are right before",
        ),
        (
            corrupt_right(0, 0, 1, 1, 9),
            corrupt_right(3, 0, 1, 1, 9),
            "20% of the corrupt examples are right before",
        ),
        (
            corrupt_right(0, 0, 1, 1, 9),
            corrupt_right(0, 0, 1, 1, 1).isel(step=[0, 1, 2]),
            "the run ends at step 10",
        ),
        (
            corrupt_right(0, 0, 1, 1, 9),
            history(STEPS, pristine=np.ones(20, bool)),
            "there is no corrupt example",
        ),
    ],
)
def test_where_memorization_begins_may_be_unknown(plain, other, reason):
    found = reasons("C14", clipped({0: plain, 1: other, 2: other}))
    assert len(found) == 6
    assert all(one.startswith(reason) for one in found.values())


def test_a_run_that_ends_where_plain_sgd_begins_to_memorize_is_as_late():
    plain, short = corrupt_right(0, 0, 1, 2, 9), corrupt_right(0, 0, 1, 1, 1).isel(step=slice(4))
    for one in seen("C14", clipped({0: plain, 1: short, 2: short})).values():
        assert (one.value, one.reason) == (1, "")


@pytest.mark.parametrize(("last", "met"), [(2.0, True), (1.06, True), (1.04, False), (1.0, False)])
def test_the_loss_rises_again_at_the_largest_c_or_not(last, met):
    made = {
        c: history(STEPS, loss_training=np.array([3, 3, 1, 1.01, last * 1.5 ** (c != 8)]) / 2)
        for c in (0, 1, 8)
    }
    parts = seen("C15", clipped(made))
    assert list(parts) == [f"c = {c}, {noise:.0%} noise" for c in (8, 0) for noise in NOISE[:-1]]
    for noise in NOISE[:-1]:
        one = parts[f"c = 8, {noise:.0%} noise"]
        assert (one.value, one.excess) == pytest.approx((last, np.log(last / 1.05)))
        assert one.met == met
        assert parts[f"c = 0, {noise:.0%} noise"].value == pytest.approx(1.5 * last)


def test_a_loss_of_zero_has_no_ratio():
    zero = history(STEPS, loss_training=[1, 1, 0, 0, 0])
    assert set(reasons("C15", clipped({0: zero, 2: zero})).values()) == {"the least training loss is zero"}
