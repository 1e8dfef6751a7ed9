"""C1 to C3 by value, on curves of three steps: log10(t + 1) is 0, 1 and 2 at steps 0, 9 and 99."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_runs import NOISE, history, of_levels, reasons, right, seen

from cgpipe.inference.claims.claim import Runs
from cgpipe.inference.claims.learning import pristine_first, share_learned

STEPS = (0, 9, 99)
PAIRS = ["0% over 25% noise", "25% over 50% noise", "50% over 75% noise", "75% over 100% noise"]


def logit(share, of):
    return np.log((share * of + 0.5) / (of - share * of + 0.5))


def with_accuracy(*curves, steps=STEPS):
    return Runs(of_levels([history(steps, accuracy_training=curve) for curve in curves]))


# --- C1 -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("curve", "value", "met", "reason"),
    [
        ((0.1, 0.995, 0.995), 0.995, True, ""),
        ((0.1, 0.5, 0.995), 0.995, True, ""),  # still rises, and meets it
        ((0.1, 0.7, 0.7), 0.7, False, ""),
        ((0.1, 0.695, 0.7), 0.7, False, ""),  # rises by less than .01
        ((0.1, 0, 0.01), 0.01, False, ""),  # and by as much
        ((0.1, 0.5, 0.7), 0.7, False, "training accuracy still rises"),
        ((0.1, 0.99, 0.99), 0.99, False, ""),
        ((0.1, 0.5, 0.99), 0.99, False, "training accuracy still rises"),
    ],
)
def test_the_level_that_memorizes_least_is_judged(curve, value, met, reason):
    one = seen("C1", with_accuracy((0, 1, 1), (0, 1, 1), curve, (0, 1, 0.999), (0, 1, 1)))["all levels"]
    assert (one.value, one.reason) == (value, reason)
    assert one.met == met
    assert one.excess == pytest.approx(logit(value, 20) - logit(0.99, 20))


def test_that_the_second_half_rises_is_said_of_the_logged_steps():
    flat = with_accuracy(*5 * [(0.1, 0.2, 0.75, 0.7)], steps=(0, 4, 5, 10))  # not since step 5, half of all
    assert not reasons("C1", flat)
    assert reasons("C1", with_accuracy(*5 * [(0.1, 0.2, 0.1, 0.7)], steps=(0, 4, 6, 10)))


def test_a_missing_level_is_named():
    runs = Runs([run for run in with_accuracy(*5 * [(0, 1, 1)])[0] if run.noise not in (0.25, 0.75)])
    one = seen("C1", runs)["all levels"]
    assert np.isnan(one.value)
    assert one.reason == "no run of label noise at 25% noise"


# --- C2 -------------------------------------------------------------------------------------------

FALLING = [(0, 1, 1), (0, 0.8, 1), (0, 0.6, 1), (0, 0.5, 1), (0, 0.5, 0.8)]
MEANS = [0.75, 0.65, 0.55, 0.5, 0.45]  # (first + 2 middle + last) / 4


@pytest.mark.parametrize("sign", [1, -1])
def test_mean_accuracy_falls_with_noise_or_not(sign):
    parts = seen("C2", with_accuracy(*FALLING[::sign]))
    expected = -np.diff([logit(mean, 20) for mean in MEANS[::sign]])
    assert [parts[pair].value for pair in PAIRS] == pytest.approx(expected)
    assert all(parts[pair].excess * sign > 0 and not parts[pair].reason for pair in PAIRS)


def test_the_steps_at_which_accuracies_are_reached_are_shown():
    parts = seen("C2", with_accuracy(*FALLING))
    steps = [parts[f"{accuracy}%, 25% noise"].value for accuracy in (50, 90, 99)]
    assert steps == pytest.approx([9 * 5 / 8, 9 + 90 / 2, 9 + 90 * 0.19 / 0.2])
    soon = seen("C2", with_accuracy(*5 * [(0.45, 1, 1)]))["50%, 0% noise"]
    assert (soon.value, soon.reason) == (pytest.approx(9 * 5 / 55), "")
    assert parts["99%, 100% noise"].reason == "not reached"
    assert np.isnan(parts["99%, 100% noise"].value)
    at_once = seen("C2", with_accuracy(*5 * [(0.6, 1, 1)]))["50%, 0% noise"]
    assert (at_once.value, at_once.reason) == (0, "reached before the first update")


def test_runs_of_other_lengths_are_not_compared():
    runs = with_accuracy(*FALLING)
    runs.label_noise[1] = runs.label_noise[1]._replace(data=history(STEPS[:2]))
    lacking = dict.fromkeys(PAIRS[:2], "the run at 25% noise lacks steps that others have")
    assert {pair: reason for pair, reason in reasons("C2", runs).items() if pair in PAIRS} == lacking
    one_step = Runs(of_levels(history([0])))
    assert reasons("C2", one_step)[PAIRS[0]] == "fewer than two steps were logged"


# --- C3 -------------------------------------------------------------------------------------------


def learned_at(*steps):
    """Steps at which examples are learned, from pairs of a number of examples and a step."""
    return np.concatenate([np.full(count, step) for count, step in steps])


def poles(first, last, swapped=False):
    """All examples are learned at step 9 with no noise, at 99 with all noise."""
    early, late = (dict.fromkeys(("learned_first", "learned_last"), np.full(20, step)) for step in (9, 99))
    mixed = history(STEPS, learned_first=first, learned_last=last)
    ends = [history(STEPS, **pole) for pole in ((late, early) if swapped else (early, late))]
    return Runs(of_levels([ends[0], mixed, mixed, mixed, ends[1]]))


# Pristine: 9 of 12 are first learned by step 9, and 12 last; corrupt: 2 of 8, and 1.
FIRST = learned_at((9, 9), (3, 99), (2, 9), (6, 99))
LAST = learned_at((12, 9), (1, 9), (7, 99))


@pytest.mark.parametrize("sign", [1, -1])
def test_curves_are_closer_to_their_own_pole_or_to_the_other(sign):
    parts = seen("C3", poles(FIRST, LAST, swapped=sign < 0))
    for part, value in {
        "pristine, first learned": 0.375 - 0.125,
        "corrupt, first learned": 0.375 - 0.125,
        "pristine, last learned": 0.5,
        "corrupt, last learned": (7 - 1) / 8 / 2,
    }.items():
        of_levels = [parts[f"{part}, {noise:.0%} noise"] for noise in NOISE[1:-1]]
        assert [one.value for one in of_levels] == pytest.approx(3 * [sign * value])
        assert all(one.excess * sign > 0 for one in of_levels)


def test_what_is_never_learned_is_not_in_a_curve():
    data = history(STEPS, learned_first=learned_at((5, 0), (5, 9), (5, 99), (5, -1)))
    assert share_learned(data, "first").tolist() == [0.25, 0.5, 0.75]


@pytest.mark.parametrize(
    ("last", "chance"),
    [
        (learned_at((6, 9), (6, 99), (4, 99), (4, -1)), (6 * 8 + 6 * 4 / 2 + 6 * 4) / 96),
        (learned_at((6, 99), (6, -1), (4, 9), (4, 99)), (6 * 4 / 2) / 96),
        (np.full(20, -1), 0.5),
    ],
)
def test_chance_that_a_pristine_example_is_learned_before_a_corrupt_one(last, chance):
    parts = seen("C3", poles(FIRST, last))
    for noise in NOISE[1:-1]:
        one = parts[f"order, {noise:.0%} noise"]
        assert one.value == pytest.approx(chance)
        assert one.excess == pytest.approx(logit(chance, 20), abs=1e-12)


@given(st.lists(st.integers(-1, 4), min_size=20, max_size=20))
def test_the_chance_is_that_of_all_pairs(last):
    since = np.where(np.array(last) < 0, np.inf, last)
    one, other = np.meshgrid(since[:12], since[12:])
    expected = np.mean((one < other) + (one == other) / 2)
    runs = Runs(of_levels(history(STEPS, learned_last=np.array(last))))
    assert pristine_first(runs, 0.5) == pytest.approx(expected)


def pristine_right(*counts):
    """Runs with so many of the pristine right at steps 0 to 10, by noise level."""
    made = [history(range(11), correct=right(pristine=count, corrupt=8)) for count in counts]
    return Runs(of_levels(made))


def test_the_first_steps_are_those_from_1_to_9():
    wrong_elsewhere = [0, *9 * [6], 0]
    rest = 3 * [np.zeros(11)]
    for first, second, value in (
        (wrong_elsewhere, [12, *9 * [3], 12], logit(0.5, 12) - logit(0.25, 12)),
        (wrong_elsewhere, [0, *8 * [6], 12, 12], logit(0.5, 12) - logit(60 / 9 / 12, 12)),
    ):
        one = seen("C3", pristine_right(np.array(first), np.array(second), *rest))[
            "first steps, 0% over 25% noise"
        ]
        assert one.value == one.excess == pytest.approx(value)
    short = Runs(of_levels(history((*range(9), 10))))
    assert reasons("C3", short)["first steps, 0% over 25% noise"] == "step 9 was not logged"


@pytest.mark.parametrize("sign", [1, -1])
def test_pristine_examples_are_learned_more_slowly_with_noise_or_not(sign):
    halfway = [12, 9, 6, 3][::sign]
    made = [
        history(STEPS, correct=right(pristine=np.array([0, count, 12]), corrupt=np.array([8, 0, 8])))
        for count in (*halfway, 0)
    ]
    parts = seen("C3", Runs(of_levels(made)))
    of_pairs = [parts[f"rate, {pair}"] for pair in PAIRS[:-1]]
    expected = -np.diff([logit((2 * count + 12) / 48, 12) for count in halfway])
    assert [one.value for one in of_pairs] == pytest.approx(expected)
    assert all(one.excess * sign > 0 for one in of_pairs)


def test_without_a_group_the_reason_is_that():
    alone = Runs(of_levels(history(STEPS, pristine=np.ones(20, bool))))
    found = reasons("C3", alone)
    assert (
        found["corrupt, last learned, 25% noise"]
        == found["order, 50% noise"]
        == "there is no corrupt example"
    )
    assert "pristine, last learned, 25% noise" not in found
