"""What the claims of Chatterjee and Zielinski (2022) are tested on: artifacts, and experiments by role."""

from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple

import xarray as xr

from cgpipe.inference.claims.claim import Claim
from cgpipe.inference.claims.statistics import UndecidedError, examples, observe
from cgpipe.inference.verdicts import Observed, Part
from cgpipe.runs import Run

GM = "GM 2022"  # Chatterjee and Zielinski, On the Generalization Mystery in Deep Learning, arXiv 2203.10036
OF_ALL_REPLICATES = -1  # replicate of what was made from all of them

Kind = Literal["history", "heldout", "displacement", "similarity", "twins", "difficulty"]


class Roles(NamedTuple):
    """Which experiment plays which part, by its name; empty: none does, and claims about it are undecided.

    The defaults are those of `config/mystery.yaml`, and of the table of the criteria.
    """

    networks: Sequence[str] = ("dense", "lenet5", "alexnet")  # at noise 0, 0.5 and 1
    seeds: str = "seeds"  # one training set, many initial weights
    easy: str = "easy"  # trained on its easy examples alone
    hard: str = "hard"
    unselected: str = "unselected"  # trained on as many of either kind
    similarity: str = "similarity"
    plain: str = "sgd"  # SGD that update rules are compared with
    modified: Sequence[str] = ("m3", "rm3")
    mean_of_three: str = "ra3"
    winsorized: str = "winsorized"
    private: Sequence[str] = ("private",)
    twins: Sequence[str] = ("twin",)
    random_start: str = "random_start"
    adversarial_start: str = "adversarial_start"
    widths: Sequence[str] = ("width_16", "width_64", "width_256", "width_1024", "width_4096")  # ascending


class Mystery(NamedTuple):
    """The artifacts of all runs, by kind; the experiment of each is in the run.

    Examples
    --------
    >>> Mystery().find("history", "lenet5", 0.5)
    Traceback (most recent call last):
    ...
    cgpipe.inference.claims.statistics.UndecidedError: no history of lenet5 at 50% noise
    """

    roles: Roles = Roles()
    history: Sequence[Run] = ()
    heldout: Sequence[Run] = ()
    displacement: Sequence[Run] = ()
    similarity: Sequence[Run] = ()
    twins: Sequence[Run] = ()
    difficulty: Sequence[Run] = ()  # of all replicates of an experiment

    def of(self, replicate: int) -> "Mystery":
        """What there is of one replicate."""
        these = (replicate, OF_ALL_REPLICATES)
        return Mystery(self.roles, *([run for run in runs if run.replicate in these] for runs in self[1:]))

    def find(self, kind: Kind, experiment: str, noise: float, c: int = 0) -> xr.Dataset:
        """The artifact of a run, of what there is of one replicate.

        Raises
        ------
        UndecidedError
            If there is none.
        """
        for run in getattr(self, kind):
            if (run.experiment, run.noise, run.winsor) == (experiment, noise, c):
                found: xr.Dataset = run.data
                return found
        at = f" at {noise:.0%} noise" + (f", c = {c}" if c else "")
        raise UndecidedError(f"no {kind} of {experiment}{at}")

    def replicates(self, experiment: str) -> list[int]:
        """Those of which there is a history."""
        return sorted({run.replicate for run in self.history if run.experiment == experiment})

    def examples(self, experiment: str) -> float:
        """Training examples, of which shares are taken; NaN without a run."""
        return examples([run for run in self.history if run.experiment == experiment])

    def each_replicate(self, experiment: str, statistic: "Statistic") -> dict[int, Observed]:
        """A statistic in each replicate of an experiment; see `observe`."""
        return {one: observe(statistic, self.of(one)) for one in self.replicates(experiment)}


# From what there is of one replicate; raises UndecidedError where it cannot say.
Statistic = Callable[[Mystery], float]


def contrast(one: Statistic, other: Statistic) -> Statistic:
    """A statistic of a replicate less another."""
    return lambda runs: one(runs) - other(runs)


def claim(name: str, sentence: str) -> Callable[[Callable[[Mystery], Iterable[Part]]], Claim]:
    """Make a claim of this paper of the function that tests it; as `cgpipe.inference.claims.claim.claim`."""
    return lambda test: Claim(GM, name, sentence, test, Mystery)
