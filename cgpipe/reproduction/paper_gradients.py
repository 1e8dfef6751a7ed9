"""The page of the paper's experiments, continued: whose gradient it is (C5 to C8), and coherence."""

import numpy as np

from cgpipe.figures.words import format_p
from cgpipe.inference.claims.statistics import MIXED
from cgpipe.reproduction.pages import Conclusion, fixed, grid, percent, says, table
from cgpipe.reproduction.paper import steps, verdict
from cgpipe.reproduction.tables import AT_50, END, Published, met, values_of


def f_by_decade(p: Published) -> str:
    """f^p of all examples and of the sample."""
    header = ["noise", "steps", "pristine share", "f^p: exact", "exact, of sums", "expected of 400 examples"]
    rows = []
    for noise in MIXED:
        exact, expected, sampled, alone = (
            p.paper.fractions(curve, noise) for curve in ("exact", "expected", "sampled", "self terms")
        )
        sums = [values.mean for values in p.paper.of_sums(noise)]
        for span, *f in zip(p.paper.spans(), exact, sums, expected, sampled, alone, strict=True):
            numbers = (p.paper.pristine_share(noise), *f)
            rows.append([percent(noise), span, *(fixed(number, 2) for number in numbers)])
    return table([*header, "the sample", "self terms in the sample"], rows)


def sample_as_the_paper(p: Published) -> Conclusion:
    low, middle, high = (p.paper.fractions("sampled", noise) for noise in MIXED)
    return says(min(low[0], middle[0]) > 0.5 and max(low[-1], middle[-1]) < 0.45 and max(high) < 0.5)


def all_unlike_the_paper(p: Published) -> Conclusion:
    low, middle, high = (p.paper.fractions("exact", noise) for noise in MIXED)
    return says(min(low + middle) > 0.5 and high[0] > 0.5)


def one_of_three_crosses(p: Published) -> Conclusion:
    crossed = met(p.replicates.claim("C5", "smallest mean", AT_50))
    return says((sum(crossed), len(crossed)) == (1, 3) and p.replicates.of_sums(0.5)[-1].high < 0.5)


def self_terms(p: Published) -> Conclusion:
    in_sample = min(min(p.paper.fractions("self terms", noise)[1:]) for noise in MIXED)
    of_all = p.paper.rows("figure2_exact", row="self terms")["high"].max()
    sampled, exact, expected = (
        np.concatenate([p.paper.fractions(curve, noise) for noise in MIXED])
        for curve in ("sampled", "exact", "expected")
    )
    far, near = (abs(sampled - other).sum() for other in (exact, expected))
    return says(in_sample > 0.5 and 0.09 < of_all < 0.11 and near < 0.5 * far)


def above_the_share(p: Published) -> Conclusion:
    first = [p.paper.fractions("exact", e)[0] / p.paper.pristine_share(e) for e in MIXED]
    exact, share = p.paper.fractions("exact", 0.25), p.paper.pristine_share(0.25)
    later = max(abs(exact[2] - share), abs(exact[3] - share)) < 0.07
    return says(first[0] > 1.1 and min(first[1:]) > 1.3 and later)


def below_the_share(p: Published) -> Conclusion:
    low = p.paper.fractions("exact", 0.25)[-1] < p.paper.pristine_share(0.25) - 0.07
    return says(low and p.replicates.of_sums(0.5)[-1].high < p.paper.pristine_share(0.5))


def c6_fails(p: Published) -> Conclusion:
    return says(p.paper.fractions("exact", 0.75)[0] > 0.5 and verdict(p.paper, "C6") != "holds")


def cosines(p: Published) -> str:
    """Between the summed gradients of the pristine and of the corrupt examples."""
    columns = [(f"step {t:,}", t) for t in (0, 10, 100, 300, 1000, 3000, 10_000, 30_000, END)]
    rows = {percent(noise): p.paper.network("cosine", noise, "pristine, corrupt")["mean"] for noise in MIXED}
    return grid("noise", rows, columns, lambda cosine, t: fixed(cosine[t], 2))


