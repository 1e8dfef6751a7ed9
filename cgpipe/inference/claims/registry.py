"""All claims, their findings, and the tables about them.

A module with claims is listed in MODULES. Its claims stand in the tables in the order of their definition.
"""

from collections.abc import Sequence
from typing import get_args

import pandas as pd

from cgpipe.inference.claims import gradients, learning_curves, winsorization
from cgpipe.inference.claims.claim import CG, Claim, Runs
from cgpipe.inference.verdicts import Finding, Verdict

MODULES = (learning_curves, gradients, winsorization)


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
    return [claim for claim in claims if paper in (None, claim.paper)]


def findings(runs: Runs, paper: str | None = None) -> list[Finding]:
    """Test claims on runs.

    Parameters
    ----------
    runs : Runs
        Each part of it may be empty; claims about it are then inconclusive.
    paper : str, optional
        Short name of the paper; all papers by default.

    Returns
    -------
    list of Finding
        One or several for each claim, in the order of the tables.

    Examples
    --------
    >>> findings(Runs())[0].verdict()
    ('inconclusive', 'no run that could say')
    """
    return [finding for claim in all_claims(paper) for finding in claim.findings(runs)]


def summary_table(rows: pd.DataFrame, paper: str = CG) -> str:
    """Each claim in its own words, with its number of replicates and its verdict, in Markdown.

    Parameters
    ----------
    rows : DataFrame
        The table of findings, as in claims.csv.
    paper : str
        Short name of the paper that the rows are about.

    Returns
    -------
    str
        A line for each claim, in the order of the rows. Where the statistics of a claim have different
        verdicts, they are counted.

    Raises
    ------
    ValueError
        If a claim is not registered.
    """
    sentences = {claim.name: claim.sentence for claim in all_claims(paper)}
    if unknown := sorted(set(rows["claim"]) - set(sentences)):
        raise ValueError(f"{', '.join(unknown)}: not among the claims of {paper}, {', '.join(sentences)}")
    lines = ["| claim | the paper | n | verdict |", "|---|---|---|---|"]
    lines += [
        f"| {name} | {sentences[str(name)]} | {parts['n'].max()} | {count_verdicts(list(parts['verdict']))} |"
        for name, parts in rows.groupby("claim", sort=False)
    ]
    return "\n".join(lines) + "\n"


def criteria_table(paper: str = CG) -> str:
    """Each statistic of the claims, with its criterion and conditions, in Markdown.

    Parameters
    ----------
    paper : str
        Short name of the paper.

    Returns
    -------
    str
        A line for each statistic.
    """
    lines = ["| claim | the paper | statistic | criterion | inconclusive, unless |", "|---|---|---|---|---|"]
    for claim in all_claims(paper):
        name, sentence = claim.name, claim.sentence
        for finding in claim.findings(Runs()):
            details = f" ({finding.details})" if finding.details else ""
            statistic = f"{finding.statistic}{details}".replace("|", "\\|")
            lines.append(f"| {name} | {sentence} | {statistic} | {finding.criterion} | {finding.unless} |")
            name = sentence = ""
    return "\n".join(lines) + "\n"


def count_verdicts(verdicts: Sequence[str]) -> str:
    """The verdict on all parts of a claim, or how many parts have which."""
    names: tuple[str, ...] = get_args(Verdict)
    counts = [f"{name} {verdicts.count(name)}" for name in names if name in verdicts]
    return verdicts[0] if len(counts) == 1 else f"of {len(verdicts)} parts: {', '.join(counts)}"
