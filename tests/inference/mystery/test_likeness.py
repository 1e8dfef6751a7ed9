"""G13 by value: which gradients are alike."""

import numpy as np
import pytest
from made_mystery import claim_of, history, one, reason, similarity, values
from scipy.stats import spearmanr

from cgpipe.inference.mystery.runs import Mystery
from cgpipe.runs import Run

BY_PIXELS, BY_CLASS = np.eye(4), np.eye(4)
for one_of, other in ((0, 2), (1, 3)):
    BY_PIXELS[one_of, other] = BY_PIXELS[other, one_of] = 0.9
for one_of, other in ((0, 1), (2, 3)):
    BY_CLASS[one_of, other] = BY_CLASS[other, one_of] = 0.9
STEPS = [0, 10, 20, 30]
DISTANCES = [3, 1, 4, 2, 1, 3]  # in pixels, of 0 and 1, 0 and 2, 0 and 3, 1 and 2, 1 and 3, 2 and 3


def along(first, later, label=(0, 0, 0, 0)):
    """All are trained on one label. Pixels: 0 and 2, 1 and 3 are near; true classes: 0 and 1, 2 and 3."""
    return similarity([first, later, later, later], STEPS, label)


def of_levels(**data) -> Mystery:
    levels = {"real": 0.0, "half": 0.5, "random": 1.0}
    return Mystery(
        history=[Run(levels[name], 0, 0, history(), experiment="similarity") for name in data],
        similarity=[Run(levels[name], 0, 0, made, experiment="similarity") for name, made in data.items()],
    )


def made() -> Mystery:
    changed = along(BY_PIXELS, BY_CLASS)
    return of_levels(real=changed, half=changed, random=along(BY_PIXELS, BY_PIXELS))


def test_g13_likeness_by_pixels_is_shown_for_real_and_random_labels():
    found = claim_of("G13", made())
    real = one(found, "less of pixels, real labels")
    # Over six pairs the cosines are tied, four and two. By ranks, at the start
    # those of 0 and 2, 1 and 3 are near; along training those of 0 and 1, 2 and 3, which are far.
    start = -spearmanr([0, 0.9, 0, 0, 0.9, 0], DISTANCES).statistic
    later = -spearmanr([0.9, 0, 0, 0, 0, 0.9], DISTANCES).statistic
    assert values(real)[0] == pytest.approx(start - later)
    assert start - later > 1
    assert values(one(found, "less of pixels, random labels"))[0] == 0
    assert real.rule == "shown"


def test_g13_true_classes_are_compared_among_pairs_of_one_label():
    found = claim_of("G13", made())
    # Of true classes: 0.9 within and 0 between along training; 0 within and 0.45 between at the start.
    assert values(one(found, "class behind the label"))[0] == pytest.approx(0.9)
    assert values(one(found, "more of class"))[0] == pytest.approx(0.9 + 0.45)
    other_labels = along(BY_PIXELS, BY_CLASS, label=(0, 1, 2, 3))
    none = [run._replace(data=other_labels) for run in made().similarity]
    part = one(claim_of("G13", made()._replace(similarity=none)), "class behind the label")
    assert reason(part) == "0 marks at which it is known, of at least 3"


def test_g13_nearest_by_gradient_and_by_pixels():
    # 0 and 2, 1 and 3 are nearest by pixels; 0 and 1, 2 and 3 by gradient.
    one_label = of_levels(real=along(BY_PIXELS, BY_CLASS, label=(0, 1, 0, 1)))
    found = claim_of("G13", one_label)
    assert values(one(found, "nearest by pixels"))[0] == 1
    assert values(one(found, "nearest by gradient"))[0] == 0
    found = claim_of("G13", of_levels(real=along(BY_PIXELS, BY_CLASS, label=(0, 0, 1, 1))))
    assert values(one(found, "nearest by pixels"))[0] == 0
    assert values(one(found, "nearest by gradient"))[0] == 1
