"""All claims, their parts, and the tables about them.

A module with claims is listed in MODULES. The claims of a paper stand in the tables by their numbers.
"""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from cgpipe.inference.claims import gradients, learning, passing, winsorization
from cgpipe.inference.claims.claim import CG, Claim
from cgpipe.inference.mystery import beginnings, coherence, examples, likeness, rules
from cgpipe.inference.verdicts import BY, Part, met_by, parts_that_hold

MODULES = (learning, gradients, winsorization, passing, coherence, examples, rules, beginnings, likeness)


def all_claims(paper: str | None = None) -> list[Claim]:
    """The claims of a paper, or of all papers.

    Parameters
    ----------
    paper : str, optional
        Short name of the paper.

    Returns
    -------
    list of Claim
        In the order of the tables.

    Examples
    --------
    >>> [claim.name for claim in all_claims("CG 2020")][:3]
    ['C1', 'C2', 'C3']
    """
    claims = [value for module in MODULES for value in vars(module).values() if isinstance(value, Claim)]
    return sorted(
        (claim for claim in claims if paper in (None, claim.paper)),
        key=lambda claim: (claim.paper, int(claim.name[1:])),
    )


def parts(runs: Any, paper: str = CG) -> list[Part]:
    """The parts of all claims of a paper, with their statistics in each replicate.

    Parameters
    ----------
    runs : Runs or Mystery
        What the claims of the paper are tested on. Each field of it may be empty; claims about it are then
        undecided.
    paper : str
        Short name of the paper.

    Returns
    -------
    list of Part
        One or several for each claim, in the order of the tables.

    Examples
    --------
    >>> from cgpipe.inference.claims.claim import Runs
    >>> parts(Runs())[0].claim
    'C1'
    """
    return [part for claim in all_claims(paper) for part in claim.parts(runs)]


def summary_table(rows: pd.DataFrame, paper: str = CG) -> str:
    """Each claim in its own words, with its verdict, in Markdown.

    Parameters
    ----------
    rows : DataFrame
        As `claim_verdicts` returns it.
    paper : str
        Short name of the paper that the rows are about.

    Returns
    -------
    str
        A line for each row, in their order. The parts that contradict a claim are named.

    Raises
    ------
    ValueError
        If a claim is not registered.
    """
    sentences = {claim.name: claim.sentence for claim in all_claims(paper)}
    if unknown := sorted(set(rows["claim"]) - set(sentences)):
        raise ValueError(f"{', '.join(unknown)}: not among the claims of {paper}, {', '.join(sentences)}")
    header = ["claim", "the paper", "met by", "parts met by all", "parts that hold", "p (Holm)", "verdict"]
    lines = [header]
    for row in rows.to_dict("records"):
        name = f"{row['claim']} {BY[row['estimator']]}".strip()
        met, all_met = met_by(row), f"{row['parts_met']} of {row['parts']}"
        hold = parts_that_hold(row) or "–"
        contradicted = row["verdict"] == "contradicted"
        p = "–" if pd.isna(row["p_holm"]) or contradicted else f"{row['p_holm']:.2g}"
        verdict = row["why"] if contradicted else row["verdict"]
        lines.append([name, sentences.pop(row["claim"], ""), met, all_met, hold, p, verdict])
    return _markdown(lines)


def criteria_table(paper: str = CG) -> str:
    """Each statistic of the claims, with its criterion and conditions, in Markdown.

    Parameters
    ----------
    paper : str
        Short name of the paper.

    Returns
    -------
    str
        A line for each statistic, with the number of parts of a line of the claim that it is judged in.
    """
    lines = [["claim", "the paper", "statistic", "criterion", "parts", "undecided, unless"]]
    for claim in all_claims(paper):
        name, sentence = claim.name, claim.sentence
        judged: dict[tuple[str, str, str], list[Part]] = {}
        for part in claim.parts(claim.none()):
            details = f" ({part.details})" if part.details else ""
            key = (f"{part.statistic}{details}", part.criterion, part.unless)
            judged.setdefault(key, []).append(part)
        for (statistic, criterion, unless), alike in judged.items():
            estimators = ", ".join(dict.fromkeys(BY[part.estimator] for part in alike if part.estimator))
            what = f"{statistic}; {estimators}" if estimators else statistic
            number = str(len({part.part for part in alike}))
            lines.append([name, sentence, what, criterion, number, unless])
            name = sentence = ""
    return _markdown(lines)


def _markdown(lines: Sequence[Sequence[str]]) -> str:
    rows = [f"| {' | '.join(text.replace('|', chr(92) + '|') for text in line)} |" for line in lines]
    return "\n".join([rows[0], "|" + "---|" * len(lines[0]), *rows[1:]]) + "\n"
