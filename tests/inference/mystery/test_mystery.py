"""The claims of the second paper, on runs made up so that each statistic has a known value."""

import math

import numpy as np
import pytest
import xarray as xr

from cgpipe.inference.claims.registry import all_claims, parts
from cgpipe.inference.mystery import examples, marks, rules
from cgpipe.inference.mystery.runs import GM, Mystery, Roles
from cgpipe.inference.verdicts import Part, claim_verdicts, logit, tidy
from cgpipe.runs import Run

MARKS = {2.0: 10, 1.0: 20, 0.5: 30, 0.1: -1}
SETS, GROUPS = ["training", "held-out"], ["all", "pristine", "corrupt", "near chance"]
STEPS = [*range(10), *(step + k for step in (10, 20, 30, 100) for k in range(5))]


def heldout(coherence, kinds=("Conv2d", "Linear"), *, product=1.0, jitter=0.0):
    """An artifact in which m-coherence of every set, group and layer is that of the step, by `coherence`."""
    shape = (len(STEPS), len(SETS), len(GROUPS), len(kinds))
    of_step = np.array([coherence(step) for step in STEPS])[:, None, None, None]
    # Every burst has one outlier, which a median does not see.
    outlier = np.where(np.array(STEPS) % 10 == 3, jitter, 0)[:, None, None, None]
    energy = np.full(shape, 2.0)
    squared = np.broadcast_to(of_step + outlier, shape) * energy
    return xr.Dataset(
        {
            "squared_norm": (("burst_step", "set", "group", "layer"), squared),
            "energy": (("burst_step", "set", "group", "layer"), energy),
            "product": (("burst_step", "set", "group", "layer"), np.full(shape, product)),
            "size": (("burst_step", "set", "group"), np.full(shape[:3], 101)),
            "cosine": (("burst_step", "set", "group"), squared[..., 0] / 100),
            **{name: (("burst_step", "set", "group"), np.zeros(shape[:3])) for name in ("loss", "accuracy")},
        },
        coords={
            "burst_step": STEPS,
            "snapshot": ("burst_step", [step if step < 10 else step // 10 * 10 for step in STEPS]),
            "set": SETS,
            "group": GROUPS,
            "layer": [f"layer{k}" for k in range(len(kinds))],
            "layer_kind": ("layer", list(kinds)),
        },
    )


def history(
    *, correct=None, pristine=None, accuracy_test=(0.1, 0.5, 0.8, 0.7), correct_test=None, passed=None
):
    steps = [0, 10, 20, 30]
    correct = np.ones((4, 6), bool) if correct is None else np.asarray(correct)
    correct_test = np.ones((4, 10), bool) if correct_test is None else np.asarray(correct_test)
    pristine = np.ones(correct.shape[1], bool) if pristine is None else np.asarray(pristine)
    passed = MARKS if passed is None else passed
    return xr.Dataset(
        {
            "accuracy_test": ("step", list(accuracy_test)),
            "accuracy_training": ("step", correct.mean(1)),
            "correct": (("step", "example"), correct),
            "correct_test": (("step", "test_example"), correct_test),
            "pristine": ("example", pristine),
            "label": ("example", np.arange(correct.shape[1]) % 2),
            "mark_step": ("mark", list(passed.values())),
        },
        coords={"step": steps, "mark": list(passed)},
    )


def one(parts_of_claim, name) -> Part:
    """The part of a name."""
    (part,) = (part for part in parts_of_claim if part.part == name)
    return part


def claim_of(name, runs) -> list[Part]:
    (claim,) = (claim for claim in all_claims(GM) if claim.name == name)
    return claim.parts(runs)


def values(part) -> dict[int, float]:
    return {replicate: value for replicate, (value, _) in part.observed.items()}


def test_without_runs_every_claim_is_there_and_undecided():
    table = tidy(parts(Mystery(), GM))
    verdicts = claim_verdicts(table)
    assert list(verdicts["claim"]) == [f"G{k}" for k in range(1, 14)]
    assert set(verdicts["verdict"]) == {"undecided"}
    assert (verdicts["p_holm"].isna() | (verdicts["p_holm"] == 1)).all()


def test_roles_that_nobody_plays_are_undecided_and_do_not_stop_the_others():
    made = Mystery(
        Roles(networks=["net"]),
        history=[Run(noise, 0, 0, history(), experiment="net") for noise in (0.0, 1.0)],
        heldout=[Run(noise, 0, 0, heldout(lambda step: 4), experiment="net") for noise in (0.0, 1.0)],
    )
    found = one(claim_of("G1", made), "net, training")
    assert values(found) == {0: 0.0}
    assert not one(claim_of("G9", made), "twin, parameters").observed


def networks(real, random, **of) -> Mystery:
    """One network with real and random labels, in two replicates."""
    levels = {0.0: real, 1.0: random}
    runs = [(noise, replicate) for noise in levels for replicate in (0, 1)]
    return Mystery(
        Roles(networks=["net"]),
        history=[Run(noise, 0, r, history(), experiment="net") for noise, r in runs],
        heldout=[Run(noise, 0, r, heldout(levels[noise], **of), experiment="net") for noise, r in runs],
    )


def test_g1_is_the_mean_over_the_marks_that_both_pass_of_medians_over_bursts():
    # Ratio 2 at the first mark, 4 at the second, 8 at the third.
    made = networks(lambda step: 2 ** (step // 10), lambda _: 1.0, jitter=1000)
    found = claim_of("G1", made)
    assert values(one(found, "net, training")) == pytest.approx(dict.fromkeys((0, 1), 2 * math.log(2)))
    # Pair coherence of 101 examples: (2, 4, 8 less 1) / 100.
    assert values(one(found, "net, held-out of like loss"))[0] == pytest.approx((2 + 4 + 8 - 3) / 300)
    assert one(found, "net, held-out").rule == one(found, "net, cosine").rule == "shown"


def test_g1_says_so_if_too_few_marks_were_passed():
    made = networks(lambda _: 2.0, lambda _: 1.0)
    few = [run._replace(data=history(passed={2.0: 10, 1.0: -1})) for run in made.history]
    part = one(claim_of("G1", made._replace(history=few)), "net, training")
    assert part.observed[0].reason == "1 marks at which both are known, of at least 3"
    without = [run._replace(data=run.data.drop_vars("mark_step")) for run in made.history]
    part = one(claim_of("G1", made._replace(history=without)), "net, training")
    assert part.observed[0].reason == "the run has no marks of the training loss"


def test_g2_compares_the_middle_with_both_ends():
    # The middle are the marks of 1 and 0.5 nats, at steps 20 and 30.
    made = networks(lambda step: 5.0 if step < 10 else 50.0 if step < 100 else 2.0, lambda _: 1.0)
    found = claim_of("G2", made)
    assert values(one(found, "net, rises from the start"))[0] == pytest.approx(math.log(10))
    assert values(one(found, "net, falls to the end"))[0] == pytest.approx(math.log(25))
    assert values(one(found, "net, returns to 1"))[0] == pytest.approx(math.log(2))


def test_g3_compares_all_convolutions_with_the_last_linear_layer():
    made = networks(lambda _: 1.0, lambda _: 1.0, kinds=("Conv2d", "Conv2d", "Linear", "Linear"))
    for run in made.heldout:
        run.data["squared_norm"].values[..., 0] *= 5
        run.data["squared_norm"].values[..., 2] *= 100
    # Convolutions: (5 + 1) / 2.
    assert values(one(claim_of("G3", made), "net, real labels"))[0] == pytest.approx(math.log(3))
    dense = networks(lambda _: 1.0, lambda _: 1.0, kinds=("Linear", "Linear"))
    assert claim_of("G3", dense) == []


def difficulty(easy, easy_test, step=10) -> Run:
    made = xr.Dataset(
        {
            "index": ("example", 100 + np.arange(len(easy))),
            "easy": ("example", np.asarray(easy)),
            "easy_test": ("test_example", np.asarray(easy_test)),
        },
        attrs={"step": step},
    )
    return Run(0.0, 0, -1, made, experiment="seeds")


def test_g4_pairs_replicates_and_takes_chance_within_the_class():
    # Both learn two of three of class 0, and none of class 1: 2/3 agree, by chance (5/9 + 1) / 2.
    learned = np.zeros((4, 6), bool)
    learned[1:, [0, 2]] = True
    others = np.zeros((4, 6), bool)
    others[1:, [0, 4]] = True
    runs = [learned, others, learned, learned, learned]
    made = Mystery(
        history=[Run(0.0, 0, r, history(correct=of), experiment="seeds") for r, of in enumerate(runs)],
        difficulty=[difficulty([True] * 6, [True] * 10)],
    )
    chance = (5 / 9 + 1) / 2
    found = values(one(claim_of("G4", made), "two initialisations"))
    assert found == pytest.approx({0: (2 / 3 - chance) / (1 - chance), 1: 1.0})


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


def test_g5_takes_test_examples_of_the_own_kind():
    easy_test = [True] * 4 + [False] * 6
    on_easy, on_hard = np.zeros((2, 4, 10), bool)
    on_easy[-1, [0, 1, 2, 9]] = True
    on_hard[-1, [0, 5]] = True
    made = Mystery(
        history=[
            Run(0.0, 0, 0, history(correct_test=on_easy), experiment="easy"),
            Run(0.0, 0, 0, history(correct_test=on_hard), experiment="hard"),
        ],
        difficulty=[difficulty([True, False] * 3, easy_test)],
    )
    found = claim_of("G5", made)
    assert values(one(found, "own kind"))[0] == pytest.approx(logit(3 / 4, 4) - logit(1 / 6, 6))
    shown = {name: values(one(found, name))[0] for name in ("easy on easy", "hard on hard", "hard on all")}
    assert shown == pytest.approx({"easy on easy": 3 / 4, "hard on hard": 1 / 6, "hard on all": 2 / 10})


def similarity(product, steps, label=(0, 0, 1, 1)) -> xr.Dataset:
    made = {
        "product": (("burst_step", "example", "other_example"), np.asarray(product, float)),
        "pixel_distance": (
            ("example", "other_example"),
            np.abs(np.subtract.outer([0, 3, 1, 4], [0, 3, 1, 4])),
        ),
        "index": ("example", 100 + np.arange(4)),
        "label": ("example", list(label)),
        "true_label": ("example", [0, 0, 1, 1]),
    }
    return xr.Dataset(made, coords={"burst_step": list(steps), "snapshot": ("burst_step", list(steps))})


def test_g6_is_the_pair_coherence_of_the_easy_less_that_of_the_hard():
    product = np.eye(4)
    product[0, 1] = product[1, 0] = 0.5
    steps = [0, 10, 20, 30]
    made = Mystery(
        history=[Run(0.0, 0, 0, history(), experiment="seeds")],
        similarity=[Run(0.0, 0, 0, similarity([product] * 4, steps), experiment="seeds")],
        difficulty=[difficulty([True, True, False, False], [True] * 10)],
    )
    found = claim_of("G6", made)
    assert values(one(found, "from the start"))[0] == values(one(found, "along training"))[0] == 0.5
    assert values(one(found, "start: hard"))[0] == 0
    few = made._replace(difficulty=[difficulty([True, False, False, False], [True] * 10)])
    reason = one(claim_of("G6", few), "from the start").observed[0].reason
    assert reason == "the sample has fewer than two easy examples"


def test_g7_is_the_pristine_share_of_what_is_learned_at_the_best_step():
    correct = np.zeros((4, 6), bool)
    correct[2, [0, 1, 2, 5]] = True
    correct[3] = True
    noisy = heldout(lambda _: 1.0)
    noisy["size"].values[:, :, GROUPS.index("corrupt")] = 25
    # Of 101 examples 25 are corrupt. Their share of ⟨g, g⟩ passes 25/101 at step 5.
    noisy["product"].values[:, :, GROUPS.index("corrupt")] = np.where(np.array(STEPS) < 5, 0.1, 0.3)[
        :, None, None
    ]
    made = Mystery(
        Roles(networks=["net"]),
        history=[Run(0.5, 0, 0, history(correct=correct, pristine=[1, 1, 1, 0, 0, 0]), experiment="net")],
        heldout=[Run(0.5, 0, 0, noisy, experiment="net")],
    )
    found = claim_of("G7", made)
    assert values(one(found, "net, at the best step"))[0] == 0.75
    assert values(one(found, "net, at the end"))[0] == 0.5
    assert values(one(found, "net, before the corrupt pull"))[0] == 20 / 5


def learning(pristine_right, corrupt_right) -> xr.Dataset:
    """A history of ten pristine and ten corrupt examples, of which so many are right at each step."""
    correct = np.zeros((4, 20), bool)
    for step, (p, c) in enumerate(zip(pristine_right, corrupt_right, strict=True)):
        correct[step, :p] = True
        correct[step, 10 : 10 + c] = True
    return history(correct=correct, pristine=[True] * 10 + [False] * 10)


def test_g8_and_g12_compare_at_equal_pristine_examples_learned():
    plain = learning([0, 5, 7, 9], [0, 2, 4, 8])
    less = learning([0, 5, 7, 9], [0, 1, 2, 3])
    named = {"sgd": plain, "m3": less, "rm3": less, "ra3": plain}
    runs = [Run(0.5, 0, 0, data, experiment=name) for name, data in named.items()]
    runs = [run._replace(update=run.experiment if run.experiment != "sgd" else run.update) for run in runs]
    runs += [Run(0.5, c, 0, data, experiment="winsorized") for c, data in ((0, plain), (2, less))]
    runs.append(Run(0.5, 0, 0, less, "dp_sgd", "private"))
    made = Mystery(history=runs)
    found = claim_of("G8", made)
    odds = {name: rules.log_odds(data) for name, data in (("plain", plain), ("less", less))}
    assert odds["plain"][0] == pytest.approx(logit(0.6, 10))  # halfway from 7 to 9 of 10
    assert odds["plain"][1] == pytest.approx(logit(0.8, 10))
    assert np.isnan(odds["plain"][2:]).all()
    expected = float(np.nanmean(odds["plain"] - odds["less"]))
    assert values(one(found, "m3"))[0] == pytest.approx(expected)
    assert values(one(found, "ra3"))[0] == 0
    # c = 0 is plain SGD itself and is left out.
    assert values(one(found, "winsorized"))[0] == pytest.approx(expected)
    private = claim_of("G12", made)
    assert values(one(private, "DP-SGD"))[0] == pytest.approx(expected)
    assert values(one(private, "winsorized less private"))[0] == 0


def test_g8_says_so_if_a_rule_learns_too_little():
    made = Mystery(
        history=[
            Run(0.5, 0, 0, learning([0, 5, 7, 9], [0, 2, 4, 8]), experiment="sgd"),
            Run(0.5, 0, 0, learning([0, 1, 5, 8], [0, 0, 0, 0]), "m3", "m3"),
        ]
    )
    reason = one(claim_of("G8", made), "m3").observed[0].reason
    assert reason == "1 shares of the pristine examples that both reach, of at least 2"


def twins(distance, variation) -> xr.Dataset:
    return xr.Dataset(
        {"distance": (("step", "layer"), distance), "variation": ("step", variation)},
        coords={"step": [0, 9, 99], "layer": ["a", "b"]},
    )


def test_g9_leaves_out_steps_at_which_twins_are_the_same():
    near = twins([[0, 0], [3, 4], [3, 4]], [0, 0.1, 0.1])
    far = twins([[0, 0], [6, 8], [6, 8]], [0, 0.4, 0.8])
    made = Mystery(
        history=[Run(noise, 0, 0, history(), experiment="twin") for noise in (0.0, 1.0)],
        twins=[Run(0.0, 0, 0, near, experiment="twin"), Run(1.0, 0, 0, far, experiment="twin")],
    )
    found = claim_of("G9", made)
    assert values(one(found, "twin, parameters"))[0] == pytest.approx(math.log(2))
    assert values(one(found, "twin, predictions"))[0] == pytest.approx(math.log(8))
    assert values(one(found, "twin, predictions, mean"))[0] == pytest.approx((math.log(4) + math.log(8)) / 2)


def test_g10_and_g11_compare_test_accuracy_and_the_first_steps():
    names = {"random_start": 4.0, "adversarial_start": 2.0, "narrow": 2.0, "wide": 8.0}
    accuracies = {"random_start": 0.9, "adversarial_start": 0.5, "narrow": 0.5, "wide": 0.9}
    made = Mystery(
        Roles(widths=["narrow", "wide"]),
        history=[
            Run(0.0, 0, 0, history(accuracy_test=[0.1, 0.5, 0.9, of]), experiment=name)
            for name, of in accuracies.items()
        ],
        heldout=[Run(0.0, 0, 0, heldout(lambda _, of=of: of), experiment=name) for name, of in names.items()],
    )
    gap = logit(0.9, 10) - logit(0.5, 10)
    start = claim_of("G10", made)
    assert values(one(start, "generalizes worse"))[0] == pytest.approx(gap)
    assert values(one(start, "less coherent"))[0] == pytest.approx(math.log(2))
    assert values(one(start, "fits"))[0] == 1
    width = claim_of("G11", made)
    assert values(one(width, "test accuracy, wide over narrow"))[0] == pytest.approx(gap)
    assert values(one(width, "coherence, wide over narrow"))[0] == pytest.approx(math.log(4))
    assert values(one(width, "m-coherence: wide"))[0] == pytest.approx(8)


def test_g13_is_among_pairs_of_one_label():
    # All are trained on one label. Pixels: 0 and 2, 1 and 3 are near; true classes: 0 and 1, 2 and 3.
    by_pixels, by_class = np.eye(4), np.eye(4)
    for one_of, other in ((0, 2), (1, 3)):
        by_pixels[one_of, other] = by_pixels[other, one_of] = 0.9
    for one_of, other in ((0, 1), (2, 3)):
        by_class[one_of, other] = by_class[other, one_of] = 0.9
    along = similarity([by_pixels, by_class, by_class, by_class], [0, 10, 20, 30], label=(0, 0, 0, 0))
    made = Mystery(
        history=[Run(noise, 0, 0, history(), experiment="similarity") for noise in (0.0, 0.5)],
        similarity=[Run(noise, 0, 0, along, experiment="similarity") for noise in (0.0, 0.5)],
    )
    found = claim_of("G13", made)
    assert values(one(found, "less of pixels"))[0] > 0
    # Of true classes: 0.9 within and 0 between along training; 0 within and 0.45 between at the start.
    assert values(one(found, "class behind the label"))[0] == pytest.approx(0.9)
    assert values(one(found, "more of class"))[0] == pytest.approx(0.9 + 0.45)
    other_labels = along.assign(label=("example", [0, 1, 2, 3]))
    none = [run._replace(data=other_labels) for run in made.similarity]
    part = one(claim_of("G13", made._replace(similarity=none)), "class behind the label")
    assert part.observed[0].reason == "0 marks at which it is known, of at least 3"


def test_a_burst_is_five_steps_whatever_snapshots_lie_in_it():
    made = heldout(lambda step: step)
    assert marks.burst_from(made, 8).sum() == 5
    assert made["burst_step"].values[marks.end(made)].tolist() == [100, 101, 102, 103, 104]
