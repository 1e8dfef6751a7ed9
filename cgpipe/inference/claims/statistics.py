"""What the statistics of the claims have in common: selections of runs, curves of one run, reasons.

A reason says why runs cannot decide, and is empty where they can.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby

import numpy as np
import numpy.typing as npt

from cgpipe.inference.verdicts import Observed
from cgpipe.runs import Run

Floats = npt.NDArray[np.float64]

# Bounds of the criteria, and of the conditions under which a run decides.
MEMORIZED = 0.99  # training accuracy at, or very near, 100 %
CLOSE = 0.1  # between curves that are called close, and between f^p and f^c where they meet
TOLERANCE = 0.01  # of accuracies, for "never exceeds", "falls", "still rising"
HALF = 0.5  # share of examples that a run has to learn before it shows how they are learned
NEARLY = 0.9  # share of the proper accuracy that a run has to reach
EARLY = 10  # steps 0 to 9

MIXED = (0.25, 0.5, 0.75)  # noise levels of figures 2 and 3
EVERY = (0.0, *MIXED, 1.0)  # noise levels of the paper


# --- selections of runs ---------------------------------------------------------------------------


def by(key: Callable[[Run], float], runs: Iterable[Run]) -> Iterator[list[Run]]:
    """Runs in groups of the same key, each in ascending order of noise and winsorization."""
    for _, group in groupby(sorted(runs, key=key), key=key):
        yield sorted(group, key=lambda run: (run.noise, run.winsor))


def each_replicate(runs: Iterable[Run], statistic: Callable[[Sequence[Run]], Observed]) -> list[Observed]:
    """A statistic of the runs of each replicate."""
    return [statistic(replicate) for replicate in by(lambda run: run.replicate, runs)]


def joined(runs: Iterable[Run], others: Iterable[Run]) -> list[tuple[Run, Run]]:
    """Each run with the other one of its noise and replicate; runs for which there is none are left out.

    Parameters
    ----------
    runs : iterable of Run
        The order of the pairs.
    others : iterable of Run
        At most one of a noise level and replicate: analyses of the runs, or runs to compare them with.

    Returns
    -------
    list of (Run, Run)
        A run, and the other one.

    Examples
    --------
    >>> import xarray as xr
    >>> histories = [Run(noise, 0, 0, xr.Dataset()) for noise in (0, 0.5)]
    >>> analyses = [Run(0.5, 0, 0, xr.Dataset())]
    >>> [(run.noise, other.noise) for run, other in joined(histories, analyses)]
    [(0.5, 0.5)]
    """
    by_level = {(other.noise, other.replicate): other for other in others}
    return [(run, by_level[level]) for run in runs if (level := (run.noise, run.replicate)) in by_level]


def mixed(runs: Iterable[Run]) -> list[Run]:
    """Runs with both pristine and corrupt examples; at a noise near 0 there may be no corrupt one."""
    return [run for run in runs if 0 < run.noise < 1 and 0 < share_pristine(run) < 1]


# --- one run --------------------------------------------------------------------------------------


def training_accuracy(run: Run) -> Floats:
    """Training accuracy at each logged step, shape (step,)."""
    return np.asarray(run.data["accuracy_training"].values, np.float64)


def test_accuracy(run: Run) -> Floats:
    """Test accuracy at each logged step, shape (step,)."""
    return np.asarray(run.data["accuracy_test"].values, np.float64)


def classes_of(run: Run) -> int:
    """Number of classes of the data.

    Raises
    ------
    ValueError
        If the history does not have it.
    """
    if "classes" not in run.data.attrs:
        raise ValueError(
            f"the history at noise {run.noise:g}, winsor {run.winsor}, replicate {run.replicate}, lacks the "
            "attribute `classes`, the number of classes of the data. Train that run again, or add it: "
            'history.attrs["classes"] = 10'
        )
    return int(run.data.attrs["classes"])


def share_pristine(run: Run) -> float:
    """Proper accuracy of this very run: that of a network with the true label of every example.

    `cgpipe.runs.proper_accuracy` is its expectation for balanced classes.
    """
    return float(run.data["pristine"].values.mean())


def share_learned(run: Run, *, pristine: bool) -> Floats:
    """Share of the pristine, or the corrupt, examples that are right at each logged step, shape (step,)."""
    group = run.data["pristine"].values.astype(bool) == pristine
    return np.asarray(run.data["correct"].values[:, group].mean(1), np.float64)


def is_rising(run: Run) -> bool:
    """Whether training accuracy still rose in the second half of the run."""
    steps, accuracy = run.data["step"].values, training_accuracy(run)
    return bool(accuracy[-1] - accuracy[steps <= steps[-1] / 2][-1] > TOLERANCE)


def is_low(run: Run, accuracy: float) -> bool:
    """Whether a training accuracy is below nine tenths of proper accuracy."""
    return accuracy < NEARLY * share_pristine(run)


def step_of(run: Run, accuracy: float) -> float:
    """The step at which a training accuracy is first reached, linear between the logged steps."""
    steps, reached = run.data["step"].values, training_accuracy(run)
    at = int(np.argmax(reached >= accuracy))
    if at == 0:
        return float(steps[0])
    part = (accuracy - reached[at - 1]) / (reached[at] - reached[at - 1])
    return float(steps[at - 1] + part * (steps[at] - steps[at - 1]))


# --- reasons --------------------------------------------------------------------------------------


def reason_levels_missing(runs: Sequence[Run], levels: Sequence[float]) -> str:
    """That there are no runs at some of the noise levels that the claim is about."""
    missing = [f"{level:.0%}" for level in levels if level not in {run.noise for run in runs}]
    return f"no runs at {', '.join(missing)} noise" if missing else ""


def reason_early_steps_missing(runs: Sequence[Run]) -> str:
    """That one of steps 0 to 9 was not logged."""
    missing = any(run.data["step"].values[:EARLY].tolist() != list(range(EARLY)) for run in runs)
    return f"steps 0 to {EARLY - 1} were not all logged" if missing else ""


def reason_pristine_not_learned(runs: Sequence[Run]) -> str:
    """That fewer than half of the pristine examples are learned at the end."""
    short = any(share_learned(run, pristine=True)[-1] < HALF for run in runs)
    return "pristine examples are not learned yet" if short else ""


def reason_not_memorized(run: Run) -> str:
    """That the run ends before it memorizes."""
    short = training_accuracy(run)[-1] < MEMORIZED
    return f"training accuracy is below {MEMORIZED:.0%} at the end" if short else ""


def reason_nothing_to_suppress(runs: Sequence[Run]) -> str:
    """That plain SGD does not memorize either in that time, or that there is no run of it."""
    plain = [training_accuracy(run)[-1] for run in runs if run.winsor == 0]
    short = not plain or min(plain) < MEMORIZED
    return f"plain SGD does not come to {MEMORIZED:.0%} training accuracy" if short else ""
