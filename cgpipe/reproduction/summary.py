"""The page of the paper's experiments: what they show on the whole, what they took, and the replicates."""

from cgpipe.reproduction.claims import verdict
from cgpipe.reproduction.coherence import steps_not_above
from cgpipe.reproduction.fractions import far_and_near, of_sums, pristine_share
from cgpipe.reproduction.markdown import fixed, span, table, word
from cgpipe.reproduction.registry import Conclusion, part
from cgpipe.reproduction.tables import AT_50, Published, met, records, values_of
from cgpipe.reproduction.winsorized import at_the_end, memorized_noise


@part("paper", "replicates")
def number_of_replicates(published: Published) -> Conclusion:
    """The replicates of this page's experiments, and of those at 50 % noise."""
    paper, several = published.paper, published.replicates
    counts = {
        "label noise": paper.rows("figure1")["n"].max(),
        "winsorized SGD": paper.rows("figure4")["n"].max(),
        "full-batch descent": paper.rows("claims", claim="C12")["n"].max(),
        "hidden units in use": paper.rows("activity")["n"].max(),
    }
    n = [
        values_of(several.claim("C5", AT_50)).n,
        *(several.rows(name)["n"].max() for name in ("figure1", "figure4")),
    ]
    listed = ", ".join(f"{count} for {name}" for name, count in counts.items())
    return Conclusion(
        len(set(n)) == 1 and n[0] > max(counts.values()),
        f"Number of replicates (n): {listed}. At 50 % noise, figures 1 and 4, the exact versions of figures "
        f"2 and 3, and the coherence figure also exist for [{word(n[0])} replicates](replicates/README.md). "
        "The first of those is the one shown here.",
    )


# --- What supports the hypothesis -----------------------------------------------------------------


@part("paper", "supported")
def pristine_are_learned_first(published: Published) -> Conclusion:
    """C3, first statistic."""
    learned = published.paper.claim("C3", "chance that a pristine example")
    return Conclusion(
        learned["verdict"] == "holds", "Pristine examples are learned before corrupt ones (C3)."
    )


@part("paper", "supported")
def pristine_contribute_more_at_first(published: Published) -> Conclusion:
    """C8, and figure 3 of the sample."""
    paper = published.paper
    in_sample = paper.at("figure3", row="curve p", noise=0.75, group="pristine")
    return Conclusion(
        verdict(paper, "C8") == "holds"
        and bool(paper.rows("claims", claim="C8")["p"].max() <= 0.0001)
        and in_sample.low > 0.05,
        "In the first steps a pristine example contributes more to the descent than a corrupt one, at each "
        "noise level and beyond any null world (C8). In the paper's own sample this does not show at 75 % "
        "noise.",
    )


@part("paper", "supported")
def gradients_of_pristine_agree_more(published: Published) -> Conclusion:
    """Where pair coherence of the pristine examples is above that of the corrupt."""
    fewer = {noise: steps_not_above(published.paper, noise) for noise in (0.25, 0.5, 0.75)}
    between = [step for step in fewer[0.25] if 60 <= step <= 3000]
    return Conclusion(
        not fewer[0.5] and not fewer[0.75] and len(between) == 16 and len(fewer[0.25]) <= 19,
        "Compared in pairs, the gradients of pristine examples agree more than those of corrupt ones: at 50 "
        "and 75 % noise at every logged step; at 25 % at first and again late, but not between steps 60 and "
        "3,000 ([coherence](#coherence)).",
    )


@part("paper", "supported")
def clipping_one_example_holds_memorization_back(published: Published) -> Conclusion:
    """Plain SGD against c = 1."""
    plain, one, plain_all, one_all = (
        at_the_end(published.paper, "training accuracy", noise, c) for noise in (0.5, 1.0) for c in (0, 1)
    )
    return Conclusion(
        plain.low - one.high > 0.1 and plain_all.low - one_all.high > 0.1,
        "Clipping one example of 100 on each side (c = 1) holds memorization back. At 50 % noise, where a "
        f"share of {fixed(pristine_share(published.paper, 0.5))} of the labels is true, training accuracy at "
        f"step 60,000 is {fixed(plain.mean)} with plain SGD and {fixed(one.mean)} with c = 1. At 100 % noise "
        f"it is {fixed(plain_all.mean)} and {fixed(one_all.mean)}.",
    )


