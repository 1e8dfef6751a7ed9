"""G9 to G11 by value: twins, initial weights and width."""

import math

import numpy as np
import pytest
from made_mystery import claim_of, heldout, history, one, reason, twins, values

from cgpipe.inference.mystery import beginnings
from cgpipe.inference.mystery.runs import Mystery, Roles
from cgpipe.inference.verdicts import logit
from cgpipe.runs import Run


def of_twins(near, far, passed=None) -> Mystery:
    both = {0.0: near, 1.0: far}
    return Mystery(
        history=[Run(noise, 0, 0, history(passed=passed), experiment="twin") for noise in both],
        twins=[Run(noise, 0, 0, data, experiment="twin") for noise, data in both.items()],
    )


def test_g9_compares_random_with_real_labels():
    near = twins([[0, 0], [3, 4], [3, 4]], [0, 0.1, 0.1], [[0, 0], [1, 0], [0, 0.2]])
    far = twins([[0, 0], [6, 8], [6, 8]], [0, 0.4, 0.8], [[0, 0], [1, 0], [0, 0.6]])
    found = claim_of("G9", of_twins(near, far))
    assert values(one(found, "twin, parameters"))[0] == pytest.approx(math.log(2))
    assert values(one(found, "twin, predictions"))[0] == pytest.approx(math.log(8))
    # Twice as far, on a way that is three times as long.
    assert values(one(found, "twin, parameters over their way"))[0] == pytest.approx(math.log(2 / 3))
    assert one(found, "twin, parameters over their way").rule == "above"


def test_g9_leaves_out_steps_at_which_twins_are_the_same():
    near = twins([[0, 0], [3, 4], [3, 4]], [0, 0.1, 0.1])
    far = twins([[0, 0], [6, 8], [6, 8]], [0, 0.4, 0.8])
    part = one(claim_of("G9", of_twins(near, far)), "twin, predictions, mean")
    assert values(part)[0] == pytest.approx((math.log(4) + math.log(8)) / 2)
    assert part.rule == "shown"


def test_g9_compares_at_the_steps_of_each_mark():
    # Linear over log(step + 1): at step 30 it is log(31 / 10) / log(10) on from step 9.
    near = twins([[1, 0], [1, 0], [1, 0]], [0.1, 0.1, 0.1])
    far = twins([[1, 0], [1, 0], [math.e, 0]], [0.1, 0.2, 0.2])
    made = of_twins(near, far, passed={2.0: 9, 1.0: 30, 0.5: 99})
    found = claim_of("G9", made)
    expected = (0 + math.log(3.1) / math.log(10) + 1) / 3
    assert values(one(found, "twin, parameters, at equal loss"))[0] == pytest.approx(expected)
    assert values(one(found, "twin, predictions, at equal loss"))[0] == pytest.approx(math.log(2))
    few = claim_of("G9", of_twins(near, far, passed={2.0: 9, 1.0: -1}))
    told = reason(one(few, "twin, parameters, at equal loss"))
    assert told == "1 marks at which both are known, of at least 3"


def starts() -> Mystery:
    coherences = {"random_start": 4.0, "adversarial_start": 2.0, "narrow": 2.0, "wide": 8.0}
    accuracies = {"random_start": 0.9, "adversarial_start": 0.5, "narrow": 0.5, "wide": 0.9}
    right = np.zeros((4, 6), bool)
    right[-1, :3] = True

    def at(step, of):
        """Of step 0 alone; later ones are far off."""
        return of if step == 0 else 1e6

    return Mystery(
        Roles(widths=["narrow", "wide"]),
        history=[
            Run(0.0, 0, 0, history(accuracy_test=[0.1, 0.5, 0.95, of], correct=right), experiment=name)
            for name, of in accuracies.items()
        ],
        heldout=[
            Run(0.0, 0, 0, heldout(lambda step, of=of: at(step, of)), experiment=name)
            for name, of in coherences.items()
        ],
    )


def test_g10_compares_random_with_adversarial_weights():
    found = claim_of("G10", starts())
    assert values(one(found, "generalizes worse"))[0] == pytest.approx(logit(0.9, 10) - logit(0.5, 10))
    assert values(one(found, "less coherent"))[0] == pytest.approx(math.log(2))
    fits = one(found, "fits")
    assert (values(fits)[0], fits.n_of, fits.bound) == (0.5, 6, 0.99)
    assert values(one(found, "test accuracy: adversarial_start"))[0] == 0.5
    assert values(one(found, "m-coherence: random_start"))[0] == pytest.approx(4)


def test_g11_judges_the_slope_and_shows_each_step():
    found = claim_of("G11", starts())
    gap = logit(0.9, 10) - logit(0.5, 10)
    for words, step in (("test accuracy", gap), ("coherence", math.log(4))):
        of_steps = one(found, f"{words}, wide over narrow")
        assert values(of_steps)[0] == values(one(found, f"{words}, by width"))[0] == pytest.approx(step)
        assert (of_steps.rule, of_steps.trend, one(found, f"{words}, by width").rule) == (
            "shown",
            words,
            "above",
        )
    shown = {name: values(one(found, name))[0] for name in ("test accuracy: narrow", "m-coherence: wide")}
    assert shown == pytest.approx({"test accuracy: narrow": 0.5, "m-coherence: wide": 8})
    named = {part.statistic: part.details for part in found if ":" in part.part}
    assert named == {
        "test accuracy at the end": "",
        "m-coherence at the start": "training examples; step 0",
    }


@pytest.mark.parametrize("seed", range(3))
def test_the_slope_is_that_of_a_line(seed):
    levels = dict(enumerate(np.random.default_rng(seed).normal(size=2 + seed)))
    some = Mystery(Roles(widths=list(levels)))
    expected = np.polyfit(list(levels), list(levels.values()), 1)[0]
    assert beginnings.slope(some, lambda _, name: levels[name]) == pytest.approx(expected)


def test_a_slope_takes_two_widths():
    one_width = starts()._replace(roles=Roles(widths=["wide"]))
    told = reason(one(claim_of("G11", one_width), "coherence, by width"))
    assert told == "there is one width, and a slope takes two"
    assert claim_of("G11", Mystery(Roles(widths=[])))[0].observed == {}
