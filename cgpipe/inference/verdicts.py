"""From a statistic in every replicate to a verdict, by one rule for all claims.

The unit is the replicate. `tidy` puts the statistics of all parts of the claims into one table, a row for
each part and replicate. Verdicts are functions of that table alone, so tables made apart can be put together.
"""

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from cgpipe.inference.small_samples import (
    LEVEL,
    Floats,
    holm,
    mean_and_error,
    p_sign,
    p_t,
    p_within,
    page,
    t_interval,
)

Rule = Literal["above", "below", "within", "shown"]
Scale = Literal["plain", "log", "logit"]
Estimator = Literal["", "sample", "all", "displacement", "loss"]
# How a line of a claim is told from its others.
BY: dict[Estimator, str] = {
    "": "",
    "sample": "by the paper's sample",
    "all": "by all examples",
    "displacement": "by the displacement",
    "loss": "by the actual loss",
}
Verdict = Literal["holds", "contradicted", "undecided", "shown"]

FEWEST = 5  # replicates: of four, no result of the sign test has a p-value of at most 0.05
# Claims whose p-values are corrected for their number: of a table, which is about one paper.
FAMILY = [*(f"C{k}" for k in range(1, 13)), *(f"G{k}" for k in range(1, 14))]
NO_RUN = "no run that could say"
TOO_FEW = f"a verdict takes {FEWEST} replicates"
# Columns of the tables, and what they mean.
NAMES = {
    "claim": "name of the claim",
    "part": "name of the part, unique in a line of its claim",
    "estimator": "what gradients were taken from, where a claim has several such lines: sample, all, "
    "displacement, loss",
    "statistic": "what was computed",
    "rule": "where the claim puts the statistic: above or below the bound, within ± bound; or only shown",
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
    "met": "those of them in which T > 0 or, where the rule is within, |T| is less than the bound",
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
    "parts_met": "number of those that all replicates decide, and meet",
    "hold": "number of those that hold",
    "n": "replicates that count and can decide every part",
    "met": "those of them that meet every part",
    "cannot": "replicates that count and cannot decide every part",
    "p": "largest p_t of the parts",
    "p_holm": "p after Holm's correction over the lines of C1 to C12, or of G1 to G13; NaN of other claims",
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

    def __post_init__(self) -> None:
        if self.rule != "shown" and not math.isfinite(self.on_scale(self.bound)):
            raise ValueError(f"{self.part}: the bound {self.bound:g} is not on the {self.scale} scale")
        if self.rule == "within" and self.scale != "plain":
            raise ValueError(
                f"{self.part}: 'within' is judged on the plain scale, not on the {self.scale} scale"
            )

    @property
    def criterion(self) -> str:
        """Where the claim puts the statistic, in a few words."""
        sides = {"above": ">", "below": "<", "within": "within ±"}
        on = "" if self.scale == "plain" else f" ({self.scale})"
        return f"{sides[self.rule]} {self.bound:g}{on}" if self.rule in sides else "shown, not judged"

    def on_scale(self, value: float) -> float:
        """A value on the scale of the part; NaN where it is not on it."""
        if self.scale == "plain":
            return value
        if self.scale == "log":
            return math.log(value) if value > 0 else math.nan
        return logit(value, self.n_of)

    def excess(self, value: float) -> float:
        """T: how far a value is on the claim's side of the bound; where the rule has no side, the value."""
        if self.rule == "above":
            return self.on_scale(value) - self.on_scale(self.bound)
        if self.rule == "below":
            return self.on_scale(self.bound) - self.on_scale(value)
        return self.on_scale(value)


def logit(share: float, of: float = math.nan) -> float:
    """Log odds of a share, NaN where infinite; of a known number of cases the empirical ones, always finite.

    Examples
    --------
    >>> logit(0.5), logit(1.0), round(logit(1.0, of=2), 3)
    (0.0, nan, 1.609)
    """
    if math.isfinite(of):
        share = (share * of + 0.5) / (of + 1)
    return math.log(share / (1 - share)) if 0 < share < 1 else math.nan


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
        Columns TIDY. A part without replicates has one row, of replicate -1. An excess that is not finite is
        NaN, with a reason.
    """
    rows = []
    for part in parts:
        names = {name: getattr(part, name) for name in NAMES}
        for replicate, (value, reason) in sorted(part.observed.items()) or [(-1, Observed(math.nan, NO_RUN))]:
            excess = part.excess(value)
            if not math.isfinite(excess):
                off = f"{value:g} is not on the {part.scale} scale" if math.isfinite(value) else "undefined"
                excess, reason = math.nan, reason or off
            counted = replicate >= 0 and replicate not in seen
            rows.append([*names.values(), replicate, counted, value, excess, reason])
    return pd.DataFrame(rows, columns=list(TIDY))


def statistics_in(artifact: xr.Dataset) -> pd.DataFrame:
    """The statistics of claims, as `tidy` returns them, in the artifact of stage claims or mystery."""
    return pd.DataFrame({name: artifact[f"statistic_{name}"].values for name in TIDY})


def verdicts(table: pd.DataFrame) -> pd.DataFrame:
    """The verdict on each part: a row for each, with the columns VERDICTS.

    A part is *undecided* unless at least five replicates count, and all of them can decide. It *holds* if
    the sign test is met at 5 % and the one-sided 95 % t interval of the mean of T lies above 0; it is
    *contradicted* by the mirror image. Where the rule is "within", it holds if the 90 % t interval lies
    within ± bound, and is contradicted if that lies wholly outside.

    Parameters
    ----------
    table : DataFrame
        As `tidy` makes it, or as it is read from a CSV file; also several such tables of different
        replicates, one below the other.

    Returns
    -------
    DataFrame
        In the order of the first rows of the parts. Where no verdict was possible there are no p-values.

    Raises
    ------
    ValueError
        If a replicate of a part is there twice, or if rows of a part differ in its criterion.
    """
    return _verdicts(_lines(table))


def claim_verdicts(table: pd.DataFrame) -> pd.DataFrame:
    """The verdict on each claim: a row for each claim and estimator, with the columns CLAIMS.

    A claim holds if all its parts do, is contradicted if one of them is, and is undecided otherwise. Its
    p-value is the largest p_t of its parts, since it says that all of them are met. Holm's correction takes
    p_t and not p_sign: the smallest p-value of the sign test of five replicates is 1/32, and no correction
    for twelve claims leaves that below 5 %. A line without a p-value counts as one with p = 1.

    Parameters
    ----------
    table : DataFrame
        As for `verdicts`.

    Returns
    -------
    DataFrame
        In the order of the claims in the table; `why` names the parts that do not hold. The correction is
        over the lines of C1 to C12, the claims of the first paper, or of G1 to G13; what the first paper
        claims in passing has none.

    Raises
    ------
    ValueError
        As for `verdicts`.
    """
    lines = _lines(table)
    judged = _verdicts(lines).query("verdict != 'shown'")
    found = pd.DataFrame(
        [
            {"claim": claim, "estimator": estimator} | _together([lines[k] for k in parts.index], parts)
            for (claim, estimator), parts in judged.groupby(["claim", "estimator"], sort=False)
        ],
        columns=list(CLAIMS),
    )
    return found.assign(p_holm=holm(found.loc[found["claim"].isin(FAMILY), "p"]))


def met_by(claim: Mapping[Hashable, Any]) -> str:
    """By how many replicates a claim is met, of a row of `claim_verdicts`, in words."""
    cannot = f" ({claim['cannot']} cannot decide)" if claim["cannot"] else ""
    return f"{claim['met']} of {claim['n']}{cannot}"


def parts_that_hold(claim: Mapping[Hashable, Any]) -> str:
    """How many parts of a claim hold, of a row of `claim_verdicts`; empty if replicates are too few."""
    return f"{claim['hold']} of {claim['parts']}" if claim["n"] + claim["cannot"] >= FEWEST else ""


def judge(t: Floats, rule: Rule, bound: float = 0) -> npt.NDArray[np.str_]:
    """The verdict on T in each replicate.

    Parameters
    ----------
    t : array of float, shape (..., replicate)
        Finite values of T.
    rule : {"above", "below", "within"}
        Where the claim puts the statistic. T is oriented, so the first two are judged alike.
    bound : float
        Of the rule "within".

    Returns
    -------
    array of str, shape (...)
        holds, contradicted or undecided.
    """
    low, high = t_interval(t)
    if rule == "within":
        holds, contradicted = (-bound < low) & (high < bound), (low > bound) | (high < -bound)
    else:
        holds, contradicted = (p_sign(t) <= LEVEL) & (low > 0), (p_sign(-t) <= LEVEL) & (high < 0)
    enough = t.shape[-1] >= FEWEST
    return np.select([enough & holds, enough & contradicted], ["holds", "contradicted"], "undecided")


class _Line(NamedTuple):
    """A part, as the table has it."""

    names: dict[str, Any]
    excess: pd.Series  # T by replicate, of those that count and can decide
    reasons: pd.Series  # by replicate, of those that count and cannot decide

    @property
    def met(self) -> pd.Series:
        """Whether each replicate meets it."""
        within = self.names["rule"] == "within"
        return self.excess.abs() < self.names["bound"] if within else self.excess > 0

    def row(self) -> dict[str, Any]:
        """As a row of the verdicts."""
        t, rule, bound = self.excess.to_numpy(), self.names["rule"], self.names["bound"]
        n, met, shown = len(t), int(self.met.sum()), rule == "shown"
        mean, low, high = (float(value) for value in (mean_and_error(t)[0], *t_interval(t)))
        row = self.names | {"n": n, "met": 0 if shown else met, "mean": mean, "low": low, "high": high}
        if shown:
            return row | {"verdict": "shown", "why": ""}
        if len(self.reasons):
            given = "; ".join(self.reasons.unique())
            why = f"in {len(self.reasons)} of {n + len(self.reasons)} replicates: {given}"
            return row | {"verdict": "undecided", "why": why}
        if n < FEWEST:
            return row | {"verdict": "undecided", "why": TOO_FEW if n else NO_RUN}
        row["p_sign"] = math.nan if rule == "within" else float(p_sign(t))
        row["p_t"] = float(p_within(t, bound) if rule == "within" else p_t(t))
        verdict = str(judge(t, rule, bound))
        why = f"90 % interval of the mean of T: {low:.2g} to {high:.2g}"
        return row | {"verdict": verdict, "why": why if verdict == "undecided" else ""}


def _lines(table: pd.DataFrame) -> list[_Line]:
    """The parts of a table, in the order of their first rows; checked."""
    texts = {name: table[name].astype(object).fillna("") for name in (*NAMES, "reason") if name != "bound"}
    lines = []
    table = table.assign(**texts).reset_index(drop=True)
    for key, rows in table.groupby(["claim", "part", "estimator"], sort=False):
        of = ", ".join(str(name) for name in key if name)
        runs = rows[rows["replicate"] >= 0]
        if twice := sorted(runs["replicate"][runs["replicate"].duplicated()]):
            raise ValueError(f"{of}: replicate {twice[0]} is there twice; give each replicate once")
        if len(rows[list(NAMES)].drop_duplicates()) > 1:
            raise ValueError(f"{of}: its rows have different criteria; make them with one version of cgpipe")
        counted = runs[runs["counted"]]
        can = counted[(counted["reason"] == "") & np.isfinite(counted["excess"])]
        cannot = counted.drop(can.index).set_index("replicate")["reason"].replace("", "undefined")
        excess = can.set_index("replicate")["excess"].astype(np.float64)
        lines.append(_Line({name: rows[name].iloc[0] for name in NAMES}, excess, cannot))
    return lines


def _verdicts(lines: Sequence[_Line]) -> pd.DataFrame:
    found = pd.DataFrame([line.row() for line in lines], columns=list(VERDICTS))
    contrasts = found[found["trend"] != ""]
    for _, rows in contrasts.groupby(["claim", "estimator", "trend"], sort=False):
        all_steps = pd.concat([lines[k].excess for k in rows.index], axis=1, join="inner")
        if len(all_steps) >= FEWEST:
            found.loc[rows.index, ["page_l", "page_p"]] = page(all_steps.to_numpy())
    return found


def _together(lines: Sequence[_Line], parts: pd.DataFrame) -> dict[str, Any]:
    """The verdict on parts together."""
    met = pd.concat([line.met for line in lines], axis=1, join="inner").all(axis=1)
    given = {verdict: list(parts["part"][parts["verdict"] == verdict]) for verdict in get_args(Verdict)}
    others = [f"{verdict}: {', '.join(given[verdict])}" for verdict in list(given)[1:] if given[verdict]]
    cannot = {replicate for line in lines for replicate in line.reasons.index}
    if len(set(parts["why"])) == 1 and parts["why"].iloc[0]:
        others = list(parts["why"][:1])
    elif parts["n"].max() < FEWEST and not cannot:
        others = [TOO_FEW if len(met) else NO_RUN]
    met_by_all = [not len(line.reasons) and len(line.met) > 0 and line.met.all() for line in lines]
    return {
        "parts": len(parts),
        "parts_met": sum(met_by_all),
        "hold": len(given["holds"]),
        "n": len(met),
        "met": int(met.sum()),
        "cannot": len(cannot),
        "p": parts["p_t"].max(skipna=False),
        "verdict": next((one for one in ("contradicted", "undecided") if given[one]), "holds"),
        "why": "; ".join(others),
    }
