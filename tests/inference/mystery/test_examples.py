"""G4 to G7 by value: easy and hard examples, and early stopping."""

import numpy as np
import pytest
from made_mystery import (
    GROUPS,
    STEPS,
    claim_of,
    difficulty,
    heldout,
    history,
    one,
    reason,
    similarity,
    values,
)

from cgpipe.inference.mystery import examples
from cgpipe.inference.mystery.runs import Mystery, Roles
from cgpipe.inference.verdicts import logit
from cgpipe.runs import Run


def test_g4_pairs_replicates_and_takes_chance_within_the_class():
    # Both learn two of three of class 0, and none of class 1: 2/3 agree, by chance (5/9 + 1) / 2.
    learned = np.zeros((4, 6), bool)
    learned[1:, [0, 2]] = True
    others = np.zeros((4, 6), bool)
    others[1:, [0, 4]] = True
    runs = [learned, others, learned, others, learned]
    made = Mystery(
        history=[Run(0.0, 0, r, history(correct=of), experiment="seeds") for r, of in enumerate(runs)],
        difficulty=[difficulty([True] * 6, [True] * 10)],
    )
    chance = (5 / 9 + 1) / 2
    found = claim_of("G4", made)
    of_a_pair = (2 / 3 - chance) / (1 - chance)
    assert values(one(found, "two initialisations")) == pytest.approx({0: of_a_pair, 1: of_a_pair})
    # Of ten pairs six are of unlike runs. Whatever the class, chance is 1/9 + 4/9.
    observed = (6 * (2 / 3) + 4) / 10
    assert values(one(found, "all initialisations")) == pytest.approx({-1: (observed - 5 / 9) / (4 / 9)})
    # Of two runs, too.
    pair = one(claim_of("G4", made._replace(history=made.history[:2])), "all initialisations")
    assert values(pair) == pytest.approx({-1: (2 / 3 - 5 / 9) / (4 / 9)})
    alone = claim_of("G4", made._replace(history=made.history[:1]))
    assert one(alone, "all initialisations").observed == {}


@pytest.mark.parametrize("seed", range(5))
def test_kappa_is_that_of_permutations_within_the_class(seed):
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 3, 60)
    right = rng.random((2, 60)) < np.array([0.3, 0.6, 0.9])[label]
    agree = []
    for _ in range(4000):
        shuffled = right[1].copy()
        for k in range(3):
            shuffled[label == k] = rng.permutation(shuffled[label == k])
        agree.append(np.mean(right[0] == shuffled))
    chance = np.mean(agree)
    expected = (np.mean(right[0] == right[1]) - chance) / (1 - chance)
    assert examples.kappa_within(right, label) == pytest.approx(expected, abs=0.02)


def test_kappa_is_undefined_where_all_agree_by_chance():
    assert np.isnan(examples.kappa_within(np.ones((2, 4), bool), np.zeros(4, int)))


def test_g5_takes_test_examples_of_the_own_kind():
    easy_test = [True] * 4 + [False] * 6
    right = {name: np.zeros((4, 10), bool) for name in ("easy", "hard", "unselected")}
    right["easy"][-1, [0, 1, 2, 9]] = True
    right["hard"][-1, [0, 5]] = True
    right["unselected"][-1, [0, 5, 6, 7]] = True
    made = Mystery(
        history=[Run(0.0, 0, 0, history(correct_test=of), experiment=name) for name, of in right.items()],
        difficulty=[difficulty([True, False] * 3, easy_test)],
    )
    found = claim_of("G5", made)
    assert values(one(found, "own kind"))[0] == pytest.approx(logit(3 / 4, 4) - logit(1 / 6, 6))
    expected = {"easy on easy": 3 / 4, "hard on hard": 1 / 6, "easy on all": 4 / 10, "hard on all": 2 / 10}
    expected |= {"unselected on easy": 1 / 4, "unselected on hard": 3 / 6, "unselected on all": 4 / 10}
    assert {name: values(one(found, name))[0] for name in expected} == pytest.approx(expected)


