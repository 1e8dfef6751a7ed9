"""The page of the paper's experiments: its tables, and the conclusions that its sentences draw."""

from typing import Any

import pandas as pd

from cgpipe.figures.words import format_p
from cgpipe.inference.claims.registry import count_verdicts, summary_table
from cgpipe.inference.claims.statistics import EVERY, MIXED
from cgpipe.reproduction.pages import NONE, Conclusion, fixed, grid, percent, says, spread, table
from cgpipe.reproduction.tables import END, WINSOR, Published, Tables, records, values_of

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
    rows = (
        [row["statistic"], row["criterion"], spread(values_of(row)), str(row["n"]), *judged(row)]
        for row in records(p.paper.rows("claims", claim=claim))
    )
    return table(["statistic", "claimed", "found", "n", "p", "verdict"], rows)


def judged(row: dict[str, Any]) -> tuple[str, str]:
    """The p-value of a statistic, and its verdict with the reason if there is none."""
    why = "" if pd.isna(row["why"]) else f": {row['why']}"
    return NONE if pd.isna(row["p"]) else format_p(row["p"]), row["verdict"] + why


def replicates(p: Published) -> Conclusion:
    runs = (p.paper.rows("claims", claim="C12"), *map(p.paper.rows, ("figure1", "figure4", "activity")))
    several = [p.replicates.rows(figure) for figure in ("figure1", "figure4")]
    return says([{rows["n"].max() for rows in of} for of in (runs, several)] == [{1}, {3}])


def replicates_agree(p: Published) -> Conclusion:
    rows = p.replicates.rows("claims")
    apart = list(rows[rows["why"] == "replicates disagree"]["statistic"])
    here = {p.paper.row("claims", statistic=statistic)["verdict"] for statistic in apart}
    holding = list(rows[rows["verdict"] == "holds"]["claim"])
    return says(holding == ["C5", "C7", "C8"] and len(apart) == 2 and here == {"does not hold"})


def _headline(p: Published) -> Conclusion:
    curves = ("training accuracy", "test accuracy", "best test accuracy")
    (plain, one), (plain_test, one_test), (best, best_one) = (
        [p.replicates.winsorized(curve, 0.5, c).mean for c in (0, 1)] for curve in curves
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
    low, *higher = (p.paper.pairs_below(noise) for noise in MIXED)
    return says(not any(higher) and sum(60 <= step <= 3000 for step in low) == 16 and len(low) <= 19)


def one_clipped(p: Published) -> Conclusion:
    ends = [p.paper.winsorized("training accuracy", noise, c) for noise in (0.5, 1.0) for c in (0, 1)]
    lower = ends[0].low - ends[1].high > 0.1 and ends[2].low - ends[3].high > 0.1
    return says(lower, fixed(p.paper.pristine_share(0.5)), *(fixed(end.mean) for end in ends))


def pure_noise(p: Published) -> Conclusion:
    two, four = (p.paper.winsorized("excess", 1.0, c) for c in (2, 4))
    return says(two.low > 0.05 and four.low > 0.02)


def not_lasting(p: Published) -> Conclusion:
    best = p.replicates.winsorized("best test accuracy", 0.5, 4)
    two, four = (p.replicates.winsorized("test accuracy", 0.5, c) for c in (2, 4))
    code = p.conventions.winsorized("test accuracy", 0.5, 2)
    numbers = (best.mean, four.mean, four.low, four.high, two.low, two.high)
    lost = best.low - four.high > 0.2 and two.high - two.low > 0.3 and code.low > two.high
    return says(lost, *(fixed(number, 2) for number in numbers))


def units(p: Published) -> Conclusion:
    at = {"quantity": "dead", "noise": 0.5, "layer": 2, "step": 60_000}
    plain, *clipped = (p.paper.at("activity", winsor=c, **at).mean for c in WINSOR)
    return says(plain < 0.01 and min(clipped) > 0.04)


# --- Learning: C1 to C4 ---------------------------------------------------------------------------


def c1_accuracies(p: Published) -> str:
    """Training accuracy at the end, and test accuracy."""

    def entry(noise: float, column: str) -> str:
        if column != "best":
            return spread(p.paper.learning(column, noise))
        if noise == 1:
            return NONE
        best, step = (p.paper.learning("b", noise, group=group) for group in ("best", "step of the best"))
        at = f"{step.low:,.0f}" + ("" if step.low == step.high else f" to {step.high:,.0f}")
        return f"{spread(best)} at {at}"

    columns = [
        ("training accuracy at the end", "a"),
        ("test accuracy: best, at step", "best"),
        ("at the end", "b"),
    ]
    return grid("noise", LEVELS, columns, entry)


def c1_best(p: Published) -> Conclusion:
    return says(max(p.paper.learning("b", e, group="step of the best").high for e in MIXED) <= END / 10)


def c2_accuracies(p: Published) -> str:
    """Training accuracy by step."""
    rows = steps(10, 100, 1000, *range(10_000, 70_000, 10_000))
    return grid("step", rows, list(LEVELS.items()), lambda t, e: fixed(p.paper.learning("a", e, t).mean))


def c3_shares(p: Published) -> str:
    """Share of the pristine, and of the corrupt, examples that are right."""
    groups = [("pristine", e) for e in EVERY[:-1]] + [("corrupt", e) for e in EVERY[1:]]
    columns = [(f"{group}, {percent(noise)}", (group, noise)) for group, noise in groups]
    rows = steps(10, 100, 1000, 3000, 10_000, 20_000, 30_000, 40_000, 60_000, END)
    return grid("step", rows, columns, lambda t, of: fixed(p.paper.learning("d", of[1], t, of[0]).mean))


def c3_corrupt(p: Published) -> Conclusion:
    early, late = ([p.paper.learning("d", e, t, "corrupt").mean for e in EVERY[1:]] for t in (1000, END))
    return says(max(early[:-1]) < min(early[-1], 0.1) and late[-1] - min(late[:-1]) < 0.02)


def c3_pristine(p: Published) -> Conclusion:
    shares = [[p.paper.learning("d", e, t, "pristine").mean for e in EVERY[:-1]] for t in (10, 100, 10_000)]
    before, after = (p.paper.learning("d", 0.75, t, "pristine").mean for t in (5000, 20_000))
    falling = all(of_step == sorted(of_step, reverse=True) for of_step in shares)
    return says(falling and after < before, fixed(before), fixed(after))


def c4_norms(p: Published) -> str:
    """‖g‖² of the mean loss: the tables have that of the sum over the examples."""

    def norm(noise: float) -> float:
        squared, size = (p.paper.network(of, noise, "all")["mean"] for of in ("squared_norm", "size"))
        return float(squared[squared.index < 10].mean() / size.iloc[0] ** 2)

    return table([*LEVELS], [[fixed(norm(noise), 2) for noise in EVERY]])


# --- What it took ----------------------------------------------------------------------------------


def costs(p: Published) -> str:
    """By stage and experiment."""
    digits = {"wall_hours": 2, "cpu_hours": 2, "largest_rss_mb": 0}
    rows = (
        [row["stage"], row["experiment"], str(row["jobs"]), *(fixed(row[k], n) for k, n in digits.items())]
        for row in records(p.paper.rows("costs"))
    )
    of = ["hours of wall time", "hours of CPU time", "largest memory (MB)"]
    return table(["stage", "experiment", "jobs", *of], rows)


def software(p: Published) -> str:
    """Devices and versions."""
    return table(["what", "value"], p.paper.rows("software")[["name", "value"]].to_numpy().tolist())
