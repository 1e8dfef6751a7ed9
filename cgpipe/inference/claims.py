"""The claims of the paper as tests (Chatterjee 2020; C1 to C12 of docs/science.md).

Each claim is a statistic of the artifacts with a criterion that was fixed before any run of the paper's size
(but for one, see docs/science.md), so a claim may fail. A claim about all levels of noise (or of c) is judged
at its least favourable level. Conditions on how far a run came keep those that are too short from deciding.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr
from scipy import stats

from cgpipe.inference.decades import decades
from cgpipe.inference.verdicts import Criterion, Finding, Observed, trend

Floats = npt.NDArray[np.float64]

# Bounds of the criteria, and of the conditions under which a run can say something.
MEMORIZED = 0.99  # training accuracy that is at, or very near, 100 %
CLOSE = 0.1  # between curves that are called close, and between f^p and f^c where they meet
TOLERANCE = 0.01  # of accuracies, for "never exceeds", "falls", "still rising"
ALIKE = 0.02  # of test accuracies that are called alike
MOSTLY = 0.95  # share of null worlds that do not cross
EARLY = 10  # steps 0 to 9
HALF = 0.5  # share of examples learned, so that a run says something of how they are learned
RISING = (0.2, 0.9)  # accuracies between which a curve is on its way

MIXED = (0.25, 0.5, 0.75)  # noise levels of figures 2 and 3
EVERY = (0.0, *MIXED, 1.0)  # noise levels of the paper


class Cell(NamedTuple):
    """One run and what was found of it."""

    noise: float
    winsor: int
    replicate: int
    history: xr.Dataset  # of stage train
    coherence: xr.Dataset | None = None
    nullworlds: xr.Dataset | None = None  # exact


class Runs(NamedTuple):
    """The runs that the claims are about."""

    label_noise: Sequence[Cell]  # plain SGD
    winsorization: Sequence[Cell]
    full_batch: Sequence[Cell]


def findings(runs: Runs) -> list[Finding]:
    """All claims, in order.

    Parameters
    ----------
    runs : Runs
        Each experiment may be empty; its claims are then inconclusive.

    Returns
    -------
    list of Finding
        One or several for each claim.
    """
    tested = (
        *_memorization(runs.label_noise),
        *_order_of_learning(runs.label_noise),
        *_early_gradients(runs.label_noise),
        *_fractions(runs.label_noise),
        *_null_worlds(runs.label_noise),
        *_first_contributions(runs.label_noise),
        *_winsorized(runs.winsorization),
        _full_batch(runs.full_batch, runs.winsorization),
    )
    return sorted(tested, key=lambda finding: int(finding.claim[1:]))


# --- C1, C2: learning curves ----------------------------------------------------------------------


def _memorization(cells: Sequence[Cell]) -> Iterator[Finding]:
    def final(of: Sequence[Cell]) -> Observed:
        least = min(of, key=lambda cell: _training(cell)[-1])
        reached = _training(least)[-1]
        short = _rising(least) or reached < HALF
        return Observed(
            reached,
            cannot_fail="training accuracy is still rising, or has yet to" if short else "",
            cannot_hold=_lacking(of, EVERY),
        )

    yield Finding(
        "C1",
        "training accuracy at the end, at the noise level that gets least far",
        Criterion("≥", MEMORIZED),
        _each_replicate(cells, final),
    )

    def order(accuracy: float) -> Callable[[Sequence[Cell]], Observed]:
        def reached(of: Sequence[Cell]) -> Observed:
            if any(_training(cell).max() < accuracy for cell in of):
                return Observed(np.nan, cannot_say="not every noise level reaches it")
            steps = [_step_of(cell, accuracy) for cell in of]
            between = {int(np.searchsorted(of[0].history["step"], step)) for step in steps}
            if len(between) < min(4, len(of)):
                return Observed(np.nan, cannot_say="most levels reach it between the same two logged steps")
            return trend([cell.noise for cell in of], steps, "grows")

        return reached

    for accuracy in (0.5, 0.9, MEMORIZED):
        yield Finding(
            "C2",
            f"Kendall's τ between noise and the step at which {accuracy:.0%} training accuracy is reached",
            Criterion(">", 0),
            _each_replicate(cells, order(accuracy)),
        )


# --- C3: pristine before corrupt ------------------------------------------------------------------


def _order_of_learning(cells: Sequence[Cell]) -> Iterator[Finding]:
    def before(of: Sequence[Cell]) -> Observed:
        both = _mixed(of)
        found = [_pristine_first(cell) for cell in both]
        if not found:
            return Observed(np.nan)
        short = any(_share(cell, pristine=True)[-1] < HALF for cell in both)
        return Observed(
            float(np.min([share for share, _ in found])),
            float(np.max([p for _, p in found])),
            cannot_hold=_lacking(both, MIXED),
            cannot_say="pristine examples are not learned yet" if short else "",
        )

    yield Finding(
        "C3",
        "chance that a pristine example is learned before a corrupt one, at the least favourable noise",
        Criterion(">", 0.5),
        _each_replicate(cells, before),
    )

    def distance(pristine: bool) -> Callable[[Sequence[Cell]], Observed]:
        def largest(of: Sequence[Cell]) -> Observed:
            pure = next((cell for cell in of if cell.noise == (0 if pristine else 1)), None)
            if pure is None or not _mixed(of):
                return Observed(np.nan)
            apart = [_mean_distance(_share(cell, pristine=pristine), _training(pure)) for cell in _mixed(of)]
            short = _training(pure)[-1] < MEMORIZED
            return Observed(
                float(np.max(apart)),
                cannot_hold=_lacking(_mixed(of), MIXED),
                cannot_say="the curve to be close to has not come to its end" if short else "",
            )

        return largest

    for pristine, group, pure in ((True, "pristine", "0 %"), (False, "corrupt", "100 %")):
        yield Finding(
            "C3",
            f"mean distance between the share of {group} examples learned and the curve at {pure} noise "
            "while they rise, at the noise where it is largest",
            Criterion("≤", CLOSE),
            _each_replicate(cells, distance(pristine)),
        )

    def rate(of: Sequence[Cell]) -> Observed:
        some = [cell for cell in of if cell.noise < 1 and _proper(cell) > 0]
        short = any(_share(cell, pristine=True)[-1] < HALF for cell in some)
        found = trend(
            [cell.noise for cell in some], [_share(c, pristine=True)[1:].mean() for c in some], "falls"
        )
        return found._replace(
            cannot_say=found.cannot_say or ("pristine examples are not learned yet" if short else "")
        )

    yield Finding(
        "C3",
        "Kendall's τ between noise and the mean share of pristine examples learned over the logged steps",
        Criterion("<", 0),
        _each_replicate(cells, rate),
    )


# --- C4: early gradients --------------------------------------------------------------------------


def _early_gradients(cells: Sequence[Cell]) -> Iterator[Finding]:
    def size(of: Sequence[Cell]) -> Observed:
        known = [(cell.noise, cell.coherence) for cell in of if cell.coherence is not None]
        early = [
            float(np.log(found["squared_norm"].sel(group="all", part="network").values[:EARLY]).mean())
            for _, found in known
        ]
        found = trend([noise for noise, _ in known], early, "falls")
        return found._replace(cannot_say=found.cannot_say or _not_early(of))

    yield Finding(
        "C4",
        "Kendall's τ between noise and the mean of log ‖g‖² over steps 0 to 9",
        Criterion("<", 0),
        _each_replicate(cells, size),
    )


# --- C5, C6: fractions of the gradient ------------------------------------------------------------


def _fractions(cells: Sequence[Cell]) -> Iterator[Finding]:
    # Of f^p - f^c by decades of steps: what is left of one step is fluctuation.
    def starts(cell: Cell, apart: Floats) -> Observed:
        return Observed(apart[0], cannot_say=_not_early([cell]))

    def crosses(cell: Cell, apart: Floats) -> Observed:
        below = "" if apart[0] > 0 else "f^p does not start above f^c"
        later = float(apart[1:].min()) if len(apart) > 1 else np.nan
        return Observed(later, cannot_hold=below, cannot_fail=_unfinished(cell))

    def ends(cell: Cell, apart: Floats) -> Observed:
        return Observed(abs(apart[-1]), cannot_say=_unfinished(cell))

    for noise in (0.25, 0.5):
        for statistic, criterion, of in (
            ("mean of f^p - f^c over steps 0 to 9", Criterion(">", 0), starts),
            ("smallest mean of f^p - f^c over a later decade of steps", Criterion("<", 0), crosses),
            ("|mean of f^p - f^c| over the last decade of steps", Criterion("≤", CLOSE), ends),
        ):
            yield Finding("C5", f"{statistic}, {noise:.0%} noise", criterion, _apart(cells, noise, of))

    def changes(cell: Cell, apart: Floats) -> Observed:
        return Observed(float((np.diff(apart > 0)).sum()), cannot_hold=_unfinished(cell))

    def drift(cell: Cell, apart: Floats) -> Observed:
        # f^p - f^c = 2 f^p - 1.
        return Observed(float(apart[-1] - apart[0]) / 2, cannot_say=_unfinished(cell))

    yield Finding(
        "C6",
        "how often the means of f^p and f^c over decades of steps cross, 75% noise",
        Criterion("≤", 0),
        _apart(cells, 0.75, changes),
    )
    yield Finding(
        "C6",
        "mean of f^p over the last decade of steps less that over steps 0 to 9, 75% noise",
        Criterion("<", 0),
        _apart(cells, 0.75, drift),
    )


# --- C7, C8: null worlds --------------------------------------------------------------------------


def _null_worlds(cells: Sequence[Cell]) -> Iterator[Finding]:
    above: dict[float, tuple[str, tuple[str, ...]]] = {
        0.25: ("f^p stays above f^c", ("pristine",)),
        0.5: ("f^p and f^c do not cross", ("pristine", "corrupt")),
        0.75: ("f^c stays above f^p", ("corrupt",)),
    }
    for noise, (what, groups) in above.items():
        yield Finding(
            "C7",
            f"share of the null worlds in which {what}, {noise:.0%} noise",
            Criterion("≥", MOSTLY),
            [
                Observed(
                    sum(float(worlds[f"f_null_{group}_above"]) for group in groups),
                    cannot_hold=_unfinished(cell),
                )
                for cell, worlds in _with_worlds(cells, noise)
            ],
        )


def _first_contributions(cells: Sequence[Cell]) -> Iterator[Finding]:
    for noise in MIXED:
        yield Finding(
            "C8",
            f"smallest (i^p - i^c) / (|i^p| + |i^c|) over steps 0 to 9, {noise:.0%} noise",
            Criterion(">", 0),
            [
                Observed(
                    float(worlds["i_lead"]),
                    float(worlds["i_lead_p"]),
                    cannot_say=_not_early([cell]),
                )
                for cell, worlds in _with_worlds(cells, noise)
            ],
        )


# --- C9 to C11: winsorized SGD --------------------------------------------------------------------


def _winsorized(cells: Sequence[Cell]) -> Iterator[Finding]:
    noisy = [cell for cell in cells if cell.noise > 0]
    for c in sorted({cell.winsor for cell in cells if cell.winsor > 1}) or [2]:

        def excess(of: Sequence[Cell], c: int = c) -> Observed:
            some = [_training(cell).max() - _proper(cell) for cell in of if cell.winsor == c]
            return Observed(
                float(np.max(some)) if some else np.nan,
                cannot_hold=_lacking(of, EVERY[1:]) or _memorizes_nothing(of),
            )

        yield Finding(
            "C9",
            f"training accuracy above proper accuracy, most over the steps and noise levels, c = {c}",
            Criterion("≤", TOLERANCE),
            _each_replicate(noisy, excess),
        )

    def worst_trend(value: Callable[[Cell], float]) -> Callable[[Sequence[Cell]], Observed]:
        def largest(of: Sequence[Cell]) -> Observed:
            found = [
                trend([cell.winsor for cell in level], [value(cell) for cell in level], "falls")
                for level in _by(lambda cell: cell.noise, of)
            ]
            reason = next((seen.cannot_say for seen in found if seen.cannot_say), "")
            p = [seen.p for seen in found if seen.p is not None]
            return Observed(
                float(np.max([seen.value for seen in found])),
                float(np.max(p)) if p else None,
                cannot_say=reason or _memorizes_nothing(of),
            )

        return largest

    yield Finding(
        "C10",
        "Kendall's τ between c and the growth of overfit a decade of steps, at the least favourable noise",
        Criterion("<", 0),
        _each_replicate(noisy, worst_trend(_overfit_growth)),
    )
    some = [cell for cell in cells if cell.noise < 1]
    yield Finding(
        "C11",
        "Kendall's τ between c and training accuracy at the end, at the least favourable noise below 100 %",
        Criterion("<", 0),
        _each_replicate(some, worst_trend(lambda cell: float(_training(cell)[-1]))),
    )

    def fall(of: Sequence[Cell]) -> Observed:
        largest = max(cell.winsor for cell in of)
        falls = [
            min(curve.max() - curve[-1] for curve in (_training(cell), cell.history["accuracy_test"].values))
            for cell in of
            if cell.winsor == largest
        ]
        at_largest = [cell for cell in of if cell.winsor == largest]
        rising = any(_rising(cell) for cell in at_largest)
        low = any(_training(cell).max() < 0.9 * _proper(cell) for cell in at_largest)
        return Observed(
            float(np.min(falls)),
            cannot_fail="training accuracy is still rising" if rising else "",
            cannot_say="no large c"
            if largest < 2
            else "training accuracy stays below nine tenths of proper accuracy" * low,
        )

    yield Finding(
        "C11",
        "fall of training and of test accuracy from their peaks, at the largest c and the noise below 100 % "
        "where it is smallest",
        Criterion(">", TOLERANCE),
        _each_replicate(some, fall),
    )


# --- C12: full batch ------------------------------------------------------------------------------


def _full_batch(full: Sequence[Cell], stochastic: Sequence[Cell]) -> Finding:
    plain = {(cell.noise, cell.replicate): cell for cell in stochastic if cell.winsor == 0}

    def apart(of: Sequence[Cell]) -> Observed:
        found, short = [], ""
        for cell in of:
            beside = plain[cell.noise, cell.replicate]
            accuracy = min(_training(cell).max(), _training(beside).max())
            if accuracy < 0.9 * _proper(cell):
                short = "training accuracy is below nine tenths of proper accuracy"
            found.append(abs(_test_at(cell, accuracy) - _test_at(beside, accuracy)))
        return Observed(float(np.max(found)), cannot_say=short)

    paired = [cell for cell in full if (cell.noise, cell.replicate) in plain]
    return Finding(
        "C12",
        "difference in test accuracy between full-batch descent and SGD at the same training accuracy, at "
        "the noise where it is largest",
        Criterion("≤", ALIKE),
        _each_replicate(paired, apart),
    )


# --- what the statistics are made of --------------------------------------------------------------


def _by(key: Callable[[Cell], float], cells: Iterable[Cell]) -> Iterator[list[Cell]]:
    for _, of in groupby(sorted(cells, key=key), key=key):
        yield sorted(of, key=lambda cell: (cell.noise, cell.winsor))


def _each_replicate(cells: Iterable[Cell], statistic: Callable[[Sequence[Cell]], Observed]) -> list[Observed]:
    return [statistic(of) for of in _by(lambda cell: cell.replicate, cells)]


def _apart(
    cells: Sequence[Cell], noise: float, statistic: Callable[[Cell, Floats], Observed]
) -> list[Observed]:
    """A statistic of f^p - f^c at a noise level, averaged over decades of steps."""
    found = []
    for cell, worlds in _with_worlds(cells, noise):
        f = worlds["f"]
        apart = f.sel(group="pristine").values - f.sel(group="corrupt").values
        decade = decades(f["step"].values)
        by_decade = np.array([apart[decade == d].mean() for d in np.unique(decade)])
        found.append(statistic(cell, by_decade))
    return found


def _lacking(of: Sequence[Cell], levels: Sequence[float]) -> str:
    """Which noise levels that the claim is about there are no runs of."""
    lacking = [f"{level:.0%}" for level in levels if level not in {cell.noise for cell in of}]
    return f"no runs at {', '.join(lacking)} noise" if lacking else ""


def _not_early(of: Sequence[Cell]) -> str:
    """Whether one of steps 0 to 9 was not logged."""
    short = any(cell.history["step"].values[:EARLY].tolist() != list(range(EARLY)) for cell in of)
    return f"steps 0 to {EARLY - 1} were not all logged" if short else ""


def _memorizes_nothing(of: Sequence[Cell]) -> str:
    """Whether plain SGD does not memorize either by then, so that there is nothing to suppress."""
    plain = [_training(cell)[-1] for cell in of if cell.winsor == 0]
    short = not plain or min(plain) < MEMORIZED
    return f"plain SGD does not come to {MEMORIZED:.0%} training accuracy" if short else ""


def _mean_distance(one: Floats, other: Floats) -> float:
    """Over the logged steps at which either curve is on its way."""
    low, high = RISING
    rising = ((one > low) & (one < high)) | ((other > low) & (other < high))
    return float(np.abs(one - other)[rising].mean()) if rising.any() else np.nan


def _mixed(cells: Sequence[Cell]) -> list[Cell]:
    """Runs of both pristine and corrupt examples; at a noise near 0 there may be no corrupt one."""
    return [cell for cell in cells if 0 < cell.noise < 1 and 0 < _proper(cell) < 1]


def _with_worlds(cells: Sequence[Cell], noise: float) -> list[tuple[Cell, xr.Dataset]]:
    """Runs at a noise level in which there was something to permute, and their null worlds."""
    return [(c, c.nullworlds) for c in _mixed(cells) if c.noise == noise and c.nullworlds is not None]


def _training(cell: Cell) -> Floats:
    return np.asarray(cell.history["accuracy_training"].values, np.float64)


def _proper(cell: Cell) -> float:
    """Accuracy of a network that gets all pristine and no corrupt example right."""
    return float(cell.history["pristine"].values.mean())


def _share(cell: Cell, *, pristine: bool) -> Floats:
    """Share of the pristine, or the corrupt, examples that are right at each logged step."""
    of_group = cell.history["pristine"].values.astype(bool) == pristine
    return np.asarray(cell.history["correct"].values[:, of_group].mean(1), np.float64)


def _unfinished(cell: Cell) -> str:
    done = _training(cell)[-1] >= MEMORIZED
    return "" if done else f"training accuracy is below {MEMORIZED:.0%} at the end"


def _rising(cell: Cell) -> bool:
    """Whether training accuracy still rose in the second half of the run."""
    steps, accuracy = cell.history["step"].values, _training(cell)
    return bool(accuracy[-1] - accuracy[steps <= steps[-1] / 2][-1] > TOLERANCE)


def _step_of(cell: Cell, accuracy: float) -> float:
    """The step at which a training accuracy is first reached, between logged steps in a straight line."""
    steps, seen = cell.history["step"].values, _training(cell)
    at = int(np.argmax(seen >= accuracy))
    if at == 0:
        return float(steps[0])
    part = (accuracy - seen[at - 1]) / (seen[at] - seen[at - 1])
    return float(steps[at - 1] + part * (steps[at] - steps[at - 1]))


def _test_at(cell: Cell, accuracy: float) -> float:
    """Test accuracy when a training accuracy is first reached."""
    return float(np.interp(_step_of(cell, accuracy), cell.history["step"], cell.history["accuracy_test"]))


def _pristine_first(cell: Cell) -> tuple[float, float]:
    """Chance that a pristine example stays right from an earlier step on than a corrupt one, and its p."""
    since = cell.history["learned_last"].values.astype(np.int64)
    since = np.where(since < 0, since.max() + 1, since)  # never: after all others
    pristine = cell.history["pristine"].values.astype(bool)
    found = stats.mannwhitneyu(since[pristine], since[~pristine], alternative="less")
    pairs = float(pristine.sum()) * float((~pristine).sum())
    return 1 - float(found.statistic) / pairs, float(found.pvalue)


def _overfit_growth(cell: Cell) -> float:
    """Slope of overfit over log10 of the step: overfit = ta - [ε/10 + (1-ε)·va] (section 3)."""
    ta, va = _training(cell), cell.history["accuracy_test"].values
    overfit = ta - (cell.noise / 10 + (1 - cell.noise) * va)
    steps = cell.history["step"].values
    later = steps >= 1
    return (
        float(stats.linregress(np.log10(steps[later]), overfit[later]).slope) if later.sum() > 1 else np.nan
    )