@pytest.mark.parametrize(("kind", "missing"), [(True, "hard"), (False, "easy")])
def test_g5_says_which_test_examples_are_missing(kind, missing):
    made = Mystery(
        history=[Run(0.0, 0, 0, history(), experiment=name) for name in ("easy", "hard")],
        difficulty=[difficulty([True] * 6, [kind] * 10)],
    )
    assert reason(one(claim_of("G5", made), "own kind")) == f"there is no {missing} test example"


def of_two_classes(easy, first, along, **of) -> Mystery:
    """Twenty examples, ten of each of two classes; their products at the start and at three marks.

    In the burst of the first mark there is an outlier, which a median does not see.
    """
    products = [first, along, np.eye(20), along, 2 * along, along]
    made = similarity(products, [0, 10, 11, 12, 20, 30], label=np.repeat([0, 1], 10))
    correct = np.ones((4, 20), bool)
    return Mystery(
        history=[Run(0.0, 0, 0, history(correct=correct), experiment="seeds")],
        similarity=[Run(0.0, 0, 0, made, experiment="seeds")],
        difficulty=[difficulty(easy, [True] * 10, **of)],
    )


def pair(product, one_of, other, value):
    product[one_of, other] = product[other, one_of] = value


HALF_EASY = ([True] * 5 + [False] * 5) * 2


def test_g6_compares_easy_and_hard_examples_of_a_class():
    # Easy: 0 to 4 of the one class, 10 to 14 of the other; hard: 5 to 9 and 15 to 19.
    first, along = np.eye(20), np.eye(20)
    pair(first, 0, 1, 0.5)
    pair(first, 10, 11, 0.1)
    pair(first, 5, 6, 0.2)
    pair(along, 0, 1, 0.8)
    # Pairs of two classes, and of two kinds, are not looked at.
    pair(first, 0, 10, 0.9)
    pair(first, 5, 15, -0.9)
    pair(first, 1, 5, 0.9)
    found = claim_of("G6", of_two_classes(HALF_EASY, first, along))
    # A pair among five examples, over 4 other examples of each of five: 2 / (4 * 5).
    assert values(one(found, "from the start"))[0] == pytest.approx((0.05 + 0.01) / 2 - 0.02 / 2)
    assert values(one(found, "along training"))[0] == pytest.approx(0.04)
    assert values(one(found, "start: easy"))[0] == pytest.approx(0.03)
    assert values(one(found, "start: hard"))[0] == pytest.approx(0.01)
    assert values(one(found, "marks: easy"))[0] == pytest.approx(0.04)
    assert values(one(found, "marks: hard"))[0] == 0
    # Of ten examples each: 2 (0.5 + 0.1 + 0.9) / (9 * 10).
    assert values(one(found, "start, any class: easy"))[0] == pytest.approx(1 / 30)
    assert values(one(found, "start, any class: hard"))[0] == pytest.approx(2 * (0.2 - 0.9) / 90)
    assert values(one(found, "marks, any class: easy"))[0] == pytest.approx(1.6 / 90)


def test_g6_does_not_ask_the_run_itself_what_is_easy():
    first = np.eye(20)
    pair(first, 0, 1, 0.5)
    made = of_two_classes(HALF_EASY, first, first)
    wrong = np.ones((4, 20), bool)
    wrong[1, 0] = False
    own = made._replace(history=[made.history[0]._replace(data=history(correct=wrong))])
    right = np.where(HALF_EASY, 3, 1)
    right[0] = 2
    # Example 0 is not right in this run, and still easy.
    own = own._replace(difficulty=[difficulty([False, *HALF_EASY[1:]], [True] * 10, right=right)])
    for part in ("from the start", "start: easy", "along training"):
        assert values(one(claim_of("G6", own), part)) == values(one(claim_of("G6", made), part))


