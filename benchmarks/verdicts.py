"""`python -m benchmarks.verdicts`: level and power of the verdicts, written into docs/science.md."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cgpipe.inference.verdicts import Rule, judge
from cgpipe.pipeline.documents import write_between

DOCUMENT = Path(__file__).parents[1] / "docs" / "science.md"
COUNT = 20_000  # claims for each entry of the table
EFFECTS = (0, 0.5, 1, 2)  # mean of T, in standard deviations of the replicates
REPLICATES = (5, 10)
PARTS = (3, 6, 9)  # of a claim of several parts
RULES: dict[Rule, tuple[float, str]] = {"above": (0, "T > 0"), "within": (1, "within ± 1 sd")}
Sample = Callable[[np.random.Generator, tuple[int, ...]], npt.NDArray[np.float64]]
# Each of mean 0 and standard deviation 1.
DISTRIBUTIONS: dict[str, Sample] = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "t, 3 degrees of freedom": lambda rng, shape: rng.standard_t(3, shape) / np.sqrt(3),
    "1 - exponential": lambda rng, shape: 1 - rng.standard_exponential(shape),
}


def shares(
    rule: Rule,
    distribution: str,
    replicates: int,
    effect: float,
    *,
    parts: int = 1,
    count: int = COUNT,
    seed: int = 0,
) -> dict[str, float]:
    """Share of simulated claims by their verdict.

    Parameters
    ----------
    rule : {"above", "within"}
        Where the claim puts T: above 0, or within ± 1.
    distribution : str
        Of T in the replicates, around its mean; one of DISTRIBUTIONS.
    replicates : int
        Replicates of a claim.
    effect : float
        Mean of T, in standard deviations.
    parts : int
        Parts of a claim, independent of each other. It holds if all do, and is contradicted if one is.
    count : int
        Claims.
    seed : int
        Seed of the random stream.

    Returns
    -------
    dict from str to float
        For holds and contradicted.
    """
    t = DISTRIBUTIONS[distribution](np.random.default_rng(seed), (count, parts, replicates)) + effect
    verdicts = judge(t, rule, RULES[rule][0])
    holds, contradicted = (verdicts == "holds").all(1), (verdicts == "contradicted").any(1)
    return {"holds": float(holds.mean()), "contradicted": float(contradicted.mean())}


def table(count: int = COUNT) -> str:
    """Shares of the claims that hold, and that are contradicted, in per cent, in Markdown."""
    lines = [
        f"| criterion | T in the replicates | parts | n | {' | '.join(f'{e:g} sd' for e in EFFECTS)} |",
        "|---" * (4 + len(EFFECTS)) + "|",
    ]
    cases: list[tuple[Rule, str, int, int]] = [
        *((rule, distribution, 1, n) for rule in RULES for distribution in DISTRIBUTIONS for n in REPLICATES),
        *(("above", "normal", parts, n) for parts in PARTS for n in REPLICATES),
    ]
    for rule, distribution, parts, n in cases:
        found = [shares(rule, distribution, n, effect, parts=parts, count=count) for effect in EFFECTS]
        cells = [f"{100 * of['holds']:.1f}, {100 * of['contradicted']:.1f}" for of in found]
        lines.append(f"| {RULES[rule][1]} | {distribution} | {parts} | {n} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    write_between(DOCUMENT, "power", table())
