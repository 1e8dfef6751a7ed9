"""The page of the paper's experiments: whose gradient it is (C5 to C8)."""

import math

import numpy as np

from cgpipe.inference.decades import decades
from cgpipe.reproduction.claims import verdict
from cgpipe.reproduction.markdown import each, fixed, p_value, percent, table, word
from cgpipe.reproduction.registry import Conclusion, part
from cgpipe.reproduction.tables import AT_50, MIXED, Published, Tables, Values, met, records, values_of

# Curves of f^p, and of the self terms, by table, row and group.
CURVES = {
    "exact": ("figure2_exact", "data", "pristine"),
    "expected": ("figure2_exact", "in a sample", "pristine"),
    "sampled": ("figure2", "data", "pristine"),
    "self terms": ("figure2", "self terms", "all"),
}
COSINES = (0, 10, 100, 300, 1000, 3000, 10_000, 30_000, 100_000)  # steps


def f_by_decade(tables: Tables, curve: str, noise: float) -> list[float]:
    """Mean over the logged steps of each decade of one of CURVES."""
    name, row, group = CURVES[curve]
    return tables.by_decade(name, row=row, noise=noise, group=group)


def of_sums(tables: Tables, noise: float) -> list[Values]:
    """f^p of each decade: the sum of ⟨g, g^p⟩ over its logged steps by that of ⟨g, g⟩."""
    rows = tables.rows("figure2_exact", row="of sums", noise=noise, group="pristine").sort_values("step")
    return [values_of(row) for row in records(rows)]


def names_of_decades(tables: Tables) -> list[str]:
    """First and last logged step of each decade of figure 2."""
    steps = np.unique(tables.rows("figure2_exact", row="data")["step"].to_numpy())
    decade = decades(steps)
    return [f"{steps[decade == d].min():,} to {steps[decade == d].max():,}" for d in np.unique(decade)]


def pristine_share(tables: Tables, noise: float) -> float:
    """Share of the examples that are pristine."""
    network = {"quantity": "size", "part": "network", "noise": noise, "step": 0}
    pristine, everything = (tables.mean("coherence", group=group, **network) for group in ("pristine", "all"))
    return pristine / everything


def far_and_near(tables: Tables) -> tuple[list[float], list[float]]:
    """How far f^p of the sample is from that of all examples, and from what these make one expect of it.

    Returns
    -------
    two lists of float
        Distances of the means over each decade at each noise level.
    """
    sampled, exact, expected = (
        np.concatenate([f_by_decade(tables, curve, noise) for noise in MIXED])
        for curve in ("sampled", "exact", "expected")
    )
    return list(abs(sampled - exact)), list(abs(sampled - expected))


def cosine(tables: Tables, noise: float, step: int) -> float:
    """Between the summed gradients of the pristine and of the corrupt examples."""
    network = {"quantity": "cosine", "group": "pristine, corrupt", "part": "network"}
    return tables.mean("coherence", noise=noise, step=step, **network)


@part("paper", "fractions")
def fractions(published: Published) -> str:
    """Of all examples and of the sample, by noise and decade."""
    paper = published.paper
    header = ["noise", "steps", "pristine share", "f^p: exact", "exact, of sums", "expected of 400 examples"]
    rows = []
    for noise in MIXED:
        exact, expected, sampled, alone = (f_by_decade(paper, curve, noise) for curve in CURVES)
        sums = [values.mean for values in of_sums(paper, noise)]
        before = (percent(noise), fixed(pristine_share(paper, noise), 2))
        for name, *f in zip(names_of_decades(paper), exact, sums, expected, sampled, alone, strict=True):
            rows.append([before[0], name, before[1], *(fixed(value, 2) for value in f)])
    return table([*header, "the sample", "self terms in the sample"], rows)


# --- The sample and all examples ------------------------------------------------------------------


@part("paper", "sample-and-all")
def sample_behaves_as_the_paper_says(published: Published) -> Conclusion:
    """F^p of the sample."""
    low, middle, high = (f_by_decade(published.paper, "sampled", noise) for noise in MIXED)
    return Conclusion(
        min(low[0], middle[0]) > 0.5 and max(low[-1], middle[-1]) < 0.45 and max(high) < 0.5,
        "In the paper's sample, f behaves much as the paper says. At 25 and 50 % noise f^p starts above f^c "
        "and falls below it, though it does not come back to meet it. At 75 % it stays below.",
    )


