"""The page of the paper's experiments: its tables, and the conclusions that its sentences draw."""

import numpy as np
import pandas as pd

from cgpipe.figures.words import format_p
from cgpipe.inference.claims.registry import count_verdicts, summary_table
from cgpipe.reproduction.pages import NONE, Conclusion, fixed, grid, percent, says, spread, table
from cgpipe.reproduction.quantities import (
    AT_50,
    END,
    EVERY,
    MIXED,
    WINSOR,
    far_and_near,
    fractions,
    kept,
    learning,
    network,
    of_sums,
    pairs_below,
    pristine_share,
    spans,
    winsorized,
)
from cgpipe.reproduction.tables import Published, Tables, met, records, values_of

COMMONEST = 6742 / 60_000  # share of MNIST's training examples with the commonest label, 1
LEVELS = {percent(noise): noise for noise in EVERY}
CLIPPED = [("c = 0", 0), *((str(c), c) for c in WINSOR[1:])]


def steps(*numbers: int) -> dict[str, int]:
    """Rows of a table."""
    return {f"{step:,}": step for step in numbers}


def verdict(tables: Tables, claim: str) -> str:
    """On a claim, or on its parts."""
    return count_verdicts(list(tables.rows("claims", claim=claim)["verdict"]))


# --- The whole ------------------------------------------------------------------------------------


def claims(p: Published) -> str:
    """The table of all claims."""
    return summary_table(p.paper.rows("claims")).rstrip("\n")


def statistics(p: Published, claim: str) -> str:
    """Those behind a claim."""
    return table(
        ["statistic", "claimed", "found", "n", "p", "verdict"],
        (
            [
                *(row["statistic"], row["criterion"], spread(values_of(row)), str(row["n"])),
                *(NONE if pd.isna(row["p"]) else format_p(row["p"]), with_reason(row)),
            ]
            for row in records(p.paper.rows("claims", claim=claim))
        ),
    )


def with_reason(row: dict[str, str]) -> str:
    """A verdict, and why there is no other."""
    return row["verdict"] if pd.isna(row["why"]) else f"{row['verdict']}: {row['why']}"


def replicates(p: Published) -> Conclusion:
    experiments = [p.paper.rows(name)["n"].max() for name in ("figure1", "figure4", "activity")]
    return says(
        max(experiments) == 1 and {p.replicates.rows(f)["n"].max() for f in ("figure1", "figure4")} == {3}
    )


def replicates_agree(p: Published) -> Conclusion:
    rows = p.replicates.rows("claims")
    apart = list(rows[rows["why"] == "replicates disagree"]["statistic"])
    here = {p.paper.row("claims", statistic=statistic)["verdict"] for statistic in apart}
    holding = list(rows[rows["verdict"] == "holds"]["claim"])
    return says(holding == ["C5", "C7", "C8"] and len(apart) == 2 and here == {"does not hold"})


def _headline(p: Published) -> Conclusion:
    curves = ("training accuracy", "test accuracy", "best test accuracy")
    (plain, one), (plain_test, one_test), (best, best_one) = (
        [winsorized(p.replicates, curve, 0.5, c).mean for c in (0, 1)] for curve in curves
    )
    numbers = (one, plain, one_test, plain_test, best_one, best)
    return says(plain > one and one_test > plain_test and best > best_one, *(fixed(n, 2) for n in numbers))


def pristine_first(p: Published) -> Conclusion:
    return says(p.paper.claim("C3", "chance that a pristine example")["verdict"] == "holds")


def more_at_first(p: Published) -> Conclusion:
    in_sample = p.paper.at("figure3", row="curve p", noise=0.75, group="pristine")
    beyond = p.paper.rows("claims", claim="C8")["p"].max() <= 0.0001
    return says(verdict(p.paper, "C8") == "holds" and beyond and in_sample.low > 0.05)


