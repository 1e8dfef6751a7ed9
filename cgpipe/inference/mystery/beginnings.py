"""Claims about stability, initial weights and width, G9 to G11."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import Literal, get_args

import numpy as np
import xarray as xr

from cgpipe.inference.claims import statistics as st
from cgpipe.inference.curves import mean_over_log_steps
from cgpipe.inference.mystery import marks
from cgpipe.inference.mystery.marks import RANDOM, REAL
from cgpipe.inference.mystery.runs import Mystery, claim, contrast
from cgpipe.inference.verdicts import Part, logit

Distance = Literal["parameters", "parameters over their way", "predictions"]


@claim("G9", "training with a few examples replaced ends closer where coherence is larger")
def stability(runs: Mystery) -> Iterator[Part]:
    """Real against random labels; twins share initial weights and the order of minibatches.

    With random labels parameters travel further, so their distance is judged over the way travelled, too.
    """
    for twin in runs.roles.twins:
        for of in get_args(Distance):
            at_end, means = (
                contrast(
                    *(partial(level, twin=twin, of=of, noise=noise, mean=mean) for noise in (RANDOM, REAL))
                )
                for mean in (False, True)
            )
            for when, value, details in (
                ("", at_end, "at the end"),
                (
                    ", at equal loss",
                    partial(at_equal_loss, twin=twin, of=of),
                    "mean over the marks of the training loss that both pass",
                ),
                (", mean", means, "mean over log10(step + 1)"),
            ):
                yield Part(
                    part=f"{twin}, {of}{when}",
                    statistic=f"log distance of the {of} of twins, random less real labels",
                    rule="shown" if when else "above",
                    bound=0,
                    observed=runs.each_replicate(twin, value),
                    details=details,
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
        observed=runs.each_replicate(ours, partial(accuracy, experiment=ours, curve="training")),
    )
    yield Part(
        part="generalizes worse",
        statistic="difference in the logit of test accuracy at the end, random less adversarial weights",
        rule="above",
        bound=0,
        observed=runs.each_replicate(
            ours, contrast(*(partial(logit_of_test, experiment=name) for name in (other, ours)))
        ),
    )
    yield Part(
        part="less coherent",
        statistic="log ratio of m-coherence at the start, random over adversarial weights",
        rule="above",
        bound=0,
        observed=runs.each_replicate(
            ours, contrast(*(partial(at_start, experiment=name) for name in (other, ours)))
        ),
        details="training examples; step 0",
    )
    yield from values_of(runs, (other, ours))


@claim("G11", "wider networks generalize better, and begin with more coherent gradients")
def width(runs: Mystery) -> Iterator[Part]:
    """One hidden layer. The trend is judged: from one of the wide networks to the next little changes."""
    widths = runs.roles.widths
    for words, statistic, value in (
        ("test accuracy", "the logit of test accuracy at the end", logit_of_test),
        ("coherence", "log m-coherence at the start", at_start),
    ):
        details = "" if value is logit_of_test else "training examples; step 0"
        yield Part(
            part=f"{words}, by width",
            statistic=f"slope of {statistic}, from each width to the next",
            rule="above",
            bound=0,
            observed=runs.each_replicate(widths[-1], partial(slope, value=value)) if widths else {},
            details="; ".join(filter(None, ["least squares over the order of the widths", details])),
        )
        for narrow, wide in pairwise(widths):
            yield Part(
                part=f"{words}, {wide} over {narrow}",
                statistic=f"difference in {statistic}",
                rule="shown",
                bound=0,
                observed=runs.each_replicate(
                    wide, contrast(partial(value, experiment=wide), partial(value, experiment=narrow))
                ),
                trend=words,
                details=details,
            )
    yield from values_of(runs, widths)


def slope(runs: Mystery, value: Callable[[Mystery, str], float]) -> float:
    """Rise of a statistic from each width to the next, by least squares.

    Raises
    ------
    UndecidedError
        If there are fewer than two widths.
    """
    levels = np.array([value(runs, experiment) for experiment in runs.roles.widths])
    if len(levels) < 2:
        raise st.UndecidedError("there is one width, and a slope takes two")
    place = np.arange(len(levels)) - (len(levels) - 1) / 2
    return float(place @ levels / (place @ place))


def values_of(runs: Mystery, experiments: Sequence[str]) -> Iterator[Part]:
    """Test accuracy at the end and m-coherence at the start, as figure beginnings shows them."""
    for name in experiments:
        yield Part(
            part=f"test accuracy: {name}",
            statistic="test accuracy at the end",
            rule="shown",
            observed=runs.each_replicate(name, partial(accuracy, experiment=name, curve="test")),
        )
        yield Part(
            part=f"m-coherence: {name}",
            statistic="m-coherence at the start",
            rule="shown",
            observed=runs.each_replicate(name, partial(m_coherence_at_start, experiment=name)),
            details="training examples; step 0",
        )


def distances(runs: Mystery, twin: str, of: Distance, noise: float) -> tuple[st.Floats, st.Floats]:
    """Steps, and the log of the distance between twins at each; NaN where they are one and the same.

    They are so until the first replaced example comes.
    """
    twins = runs.find("twins", twin, noise)
    values = twins["variation"].values if of == "predictions" else _over_layers(twins["distance"])
    if of == "parameters over their way":
        way = _over_layers(twins["travelled"])
        values = values / np.where(way > 0, way, np.nan)
    return twins["step"].values, np.log(np.where(values > 0, values, np.nan))


def level(runs: Mystery, twin: str, of: Distance, noise: float, *, mean: bool) -> float:
    """Log distance between twins at the end, or its mean over the logarithm of the steps."""
    steps, logs = distances(runs, twin, of, noise)
    return mean_over_log_steps(steps, logs) if mean else float(logs[-1])


def at_equal_loss(runs: Mystery, twin: str, of: Distance) -> float:
    """Log distance with random labels less with real ones, mean over the marks that both pass."""

    def by_mark(noise: float) -> dict[float, float]:
        steps, logs = distances(runs, twin, of, noise)
        passed = marks.passed(runs.find("history", twin, noise))
        return {mark: float(np.interp(np.log1p(at), np.log1p(steps), logs)) for mark, at in passed.items()}

    return marks.mean_difference(by_mark(RANDOM), by_mark(REAL))


def _over_layers(norms: xr.DataArray) -> st.Floats:
    """Norm of all parameters, (step,), of those of each layer."""
    return np.asarray(np.sqrt(np.square(norms.values).sum(1)))


def logit_of_test(runs: Mystery, experiment: str) -> float:
    """Empirical logit of test accuracy at the end."""
    history = runs.find("history", experiment, REAL)
    return logit(st.final(history, "test"), history.sizes["test_example"])


def at_start(runs: Mystery, experiment: str) -> float:
    """Log m-coherence at the start."""
    heldout = runs.find("heldout", experiment, REAL)
    return marks.median(marks.log_m_coherence(), heldout, marks.start(heldout))


def m_coherence_at_start(runs: Mystery, experiment: str) -> float:
    """m-coherence at the start."""
    return float(np.exp(at_start(runs, experiment)))


def accuracy(runs: Mystery, experiment: str, curve: str) -> float:
    """Accuracy at the end."""
    return st.final(runs.find("history", experiment, REAL), curve)