@part("paper", "sample-and-all")
def all_examples_behave_otherwise(published: Published) -> Conclusion:
    """F^p of all examples."""
    low, middle, high = (f_by_decade(published.paper, "exact", noise) for noise in MIXED)
    return Conclusion(
        min(low + middle) > 0.5 and high[0] > 0.5,
        "Over all examples of this replicate, f does not. At 25 and 50 % noise f^p stays above f^c in the "
        "mean of every decade, and at 75 % it starts above f^c.",
    )


@part("paper", "sample-and-all")
def it_depends_on_replicate_and_average(published: Published) -> Conclusion:
    """At 50 % noise, over all examples."""
    crossed = met(published.replicates.claim("C5", "smallest mean", AT_50))
    sums = of_sums(published.replicates, 0.5)[-1].each
    return Conclusion(
        0 < sum(crossed) < len(crossed) and max(sums) < 0.5,
        "At 50 % noise that result depends on the replicate and on the way of averaging. By means over "
        f"decades, f^p falls below f^c in {word(sum(crossed))} of [{word(len(crossed))} "
        f"replicates](replicates/README.md); by sums, it does in all {word(len(sums))} in the last decade.",
    )


@part("paper", "sample-and-all")
def self_terms_make_the_difference(published: Published) -> Conclusion:
    """Their share of ⟨g, g⟩, and the curve that follows from them."""
    paper = published.paper
    in_sample = [share for noise in MIXED for share in f_by_decade(paper, "self terms", noise)[1:]]
    of_all = paper.rows("figure2_exact", row="self terms")["high"].max()
    far, near = far_and_near(paper)
    return Conclusion(
        min(in_sample) > 0.5 and bool(0.09 < of_all < 0.11) and sum(near) < 0.5 * sum(far),
        "The self terms make the difference. Among 400 examples they are most of ⟨g, g⟩ after the first ten "
        "steps; among 60,000 they are at most about a tenth. Given the weight that they have in the sample, "
        "they account for most of its curve.",
    )


# --- Against the pristine share -------------------------------------------------------------------


@part("paper", "above-the-share")
def far_above_at_first(published: Published) -> Conclusion:
    """First decade, each noise level."""
    ratios = [
        f_by_decade(published.paper, "exact", noise)[0] / pristine_share(published.paper, noise)
        for noise in MIXED
    ]
    return Conclusion(
        ratios[0] > 1.1 and min(ratios[1:]) > 1.3,
        "At first, f^p is far above the share at every noise level.",
    )


@part("paper", "above-the-share")
def about_the_share_later(published: Published) -> Conclusion:
    """25 % noise, third and fourth decade."""
    exact, share = f_by_decade(published.paper, "exact", 0.25), pristine_share(published.paper, 0.25)
    return Conclusion(
        max(abs(exact[2] - share), abs(exact[3] - share)) < 0.07,
        "At 25 % noise, it is about as large as the share from step 100 on.",
    )


@part("paper", "above-the-share")
def below_the_share_at_the_end(published: Published) -> Conclusion:
    """25 % noise, and all replicates at 50 %."""
    paper = published.paper
    sums = of_sums(published.replicates, 0.5)[-1]
    return Conclusion(
        f_by_decade(paper, "exact", 0.25)[-1] < pristine_share(paper, 0.25) - 0.07
        and sums.high < pristine_share(paper, 0.5),
        "In the last decade, it is below the share at 25 % noise and, taken from sums, in all "
        f"{word(sums.n)} replicates at 50 %: there a corrupt example contributes more than a pristine one.",
    )


@part("paper", "above-the-share")
def above_f_of_the_corrupt_at_75(published: Published) -> Conclusion:
    """First decade, 75 % noise."""
    return Conclusion(
        f_by_decade(published.paper, "exact", 0.75)[0] > 0.5,
        "That f^p starts above f^c even at 75 % noise makes C6 fail, and is stronger evidence for the "
        "hypothesis than what C6 claims.",
    )


# --- The two gradients ----------------------------------------------------------------------------


@part("paper", "cosines")
def cosines(published: Published) -> str:
    """By noise and step."""
    return table(
        ["noise", *(f"step {step:,}" for step in COSINES)],
        (
            [percent(noise), *(fixed(cosine(published.paper, noise, step), 2) for step in COSINES)]
            for noise in MIXED
        ),
    )


@part("paper", "opposed")
def gradients_come_to_oppose(published: Published) -> Conclusion:
    """At step 1,000."""
    return Conclusion(
        max(cosine(published.paper, noise, 1000) for noise in MIXED) < -0.7,
        "The two come to oppose each other. Two random halves of the examples would agree, at a cosine of "
        "(κ − 1)/(κ + 1), where κ is the m-coherence of all examples ([below](#coherence)).",
    )