def pairs(p: Published) -> Conclusion:
    low, *higher = (pairs_below(p.paper, noise) for noise in MIXED)
    return says(not any(higher) and sum(60 <= step <= 3000 for step in low) == 16 and len(low) <= 19)


def one_clipped(p: Published) -> Conclusion:
    ends = [winsorized(p.paper, "training accuracy", noise, c) for noise in (0.5, 1.0) for c in (0, 1)]
    lower = ends[0].low - ends[1].high > 0.1 and ends[2].low - ends[3].high > 0.1
    return says(lower, fixed(pristine_share(p.paper, 0.5)), *(fixed(end.mean) for end in ends))


def sample_crosses(p: Published) -> Conclusion:
    far, near = far_and_near(p.paper)
    return says(near < 0.5 * far and sample_as_the_paper(p).holds)


def all_cross_late(p: Published) -> Conclusion:
    return one_of_three_crosses(p)


def pure_noise(p: Published) -> Conclusion:
    two, four = (winsorized(p.paper, "excess", 1.0, c) for c in (2, 4))
    return says(two.low > 0.05 and four.low > 0.02)


def not_lasting(p: Published) -> Conclusion:
    best = winsorized(p.replicates, "best test accuracy", 0.5, 4)
    two, four = (winsorized(p.replicates, "test accuracy", 0.5, c) for c in (2, 4))
    code = winsorized(p.conventions, "test accuracy", 0.5, 2)
    numbers = (best.mean, four.mean, four.low, four.high, two.low, two.high)
    lost = best.low - four.high > 0.2 and two.high - two.low > 0.3 and code.low > two.high
    return says(lost, *(fixed(number, 2) for number in numbers))


def units(p: Published) -> Conclusion:
    at = {"quantity": "dead", "noise": 0.5, "layer": 2, "step": 60_000}
    plain, *clipped = (p.paper.mean("activity", winsor=c, **at) for c in WINSOR)
    return says(plain < 0.01 and min(clipped) > 0.04)


# --- Learning: C1 to C4 ---------------------------------------------------------------------------


def c1_accuracies(p: Published) -> str:
    """Training accuracy at the end, and test accuracy."""

    def entry(noise: float, column: str) -> str:
        if column != "best":
            return spread(learning(p.paper, column, noise))
        if noise == 1:
            return NONE
        best, step = (learning(p.paper, "b", noise, group=group) for group in ("best", "step of the best"))
        at = f"{step.low:,.0f}" + ("" if step.low == step.high else f" to {step.high:,.0f}")
        return f"{spread(best)} at {at}"

    columns = [
        ("training accuracy at the end", "a"),
        ("test accuracy: best, at step", "best"),
        ("at the end", "b"),
    ]
    return grid("noise", LEVELS, columns, entry)


def c1_best(p: Published) -> Conclusion:
    return says(max(learning(p.paper, "b", e, group="step of the best").high for e in MIXED) <= END / 10)


def c2_accuracies(p: Published) -> str:
    """Training accuracy by step."""
    rows = steps(10, 100, 1000, *range(10_000, 70_000, 10_000))
    return grid("step", rows, list(LEVELS.items()), lambda t, e: fixed(learning(p.paper, "a", e, t).mean))


def c3_shares(p: Published) -> str:
    """Share of the pristine, and of the corrupt, examples that are right."""
    groups = [("pristine", e) for e in EVERY[:-1]] + [("corrupt", e) for e in EVERY[1:]]
    columns = [(f"{group}, {percent(noise)}", (group, noise)) for group, noise in groups]
    rows = steps(10, 100, 1000, 3000, 10_000, 20_000, 30_000, 40_000, 60_000, END)
    return grid("step", rows, columns, lambda t, of: fixed(learning(p.paper, "d", of[1], t, of[0]).mean))


def c3_corrupt(p: Published) -> Conclusion:
    early, late = ([learning(p.paper, "d", e, t, "corrupt").mean for e in EVERY[1:]] for t in (1000, END))
    return says(max(early[:-1]) < min(early[-1], 0.1) and late[-1] - min(late[:-1]) < 0.02)


