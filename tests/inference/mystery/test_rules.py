"""G8 and G12 by value: what is memorized where as many pristine examples are learned."""

import numpy as np
import pytest
import xarray as xr
from made_mystery import claim_of, history, one, reason, values

from cgpipe.inference.mystery import rules
from cgpipe.inference.mystery.runs import Mystery, Roles
from cgpipe.inference.verdicts import logit
from cgpipe.runs import Run


def learning(pristine_right, corrupt_right) -> xr.Dataset:
    """A history of ten pristine and twenty corrupt examples, of which so many are right at each step."""
    correct = np.zeros((4, 30), bool)
    for step, (p, c) in enumerate(zip(pristine_right, corrupt_right, strict=True)):
        correct[step, :p] = True
        correct[step, 10 : 10 + c] = True
    return history(correct=correct, pristine=[True] * 10 + [False] * 20)


PLAIN = learning([0, 5, 7, 9], [0, 4, 8, 16])
LESS = learning([0, 5, 7, 9], [0, 2, 4, 6])
LEAST = learning([0, 5, 7, 9], [0, 0, 0, 0])


def apart(one_of: xr.Dataset, other: xr.Dataset) -> float:
    """Log odds of the one less those of the other, over the levels that they reach."""
    return float(np.nanmean(rules.log_odds(one_of) - rules.log_odds(other)))


def test_odds_are_of_corrupt_examples_where_pristine_ones_are_learned():
    odds = rules.log_odds(PLAIN)
    assert odds[0] == pytest.approx(logit(0.7, 20))  # at 85 %, three quarters of the way from 7 to 9 of 10
    assert odds[1] == pytest.approx(logit(0.8, 20))
    assert np.isnan(odds[2:]).all()


def test_g8_compares_at_equal_pristine_examples_learned():
    more = learning([0, 5, 7, 9], [0, 5, 11, 19])
    named = {"sgd": PLAIN, "m3": LESS, "rm3": LESS, "ra3": more}
    runs = [Run(0.5, 0, 0, data, experiment=name) for name, data in named.items()]
    runs = [run._replace(update=run.experiment if run.experiment != "sgd" else run.update) for run in runs]
    found = claim_of("G8", Mystery(history=runs))
    assert values(one(found, "m3"))[0] == values(one(found, "rm3"))[0] == pytest.approx(apart(PLAIN, LESS))
    assert values(one(found, "ra3"))[0] == pytest.approx(apart(PLAIN, more))
    assert (one(found, "ra3").rule, one(found, "m3").rule) == ("shown", "above")
    assert values(one(found, "m3, beside ra3"))[0] == pytest.approx(apart(more, LESS))
    assert one(found, "m3, beside ra3").rule == "above"
    assert reason(one(found, "winsorized")) == "no history of winsorized at 50% noise"


@pytest.mark.parametrize("update", ["winsorized_mean", "trimmed_mean"])
def test_c_of_0_is_plain_sgd_and_left_out_and_of_others_the_mean_is_taken(update):
    runs = [Run(0.5, 0, 0, PLAIN, experiment="sgd")]
    runs += [Run(0.5, c, 0, data, update, "winsorized") for c, data in ((0, LEAST), (1, LESS), (2, PLAIN))]
    # Another noise, and another experiment.
    runs += [Run(0.25, 1, 0, LEAST, update, "winsorized"), Run(0.5, 1, 0, LEAST, update, "other")]
    part = one(claim_of("G8", Mystery(history=runs)), "winsorized")
    assert values(part)[0] == pytest.approx(apart(PLAIN, LESS) / 2)
    assert part.rule == "shown"


def test_plain_sgd_is_compared_with_itself_only_by_its_role():
    runs = [Run(0.5, 0, 0, PLAIN, experiment="sgd")]
    assert np.isfinite(rules.odds(Mystery(history=runs), ["sgd"], plain=True)[:2]).all()
    with pytest.raises(rules.st.UndecidedError, match="no history of sgd or m3 at 50% noise"):
        rules.odds(Mystery(history=runs), ["sgd", "m3"])


def test_an_experiment_in_both_roles_is_sgd_at_c_of_0_alone():
    named = {"sgd": (0, PLAIN), "winsorized": (2, LEAST)}
    apart_ = [Run(0.5, c, 0, data, experiment=name) for name, (c, data) in named.items()]
    in_one = [run._replace(experiment="winsorized") for run in apart_]
    for roles, runs in ((Roles(), apart_), (Roles(plain="winsorized"), in_one)):
        found = claim_of("G12", Mystery(roles, history=runs))
        assert values(one(found, "winsorized SGD"))[0] == pytest.approx(apart(PLAIN, LEAST))


def test_the_mean_is_of_the_settings_that_reach_a_level():
    slow = learning([0, 5, 7, 8], [0, 2, 4, 6])  # comes to 80 % alone
    runs = [Run(0.5, c, 0, of, experiment="winsorized") for c, of in ((1, PLAIN), (2, slow), (4, LESS))]
    odds = rules.odds(Mystery(history=runs), ["winsorized"])
    assert odds[:2] == pytest.approx((rules.log_odds(PLAIN)[:2] + rules.log_odds(LESS)[:2]) / 2)
    assert np.isnan(odds[2:]).all()
    alone = rules.odds(Mystery(history=[runs[1]]), ["winsorized"])
    assert np.isnan(alone).all()


def test_g12_compares_each_with_sgd_and_both_with_each_other():
    runs = [Run(0.5, 0, 0, PLAIN, experiment="sgd"), Run(0.5, 0, 0, LESS, "dp_sgd", "private")]
    runs.append(Run(0.5, 2, 0, LEAST, experiment="winsorized"))
    found = claim_of("G12", Mystery(Roles(), history=runs))
    assert values(one(found, "DP-SGD"))[0] == pytest.approx(apart(PLAIN, LESS))
    assert values(one(found, "winsorized SGD"))[0] == pytest.approx(apart(PLAIN, LEAST))
    assert values(one(found, "winsorized less private"))[0] == pytest.approx(apart(LESS, LEAST))


def test_g8_says_so_if_a_rule_learns_too_little():
    made = Mystery(
        history=[
            Run(0.5, 0, 0, PLAIN, experiment="sgd"),
            Run(0.5, 0, 0, learning([0, 1, 5, 8], [0, 0, 0, 0]), "m3", "m3"),
        ]
    )
    part = one(claim_of("G8", made), "m3")
    assert reason(part) == "0 shares of the pristine examples that both reach, of at least 2"