def test_g6_leaves_out_classes_that_lack_one_of_the_kinds():
    first = np.eye(20)
    pair(first, 10, 11, 0.9)
    pair(first, 0, 1, 0.3)
    made = of_two_classes([*HALF_EASY[:10], *[True] * 6, *[False] * 4], first, first)
    assert values(one(claim_of("G6", made), "from the start"))[0] == pytest.approx(0.03)
    few = of_two_classes([*[True] * 4, *[False] * 6, *[True] * 6, *[False] * 4], first, first)
    found = claim_of("G6", few)
    assert reason(one(found, "from the start")) == "no class of the sample has 5 easy and 5 hard examples"
    none = claim_of("G6", of_two_classes([True] * 4 + [False] * 16, first, first))
    part = one(none, "start, any class: easy")
    assert reason(part) == "not even the whole sample has 5 easy and 5 hard examples"


def stopping(correct, pristine, accuracy_test=(0.1, 0.5, 0.8, 0.7), corrupt_share=None) -> Mystery:
    noisy = heldout(lambda _: 1.0)
    noisy["size"].values[:, :, GROUPS.index("corrupt")] = 25
    if corrupt_share is not None:
        of_step = np.array([corrupt_share(step) for step in STEPS])[:, None, None]
        noisy["product"].values[:, :, GROUPS.index("corrupt")] = of_step
    data = history(correct=correct, pristine=pristine, accuracy_test=accuracy_test)
    return Mystery(
        Roles(networks=["net"]),
        history=[Run(0.5, 0, 0, data, experiment="net")],
        heldout=[Run(0.5, 0, 0, noisy, experiment="net")],
    )


def test_g7_is_the_pristine_share_of_what_is_learned_at_the_best_step():
    # 30 pristine, 18 corrupt. At the best step 24 and 3 are right; of the corrupt 18 * .2 / 9 = .4 by chance.
    correct = np.zeros((4, 48), bool)
    correct[2, :24] = correct[2, 30:33] = True
    correct[3] = True
    pristine = [True] * 30 + [False] * 18
    found = claim_of("G7", stopping(correct, pristine))
    best = one(found, "net, at the best step")
    assert values(best)[0] == pytest.approx(24 / (24 + 3 - 0.4))
    assert (best.rule, best.bound, best.n_of) == ("above", 0.9, 48)
    assert values(one(found, "net, at the best step, chance included"))[0] == pytest.approx(24 / 27)
    assert one(found, "net, at the best step, chance included").rule == "shown"
    assert values(one(found, "net, at the end"))[0] == pytest.approx(30 / 48)
    # Fewer corrupt examples than by chance are none, and not less.
    none = stopping(correct, pristine, accuracy_test=(0.1, 0.0, 0.2, 0.1))
    correct[2, 31:33] = False
    assert values(one(claim_of("G7", none), "net, at the best step"))[0] == 1


def test_g7_where_as_many_are_corrupt_as_are_pristine():
    made = stopping(np.ones((4, 6), bool), [1, 1, 1, 0, 0, 0])
    assert values(one(claim_of("G7", made), "net, at the end"))[0] == 0.5


def test_g7_says_so_if_nothing_is_learned():
    correct = np.zeros((4, 6), bool)
    part = one(claim_of("G7", stopping(correct, [1, 1, 1, 0, 0, 0])), "net, at the best step")
    assert reason(part) == "no example is learned at that step"


def test_g7_crossing_is_that_of_the_median_of_a_burst():
    correct = np.ones((4, 6), bool)
    pristine = [1, 1, 1, 0, 0, 0]

    def crossing(share, accuracy_test=(0.1, 0.5, 0.8, 0.7)):
        made = stopping(correct, pristine, accuracy_test, corrupt_share=share)
        return one(claim_of("G7", made), "net, best step over crossing")

    # Of 101 examples 25 are corrupt. From step 10 on single steps pass 25/101, and from 20 on all do.
    assert (
        values(crossing(lambda step: 0.3 if step in (0, 1, 2, 10, 11) or step >= 20 else 0.1))[0] == 20 / 20
    )
    # The burst from step 5 on begins at no mark.
    assert reason(crossing(lambda step: 0.3 if step in (5, 6, 7) else 0.1)) == "it never passes"
    assert reason(crossing(lambda _: 25 / 101)) == "it never passes"
    assert reason(crossing(lambda _: 0.3, (0.9, 0.5, 0.8, 0.7))) == "the best step is the first"