def c3_pristine(p: Published) -> Conclusion:
    shares = [[learning(p.paper, "d", e, t, "pristine").mean for e in EVERY[:-1]] for t in (10, 100, 10_000)]
    before, after = (learning(p.paper, "d", 0.75, t, "pristine").mean for t in (5000, 20_000))
    falling = all(of_step == sorted(of_step, reverse=True) for of_step in shares)
    return says(falling and after < before, fixed(before), fixed(after))


def c4_norms(p: Published) -> str:
    """‖g‖² of the mean loss: the tables have that of the sum over the examples."""

    def norm(noise: float) -> float:
        squared, size = (
            network(p.paper, quantity, noise, "all")["mean"] for quantity in ("squared_norm", "size")
        )
        return float(squared[squared.index < 10].mean() / size.iloc[0] ** 2)

    return table([*LEVELS], [[fixed(norm(noise), 2) for noise in EVERY]])


# --- Whose gradient it is: C5 to C8 ---------------------------------------------------------------


def f_by_decade(p: Published) -> str:
    """f^p of all examples and of the sample."""
    header = ["noise", "steps", "pristine share", "f^p: exact", "exact, of sums", "expected of 400 examples"]
    rows = []
    for noise in MIXED:
        exact, expected, sampled, alone = (
            fractions(p.paper, curve, noise) for curve in ("exact", "expected", "sampled", "self terms")
        )
        sums = [values.mean for values in of_sums(p.paper, noise)]
        for span, *f in zip(spans(p.paper), exact, sums, expected, sampled, alone, strict=True):
            numbers = (pristine_share(p.paper, noise), *f)
            rows.append([percent(noise), span, *(fixed(number, 2) for number in numbers)])
    return table([*header, "the sample", "self terms in the sample"], rows)


def sample_as_the_paper(p: Published) -> Conclusion:
    low, middle, high = (fractions(p.paper, "sampled", noise) for noise in MIXED)
    return says(min(low[0], middle[0]) > 0.5 and max(low[-1], middle[-1]) < 0.45 and max(high) < 0.5)


def all_unlike_the_paper(p: Published) -> Conclusion:
    low, middle, high = (fractions(p.paper, "exact", noise) for noise in MIXED)
    return says(min(low + middle) > 0.5 and high[0] > 0.5)


def one_of_three_crosses(p: Published) -> Conclusion:
    crossed = met(p.replicates.claim("C5", "smallest mean", AT_50))
    return says((sum(crossed), len(crossed)) == (1, 3) and of_sums(p.replicates, 0.5)[-1].high < 0.5)


def self_terms(p: Published) -> Conclusion:
    in_sample = min(min(fractions(p.paper, "self terms", noise)[1:]) for noise in MIXED)
    of_all = p.paper.rows("figure2_exact", row="self terms")["high"].max()
    far, near = far_and_near(p.paper)
    return says(in_sample > 0.5 and 0.09 < of_all < 0.11 and near < 0.5 * far)


def above_the_share(p: Published) -> Conclusion:
    first = [fractions(p.paper, "exact", e)[0] / pristine_share(p.paper, e) for e in MIXED]
    exact, share = fractions(p.paper, "exact", 0.25), pristine_share(p.paper, 0.25)
    later = max(abs(exact[2] - share), abs(exact[3] - share)) < 0.07
    return says(first[0] > 1.1 and min(first[1:]) > 1.3 and later)


def below_the_share(p: Published) -> Conclusion:
    low = fractions(p.paper, "exact", 0.25)[-1] < pristine_share(p.paper, 0.25) - 0.07
    return says(low and of_sums(p.replicates, 0.5)[-1].high < pristine_share(p.paper, 0.5))


def c6_fails(p: Published) -> Conclusion:
    return says(fractions(p.paper, "exact", 0.75)[0] > 0.5 and verdict(p.paper, "C6") != "holds")


