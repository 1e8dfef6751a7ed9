"""From a statistic in every replicate to a verdict, by one rule for all claims.

A claim `holds` if the statistic meets its criterion in every replicate and, where it has p-values, the
largest of them is at most 0.05. It `does not hold` if no replicate meets the criterion. It is `inconclusive`
otherwise, and where the runs cannot decide: too short, too few levels, or none at all.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import factorial
from operator import ge, gt, le, lt
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

Verdict = Literal["holds", "does not hold", "inconclusive"]
Side = Literal[">", "≥", "<", "≤"]
LEVEL = 0.05
COMPARISONS: dict[Side, Callable[[float, float], bool]] = {">": gt, "≥": ge, "<": lt, "≤": le}
# Columns of the table of claims, and what they mean.
COLUMNS = {
    "claim": "name of the claim",
    "statistic": "what was computed",
    "criterion": "where the claim puts the statistic",
    "estimate": "mean of the statistic over the replicates in which it is defined",
    "low": "smallest over these",
    "high": "largest over these",
    "n": "replicates in which it is defined",
    "p": "p-value, the largest of the replicates; NaN where the statistic has none, in all or in one of them",
    "verdict": "holds, does not hold, or inconclusive",
    "why": "why it is inconclusive",
}


class Observed(NamedTuple):
    """A statistic in one replicate, and the reasons, if any, why the replicate does not decide."""

    value: float
    p: float | None = None
    cannot_fail: str = ""  # why it cannot show that the claim fails
    cannot_hold: str = ""  # why it cannot show that the claim holds
    cannot_decide: str = ""  # why it can show neither


@dataclass(frozen=True)
class Criterion:
    """On which side of a bound the claim puts the statistic.

    Examples
    --------
    >>> print(Criterion("≥", 0.99))
    ≥ 0.99
    >>> Criterion.parse("≥ 0.99").met(0.98)
    False
    """

    side: Side
    bound: float

    @classmethod
    def parse(cls, text: str) -> "Criterion":
        """Read a criterion as it is printed.

        Raises
        ------
        ValueError
            If the text is not a side and a number.
        """
        for side in COMPARISONS:
            if text.startswith(f"{side} "):
                return cls(side, float(text.removeprefix(side)))
        raise ValueError(f"{text!r} is not a criterion: give >, ≥, < or ≤ and a number, as in '≥ 0.99'")

    def met(self, value: float) -> bool:
        """Whether a value is on that side."""
        return bool(COMPARISONS[self.side](value, self.bound))

    def __str__(self) -> str:
        return f"{self.side} {float(self.bound)!r}".removesuffix(".0")


@dataclass(frozen=True)
class Finding:
    """One statistic of a claim in every replicate, and where the claim puts it."""

    statistic: str
    criterion: Criterion
    observed: Sequence[Observed] = ()  # one a replicate
    claim: str = ""  # its name, which the registry adds
    # For the table of the criteria.
    details: str = ""  # how the statistic is taken, where its name leaves that open
    unless: str = ""  # what the runs must show; without it the verdict is inconclusive

    def verdict(self) -> tuple[Verdict, str]:
        """The verdict, and why it is inconclusive."""
        if not self.observed:
            return "inconclusive", "no run that could say"
        for reason in (one.cannot_decide for one in self.observed):
            if reason:
                return "inconclusive", reason
        if not all(np.isfinite(one.value) for one in self.observed):
            return "inconclusive", "undefined"
        met = [self.criterion.met(one.value) for one in self.observed]
        if any(met) and not all(met):
            return "inconclusive", "replicates disagree"
        reasons = [one.cannot_hold if all(met) else one.cannot_fail for one in self.observed]
        reason = next((reason for reason in reasons if reason), "")
        p = [one.p for one in self.observed if one.p is not None]
        if all(met) and not reason and p and not np.max(p) <= LEVEL:
            reason = "p is undefined" if np.isnan(p).any() else f"p is larger than {LEVEL:g}"
        if reason:
            return "inconclusive", reason
        return ("holds" if all(met) else "does not hold"), ""

    def row(self) -> dict[str, object]:
        """As a row of the table: mean and extremes over the replicates in which the statistic is defined.

        The p-value is the largest, and NaN where the statistic is undefined in one of the replicates.
        """
        values = np.array([one.value for one in self.observed], np.float64)
        defined = values[np.isfinite(values)]
        p = [one.p for one in self.observed if one.p is not None and len(defined) == len(values)]
        verdict, why = self.verdict()
        mean, low, high = (defined.mean(), defined.min(), defined.max()) if len(defined) else (np.nan,) * 3
        return {
            "claim": self.claim,
            "statistic": self.statistic,
            "criterion": str(self.criterion),
            "estimate": float(mean),
            "low": float(low),
            "high": float(high),
            "n": len(defined),
            "p": float(np.max(p)) if p else np.nan,
            "verdict": verdict,
            "why": why,
        }


def table(findings: Sequence[Finding]) -> pd.DataFrame:
    """All findings, one a row, with the columns COLUMNS."""
    return pd.DataFrame([finding.row() for finding in findings], columns=list(COLUMNS))


def trend(levels: Sequence[float], values: npt.ArrayLike, direction: Literal["grows", "falls"]) -> Observed:
    """Kendall's τ of values against levels, with its one-sided p-value over all orders of the values.

    Parameters
    ----------
    levels : sequence of float, shape (level,)
        Levels of noise, or of winsorization.
    values : array of float, shape (level,)
        The value at each level; ties count as such.
    direction : {"grows", "falls"}
        What the claim says.

    Returns
    -------
    Observed
        τ in [-1, 1], 0 if all values are the same. With fewer than four levels no order has a p-value of at
        most 0.05, and τ is NaN, with that reason.

    Examples
    --------
    >>> observed = trend([0, 0.25, 0.5, 0.75], [3.0, 2.0, 1.5, 1.0], "falls")
    >>> round(observed.value, 3), round(observed.p, 3)
    (-1.0, 0.042)
    """
    at_level = np.asarray(values, np.float64)
    if 1 / factorial(len(at_level)) > LEVEL:
        few = f"{len(at_level)} levels, of which no order has a p-value of at most {LEVEL:g}; give at least 4"
        return Observed(np.nan, cannot_decide=few)
    if not np.isfinite(at_level).all():
        return Observed(np.nan)
    if (at_level == at_level[0]).all():
        return Observed(0.0, 1.0)
    test = stats.permutation_test(
        (at_level,),
        lambda ordered: stats.kendalltau(levels, ordered).statistic,
        permutation_type="pairings",
        alternative="greater" if direction == "grows" else "less",
        n_resamples=9_999,  # all orders of up to seven levels
        vectorized=False,
        rng=np.random.default_rng(0),
    )
    return Observed(float(test.statistic), float(test.pvalue))