# --- Where the results differ from the paper ------------------------------------------------------


@part("paper", "unlike-the-paper")
def crossing_comes_of_the_sample(published: Published) -> Conclusion:
    """Self terms bring most of the sampled curves about."""
    far, near = far_and_near(published.paper)
    return Conclusion(
        sum(near) < 0.5 * sum(far),
        "In the paper's sample, the contributions of pristine and corrupt examples cross early and widely at "
        "25 and 50 % noise (C5), and do not cross at 75 % (C6). Most of that comes from taking only 400 "
        "examples: then the product of each gradient with itself outweighs the agreement between gradients "
        "([below](#whose-gradient-it-is)).",
    )


@part("paper", "unlike-the-paper")
def crossing_of_all_is_late(published: Published) -> Conclusion:
    """At 50 % noise, over all examples."""
    crossed = met(published.replicates.claim("C5", "smallest mean", AT_50))
    sums = of_sums(published.replicates, 0.5)[-1].each
    return Conclusion(
        0 < sum(crossed) < len(crossed) and max(sums) < 0.5,
        "Over all examples, those at 50 % noise cross too, but later and less: in "
        f"{word(sum(crossed))} of {word(len(crossed))} replicates if f is averaged over decades of steps, "
        f"and in all {word(len(sums))} if f is taken from sums over a decade.",
    )


@part("paper", "unlike-the-paper")
def some_noise_is_memorized(published: Published) -> Conclusion:
    """C9 at 100 % noise."""
    above = memorized_noise(published.paper)
    return Conclusion(
        above[2] > 0.05 and above[4] > 0.02, "With pure noise, c = 2 and 4 still memorize some of it (C9)."
    )


# --- What the paper does not report ---------------------------------------------------------------


@part("paper", "beyond-the-paper")
def test_accuracy_does_not_last(published: Published) -> Conclusion:
    """Large c, and c = 2 by replicate and convention."""
    several = published.replicates
    best, four, two = (
        at_the_end(several, curve, 0.5, c)
        for curve, c in (("best test accuracy", 4), ("test accuracy", 4), ("test accuracy", 2))
    )
    by_the_code = at_the_end(published.conventions, "test accuracy", 0.5, 2)
    return Conclusion(
        best.low - four.high > 0.2 and two.high - two.low > 0.3 and by_the_code.low > two.high,
        "With large c, test accuracy does not last. At 50 % noise and c = 4 it reaches "
        f"{fixed(best.mean, 2)} and ends at {fixed(four.mean, 2)} (mean of {word(four.n)} replicates, "
        f"{span(four, 2)}). With c = 2 the end depends on the replicate ({span(two, 2)}) and on the "
        "[conventions](conventions/README.md).",
    )


@part("paper", "beyond-the-paper")
def units_fall_out_of_use(published: Published) -> Conclusion:
    """Dead units, and activity in the upper layers."""
    paper = published.paper
    at = {"quantity": "dead", "noise": 0.5, "layer": 2, "step": 60000}
    dead = {c: paper.mean("activity", winsor=c, **at) for c in (0, 1, 2, 4, 8)}
    return Conclusion(
        dead[0] < 0.01 and min(dead[c] for c in (1, 2, 4, 8)) > 0.04,
        "Hidden units fall out of use ([below](#c11-the-price-and-test-accuracy-late-in-training)).",
    )


# --- What it took ---------------------------------------------------------------------------------


@part("paper", "costs")
def costs(published: Published) -> str:
    """By stage and experiment."""
    return table(
        ["stage", "experiment", "jobs", "hours of wall time", "hours of CPU time", "largest memory (MB)"],
        (
            [
                row["stage"],
                row["experiment"],
                str(row["jobs"]),
                fixed(row["wall_hours"], 2),
                fixed(row["cpu_hours"], 2),
                fixed(row["largest_rss_mb"], 0),
            ]
            for row in records(published.paper.rows("costs"))
        ),
    )


@part("paper", "software")
def software(published: Published) -> str:
    """Devices and versions."""
    rows = records(published.paper.rows("software"))
    return table(["what", "value"], ([row["name"], row["value"]] for row in rows))
