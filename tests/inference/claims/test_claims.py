"""All claims on a whole set of runs made up so that they hold, and on what may be left of it."""

from functools import cache

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from made_runs import NOISE, bursts, history, worlds

from cgpipe.inference.claims.claim import Runs
from cgpipe.inference.claims.registry import all_claims, parts
from cgpipe.inference.verdicts import tidy
from cgpipe.learning.evaluation import learned_steps
from cgpipe.runs import Run

STEPS = np.array([*range(10), *range(10, 100, 10), *range(100, 1000, 100), *range(1000, 10_001, 1000)])
SIZE = 1000


def learned(middle, count, last=1.0):
    """Which of so many examples are right at each step: half of those that will be, at `middle`."""
    share = last / (1 + (middle / np.maximum(STEPS, 0.1)) ** 2)
    return np.arange(count) < share[:, None] * count


def run(noise, c, replicate):
    """A history in which learning is slower with noise and c, and much is forgotten at large c."""
    pristine = np.arange(SIZE) >= 0.9 * noise * SIZE
    few = int((~pristine).sum())
    slower = (1 + noise) * (1 + replicate / 10)
    memorized = {0: 1.0, 1: 0.9, 2: 0.005, 8: 0.002}[c]
    correct = np.concatenate(
        [learned(400 * slower * (1 + 2 * c), few, memorized), learned(5 * slower, SIZE - few, 1 - c / 100)],
        axis=1,
    )
    test = 0.9 - noise / 10 - np.where(STEPS > 5000, 0.1, 0)
    loss = 2.3 - (1 - noise / 2) * np.minimum(STEPS / 10, 1) * (1 + replicate / 50)
    if c == 8:
        correct[-1, -400:], test[-1], loss[-1] = False, 0.5, 2.0
    first, last = learned_steps(STEPS, correct)
    given = {"correct": correct, "learned_first": first, "learned_last": last, "pristine": pristine}
    curves = {"accuracy_training": correct.mean(1), "accuracy_test": test, "loss_training": loss}
    return Run(noise, c, replicate, history(STEPS, **given, **curves, label=np.arange(SIZE) % 10))


def analysed(plain):
    """Analyses of a run by name: f^p is high, then low, then one half; at 75 % noise low throughout."""
    pristine = plain.data["pristine"].values
    sizes = pristine.sum(), (~pristine).sum()
    steps = STEPS + 0.0
    f = np.where(steps < 10, 0.9, np.where(plain.data["accuracy_training"] < 0.99, 0.3, 0.5))
    f = f if plain.noise < 0.75 else np.where(steps < 10, 0.4, 0.3)
    f = f if plain.noise in NOISE[1:-1] else np.full(len(f), 1 - plain.noise)
    product = np.stack([f, 1 - f], axis=1)[None] * np.exp(-plain.noise)
    null = np.full((1, 200, len(f)), 0.6 if plain.noise < 0.75 else 0.3) * np.exp(-plain.noise)
    of = {"null": null, "sizes": sizes}
    loss = np.stack([1 - np.minimum(steps, 10) / 10, np.ones(len(f))], axis=1)
    return {
        "sampled": worlds(STEPS, np.repeat(product, 2, axis=0), **of | {"null": null.repeat(2, axis=0)}),
        "exact": worlds(STEPS, product, **of),
        "displacement": worlds(STEPS, product, **of, half=np.ones(len(f), int)),
        "bursts": bursts(STEPS, product[0]),
        "coherence": worlds(STEPS, product, sizes=sizes).assign(loss=(("step", "group"), loss)),
    }


@cache
def good():
    """Two replicates on which every claim holds; not to be changed."""
    clipped = [run(noise, c, replicate) for replicate in (0, 1) for c in (0, 1, 2, 8) for noise in NOISE]
    plain = [one for one in clipped if one.winsor == 0]
    analyses = [(one, analysed(one)) for one in plain]
    names = analyses[0][1]
    by_name = {name: [one._replace(data=made[name]) for one, made in analyses] for name in names}
    return Runs(plain, clipped, plain, plain, **by_name)


@cache
def parts_of_good():
    return parts(good())


def test_every_part_of_every_claim_is_met():
    table = tidy(parts_of_good())
    judged = table[table["rule"] != "shown"]
    met = np.where(judged["rule"] == "within", judged["excess"].abs() < judged["bound"], judged["excess"] > 0)
    wrong = judged[~met | (judged["reason"] != "")]
    assert set(table["replicate"]) == {0, 1}
    assert wrong.empty, wrong[["claim", "part", "estimator", "value", "excess", "reason"]].to_string()
    assert list(table["claim"].unique()) == [f"C{number}" for number in range(1, 16)]


def test_names_are_unique():
    names = [(claim.paper, claim.name) for claim in all_claims()]
    assert len(set(names)) == len(names), "two claims have the same name"
    of_parts = [(part.claim, part.estimator, part.part) for part in parts_of_good()]
    assert len(set(of_parts)) == len(of_parts), "two parts of a line have the same name"


def test_without_runs_each_part_is_there_and_says_nothing():
    assert all(not part.observed for part in parts(Runs()))
    without_c = [(part.claim, part.part) for part in parts(Runs()) if "c = " not in part.part]
    assert without_c == [(part.claim, part.part) for part in parts_of_good() if "c = " not in part.part]


def test_levels_that_claims_are_not_about_change_nothing():
    more = Runs(*([*field, *(one._replace(noise=0.6) for one in field)] for field in good()))
    assert tidy(parts(more)).equals(tidy(parts_of_good()))


LEFT = st.sampled_from([1, 2, 5, 9, 10, 15, len(STEPS)])


@settings(max_examples=10)
@given(st.randoms(use_true_random=False), LEFT, st.sampled_from(["", "pristine", "corrupt"]))
def test_what_is_left_of_the_runs_says_a_number_or_why_not(random, length, without):
    """Of each field only some runs, cut after some steps; or there is no example of a group."""

    def left(one):
        data = one.data
        for step in ("step", "burst_step"):
            data = data.isel({step: slice(length)} if step in data.dims else {})
        if without and "pristine" in data:
            data = data.assign(pristine=("example", np.full(SIZE, without == "corrupt")))
        return one._replace(data=data)

    some = Runs(
        *([left(one) for one in field if one.replicate == 0 and random.random() < 0.8] for field in good())
    )
    for part in parts(some):
        for value, reason in part.observed.values():
            assert np.isfinite(value) or reason, part
            assert not reason.endswith("."), reason
