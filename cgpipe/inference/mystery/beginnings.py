"""Claims about stability, initial weights and width, G9 to G11."""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import Literal

import numpy as np

from cgpipe.inference.claims import statistics as st
from cgpipe.inference.curves import mean_over_log_steps
from cgpipe.inference.mystery import marks
from cgpipe.inference.mystery.marks import RANDOM, REAL
from cgpipe.inference.mystery.runs import Mystery, claim
from cgpipe.inference.verdicts import Part, logit

Distance = Literal["parameters", "predictions"]


@claim("G9", "training with a few examples replaced ends closer where coherence is larger")
def stability(runs: Mystery) -> Iterator[Part]:
    """Real against random labels; twins share initial weights and the order of minibatches."""
    for twin in runs.roles.twins:
        for of in ("parameters", "predictions"):
            value = partial(distance, twin=twin, of=of)

            def farther(some: Mystery, value=value, *, at_end: bool) -> float:  # type: ignore[no-untyped-def]
                difference: float = value(some, noise=RANDOM, at_end=at_end) - value(
                    some, noise=REAL, at_end=at_end
                )
                return difference

            for at_end in (False, True):
                yield Part(
                    part=f"{twin}, {of}" + (", at the end" if at_end else ""),
                    statistic=f"log distance of the {of} of twins, random less real labels",
                    rule="shown" if at_end else "above",
                    bound=0,
                    observed=runs.each_replicate(twin, partial(farther, at_end=at_end)),
                    details="at the end" if at_end else "mean over log10(step + 1)",
                )


@claim("G10", "from adversarial weights a network fits, but generalizes worse, with less coherent gradients")
def adversarial(runs: Mystery) -> Iterator[Part]:
    """Adversarial weights were trained on random labels of distorted images first."""
    ours, other = runs.roles.adversarial_start, runs.roles.random_start
    yield Part(
        part="fits",
        statistic="training accuracy at the end, from adversarial weights",
        rule="above",
        bound=st.MEMORIZED,
        scale="logit",
        n_of=runs.examples(ours),
        observed=runs.each_replicate(ours, lambda some: st.final(some.find("history", ours, REAL))),
    )
    yield Part(
        part="generalizes worse",
        statistic="difference in the logit of test accuracy at the end, random less adversarial weights",
        rule="above",
        bound=0,
        observed=runs.each_replicate(
            ours, lambda some: logit_of_test(some, other) - logit_of_test(some, ours)
        ),
    )
    yield Part(
        part="less coherent",
        statistic="log ratio of m-coherence at the start, random over adversarial weights",
        rule="above",
        bound=0,
        observed=runs.each_replicate(ours, lambda some: at_start(some, other) - at_start(some, ours)),
        details="training examples; median of steps 0 to 4",
    )
    yield from values_of(runs, (other, ours))


@claim("G11", "wider networks generalize better, and begin with more coherent gradients")
def width(runs: Mystery) -> Iterator[Part]:
    """One hidden layer."""
    for narrow, wide in pairwise(runs.roles.widths):
        for words, statistic, value in (
            ("test accuracy", "difference in the logit of test accuracy at the end", logit_of_test),
            ("coherence", "log ratio of m-coherence at the start", at_start),
        ):

            def gain(some: Mystery, value=value, pair=(wide, narrow)) -> float:  # type: ignore[no-untyped-def]
                difference: float = value(some, pair[0]) - value(some, pair[1])
                return difference

            yield Part(
                part=f"{words}, {wide} over {narrow}",
                statistic=statistic,
                rule="above",
                bound=0,
                observed=runs.each_replicate(wide, gain),
                trend=words,
                details="" if value is logit_of_test else "training examples; median of steps 0 to 4",
            )
    yield from values_of(runs, runs.roles.widths)


def values_of(runs: Mystery, experiments: Sequence[str]) -> Iterator[Part]:
    """Test accuracy at the end and m-coherence at the start, as figure beginnings shows them."""
    for name in experiments:
        yield Part(
            part=f"test accuracy: {name}",
            statistic="test accuracy at the end",
            rule="shown",
            observed=runs.each_replicate(
                name, lambda some, of=name: st.final(some.find("history", of, REAL), "test")
            ),
        )
        yield Part(
            part=f"m-coherence: {name}",
            statistic="m-coherence at the start",
            rule="shown",
            observed=runs.each_replicate(name, lambda some, of=name: float(np.exp(at_start(some, of)))),
            details="training examples; median of steps 0 to 4",
        )


def distance(runs: Mystery, twin: str, of: Distance, noise: float, *, at_end: bool) -> float:
    """Log of the distance between twins."""
    twins = runs.find("twins", twin, noise)
    if of == "parameters":
        values = np.sqrt(np.square(twins["distance"].values).sum(1))  # (step,), over the layers
    else:
        values = twins["variation"].values
    with np.errstate(divide="ignore"):
        logs = np.log(values)
    if at_end:
        return float(logs[-1])
    # Twins are one and the same until the first replaced example comes.
    return mean_over_log_steps(twins["step"].values, np.where(np.isfinite(logs), logs, np.nan))


def logit_of_test(runs: Mystery, experiment: str) -> float:
    """Empirical logit of test accuracy at the end."""
    history = runs.find("history", experiment, REAL)
    return logit(st.final(history, "test"), history.sizes["test_example"])


def at_start(runs: Mystery, experiment: str) -> float:
    """Log m-coherence at the start."""
    heldout = runs.find("heldout", experiment, REAL)
    return marks.median(marks.log_m_coherence(), heldout, marks.start(heldout))