def oppose(p: Published) -> Conclusion:
    cosine = [p.paper.network("cosine", e, "pristine, corrupt")["mean"][1000] for e in MIXED]
    return says(max(cosine) < -0.7)


def equally_long(p: Published) -> Conclusion:
    ratios, left = [], []
    for noise in MIXED:
        total, one, other = (
            p.paper.network("squared_norm", noise, group)["mean"].loc[1000:5000] ** 0.5
            for group in ("all", "pristine", "corrupt")
        )
        longer, shorter = np.maximum(one, other), np.minimum(one, other)
        ratios.append((shorter / longer).min())
        left += [*(total / longer)]
    return says(min(ratios) > 0.8 and min(left) > 0.3 and max(left) < 0.6)


def averages_disagree(p: Published) -> Conclusion:
    return says((p.paper.fractions("exact", 0.5)[-1] > 0.5) != (p.paper.of_sums(0.5)[-1].mean > 0.5))


def c5_replicates(p: Published) -> Conclusion:
    rows = [p.replicates.claim("C5", start, AT_50) for start in ("smallest mean", "|mean")]
    smallest, distance = (sorted(values_of(row).each) for row in rows)
    # The one that meets is the one whose smallest mean is largest, so that it does not cross.
    another = [sum(met(row)) for row in rows] == [1, 1] and abs(distance[0] - smallest[-1]) < 1e-6
    return says(another, *map(fixed, smallest), *map(fixed, distance))


def c7_worlds(p: Published) -> Conclusion:
    low, middle, high = (
        values_of(p.paper.claim("C7", which)) for which in ("f^p stays", "f^p and f^c do", "f^c stays")
    )
    several = values_of(p.replicates.claim("C7", "f^p and f^c do"))
    crossing = (percent(1 - share, 1) for share in (middle.low, several.high, several.low))
    return says(min(low.low, high.low) > 0.999, fixed(p.paper.pristine_share(0.5), 2), *crossing)


def c7_sample(p: Published) -> Conclusion:
    return says(p.paper.rows("figure2", row="null low", noise=0.5, group="pristine")["mean"].min() < 0.5)


def c8_p_values(p: Published) -> Conclusion:
    at = {"row": "curve p", "group": "pristine"}
    found = [p.paper.at(f, noise=e, **at).high for e in MIXED for f in ("figure3_exact", "figure3")]
    return says(verdict(p.paper, "C8") == "holds", *(format_p(value) for value in found))


def coherence(p: Published) -> str:
    """m-coherence of groups of examples."""
    columns = [
        (f"{group}, {percent(noise)}" if group == "pristine" else group, (noise, group))
        for noise in MIXED
        for group in ("pristine", "corrupt", "all")
    ]
    curves = {of: p.paper.network("m_coherence", *of)["mean"] for _, of in columns}
    rows = steps(0, 10, 100, 1000, 10_000, 20_000, 50_000, END)
    return grid("step", rows, columns, lambda t, of: fixed(curves[of][t], 0))


def coherence_pairs(p: Published) -> Conclusion:
    logged = [len(p.paper.network("pair_coherence", noise, "pristine")) for noise in MIXED]
    above = [n - len(p.paper.pairs_below(noise)) for n, noise in zip(logged, MIXED, strict=True)]
    counts = [f"{k} of {n}" for k, n in zip(above, logged, strict=True)]
    return says(all(k > n / 2 for k, n in zip(above, logged, strict=True)), *counts)


def coherence_unlearned(p: Published) -> Conclusion:
    groups = ("pristine, not learned", "corrupt, not learned")
    less = [len(p.paper.pairs_below(noise, groups)) for noise in MIXED]
    return says(max(less) < 15, *map(str, less))
