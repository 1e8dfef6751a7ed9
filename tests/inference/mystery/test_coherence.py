"""G1 to G3 by value: coherence at marks of the training loss."""

import math

import numpy as np
import pytest
import xarray as xr
from made_mystery import MARKS, STEPS, claim_of, heldout, history, loss_at, networks, one, reason, values

from cgpipe.inference.mystery import marks
from cgpipe.inference.mystery.runs import Mystery, Roles
from cgpipe.runs import Run


def doubling(step):
    """2 in the burst of the first mark, 4 in that of the second, 8 in that of the third."""
    return 2.0 ** (step // 10)


def test_g1_is_the_mean_over_the_marks_that_both_pass_of_medians_over_bursts():
    factor = {("held-out", "all", k): 3.0 for k in range(2)}
    factor |= {("held-out", "near chance", k): 5.0 for k in range(2)}
    made = networks(doubling, lambda _: 1.0, jitter=1000)
    apart = [
        run._replace(data=heldout(doubling, factor=factor)) if run.noise == 0 else run for run in made.heldout
    ]
    found = claim_of("G1", made._replace(heldout=apart))
    assert values(one(found, "net, training")) == pytest.approx(dict.fromkeys((0, 1), 2 * math.log(2)))
    assert values(one(found, "net, held-out"))[0] == pytest.approx(2 * math.log(2) + math.log(3))
    # Pair coherence of 101 examples: five times (2, 4, 8) less 1, over 100; with random labels (1 - 1) / 100.
    assert values(one(found, "net, held-out of like loss"))[0] == pytest.approx((5 * 14 - 3) / 300)
    # In the artifact the cosine is a fiftieth of the squared norm over the energy of the first layer.
    assert values(one(found, "net, cosine"))[0] == pytest.approx((14 - 3) / 150)
    assert values(one(found, "net, cosine, held-out"))[0] == pytest.approx((3 * 14 - 3) / 150)
    assert one(found, "net, held-out").rule == one(found, "net, cosine").rule == "shown"
    assert one(found, "net, training").bound == math.log(2)  # "far larger"
    assert one(found, "net, held-out of like loss").bound == 0


def test_g1_takes_all_examples_of_a_set():
    """Groups and sets that are not asked for are far off."""
    far = {
        (of, group, k): 1e6
        for of in ("training", "held-out")
        for group in ("pristine", "corrupt")
        for k in range(2)
    }
    made = networks(doubling, lambda _: 1.0)
    off = [
        run._replace(data=heldout(doubling, factor=far)) if run.noise == 0 else run for run in made.heldout
    ]
    for part in ("training", "held-out", "held-out of like loss", "cosine", "cosine, held-out"):
        one_of, other = (one(claim_of("G1", of), f"net, {part}") for of in (made, made._replace(heldout=off)))
        assert values(one_of) == values(other)


def test_values_at_a_mark_are_linear_in_the_logarithm_of_the_measured_loss():
    # The burst of the mark of 1 nat has a loss of 0.5, and that of 2 nats one of 2: 1 lies halfway.
    made = networks(
        doubling, lambda _: 1.0, loss=lambda step: {2: 0.5, 3: 0.1}.get(step // 10, loss_at(step))
    )
    found = marks.at_marks(made.of(0), "net", 0.0, marks.log_m_coherence())
    assert found[2.0] == pytest.approx(math.log(2))
    assert found[1.0] == pytest.approx(1.5 * math.log(2))
    assert found[0.5] == pytest.approx(math.log(4))
    assert found[0.1] == pytest.approx(math.log(8))


def test_a_mark_above_the_first_loss_or_below_the_last_is_not_known():
    made = networks(doubling, lambda _: 1.0, loss=lambda step: min(loss_at(step), 1.5))
    found = marks.at_marks(made.of(0), "net", 0.0, marks.log_m_coherence())
    assert [mark for mark, value in found.items() if math.isnan(value)] == [2.0, 0.1]


def test_bursts_begin_at_steps_0_and_5():
    """The first has a loss of 2.5 and a median of 8, that of step 2; the second 2.2 and 2 ** 7."""
    made = networks(lambda step: 2.0 ** (step + 1), lambda _: 1.0, loss=lambda step: 2.5 if step < 5 else 2.2)
    at = [run._replace(data=history(passed={2.5: -1, 2.2: -1})) for run in made.history]
    found = marks.at_marks(made._replace(history=at).of(0), "net", 0.0, marks.log_m_coherence())
    assert found == pytest.approx({2.5: math.log(2**3), 2.2: math.log(2**8)})


def test_a_run_that_jumps_over_marks_is_compared_at_its_losses():
    """All marks are passed at step 10, where the loss is 0.5."""
    passed = {2.0: 10, 1.0: 10, 0.5: 10, 0.1: -1}
    assert marks.passed(history(passed=passed)) == {0.5: 10}
    made = networks(
        lambda step: 4.0 if step < 10 else 16.0, lambda _: 1.0, loss=lambda step: 2.0 if step < 10 else 0.5
    )
    jumped = [run._replace(data=history(passed=passed)) for run in made.history]
    found = marks.at_marks(made._replace(history=jumped).of(0), "net", 0.0, marks.log_m_coherence())
    assert found[2.0] == pytest.approx(math.log(4))
    assert found[1.0] == pytest.approx(math.log(8))
    assert found[0.5] == pytest.approx(math.log(16))


def test_a_curve_that_is_undefined_in_a_burst_is_so_beside_it():
    made = networks(doubling, lambda _: 1.0)
    run = made.heldout[0].data
    run["squared_norm"].values[np.array(STEPS) // 10 == 2] = np.nan
    found = marks.at_marks(made.of(0), "net", 0.0, marks.log_m_coherence())
    assert math.isnan(found[1.0])
    assert found[2.0] == pytest.approx(math.log(2))


def test_a_mark_that_a_run_begins_with_is_passed():
    assert marks.passed(history(passed={3.0: 0, 2.0: 10, 0.1: -1})) == {3.0: 0, 2.0: 10}


def test_g1_says_so_if_too_few_marks_were_passed():
    made = networks(lambda _: 2.0, lambda _: 1.0, loss=lambda step: 2.1 if step < 20 else 1.7)
    part = one(claim_of("G1", made), "net, training")
    assert reason(part) == "1 marks at which both are known, of at least 3"
    without = [run._replace(data=run.data.drop_vars("mark_step")) for run in made.history]
    part = one(claim_of("G1", made._replace(history=without)), "net, training")
    assert reason(part) == "the run has no marks of the training loss"


def test_a_difference_is_over_the_marks_at_which_both_are_known():
    real, random = {2.0: 5.0, 1.0: math.nan, 0.5: 4.0, 0.2: 9.0}, {2.0: 1.0, 1.0: 7.0, 0.5: 2.0, 0.1: 1.0}
    assert marks.mean_difference(real, random, 2) == 3.0
    assert marks.mean_difference(real, random | {0.2: 9.0}) == 2.0


def test_g1_displacement_is_over_the_windows_that_both_have():
    def displacement(ways, steps, each=1.0):
        squared = np.full((len(steps), 4), each)
        return xr.Dataset(
            {"way": ("step", ways), "squared_norm_sum": (("step", "example"), squared)},
            coords={"step": steps},
        )

    made = Mystery(
        Roles(networks=["net"]),
        history=[Run(noise, 0, 0, history(), experiment="net") for noise in (0.0, 1.0)],
        displacement=[
            Run(0.0, 0, 0, displacement([4.0, 8.0, 16.0, 99.0], [0, 10, 20, 30]), experiment="net"),
            Run(1.0, 0, 0, displacement([2.0, 2.0, 2.0], [0, 10, 20], each=3.0), experiment="net"),
        ],
    )
    found = one(claim_of("G1", made), "net, displacement")
    assert values(found)[0] == pytest.approx(2 * math.log(2) + math.log(3))


def test_g2_compares_the_middle_with_both_ends():
    # The middle are the marks of 1 and 0.5 nats, at steps 20 and 30. Step 0 alone is the start.
    made = networks(
        lambda step: 5.0 if step == 0 else 900.0 if step < 10 else 50.0 if step < 100 else 2.0, lambda _: 1.0
    )
    found = claim_of("G2", made)
    assert values(one(found, "net, rises from the start"))[0] == pytest.approx(math.log(10))
    assert values(one(found, "net, falls to the end"))[0] == pytest.approx(math.log(25))
    assert values(one(found, "net, returns to 1"))[0] == pytest.approx(math.log(2))


def test_the_middle_is_from_half_a_nat_to_one_and_a_half():
    assert marks.mean_of_middle({2.0: 9.0, 1.5: 1.0, 1.0: math.nan, 0.5: 3.0, 0.2: 9.0}) == 2.0
    part = one(claim_of("G2", networks(doubling, doubling, loss=lambda _: 2.0)), "net, rises from the start")
    assert reason(part) == "no mark between 0.5 and 1.5 nats was passed"


def test_g3_compares_all_convolutions_with_the_last_linear_layer_early_and_late():
    kinds = ("Conv2d", "Conv2d", "Linear", "Linear")
    made = networks(lambda _: 1.0, lambda _: 1.0, kinds=kinds)
    late = np.array(STEPS) >= 30
    for run in made.heldout:
        squared = run.data["squared_norm"].values
        squared[..., 0] *= 5
        squared[..., 2] *= 100
        # Other sets and groups are not looked at, nor the linear layer before the last.
        squared[:, 1:] *= 7
        squared[:, :, 1:, 0] *= 7
        squared[late, ..., 3] *= 6
    found = claim_of("G3", made)
    # Convolutions: (5 + 1) / 2.
    assert values(one(found, "net, real labels, early"))[0] == pytest.approx(math.log(3))
    assert values(one(found, "net, real labels, late"))[0] == pytest.approx(math.log(3 / 6))
    assert one(found, "net, random labels, early").rule == "shown"
    assert one(found, "net, real labels, late").rule == "above"


@pytest.mark.parametrize("kinds", [("Linear", "Linear"), ("Conv2d", "Conv2d")])
def test_g3_leaves_out_networks_that_lack_one_of_the_kinds(kinds):
    without = networks(lambda _: 1.0, lambda _: 1.0, kinds=kinds)
    assert claim_of("G3", without) == []
    # Those after it are not.
    both = networks(lambda _: 1.0, lambda _: 1.0)
    named = [run._replace(experiment="other") for runs in (both.history, both.heldout) for run in runs]
    made = without._replace(
        roles=Roles(networks=["net", "other"]),
        history=[*without.history, *named[:4]],
        heldout=[*without.heldout, *named[4:]],
    )
    assert values(one(claim_of("G3", made), "other, real labels, early"))[0] == 0


def test_a_burst_is_five_steps_whatever_snapshots_lie_in_it():
    made = heldout(lambda step: step)
    assert marks.burst_from(made, 8).sum() == 5
    assert made["burst_step"].values[marks.end(made)].tolist() == [100, 101, 102, 103, 104]
    assert made["burst_step"].values[marks.start(made)].tolist() == [0]


def test_the_mean_over_marks_is_of_the_burst_of_each():
    made = heldout(doubling)
    value = marks.mean_over_marks(marks.log_m_coherence(), made, history(passed=MARKS))
    assert value == pytest.approx(2 * math.log(2))
