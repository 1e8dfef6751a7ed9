"""Claims of Chatterjee (2020) about gradients under label noise, C4 to C8 (§2, figures 2 and 3)."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from cgpipe.inference.claims import statistics as st
from cgpipe.inference.claims.claim import Runs, claim
from cgpipe.inference.decades import decades
from cgpipe.inference.verdicts import Criterion, Finding, Observed, trend
from cgpipe.runs import Run

MOSTLY = 0.95  # share of null worlds that do not cross
STEPS_LOGGED = "steps 0 to 9 are logged"


@claim("C4", "early on, the gradient is smaller with more noise")
def early_gradients(runs: Runs) -> Iterator[Finding]:
    """Over the first ten steps."""

    def size(replicate: Sequence[Run]) -> Observed:
        known = [analysis for _, analysis in st.joined(replicate, runs.coherence)]
        squared = [
            run.data["squared_norm"].sel(group="all", part="network").values[: st.EARLY] for run in known
        ]
        falls = trend([run.noise for run in known], [float(np.log(g).mean()) for g in squared], "falls")
        return falls._replace(cannot_decide=falls.cannot_decide or st.reason_early_steps_missing(replicate))

    yield Finding(
        "Kendall's τ between noise and the mean of log ‖g‖² over steps 0 to 9",
        Criterion("<", 0),
        st.each_replicate(runs.label_noise, size),
        unless=STEPS_LOGGED,
    )


@claim(
    "C5",
    "at 25 and 50 % noise, pristine examples make up most of the gradient at first, then corrupt ones, and "
    "at the end they meet",
)
def crossing(runs: Runs) -> Iterator[Finding]:
    """By means over decades of steps: f at one step is mostly fluctuation."""

    def starts(run: Run, difference: st.Floats) -> Observed:
        return Observed(difference[0], cannot_decide=st.reason_early_steps_missing([run]))

    def crosses(run: Run, difference: st.Floats) -> Observed:
        later = float(difference[1:].min()) if len(difference) > 1 else np.nan
        below = "" if difference[0] > 0 else "f^p does not start above f^c"
        return Observed(later, cannot_hold=below, cannot_fail=st.reason_not_memorized(run))

    def ends(run: Run, difference: st.Floats) -> Observed:
        return Observed(abs(difference[-1]), cannot_decide=st.reason_not_memorized(run))

    mean, conditions = "mean of f^p - f^c", "to hold: it starts above; to fail: memorized"
    for noise in (0.25, 0.5):
        for statistic, criterion, test, unless in (
            (f"{mean} over steps 0 to 9", Criterion(">", 0), starts, STEPS_LOGGED),
            (f"smallest {mean} over a later decade of steps", Criterion("<", 0), crosses, conditions),
            (f"|{mean}| over the last decade of steps", Criterion("≤", st.CLOSE), ends, "memorized"),
        ):
            observed = of_differences(runs, noise, test)
            yield Finding(f"{statistic}, {noise:.0%} noise", criterion, observed, unless=unless)


@claim("C6", "at 75 % they do not cross, and the pristine share drifts down")
def no_crossing(runs: Runs) -> Iterator[Finding]:
    """By means over decades of steps, as C5."""

    def changes(run: Run, difference: st.Floats) -> Observed:
        return Observed(float((np.diff(difference > 0)).sum()), cannot_hold=st.reason_not_memorized(run))

    def drift(run: Run, difference: st.Floats) -> Observed:
        # f^p - f^c = 2 f^p - 1.
        return Observed(float(difference[-1] - difference[0]) / 2, cannot_decide=st.reason_not_memorized(run))

    yield Finding(
        "how often the means of f^p and f^c over decades of steps cross, 75% noise",
        Criterion("≤", 0),
        of_differences(runs, 0.75, changes),
        unless="to hold: memorized",
    )
    yield Finding(
        "mean of f^p over the last decade of steps less that over steps 0 to 9, 75% noise",
        Criterion("<", 0),
        of_differences(runs, 0.75, drift),
        unless="memorized",
    )


@claim("C7", "in null worlds they do not cross")
def null_worlds(runs: Runs) -> Iterator[Finding]:
    """At any logged step."""
    statistics: dict[float, tuple[str, tuple[str, ...]]] = {
        0.25: ("f^p stays above f^c", ("pristine",)),
        0.5: ("f^p and f^c do not cross", ("pristine", "corrupt")),
        0.75: ("f^c stays above f^p", ("corrupt",)),
    }
    for noise, (what, groups) in statistics.items():
        yield Finding(
            f"share of the null worlds in which {what}, {noise:.0%} noise",
            Criterion("≥", MOSTLY),
            [
                Observed(
                    sum(float(worlds.data[f"f_null_{group}_above"]) for group in groups),
                    cannot_hold=st.reason_not_memorized(run),
                )
                for run, worlds in with_worlds(runs, noise)
            ],
            details="at every logged step",
            unless="to hold: memorized",
        )


@claim("C8", "in the first ten steps a pristine example contributes more than a corrupt one")
def first_contributions(runs: Runs) -> Iterator[Finding]:
    """At the least favourable of the ten steps."""
    for noise in st.MIXED:
        yield Finding(
            f"smallest (i^p - i^c) / (|i^p| + |i^c|) over steps 0 to 9, {noise:.0%} noise",
            Criterion(">", 0),
            [
                Observed(
                    float(worlds.data["i_lead"]),
                    float(worlds.data["i_lead_p"]),
                    cannot_decide=st.reason_early_steps_missing([run]),
                )
                for run, worlds in with_worlds(runs, noise)
            ],
            details="p: one-sided, of this statistic in null worlds",
            unless=STEPS_LOGGED,
        )


def with_worlds(runs: Runs, noise: float) -> list[tuple[Run, Run]]:
    """Runs at a noise level that have labels to permute, each with its null worlds."""
    return st.joined([run for run in st.mixed(runs.label_noise) if run.noise == noise], runs.nullworlds)


def of_differences(
    runs: Runs, noise: float, statistic: Callable[[Run, st.Floats], Observed]
) -> list[Observed]:
    """A statistic of each run at a noise level and the means of its f^p - f^c over decades of steps."""
    observed = []
    for run, worlds in with_worlds(runs, noise):
        f = worlds.data["f"]
        difference = f.sel(group="pristine").values - f.sel(group="corrupt").values
        decade = decades(f["step"].values)
        means = np.array([difference[decade == d].mean() for d in np.unique(decade)])
        observed.append(statistic(run, means))
    return observed