def cosines(p: Published) -> str:
    """Between the summed gradients of the pristine and of the corrupt examples."""
    columns = [(f"step {t:,}", t) for t in (0, 10, 100, 300, 1000, 3000, 10_000, 30_000, END)]
    rows = {percent(noise): network(p.paper, "cosine", noise, "pristine, corrupt")["mean"] for noise in MIXED}
    return grid("noise", rows, columns, lambda cosine, t: fixed(cosine[t], 2))


def oppose(p: Published) -> Conclusion:
    cosine = [network(p.paper, "cosine", e, "pristine, corrupt")["mean"][1000] for e in MIXED]
    return says(max(cosine) < -0.7)


def equally_long(p: Published) -> Conclusion:
    ratios, left = [], []
    for noise in MIXED:
        total, one, other = (
            network(p.paper, "squared_norm", noise, group)["mean"].loc[1000:5000] ** 0.5
            for group in ("all", "pristine", "corrupt")
        )
        longer, shorter = np.maximum(one, other), np.minimum(one, other)
        ratios.append((shorter / longer).min())
        left += [*(total / longer)]
    return says(min(ratios) > 0.8 and min(left) > 0.3 and max(left) < 0.6)


def averages_disagree(p: Published) -> Conclusion:
    return says((fractions(p.paper, "exact", 0.5)[-1] > 0.5) != (of_sums(p.paper, 0.5)[-1].mean > 0.5))


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
    return says(min(low.low, high.low) > 0.999, fixed(pristine_share(p.paper, 0.5), 2), *crossing)


def c7_sample(p: Published) -> Conclusion:
    return says(p.paper.rows("figure2", row="null low", noise=0.5, group="pristine")["mean"].min() < 0.5)


def c8_p_values(p: Published) -> Conclusion:
    at = {"row": "curve p", "group": "pristine"}
    found = [p.paper.at(f, noise=e, **at).high for e in MIXED for f in ("figure3_exact", "figure3")]
    return says(verdict(p.paper, "C8") == "holds", *(format_p(value) for value in found))


# --- Winsorized SGD: C9 to C11 --------------------------------------------------------------------


def winsorized_accuracies(p: Published) -> str:
    """Test accuracy, best and at the end, and training accuracy at the end."""
    curves = ("best test accuracy", "test accuracy", "training accuracy")
    return grid(
        *("noise", LEVELS, CLIPPED),
        lambda e, c: ", ".join(fixed(winsorized(p.paper, curve, e, c).mean) for curve in curves),
    )


def c9_excess(p: Published) -> str:
    """Training accuracy less the share of true labels."""
    return grid("noise", LEVELS, CLIPPED, lambda e, c: spread(winsorized(p.paper, "excess", e, c)))


def c9_within(p: Published) -> Conclusion:
    return says(max(winsorized(p.paper, "excess", e, c).high for e in EVERY[:-1] for c in WINSOR[2:]) <= 0.01)


def c9_constant(p: Published) -> Conclusion:
    two, four, eight = (winsorized(p.paper, "excess", 1.0, c).low for c in WINSOR[2:])
    constant = COMMONEST - pristine_share(p.paper, 1.0)
    exceeds = two > 0.05 and four > 0.02 and constant < eight < 0.02
    return says(exceeds, percent(COMMONEST, 1), fixed(constant))


def c10_open(p: Published) -> Conclusion:
    row = p.paper.claim("C10")
    return says(
        row["verdict"] == "inconclusive" and row["mean"] < 0 and row["p"] <= 0.05 and "99%" in row["why"]
    )


def c11_open(p: Published) -> Conclusion:
    row, each = p.paper.claim("C11"), values_of(p.replicates.claim("C11")).each
    return says("99%" in row["why"] and row["mean"] > -0.9 and (each.count(-1), len(each)) == (2, 3))


