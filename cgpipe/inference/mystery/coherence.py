"""Claims about coherence with real and with random labels, G1 to G3, at marks of the training loss."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from cgpipe.inference.claims.statistics import UndecidedError
from cgpipe.inference.heldout import with_coherence
from cgpipe.inference.mystery import marks
from cgpipe.inference.mystery.marks import RANDOM, REAL, Curve
from cgpipe.inference.mystery.runs import Mystery, claim, contrast
from cgpipe.inference.verdicts import Part

AT_MARKS = "between medians over bursts of steps, at equal training loss; mean over the marks of it"
RETURNED = float(np.log(3))
FAR = float(np.log(2))  # "far larger"
WHEN = {"early": (1.0, np.inf), "late": (0.0, np.nextafter(1.0, 0.0))}  # training losses, nats


@claim("G1", "real labels give a far larger coherence than random ones, for every network")
def real_and_random(runs: Mystery) -> Iterator[Part]:
    """On training examples; on held-out ones among those of like loss, as most others are fitted or not."""
    for network in runs.roles.networks:
        for words, statistic, curve, rule in (
            ("training", "log ratio of m-coherence, training examples", marks.log_m_coherence(), "above"),
            (
                "held-out of like loss",
                "difference in pair coherence, held-out examples near the loss of a guess",
                marks.pairs("held-out", "near chance"),
                "above",
            ),
            (
                "held-out",
                "log ratio of m-coherence, held-out examples",
                marks.log_m_coherence("held-out"),
                "shown",
            ),
            ("cosine", "difference in mean cosine, training examples", marks.cosines("training"), "shown"),
            (
                "cosine, held-out",
                "difference in mean cosine, held-out examples",
                marks.cosines("held-out"),
                "shown",
            ),
        ):
            yield Part(
                part=f"{network}, {words}",
                statistic=statistic,
                rule=rule,  # type: ignore[arg-type]
                bound=FAR if words == "training" else 0,
                observed=runs.each_replicate(
                    network, partial(real_over_random, network=network, curve=curve)
                ),
                details=AT_MARKS,
            )
        yield Part(
            part=f"{network}, displacement",
            statistic="log ratio of the coherence of the displacement",
            rule="shown",
            observed=runs.each_replicate(network, partial(of_displacement, network=network)),
            details="‖T‖² over the squared norms of the gradients it is made of; mean over the windows that "
            "both runs have",
        )


@claim("G2", "coherence starts low, rises to a maximum while the loss falls, and returns to 1")
def rise_and_fall(runs: Mystery) -> Iterator[Part]:
    """Real labels, training examples. A maximum over single steps would be one of chance."""
    for network in runs.roles.networks:
        middle = partial(level, network=network, place="middle")
        for place, words in (("start", "rises from the start"), ("end", "falls to the end")):
            yield Part(
                part=f"{network}, {words}",
                statistic=f"log m-coherence in the middle less that at the {place}",
                rule="above",
                bound=0,
                observed=runs.each_replicate(
                    network, contrast(middle, partial(level, network=network, place=place))
                ),
                details="middle: mean over the marks of 0.5 to 1.5 nats; start: step 0",
            )
        yield Part(
            part=f"{network}, returns to 1",
            statistic="log m-coherence at the end",
            rule="within",
            bound=RETURNED,
            observed=runs.each_replicate(network, partial(level, network=network, place="end")),
            details="bound: log 3",
        )


@claim("G3", "convolutional layers are more coherent than the last fully connected one")
def layers(runs: Mystery) -> Iterator[Part]:
    """Networks without convolutions are left out.

    Early and late in training are judged apart, as the mean over both would hide a reversal.
    """
    for network in runs.roles.networks:
        has_both = runs.each_replicate(network, partial(convolutional_over_last, network=network, noise=REAL))
        if has_both and all(one.reason == NO_CONVOLUTION for one in has_both.values()):
            continue
        for noise, words in ((REAL, "real labels"), (RANDOM, "random labels")):
            for when, (low, high) in WHEN.items():
                of_these = partial(convolutional_over_last, network=network, noise=noise, low=low, high=high)
                yield Part(
                    part=f"{network}, {words}, {when}",
                    statistic="log α of all convolutional layers together less that of the last fully "
                    "connected layer",
                    rule="above" if noise == REAL else "shown",
                    bound=0,
                    observed=runs.each_replicate(network, of_these),
                    details=f"training examples; {AT_MARKS}; early: from 1 nat on, late: below",
                )


NO_CONVOLUTION = "the network has no convolutional layer, or no fully connected one"


def real_over_random(runs: Mystery, network: str, curve: Curve) -> float:
    """Mean over the marks of a curve with real labels less that with random ones."""
    real, random = (marks.at_marks(runs, network, noise, curve) for noise in (REAL, RANDOM))
    return marks.mean_difference(real, random)


def level(runs: Mystery, network: str, place: str) -> float:
    """Log m-coherence with real labels in the `middle` of a run, at its `start` or at its `end`."""
    heldout, curve = runs.find("heldout", network, REAL), marks.log_m_coherence()
    if place == "middle":
        return marks.mean_of_middle(marks.at_marks(runs, network, REAL, curve))
    return marks.median(curve, heldout, (marks.start if place == "start" else marks.end)(heldout))


def of_displacement(runs: Mystery, network: str) -> float:
    """Mean over the windows of log ‖T‖²/Σ ω²‖g_e‖², with real labels less with random ones."""

    def by_window(noise: float) -> dict[float, float]:
        made = runs.find("displacement", network, noise)
        of = np.log(made["way"].values / made["squared_norm_sum"].sum("example").values)
        return dict(zip(made["step"].values.tolist(), of.tolist(), strict=True))

    return marks.mean_difference(by_window(REAL), by_window(RANDOM))


def convolutional_over_last(
    runs: Mystery, network: str, noise: float, low: float = 0, high: float = np.inf
) -> float:
    """Mean over the marks from `low` to `high` of log α of the convolutions less that of the last linear."""
    parts = "convolutional", "last linear"
    kinds = with_coherence(runs.find("heldout", network, noise).isel(burst_step=[0]))["m_coherence"]
    if kinds.sel(set="training", group="all", part=list(parts)).isnull().any():
        raise UndecidedError(NO_CONVOLUTION)
    of_both = (marks.at_marks(runs, network, noise, marks.log_m_coherence(part=part)) for part in parts)
    convolutional, last = (marks.between(of, low, high) for of in of_both)
    return marks.mean_difference(convolutional, last, fewest=1)
