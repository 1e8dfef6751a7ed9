"""Claims about easy and hard examples, and about early stopping, G4 to G7."""

from collections.abc import Iterator
from functools import partial

import numpy as np
import numpy.typing as npt
import xarray as xr

from cgpipe.inference.claims import statistics as st
from cgpipe.inference.mystery import marks
from cgpipe.inference.mystery.marks import REAL, Bools
from cgpipe.inference.mystery.runs import OF_ALL_REPLICATES, Mystery, claim, contrast
from cgpipe.inference.similarity import group_pair_coherence
from cgpipe.inference.verdicts import Observed, Part, logit

HALF = 0.5  # the noise level of G7
PURE = 0.9  # "nearly all that is learned is pristine"


@claim("G4", "which examples are learned early is the same for other initial weights")
def agreement(runs: Mystery) -> Iterator[Part]:
    """Two runs make one value, so that values are independent of each other."""
    seeds = runs.roles.seeds
    pairs = list(zip(runs.replicates(seeds)[::2], runs.replicates(seeds)[1::2], strict=False))
    yield Part(
        part="two initialisations",
        statistic="κ of which examples two runs have learned after two epochs",
        rule="above",
        bound=0,
        observed={place: agreement_of(runs, pair) for place, pair in enumerate(pairs)},
        details="replicates 0 and 1, 2 and 3, ... are a pair; chance: examples permuted within their class",
    )
    yield Part(
        part="all initialisations",
        statistic="Fleiss' κ of all runs",
        rule="shown",
        observed={OF_ALL_REPLICATES: agreement_of(runs, runs.replicates(seeds))} if pairs else {},
        details="of all examples, whatever their class",
    )


@claim(
    "G5", "a network trained on easy examples alone does better on easy ones than one of hard on hard ones"
)
def trained_on(runs: Mystery) -> Iterator[Part]:
    """Held-out examples of the same kind: right after two epochs in all runs of `seeds`, or not."""
    easy, hard = runs.roles.easy, runs.roles.hard
    shown = (
        ("easy on easy", easy, True),
        ("hard on hard", hard, False),
        ("easy on all", easy, None),
        ("hard on all", hard, None),
    )
    yield Part(
        part="own kind",
        statistic="difference in the logit of test accuracy on held-out examples of the own kind",
        rule="above",
        bound=0,
        observed=runs.each_replicate(
            easy, lambda some: logit_of_test(some, easy, kind=True) - logit_of_test(some, hard, kind=False)
        ),
    )
    for words, experiment, kind in shown:
        yield Part(
            part=words,
            statistic="test accuracy at the end",
            rule="shown",
            observed=runs.each_replicate(
                experiment, partial(accuracy_of_test, experiment=experiment, kind=kind)
            ),
        )


@claim("G6", "gradients of easy examples are more coherent than those of hard ones")
def easy_and_hard(runs: Mystery) -> Iterator[Part]:
    """In one network, which trains on both."""
    for when in ("start", "marks"):
        yield Part(
            part="from the start" if when == "start" else "along training",
            statistic="difference in pair coherence of easy and hard examples",
            rule="above",
            bound=0,
            observed=runs.each_replicate(
                runs.roles.seeds,
                contrast(*(partial(of_kind_in, when=when, easy=easy) for easy in (True, False))),
            ),
            details="start: steps 0 to 4; along training: mean over the marks; median over a burst",
        )
        for words, easy in (("easy", True), ("hard", False)):
            yield Part(
                part=f"{when}: {words}",
                statistic="pair coherence",
                rule="shown",
                observed=runs.each_replicate(runs.roles.seeds, partial(of_kind_in, when=when, easy=easy)),
            )


@claim("G7", "at the best test accuracy, nearly all that is learned is pristine")
def early_stopping(runs: Mystery) -> Iterator[Part]:
    """At 50 % noise. The base rate is .55."""
    for network in runs.roles.networks:
        yield Part(
            part=f"{network}, at the best step",
            statistic="share of the pristine among the learned examples, at the best test accuracy",
            rule="above",
            bound=PURE,
            scale="logit",
            n_of=runs.examples(network),
            observed=runs.each_replicate(network, partial(purity, network=network, at_best=True)),
        )
        yield Part(
            part=f"{network}, at the end",
            statistic="share of the pristine among the learned examples, at the end",
            rule="shown",
            scale="logit",
            n_of=runs.examples(network),
            observed=runs.each_replicate(network, partial(purity, network=network, at_best=False)),
        )
        yield Part(
            part=f"{network}, before the corrupt pull",
            statistic="step of the best test accuracy over that at which the corrupt share of ⟨g, g⟩ passes "
            "their share of the examples",
            rule="shown",
            scale="log",
            observed=runs.each_replicate(network, partial(best_over_crossing, network=network)),
        )


def difficulty(runs: Mystery) -> xr.Dataset:
    """What stage difficulty made of the runs of `seeds`."""
    return runs.find("difficulty", runs.roles.seeds, REAL)


