"""From a statistic in every replicate to a verdict, by one rule for all claims.

`holds` if the statistic meets its criterion in every replicate and, where it has a p-value, the largest of
them is at most 0.05; `does not hold` if it meets it in none; `inconclusive` otherwise, and wherever the
runs cannot say so: too short, too few levels, or none at all.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import factorial
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

Verdict = Literal["holds", "does not hold", "inconclusive"]
LEVEL = 0.05
COLUMNS = ["claim", "statistic", "criterion", "estimate", "low", "high", "n", "p", "verdict", "why"]


class Observed(NamedTuple):
    """A statistic in one replicate."""

    value: float
    p: float | None = None
    # Why the run cannot show that the claim fails, that it holds, or either.
    cannot_fail: str = ""
    cannot_hold: str = ""
    cannot_say: str = ""


@dataclass(frozen=True)
class Criterion:
    """On which side of a bound the claim puts the statistic."""

    side: Literal[">", "≥", "<", "≤"]
    bound: float

    def met(self, value: float) -> bool:
        """Whether a value is on that side."""
        return bool(
            {
                ">": value > self.bound,
                "≥": value >= self.bound,
                "<": value < self.bound,
                "≤": value <= self.bound,
            }[self.side]
        )

    def __str__(self) -> str:
        return f"{self.side} {self.bound:g}"


@dataclass(frozen=True)
class Finding:
    """A claim, and what one statistic says of it."""

    claim: str
    statistic: str
    criterion: Criterion
    observed: Sequence[Observed] = field(default=())  # one a replicate

    def verdict(self) -> tuple[Verdict, str]:
        """The verdict, and why it is no other."""
        if not self.observed:
            return "inconclusive", "no run that could say"
        for reason in (seen.cannot_say for seen in self.observed):
            if reason:
                return "inconclusive", reason
        if not all(np.isfinite(seen.value) for seen in self.observed):
            return "inconclusive", "undefined"
        met = [self.criterion.met(seen.value) for seen in self.observed]
        if any(met) and not all(met):
            return "inconclusive", "replicates disagree"
        reasons = [seen.cannot_hold if all(met) else seen.cannot_fail for seen in self.observed]
        reason = next((reason for reason in reasons if reason), "")
        p = [seen.p for seen in self.observed if seen.p is not None]
        if all(met) and not reason and p and not np.max(p) <= LEVEL:
            reason = "p is undefined" if np.isnan(p).any() else f"p is larger than {LEVEL:g}"
        if reason:
            return "inconclusive", reason
        return ("holds" if all(met) else "does not hold"), ""

    def row(self) -> dict[str, object]:
        """As a row of the table: mean and extremes over the replicates in which the statistic is defined.

        The p-value is the largest, and NaN where one of the replicates cannot have one.
        """
        values = np.array([seen.value for seen in self.observed], np.float64)
        all_defined = bool(np.isfinite(values).all())
        values = values[np.isfinite(values)]
        p = [seen.p for seen in self.observed if seen.p is not None and all_defined]
        verdict, why = self.verdict()
        summary = (values.mean(), values.min(), values.max()) if len(values) else (np.nan,) * 3
        return dict(
            zip(
                COLUMNS,
                (
                    self.claim,
                    self.statistic,
                    str(self.criterion),
                    *map(float, summary),
                    len(values),
                    float(np.max(p)) if p else np.nan,
                    verdict,
                    why,
                ),
                strict=True,
            )
        )


def table(findings: Sequence[Finding]) -> pd.DataFrame:
    """All findings, one a row, with the columns COLUMNS."""
    return pd.DataFrame([finding.row() for finding in findings], columns=COLUMNS)


def trend(levels: Sequence[float], values: npt.ArrayLike, direction: Literal["grows", "falls"]) -> Observed:
    """Kendall's τ of values against levels, with its one-sided p-value over all orders of the values.

    Parameters
    ----------
    levels : sequence of float, shape (level,)
        What was set, of noise or winsorization.
    values : array of float, shape (level,)
        What was seen; ties count as such.
    direction : {"grows", "falls"}
        What is claimed of it.

    Returns
    -------
    Observed
        τ in [-1, 1], 0 if all values are the same; with fewer than four levels no order has a p-value of at
        most 0.05, and it says nothing.
    """
    seen = np.asarray(values, np.float64)
    if 1 / factorial(len(seen)) > LEVEL:
        few = f"{len(seen)} levels, of which no order has a p-value of at most {LEVEL:g}; give at least 4"
        return Observed(np.nan, cannot_say=few)
    if not np.isfinite(seen).all():
        return Observed(np.nan)
    if (seen == seen[0]).all():
        return Observed(0.0, 1.0)
    found = stats.permutation_test(
        (seen,),
        lambda ordered: stats.kendalltau(levels, ordered).statistic,
        permutation_type="pairings",
        alternative="greater" if direction == "grows" else "less",
        n_resamples=9_999,  # all orders of up to seven levels
        vectorized=False,
        rng=np.random.default_rng(0),
    )
    return Observed(float(found.statistic), float(found.pvalue))
