"""From a statistic in every replicate to a verdict, by one rule for all claims.

The unit is the replicate. `tidy` puts the statistics of all parts of the claims into one table, a row for each
part and replicate; verdicts are functions of that table alone, so that tables made apart can be put together.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

Rule = Literal["above", "below", "within", "shown"]
Scale = Literal["plain", "log", "logit"]
Estimator = Literal["", "sample", "all", "displacement", "loss"]
Verdict = Literal["holds", "contradicted", "undecided", "shown"]
Floats = npt.NDArray[np.float64]

LEVEL = 0.05  # of the sign test and, one-sided, of the t interval
FEWEST = 5  # replicates: of four, no result of the sign test has a p-value of at most 0.05
NO_RUN = "no run that could say"
# Columns of the tables, and what they mean.
NAMES = {
    "claim": "name of the claim",
    "part": "name of the part, unique in a line of its claim",
    "estimator": "what gradients were taken from, where a claim has several such lines: sample, all, "
    "displacement, loss",
    "statistic": "what was computed",
    "rule": "where the claim puts the statistic: above or below the bound, within ± bound; or shown, not judged",
    "bound": "bound of the claim; NaN where the statistic is only shown",
    "scale": "scale on which it is judged: plain, log or logit",
    "trend": "name of the trend that the part is a step of",
}
TIDY = NAMES | {
    "replicate": "replicate; -1 if no run could say",
    "counted": "whether the replicate counts in the verdict",
    "value": "the statistic",
    "excess": "T: how far it is on the claim's side of the bound, on the scale; where the rule is within or "
    "shown, the statistic itself",
    "reason": "why the replicate cannot decide",
}
_JUDGED = {
    "verdict": "holds, contradicted or undecided; shown where it is not judged",
    "why": "why it is undecided",
}
VERDICTS = NAMES | {
    "n": "replicates that count and can decide",
    "met": "those of them in which T > 0 or, where the rule is within, |T| is at most the bound",
    "mean": "mean of T over them",
    "low": "lower end of the 90 % t interval of the mean: the one-sided 95 % bound",
    "high": "upper end of it",
    "p_sign": "p-value of the sign test of T > 0; NaN where the rule is within",
    "p_t": "p-value of the t test of T > 0 or, where the rule is within, of the two tests against the bounds",
    "page_l": "Page's L of the trend that the part is a step of",
    "page_p": "p-value of it",
    **_JUDGED,
}
CLAIMS = {
    **{key: NAMES[key] for key in ("claim", "estimator")},
    "parts": "number of its parts that are judged",
    "n": "replicates that count and can decide every part",
    "met": "those of them that meet every part",
    "p": "largest p_t of the parts",
    "p_holm": "p after Holm's correction over the lines of the claims C1, C2, ...",
    **_JUDGED,
}


class Observed(NamedTuple):
    """A statistic in one replicate, and the reason, if any, why the replicate cannot decide."""

    value: float
    reason: str = ""  # with one, the value may be NaN


@dataclass(frozen=True, kw_only=True)
class Part:
    """One statistic of a claim in every replicate, and where the claim puts it.

    Attributes
    ----------
    part : str
        Short name, unique among the parts of the claim with the same estimator: "cross, 25 % noise".
    statistic : str
        What was computed, in words that parts of other noise or c share.
    rule : {"above", "below", "within", "shown"}
        On which side of the bound the claim puts the statistic; "within" ± bound; "shown": not judged.
    bound : float
        In the unit of the statistic. Not used if `rule` is "shown".
    observed : mapping from int to Observed
        By replicate.
    scale : {"plain", "log", "logit"}
        Scale on which distances from the bound are taken: "log" for steps and norms, "logit" for shares.
    n_of : float
        Number of cases m of which the statistic is a share, if known: then the logit is the empirical one,
        that of (k + 1/2)/(m + 1) for a share k/m, which shares of 0 and 1 have too.
    estimator : {"", "sample", "all", "displacement", "loss"}
        The line of the claim that the part belongs to, where the claim has several.
    trend : str
        Name of the trend of which the part is a contrast of two adjacent levels, in the order of the levels.
    details, unless : str
        For the table of the criteria: how the statistic is taken; what the runs must show to decide.
    claim : str
        Name of the claim, which the registry adds.

    Raises
    ------
    ValueError
        If the bound is not on the scale, or if "within" is to be judged on another scale than the plain one.
    """

    part: str
    statistic: str
    rule: Rule
    observed: Mapping[int, Observed] = field(default_factory=dict)
    bound: float = math.nan
    scale: Scale = "plain"
    n_of: float = math.nan
    estimator: Estimator = ""
    trend: str = ""
    details: str = ""
    unless: str = ""
    claim: str = ""


def tidy(parts: Iterable[Part], seen: Sequence[int] = ()) -> pd.DataFrame:
    """All statistics, a row for each part and replicate.

    Parameters
    ----------
    parts : iterable of Part
        Of any claims.
    seen : sequence of int
        Replicates that were seen before the criteria were fixed. They are shown, and not counted.

    Returns
    -------
    DataFrame
        Columns TIDY. A part without replicates has one row, of replicate -1.
    """
    raise NotImplementedError


def verdicts(table: pd.DataFrame) -> pd.DataFrame:
    """The verdict on each part: a row for each, with the columns VERDICTS.

    Parameters
    ----------
    table : DataFrame
        As `tidy` makes it; also several such tables of different replicates, one below the other.
    """
    raise NotImplementedError


def claim_verdicts(table: pd.DataFrame) -> pd.DataFrame:
    """The verdict on each claim: a row for each claim and estimator, with the columns CLAIMS.

    Parameters
    ----------
    table : DataFrame
        As for `verdicts`.
    """
    raise NotImplementedError