def agreement_of(runs: Mystery, replicates: npt.ArrayLike) -> Observed:
    """κ of what some replicates of `seeds` have learned after two epochs."""

    def kappa(some: Mystery) -> float:
        step = difficulty(some).attrs["step"]
        histories = [some.of(one).find("history", some.roles.seeds, REAL) for one in np.asarray(replicates)]
        right = np.array([st.at_step(history, "correct", step).values for history in histories])
        label = histories[0]["label"].values if len(right) == 2 else np.zeros(right.shape[1], int)
        return kappa_within(right.astype(bool), label)

    return st.observe(kappa, runs)


def kappa_within(right: Bools, label: npt.NDArray[np.integer]) -> float:
    """Fleiss' κ of several raters, against chance within each class.

    Parameters
    ----------
    right : array of bool, shape (rater, example)
        What each run has learned.
    label : array of int, shape (example,)
        The class of each example; the same for all gives Fleiss' κ but for who errs how often.

    Returns
    -------
    float
        (O - E) / (1 - E): O the share of pairs of runs that agree on an example, E that which is expected if
        each run permutes what it has learned within a class. NaN if E is 1.

    Examples
    --------
    >>> import numpy as np
    >>> kappa_within(np.array([[True, False], [True, False]]), np.array([0, 0]))
    1.0
    """
    raters = len(right)
    observed, expected = [], []
    for one in range(raters):
        for other in range(one):
            observed.append(np.mean(right[one] == right[other]))
            by_chance = 0.0
            for k in np.unique(label):
                p, q = (right[rater][label == k].mean() for rater in (one, other))
                by_chance += np.mean(label == k) * (p * q + (1 - p) * (1 - q))
            expected.append(by_chance)
    o, e = np.mean(observed), np.mean(expected)
    return float((o - e) / (1 - e)) if e < 1 else np.nan


def accuracy_of_test(runs: Mystery, experiment: str, kind: bool | None) -> float:
    """Accuracy at the end on the easy, the hard, or all test examples."""
    right = runs.find("history", experiment, REAL)["correct_test"].values[-1].astype(bool)
    return float(right[of_kind(runs, kind, len(right))].mean())


def logit_of_test(runs: Mystery, experiment: str, *, kind: bool) -> float:
    """Empirical logit of that accuracy."""
    of = int(of_kind(runs, kind, -1).sum())
    return logit(accuracy_of_test(runs, experiment, kind), of)


def of_kind(runs: Mystery, kind: bool | None, count: int) -> Bools:
    """Which test examples are easy, or hard; all of them without a kind."""
    if kind is None:
        return np.ones(count, np.bool_)
    members = difficulty(runs)["easy_test"].values.astype(bool) == kind
    if not members.any():
        raise st.UndecidedError(f"there is no {'easy' if kind else 'hard'} test example")
    return np.asarray(members)


def of_kind_in(runs: Mystery, when: str, *, easy: bool) -> float:
    """Pair coherence of the easy, or of the hard, examples of a sample."""
    seeds = runs.roles.seeds
    similar, of = runs.find("similarity", seeds, REAL), difficulty(runs)
    is_easy = dict(zip(of["index"].values.tolist(), of["easy"].values.astype(bool).tolist(), strict=True))
    group = np.array([is_easy[index] == easy for index in similar["index"].values.tolist()])
    if group.sum() < 2:
        raise st.UndecidedError(f"the sample has fewer than two {'easy' if easy else 'hard'} examples")

    def curve(made: xr.Dataset, steps: Bools) -> st.Floats:
        return group_pair_coherence(made["product"].values[steps], group)

    if when == "start":
        return marks.median(curve, similar, marks.start(similar))
    return marks.mean_over_marks(curve, similar, runs.find("history", seeds, REAL))


def best_step(history: xr.Dataset) -> int:
    """Place of the logged step of the best test accuracy, the first of several."""
    return int(history["accuracy_test"].values.argmax())


def purity(runs: Mystery, network: str, *, at_best: bool) -> float:
    """Share of the pristine among the examples that are right."""
    history = runs.find("history", network, HALF)
    place = best_step(history) if at_best else -1
    learned = history["correct"].values[place].astype(bool)
    if not learned.any():
        raise st.UndecidedError("no example is learned at that step")
    return float(history["pristine"].values.astype(bool)[learned].mean())


def best_over_crossing(runs: Mystery, network: str) -> float:
    """Step of the best test accuracy over that at which the corrupt share of ⟨g, g⟩ passes their share."""
    history, heldout = (runs.find(kind, network, HALF) for kind in ("history", "heldout"))
    here = heldout.sel(set="training")
    product = here["product"].sum("layer")
    share = (product.sel(group="corrupt") / product.sel(group="all")).values
    sizes = here["size"]
    passed = share > (sizes.sel(group="corrupt") / sizes.sel(group="all")).values
    steps = here["burst_step"].values
    after = steps[passed & (steps > 0)]
    best = int(history["step"].values[best_step(history)])
    if not (len(after) and best):
        raise st.UndecidedError("it never passes" if best else "the best step is the first")
    return best / float(after[0])
