"""Runs compared where plain SGD had learned as much, against loops over the logged steps."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from inference.test_curves import curves, first_by_loop

from cgpipe.inference.matching import (
    Bounded,
    matched_accuracy,
    matched_difference,
    memorized_examples,
    slowdown,
)
from cgpipe.learning.evaluation import learned_steps


@given(curves(4))
def test_runs_are_matched_as_by_a_loop_over_the_steps(curve):
    steps, x, y, plain_x, plain_y = curve
    found = matched_difference((x, y), (plain_x, plain_y), steps)
    for k in range(len(steps)):
        when = first_by_loop(steps, plain_x, x[k])
        expected = np.nan if x[k] < plain_x[0] else y[k] - np.interp(when, steps, plain_y)
        np.testing.assert_allclose(found[k], expected, rtol=1e-12, atol=1e-12)


@given(curves(2))
def test_a_run_does_not_differ_from_itself_before_it_falls_back(curve):
    steps, x, y = curve
    found = matched_difference((x, y), (x, y), steps)
    first = np.array([k == 0 or x[k] > x[:k].max() for k in range(len(x))])
    np.testing.assert_allclose(found[first], 0, atol=1e-12)


@pytest.mark.parametrize(
    ("of", "over", "expected"),
    [
        (Bounded(6), Bounded(2), Bounded(3)),
        (Bounded(6, ">="), Bounded(2), Bounded(3, ">=")),
        (Bounded(6), Bounded(2, ">="), Bounded(3, "<=")),
        (Bounded(6, "<="), Bounded(2, ">="), Bounded(3, "<=")),
        (Bounded(6, ">="), Bounded(2, "<="), Bounded(3, ">=")),
    ],
)
def test_a_ratio_of_bounds_is_a_bound(of, over, expected):
    assert of.over(over) == expected


@pytest.mark.parametrize(
    ("of", "over"),
    [
        (Bounded(6, ">="), Bounded(2, ">=")),
        (Bounded(6, "<="), Bounded(2, "<=")),
        (Bounded(6), Bounded(0)),
        (Bounded(np.nan), Bounded(2)),
        (Bounded(6), Bounded(np.nan)),
    ],
)
def test_a_ratio_of_which_nothing_is_known_is_undefined(of, over):
    assert np.isnan(of.over(over).value)


STEPS = np.array([0, 10, 20, 100])


def history(pristine, corrupt, test=(0.1, 0.5, 0.8, 0.6), others=10, these=20):
    """Of which so large shares of the groups are right at the steps; the same examples first, of each."""
    is_pristine = np.arange(others + these) < others
    correct = np.zeros((len(STEPS), others + these), bool)
    for k, (p, c) in enumerate(zip(pristine, corrupt, strict=True)):
        correct[k, : round(p * others)] = True
        correct[k, others : others + round(c * these)] = True
    first, last = learned_steps(STEPS, correct)
    return xr.Dataset(
        {
            "correct": (("step", "example"), correct),
            "pristine": ("example", is_pristine),
            "learned_first": ("example", first),
            "learned_last": ("example", last),
            "accuracy_training": ("step", correct.mean(1)),
            "accuracy_test": ("step", np.array(test)),
        },
        coords={"step": STEPS},
    )


PLAIN = history([0.1, 0.5, 1, 1], [0, 0, 0.2, 1])


def test_slowdown_of_both_groups_and_their_ratio():
    run = history([0.1, 0.3, 0.8, 1], [0, 0, 0, 0.4])
    found = slowdown(run, PLAIN)
    assert found["pristine steps"] == Bounded(pytest.approx(60))  # 90 % is half-way from 80 to 100 %
    assert found["corrupt steps"] == Bounded(pytest.approx(60))
    assert found["pristine slowdown"] == Bounded(pytest.approx(60 / 18))
    assert found["corrupt slowdown"] == Bounded(pytest.approx(60 / 20))
    assert found["S"] == Bounded(pytest.approx((60 / 20) / (60 / 18)))


def test_runs_are_logged_each_at_its_own_steps():
    """Runs pass marks of the training loss at different steps, and in different numbers."""
    later = PLAIN.assign_coords(step=[0, 10, 80, 100])
    found = slowdown(later, PLAIN)
    assert found["pristine steps"] == Bounded(pytest.approx(10 + 0.8 * 70))
    assert found["pristine slowdown"] == Bounded(pytest.approx(66 / 18))
    assert found["corrupt slowdown"] == Bounded(pytest.approx(80 / 20))
    at_each = matched_accuracy(later, PLAIN)
    assert at_each["step"].values.tolist() == [0, 10, 80, 100]
    np.testing.assert_allclose(at_each["test accuracy"], 0, atol=1e-12)
    fewer = matched_accuracy(PLAIN, PLAIN.isel(step=[0, 1, 3]))
    np.testing.assert_allclose(fewer["test accuracy"][[0, 1, 3]], 0, atol=1e-12)


def test_what_a_run_never_reaches_is_a_bound_and_never_a_number():
    found = slowdown(history([0.1, 0.5, 1, 1], [0, 0, 0, 0.1]), PLAIN)
    assert found["corrupt steps"] == Bounded(100, ">=")
    assert found["corrupt slowdown"] == Bounded(pytest.approx(5), ">=")
    assert found["S"] == Bounded(pytest.approx(5), ">=")
    found = slowdown(history([0.1, 0.5, 0.8, 0.8], [0, 0, 0.2, 0.5]), PLAIN)
    assert found["S"] == Bounded(pytest.approx(18 / 100), "<=")
    found = slowdown(history([0.1, 0.5, 0.8, 0.8], [0, 0, 0, 0.1]), PLAIN)
    assert np.isnan(found["S"].value)
    found = slowdown(history([0.1, 0.5, 1, 1], [0, 0, 0.2, 1]), history([0.1, 0.5, 1, 1], [0, 0, 0, 0.1]))
    assert found["corrupt slowdown"] == Bounded(pytest.approx(20 / 100), "<=")


def test_runs_are_matched_on_training_accuracy_and_on_the_share_of_the_pristine():
    run = history([0.1, 0.3, 0.5, 1], [0, 0, 0, 0.1], test=(0.1, 0.3, 0.6, 0.9))
    found = matched_accuracy(run, PLAIN)
    training = run["accuracy_training"].values
    np.testing.assert_allclose(found["test accuracy, on"], training)
    assert found["step"].values.tolist() == STEPS.tolist()
    assert {of.dims for of in found.values()} == {("step",)}
    expected = [
        value
        - np.interp(
            first_by_loop(STEPS, PLAIN["accuracy_training"].values, at), STEPS, PLAIN["accuracy_test"]
        )
        for at, value in zip(training, run["accuracy_test"].values, strict=True)
    ]
    np.testing.assert_allclose(found["test accuracy"], expected)
    # All pristine examples are right where plain SGD has a fifth of the corrupt.
    np.testing.assert_allclose(found["corrupt right, on"], [0.1, 0.3, 0.5, 1])
    np.testing.assert_allclose(found["corrupt right"], [0, 0, 0, -0.1], atol=1e-12)


def test_without_corrupt_examples_the_tenth_learned_last_stands_in():
    last = np.array([100, 10, -1, 20, 100, *[0] * 15])
    correct = np.zeros((4, 20), bool)
    correct[:2, 4] = True  # of two that were learned at the end, this one was wrong less often
    plain = xr.Dataset(
        {
            "pristine": ("example", np.ones(20, bool)),
            "learned_last": ("example", last),
            "correct": (("step", "example"), correct),
        },
        coords={"step": STEPS},
    )
    assert np.flatnonzero(memorized_examples(plain)).tolist() == [0, 2]
    assert np.flatnonzero(memorized_examples(PLAIN)).tolist() == list(range(10, 30))


def test_a_group_without_examples_gives_no_number():
    runs = [history([0] * 4, corrupt, others=0) for corrupt in ([0, 0, 0, 0.4], [0, 0, 0.2, 1])]
    found = slowdown(*runs)
    assert np.isnan([found[name].value for name in ("pristine steps", "pristine slowdown", "S")]).all()
    assert np.isfinite(found["corrupt slowdown"].value)
    assert np.isnan(matched_accuracy(*runs)["corrupt right"]).all()


def test_without_corrupt_examples_half_of_the_hard_ones_count():
    # 10 of 100 examples are hard: right at the last step alone.
    def of(easy, hard):
        alone = history(easy, hard, others=90, these=10)
        return alone.assign(pristine=("example", np.ones(100, bool)))

    plain = of([0, 1, 1, 1], [0, 0, 0, 1])
    found = slowdown(of([0, 0.5, 1, 1], [0, 0, 0.2, 0.6]), plain)
    assert found["pristine slowdown"] == Bounded(pytest.approx(18 / 9))
    assert found["corrupt steps"] == Bounded(pytest.approx(80))
    assert found["corrupt slowdown"] == Bounded(pytest.approx(80 / 60))
