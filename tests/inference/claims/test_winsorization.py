"""C9 to C12 by value."""

import numpy as np
import pytest
from made_runs import NOISE, clipped, history, of_levels, reasons, seen

from cgpipe.inference.claims.claim import Runs

STEPS = (0, 1, 10, 20, 100)


def logit(share, of=20):
    return np.log((share * of + 0.5) / (of - share * of + 0.5))


def curve(peak, last):
    return [0.1, 0.1, peak, 0.1, last]


# --- C9 -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("peak", "met"), [(0.55, True), (0.605, True), (0.615, False), (0.9, False)])
def test_training_accuracy_exceeds_the_share_of_true_labels_or_not(peak, met):
    plain = history(STEPS, accuracy_training=curve(0.8, 0.7))  # 12 of 20 are pristine: .61 is proper
    parts = seen("C9", clipped({0: plain, 1: plain, 4: history(STEPS, accuracy_training=curve(peak, 0.1))}))
    assert list(parts) == [f"c = 4, {noise:.0%} noise" for noise in NOISE[1:]]
    for one in parts.values():
        assert one.met == met
        assert one.value == -one.excess == pytest.approx(logit(peak) - logit(0.61))
        assert not one.reason


@pytest.mark.parametrize(("peak", "met"), [(0.65, True), (0.67, False)])
def test_a_constant_answer_is_proper_too(peak, met):
    given = {"pristine": np.arange(20) < 2, "label": np.array(13 * [3] + 7 * [1])}
    made = {0: history(STEPS, accuracy_training=curve(0.8, 0.7), **given)}
    made[2] = history(STEPS, accuracy_training=curve(peak, 0.1), **given)
    assert seen("C9", clipped(made))["c = 2, 100% noise"].met == met


@pytest.mark.parametrize(
    ("plain", "given", "proper"),
    [
        (0.605, {}, 0.61),
        (0.61, {}, 0.61),
        (1.0, {"pristine": np.arange(20) > 0}, 0.96),
        (1.0, {"label": np.zeros(20, int)}, 1),
    ],
)
def test_what_plain_sgd_does_not_exceed_either_says_nothing(plain, given, proper):
    """As where all labels are true, or the same."""
    low = history(STEPS, accuracy_training=curve(0.3, 0.1), **given)
    runs = clipped({0: history(STEPS, accuracy_training=curve(plain, 0.1), **given), 2: low})
    one = seen("C9", runs)["c = 2, 50% noise"]
    assert one.reason == ("" if plain > proper else "plain SGD does not exceed it either")
    assert one.value == pytest.approx(logit(0.3) - logit(proper))


def test_without_a_large_c_it_is_missed():
    found = reasons("C9", clipped({0: history(STEPS), 1: history(STEPS)}))
    assert found["c = 2, 25% noise"] == "no run of winsorization at 25% noise, c = 2"


# --- C10 ------------------------------------------------------------------------------------------


def overfitting(values, test=0.4):
    """Runs with an overfit at the end by c: training less ε/10 + (1 - ε) · test."""
    return clipped(
        {
            c: [
                history(
                    STEPS,
                    accuracy_training=curve(0.9, value + noise / 10 + (1 - noise) * test),
                    accuracy_test=curve(0.5, test),
                )
                for noise in NOISE
            ]
            for c, value in values.items()
        }
    )


@pytest.mark.parametrize(
    ("values", "signs"),
    [((0.4, 0.3, 0.05), (1, 1)), ((0.2, 0.25, 0.4), (-1, -1)), ((0.2, 0.25, 0.1), (-1, 1))],
)
def test_overfit_falls_with_c_or_not(values, signs):
    parts = seen("C10", overfitting(dict(zip((0, 1, 2, 4, 8), (*values, 0.03, 0.02), strict=True))))
    for noise in NOISE[1:]:
        first, second = (parts[f"c = {pair}, {noise:.0%} noise"] for pair in ("0 over 1", "1 over 2"))
        assert (first.excess, second.excess) == pytest.approx(-np.diff(values))
        assert (first.excess * signs[0] > 0, second.excess * signs[1] > 0) == (True, True)
        assert parts[f"c = 4, {noise:.0%} noise"].value == pytest.approx(0.03)
        assert parts[f"c = 8, {noise:.0%} noise"].value == pytest.approx(0.02)
    assert not any(one.reason for one in parts.values())


def test_without_overfit_there_is_nothing_to_suppress():
    made = overfitting({c: 0.099 - c / 100 for c in (0, 1, 2, 4, 8)})
    found = reasons("C10", made)
    assert set(found.values()) == {"plain SGD overfits by less than 0.1"}
    assert len(found) == 8
    assert seen("C10", made)["c = 1 over 2, 50% noise"].value == pytest.approx(0.01)
    assert not reasons("C10", overfitting({c: 0.101 - c / 100 for c in (0, 1, 2, 4, 8)}))


