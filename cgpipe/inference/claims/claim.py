"""What a claim is: one sentence of a paper, and one function that tests it on runs.

Each claim has one or several parts: a statistic with a bound. Conditions on how far a run came keep runs that
are too short from deciding.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from cgpipe.inference.verdicts import Part
from cgpipe.runs import Run

CG = "CG 2020"  # Chatterjee, Coherent Gradients, ICLR 2020, arXiv 2002.10657


class Runs(NamedTuple):
    """The runs that claims are tested on, by experiment, and what was computed from some of them.

    Each field may be empty; claims about it are then undecided. An analysis belongs to the run of
    `label_noise` with the same noise and replicate, and may be missing.

    Examples
    --------
    >>> Runs().label_noise
    ()
    """

    label_noise: Sequence[Run] = ()  # histories of plain SGD
    winsorization: Sequence[Run] = ()  # histories
    full_batch: Sequence[Run] = ()  # histories
    minibatch: Sequence[Run] = ()  # histories of plain SGD, which full_batch is compared with
    coherence: Sequence[Run] = ()  # analyses of label_noise
    sampled: Sequence[Run] = ()  # null worlds of label_noise, from the sample
    exact: Sequence[Run] = ()  # null worlds of label_noise, from all examples
    displacement: Sequence[Run] = ()  # null worlds of label_noise, from displacements
    bursts: Sequence[Run] = ()  # analyses of label_noise


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
        From the runs to the parts of the claim.
    none : callable
        Makes what `test` takes, without any run.
    """

    paper: str
    name: str
    sentence: str
    test: Callable[[Any], Iterable[Part]]
    none: Callable[[], Any] = Runs

    def parts(self, runs: Any) -> list[Part]:
        """The parts of the claim, in the order of the table."""
        return [replace(part, claim=self.name) for part in self.test(runs)]


def claim(
    name: str, sentence: str, *, paper: str = CG
) -> Callable[[Callable[[Runs], Iterable[Part]]], Claim]:
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
    >>> @claim("C0", "networks are trained")
    ... def trained(runs):
    ...     yield Part(part="trained", statistic="experiments", rule="above", bound=0)
    >>> trained.sentence
    'networks are trained'
    >>> [part.claim for part in trained.parts(Runs())]
    ['C0']
    """
    return lambda test: Claim(paper, name, sentence, test)
