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
FEWEST_OF_A_KIND = 5  # examples of a class in the sample
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
        observed={place: agreement_of(runs, pair, within_classes=True) for place, pair in enumerate(pairs)},
        details="replicates 0 and 1, 2 and 3, ... are a pair; chance: examples permuted within their class",
    )
    yield Part(
        part="all initialisations",
        statistic="κ of all runs",
        rule="shown",
        observed={OF_ALL_REPLICATES: agreement_of(runs, runs.replicates(seeds), within_classes=False)}
        if pairs
        else {},
        details="mean over their pairs, of all examples, whatever their class",
    )


@claim(
    "G5", "a network trained on easy examples alone does better on easy ones than one of hard on hard ones"
)
def trained_on(runs: Mystery) -> Iterator[Part]:
    """Held-out examples of the same kind: right after two epochs in all runs of `seeds`, or not.

    That easy examples are the easier ones is no finding. A network of unselected examples, as many, is shown
    beside.
    """
    easy, hard, any_kind = runs.roles.easy, runs.roles.hard, runs.roles.unselected
    shown = (
        ("easy on easy", easy, True),
        ("hard on hard", hard, False),
        ("easy on all", easy, None),
        ("hard on all", hard, None),
        ("unselected on easy", any_kind, True),
        ("unselected on hard", any_kind, False),
        ("unselected on all", any_kind, None),
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
    """In one network, which trains on both.

    Gradients of one class are alike, and hard examples are of few classes. So examples of a class are
    compared.
    """
    seeds = runs.roles.seeds
    for when, words in (("start", "from the start"), ("marks", "along training")):
        kinds = {kind: partial(of_kind_in, when=when, easy=kind == "easy") for kind in ("easy", "hard")}
        yield Part(
            part=words,
            statistic="difference in pair coherence of easy and hard examples within a class",
            rule="above",
            bound=0,
            observed=runs.each_replicate(seeds, contrast(kinds["easy"], kinds["hard"])),
            details=f"mean over the classes that have {FEWEST_OF_A_KIND} of both; easy: learned by all other "
            "runs after two epochs; start: step 0; along training: median over a burst, mean over the marks",
        )
        for kind, within_class in kinds.items():
            yield Part(
                part=f"{when}: {kind}",
                statistic="pair coherence within a class",
                rule="shown",
                observed=runs.each_replicate(seeds, within_class),
            )
            yield Part(
                part=f"{when}, any class: {kind}",
                statistic="pair coherence, whatever the class",
                rule="shown",
                observed=runs.each_replicate(seeds, partial(within_class, of_a_class=False)),
            )


@claim("G7", "at the best test accuracy, nearly all that is learned is pristine")
def early_stopping(runs: Mystery) -> Iterator[Part]:
    """At 50 % noise. The base rate is .55.

    A network that makes errors is right on some corrupt examples by chance, and has not learned them. Without
    this, one of a low test accuracy could not meet the bound, however little it memorizes.
    """
    for network in runs.roles.networks:
        shares = (
            ("at the best step", True, "share of the pristine among the learned examples", False),
            (
                "at the best step, chance included",
                True,
                "share of the pristine among the right examples",
                True,
            ),
            ("at the end", False, "share of the pristine among the right examples", True),
        )
        for words, at_best, statistic, by_chance in shares:
            yield Part(
                part=f"{network}, {words}",
                statistic=f"{statistic}, at the {'best test accuracy' if at_best else 'end'}",
                rule="shown" if by_chance else "above",
                bound=PURE,
                scale="logit",
                n_of=runs.examples(network),
                observed=runs.each_replicate(
                    network, partial(purity, network=network, at_best=at_best, by_chance=by_chance)
                ),
                details=""
                if by_chance
                else "learned: right, without as many corrupt ones as are right by "
                "chance, (1 - test accuracy) / (classes - 1)",
            )
        yield Part(
            part=f"{network}, best step over crossing",
            statistic="step of the best test accuracy over that at which the corrupt share of ⟨g, g⟩ passes "
            "their share of the examples",
            rule="shown",
            scale="log",
            observed=runs.each_replicate(network, partial(best_over_crossing, network=network)),
            details="the first burst from a mark on in whose median it does",
        )


def difficulty(runs: Mystery) -> xr.Dataset:
    """What stage difficulty made of the runs of `seeds`."""
    return runs.find("difficulty", runs.roles.seeds, REAL)


def agreement_of(runs: Mystery, replicates: npt.ArrayLike, *, within_classes: bool) -> Observed:
    """κ of what some replicates of `seeds` have learned after two epochs."""

    def kappa(some: Mystery) -> float:
        step = difficulty(some).attrs["step"]
        histories = [some.of(one).find("history", some.roles.seeds, REAL) for one in np.asarray(replicates)]
        right = np.array([st.at_step(history, "correct", step).values for history in histories])
        label = histories[0]["label"].values if within_classes else np.zeros(right.shape[1], int)
        return kappa_within(right.astype(bool), label)

    return st.observe(kappa, runs)


def kappa_within(right: Bools, label: npt.NDArray[np.integer]) -> float:
    """Conger's κ of several raters, against chance within each class.

    Parameters
    ----------
    right : array of bool, shape (rater, example)
        What each run has learned.
    label : array of int, shape (example,)
        The class of each example; the same for all is Conger's κ (1980), where each rater has its own share.

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


def of_kind_in(runs: Mystery, when: str, *, easy: bool, of_a_class: bool = True) -> float:
    """Pair coherence of the easy, or of the hard, examples of a sample; mean over the classes with both."""
    seeds = runs.roles.seeds
    similar, is_easy = runs.find("similarity", seeds, REAL), easy_by_others(runs)
    label = similar["label"].values if of_a_class else np.zeros(len(is_easy), int)
    classes = [label == k for k in np.unique(label)]
    both = [of for of in classes if min(is_easy[of].sum(), (~is_easy)[of].sum()) >= FEWEST_OF_A_KIND]
    if not both:
        where = "no class of the sample" if of_a_class else "not even the whole sample"
        raise st.UndecidedError(f"{where} has {FEWEST_OF_A_KIND} easy and {FEWEST_OF_A_KIND} hard examples")

    def curve(made: xr.Dataset, steps: Bools) -> st.Floats:
        product = made["product"].values[steps]
        of_classes = [group_pair_coherence(product, members & (is_easy == easy)) for members in both]
        return np.asarray(np.mean(of_classes, axis=0))

    if when == "start":
        return marks.median(curve, similar, marks.start(similar))
    return marks.mean_over_marks(curve, similar, runs.find("history", seeds, REAL))


def easy_by_others(runs: Mystery) -> Bools:
    """Which examples of the sample all other runs have learned after two epochs.

    What a run itself has learned is left out, as its gradients are what is compared.
    """
    seeds, of = runs.roles.seeds, difficulty(runs)
    own = st.at_step(runs.find("history", seeds, REAL), "correct", of.attrs["step"]).values.astype(bool)
    in_others = of["right"].values - own == of.attrs["runs"] - 1
    kinds = dict(zip(of["index"].values.tolist(), in_others.tolist(), strict=True))
    sampled = runs.find("similarity", seeds, REAL)["index"].values.tolist()
    return np.array([kinds[index] for index in sampled], np.bool_)


def best_step(history: xr.Dataset) -> int:
    """Place of the logged step of the best test accuracy, the first of several."""
    return int(history["accuracy_test"].values.argmax())


def purity(runs: Mystery, network: str, *, at_best: bool, by_chance: bool) -> float:
    """Share of the pristine among the examples that are right, those by chance included or not."""
    history = runs.find("history", network, HALF)
    place = best_step(history) if at_best else -1
    right = history["correct"].values[place].astype(bool)
    pristine, corrupt = (np.sum(right & st.members(history, pristine=group)) for group in (True, False))
    if not by_chance:
        errors = 1 - float(history["accuracy_test"][place])
        guessed = st.members(history, pristine=False).sum() * errors / (history.attrs["classes"] - 1)
        corrupt = max(corrupt - guessed, 0)
    if not pristine + corrupt:
        raise st.UndecidedError("no example is learned at that step")
    return float(pristine / (pristine + corrupt))


def best_over_crossing(runs: Mystery, network: str) -> float:
    """Step of the best test accuracy over that at which the corrupt share of ⟨g, g⟩ passes their share."""
    history, heldout = (runs.find(kind, network, HALF) for kind in ("history", "heldout"))
    here = heldout.sel(set="training")
    sizes = here["size"].isel(burst_step=0)
    of_corrupt = float(sizes.sel(group="corrupt") / sizes.sel(group="all"))

    def share(made: xr.Dataset, steps: Bools) -> st.Floats:
        product = made["product"].sum("layer").isel(burst_step=steps)
        return np.asarray((product.sel(group="corrupt") / product.sel(group="all")).values)

    best = int(history["step"].values[best_step(history)])
    begun = sorted({*marks.passed(history).values()} - {0})
    after = [step for step in begun if marks.median(share, here, marks.burst_from(here, step)) > of_corrupt]
    if not (after and best):
        raise st.UndecidedError("it never passes" if best else "the best step is the first")
    return best / after[0]