def test_overfit_after_a_collapse_is_said_to_be_that():
    collapsed = overfitting(dict.fromkeys((0, 1, 2, 4, 8), 0.2), test=0.24)
    found = reasons("C10", collapsed)
    assert set(found) == {f"c = {c}, {noise:.0%} noise" for c in (4, 8) for noise in NOISE[1:]}
    assert set(found.values()) == {"test accuracy has collapsed"}
    assert seen("C10", collapsed)["c = 8, 50% noise"].value == pytest.approx(0.2)
    at_half = overfitting(dict.fromkeys((0, 1, 2, 4, 8), 0.2), test=0.25)
    assert not reasons("C10", at_half)
    mixed = [run for run in at_half.winsorization if run.winsor < 8]
    mixed += [run for run in collapsed.winsorization if run.winsor == 8]
    assert set(reasons("C10", Runs(winsorization=mixed))) == {f"c = 8, {n:.0%} noise" for n in NOISE[1:]}


# --- C11 ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sign", [1, -1])
def test_the_peak_falls_with_c_or_not(sign):
    peaks = [1.0, 0.95, 0.8, 0.6][::sign]
    made = {
        c: history(STEPS, accuracy_training=curve(top, 0.1))
        for c, top in zip((0, 1, 2, 4), peaks, strict=True)
    }
    parts = seen("C11", clipped(made))
    for noise in NOISE[:-1]:
        some = [
            parts[f"peak, c = {pair}, {noise:.0%} noise"] for pair in ("0 over 1", "1 over 2", "2 over 4")
        ]
        assert [one.value for one in some] == pytest.approx(-np.diff([logit(top) for top in peaks]))
        assert all(one.excess * sign > 0 for one in some)
    assert len(parts) == 4 * (3 + 2)


@pytest.mark.parametrize(("last", "met"), [(0.5, True), (0.58, True), (0.595, False), (0.6, False)])
@pytest.mark.parametrize("which", ["training", "test"])
def test_at_the_largest_c_both_accuracies_fall_from_their_peaks_or_not(which, last, met):
    given = {f"accuracy_{name}": curve(0.6, last if name == which else 0.2) for name in ("training", "test")}
    parts = seen("C11", clipped({0: history(STEPS), 2: history(STEPS), 8: history(STEPS, **given)}))
    for noise in NOISE[:-1]:
        one = parts[f"{which}, c = 8, {noise:.0%} noise"]
        assert one.value == pytest.approx(0.6 - last)
        assert one.met == met
        other = parts[f"{'test' if which == 'training' else 'training'}, c = 8, {noise:.0%} noise"]
        assert other.value == pytest.approx(0.4)


def test_what_never_came_above_guesses_does_not_fall():
    at = {
        top: clipped({0: history(STEPS), 2: history(STEPS, accuracy_training=curve(top, 0.1))})
        for top in (0.195, 0.2, 0.205)
    }
    for top in (0.195, 0.2):
        assert list(reasons("C11", at[top]).values()) == 8 * ["training accuracy stays near that of guesses"]
        assert seen("C11", at[top])["training, c = 2, 0% noise"].value == pytest.approx(top - 0.1)
    assert not reasons("C11", at[0.205])


# --- C12 ------------------------------------------------------------------------------------------


def compared(difference):
    """Full batches, which learn ten times as slowly and generalize otherwise by so much, and minibatches."""
    rising = np.array([0.0, 0.6, 1.0])
    some = history((0, 10, 100), accuracy_training=rising, accuracy_test=rising / 2)
    full = history((0, 100, 1000), accuracy_training=rising, accuracy_test=rising / 2 + difference)
    return Runs(full_batch=of_levels(full), minibatch=of_levels(some))


@pytest.mark.parametrize(("difference", "met"), [(0.01, True), (-0.019, True), (0.021, False), (-0.3, False)])
def test_full_batches_generalize_alike_or_not(difference, met):
    parts = seen("C12", compared(difference))
    assert list(parts)[:3] == ["50%, 0% noise", "70%, 0% noise", "90%, 0% noise"]
    assert len(parts) == 15
    assert all(one.value == pytest.approx(difference) for one in parts.values())
    assert all(one.met == met for one in parts.values())


def test_full_batches_are_compared_when_each_first_has_the_training_accuracy():
    some = history((0, 10, 20, 30), accuracy_training=[0, 0.4, 0.6, 1], accuracy_test=[0, 0.4, 0.5, 0.1])
    full = history((0, 10, 20, 30), accuracy_training=[0.5, 0.4, 0.8, 0.8], accuracy_test=[0.3, 0, 0, 0.9])
    parts = seen("C12", Runs(full_batch=of_levels(full), minibatch=of_levels(some)))
    assert parts["50%, 25% noise"].value == pytest.approx(0.3 - 0.45)
    assert parts["70%, 25% noise"].value == pytest.approx(0 - 0.4)
    assert parts["90%, 25% noise"].reason == "90% training accuracy is not reached"
    alone = reasons("C12", Runs(full_batch=of_levels(full)))
    assert alone["50%, 25% noise"] == "no run of minibatch at 25% noise"
