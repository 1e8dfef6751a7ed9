"""What a claim is: one sentence of a paper, and one function that tests it on runs.

Each claim has one or several statistics, each with a criterion. The criteria were fixed before any run of the
paper's size (one exception is in docs/science.md), so a claim may fail. A claim about all levels of noise, or
of c, is judged at its least favourable level. Conditions on how far a run came keep runs that are too short
from deciding.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from cgpipe.inference.verdicts import Finding
from cgpipe.runs import Run

CG = "CG 2020"  # Chatterjee, Coherent Gradients, ICLR 2020, arXiv 2002.10657


class Runs(NamedTuple):
    """The runs that claims are tested on, by experiment, and what was computed from some of them.

    Each part may be empty; claims about it are then inconclusive. An analysis belongs to the run of
    `label_noise` with the same noise and replicate, and may be missing.

    Examples
    --------
    >>> Runs().label_noise
    ()
    """

    label_noise: Sequence[Run] = ()  # histories of plain SGD
    winsorization: Sequence[Run] = ()  # histories
    full_batch: Sequence[Run] = ()  # histories
    coherence: Sequence[Run] = ()  # analyses of label_noise
    nullworlds: Sequence[Run] = ()  # analyses of label_noise, from all examples


@dataclass(frozen=True)
class Claim:
    """A claim of a paper.

    Attributes
    ----------
    paper : str
        Short name of the paper.
    name : str
        Short name of the claim, unique in its paper.
    sentence : str
        What the paper says, as it stands in the tables.
    test : callable
        From the runs to one finding a statistic.
    """

    paper: str
    name: str
    sentence: str
    test: Callable[[Runs], Iterable[Finding]]

    def findings(self, runs: Runs) -> list[Finding]:
        """One finding for each statistic of the claim, in the order of the table."""
        return [replace(finding, claim=self.name) for finding in self.test(runs)]


def claim(
    name: str, sentence: str, *, paper: str = CG
) -> Callable[[Callable[[Runs], Iterable[Finding]]], Claim]:
    """Make a claim of the function that tests it.

    Parameters
    ----------
    name : str
        Short name of the claim, unique in its paper.
    sentence : str
        What the paper says, as it stands in the tables.
    paper : str
        Short name of the paper.

    Returns
    -------
    callable
        Decorator that replaces the function by its Claim.

    Examples
    --------
    >>> from cgpipe.inference.verdicts import Criterion
    >>> @claim("C0", "networks are trained")
    ... def trained(runs):
    ...     yield Finding("experiments", Criterion(">", 0))
    >>> trained.sentence
    'networks are trained'
    >>> [finding.claim for finding in trained.findings(Runs())]
    ['C0']
    """
    return lambda test: Claim(paper, name, sentence, test)