@part("paper", "opposed")
def gradients_are_equally_long(published: Published) -> Conclusion:
    """Lengths of the two, and of their sum, at steps 1,000 to 5,000."""
    ratios, of_sum = [], []
    for noise in MIXED:
        for step in (1000, 2000, 3000, 4000, 5000):
            at = {"quantity": "squared_norm", "part": "network", "noise": noise, "step": step}
            everything, *two = (
                math.sqrt(published.paper.mean("coherence", group=group, **at))
                for group in ("all", "pristine", "corrupt")
            )
            ratios.append(min(two) / max(two))
            of_sum.append(everything / max(two))
    return Conclusion(
        min(ratios) > 0.8 and min(of_sum) > 0.3 and max(of_sum) < 0.6,
        "From about step 1,000 to 5,000 the two are about equally long. What is left of their sum is a third "
        "to six tenths as long as either, and f divides by its square.",
    )


@part("paper", "opposed")
def averages_disagree(published: Published) -> Conclusion:
    """Last decade at 50 % noise."""
    exact, sums = f_by_decade(published.paper, "exact", 0.5)[-1], of_sums(published.paper, 0.5)[-1]
    return Conclusion(
        (exact > 0.5) != (sums.mean > 0.5),
        "Later most examples are learned. Both gradients are then small and vary, and now one, now the other "
        "is longer. f then says little about which examples drive the descent, and what it says depends on "
        "the way of averaging: at 50 % noise, *exact* and *of sums* disagree on whether f^p falls below f^c "
        "in the last decade.",
    )


# --- C5 to C8 -------------------------------------------------------------------------------------


@part("paper", "c5-replicates")
def one_crosses_another_meets(published: Published) -> Conclusion:
    """The replicates at 50 % noise."""
    crossing, meeting = (
        published.replicates.claim("C5", start, AT_50) for start in ("smallest mean", "|mean")
    )
    smallest, distance = (sorted(values_of(row).each) for row in (crossing, meeting))
    # The one that meets is the one whose smallest mean is largest, so that it does not cross.
    another = abs(distance[0] - smallest[-1]) < 1e-6
    return Conclusion(
        sum(met(crossing)) == sum(met(meeting)) == 1 and another,
        f"At 50 % noise one of {word(len(smallest))} replicates crosses: its smallest mean is "
        f"{fixed(smallest[0])}, those of the others are {each(smallest[1:], last=' and ')}. Another one "
        f"meets: its distance at the end is {fixed(distance[0])}, those of the others are "
        f"{each(distance[1:], last=' and ')}. None does both.",
    )


@part("paper", "c7-worlds")
def worlds_hardly_ever_cross(published: Published) -> Conclusion:
    """All examples."""
    low, middle, high = (
        values_of(published.paper.claim("C7", f"share of the null worlds in which {which}"))
        for which in ("f^p stays", "f^p and f^c do", "f^c stays")
    )
    several = values_of(published.replicates.claim("C7", "share of the null worlds in which f^p and f^c do"))
    return Conclusion(
        min(low.low, high.low) > 0.999,
        "Over 60,000 examples f stays near the pristine share in every null world. At 25 and 75 % noise "
        "the claim could therefore hardly fail. At 50 % noise that share, "
        f"{fixed(pristine_share(published.paper, 0.5), 2)}, is so close to a half that "
        f"{percent(1 - middle.low, 1)} of the worlds cross ({percent(1 - several.high, 1)} to "
        f"{percent(1 - several.low, 1)} in {word(several.n)} replicates).",
    )


@part("paper", "c7-worlds")
def worlds_of_the_sample_may_cross(published: Published) -> Conclusion:
    """The sample at 50 % noise."""
    band = published.paper.rows("figure2", row="null low", noise=0.5, group="pristine")["mean"]
    return Conclusion(
        bool(band.min() < 0.5),
        "Among 400 examples the null band at 50 % noise is wide enough for the two to cross (figure 2, "
        "sampled).",
    )


@part("paper", "c8-contributions")
def pristine_contribute_more(published: Published) -> Conclusion:
    """With the p-values of whole curves."""
    paper = published.paper

    def p(name: str, noise: float) -> str:
        return p_value(paper.at(name, row="curve p", noise=noise, group="pristine").high)

    by_noise = (
        f"{percent(noise)} noise {p('figure3_exact', noise)} exact, {p('figure3', noise)} in the sample"
        for noise in MIXED
    )
    return Conclusion(
        verdict(paper, "C8") == "holds",
        "Over all examples, pristine ones contribute more at each noise level. p-values of the permutation "
        f"test over the whole curve: {'; '.join(by_noise)}.",
    )