def c11_lost(p: Published) -> Conclusion:
    levels = [(noise, c) for noise in (0.25, 0.5) for c in WINSOR[2:]]
    curves = [p.paper.rows("figure4", curve="test accuracy", noise=e, winsor=c) for e, c in levels]
    best = max(curve["step"].to_numpy()[curve["mean"].argmax()] for curve in curves)
    return says(max(kept(p.paper, *level) for level in levels) < 0.55 and best <= 1000)


def c11_at_75(p: Published) -> Conclusion:
    two, four, eight = (kept(p.paper, 0.75, c) for c in WINSOR[2:])
    return says(max(four, eight) < 0.55 and two > 0.75)


def c11_replicates(p: Published) -> Conclusion:
    here, several = (
        [winsorized(tables, "test accuracy", 0.5, c) for c in WINSOR[2:]]
        for tables in (p.paper, p.replicates)
    )
    ends = (fixed(end, 2) for values in several for end in (values.low, values.high))
    places = [one.mean in (of.low, of.high) for one, of in zip(here, several, strict=True)]
    return says(all(places) and here[2].mean == several[2].high and here[0].mean == several[0].low, *ends)


def c11_one(p: Published) -> Conclusion:
    low, middle, high = (kept(p.paper, noise, 1) for noise in MIXED)
    return says(min(low, middle) > 0.85 and high < kept(p.paper, 0.75, 2))


def c11_units(p: Published) -> str:
    """Dead and active units."""
    kinds = [("dead: ", "dead", 60_000), ("active: ", "active", 60_000), ("at step 0: ", "active", 0)]
    columns = [
        (f"{name}layer 1" if layer == 1 else str(layer), {"quantity": quantity, "layer": layer, "step": step})
        for name, quantity, step in kinds
        for layer in (1, 2, 3)
    ]
    rows = {str(c): c for c in WINSOR}
    return grid("c", rows, columns, lambda c, of: fixed(p.paper.mean("activity", noise=0.5, winsor=c, **of)))


# --- Coherence, and what it took ------------------------------------------------------------------


def coherence(p: Published) -> str:
    """m-coherence of groups of examples."""
    columns = [
        (f"{group}, {percent(noise)}" if group == "pristine" else group, (noise, group))
        for noise in MIXED
        for group in ("pristine", "corrupt", "all")
    ]
    curves = {of: network(p.paper, "m_coherence", *of)["mean"] for _, of in columns}
    rows = steps(0, 10, 100, 1000, 10_000, 20_000, 50_000, END)
    return grid("step", rows, columns, lambda t, of: fixed(curves[of][t], 0))


def coherence_pairs(p: Published) -> Conclusion:
    logged = [len(network(p.paper, "pair_coherence", noise, "pristine")) for noise in MIXED]
    above = [n - len(pairs_below(p.paper, noise)) for n, noise in zip(logged, MIXED, strict=True)]
    counts = [f"{k} of {n}" for k, n in zip(above, logged, strict=True)]
    return says(all(k > n / 2 for k, n in zip(above, logged, strict=True)), *counts)


def coherence_unlearned(p: Published) -> Conclusion:
    groups = ("pristine, not learned", "corrupt, not learned")
    less = [len(pairs_below(p.paper, noise, groups)) for noise in MIXED]
    return says(max(less) < 15, *map(str, less))


def costs(p: Published) -> str:
    """By stage and experiment."""
    digits = {"wall_hours": 2, "cpu_hours": 2, "largest_rss_mb": 0}
    return table(
        ["stage", "experiment", "jobs", "hours of wall time", "hours of CPU time", "largest memory (MB)"],
        (
            [
                row["stage"],
                row["experiment"],
                str(row["jobs"]),
                *(fixed(row[k], n) for k, n in digits.items()),
            ]
            for row in records(p.paper.rows("costs"))
        ),
    )


def software(p: Published) -> str:
    """Devices and versions."""
    return table(["what", "value"], p.paper.rows("software")[["name", "value"]].to_numpy().tolist())
