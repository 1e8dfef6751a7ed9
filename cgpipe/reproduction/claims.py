"""The claims of the paper: the table of all, and the statistics behind each."""

from functools import partial

import pandas as pd

from cgpipe.reproduction.markdown import each, p_value, spread, table, word
from cgpipe.reproduction.registry import Conclusion, part
from cgpipe.reproduction.tables import AT_50, Published, Tables, met, records, values_of

CLAIMS_OF_THE_PAPER = {
    "C1": "all levels of label noise end at, or near, 100 % training accuracy",
    "C2": "a training accuracy is reached later with more noise",
    "C3": "pristine examples are learned first, nearly as fast as with no noise; corrupt ones as slowly as "
    "with pure noise",
    "C4": "early on, the gradient is smaller with more noise",
    "C5": "at 25 and 50 % noise, pristine examples make up most of the gradient at first, then corrupt ones, "
    "and at the end they meet",
    "C6": "at 75 % they do not cross, and the pristine share drifts down",
    "C7": "in null worlds they do not cross",
    "C8": "in the first ten steps a pristine example contributes more than a corrupt one",
    "C9": "winsorized with c > 1, training accuracy never exceeds the share of true labels",
    "C10": "overfit grows more slowly with larger c",
    "C11": "larger c lowers training accuracy; at large c both accuracies peak, then fall",
    "C12": "full-batch gradient descent generalizes alike",
}
VERDICTS = ("holds", "does not hold", "inconclusive")


def verdict(tables: Tables, claim: str) -> str:
    """Verdict on a claim, or the counts of verdicts on its parts."""
    verdicts = list(tables.rows("claims", claim=claim)["verdict"])
    counts = [f"{name} {verdicts.count(name)}" for name in VERDICTS if name in verdicts]
    if len(counts) == 1:
        return str(verdicts[0])
    return f"of {len(verdicts)} parts: {', '.join(counts)}"


@part("paper", "claims")
def table_of_claims(published: Published) -> str:
    """Each claim of the paper, with the largest n of its statistics and the verdict."""
    tables = published.paper
    return table(
        ["claim", "the paper", "n", "verdict"],
        (
            [claim, sentence, str(tables.rows("claims", claim=claim)["n"].max()), verdict(tables, claim)]
            for claim, sentence in CLAIMS_OF_THE_PAPER.items()
        ),
    )


@part("paper", "claims")
def replicates_agree_on_some(published: Published) -> Conclusion:
    """What the replicates at 50 % noise say of the claims that can be decided there."""
    tables = published.replicates
    rows = tables.rows("claims")
    holding = list(rows[rows["verdict"] == "holds"]["claim"])
    apart = list(rows[rows["why"] == "replicates disagree"]["statistic"])
    split = [tables.claim("C5", start, AT_50)["statistic"] for start in ("smallest mean", "|mean")]
    counted = [
        published.paper.row("claims", statistic=statistic)["verdict"] == "does not hold"
        for statistic in split
    ]
    n = word(values_of(tables.claim("C5", AT_50)).n)
    decided, agree, differ = (word(k) for k in (len(holding) + len(apart), len(holding), len(apart)))
    return Conclusion(
        holding == ["C5", "C7", "C8"] and apart == split and all(counted),
        f"At 50 % noise there are {n} replicates. {decided.capitalize()} statistics can be decided there. "
        f"The replicates agree on {agree}: how C5 begins, C7 and C8. They disagree on {differ}, both of C5: "
        "whether the contributions cross, and whether they meet at the end. The table is of the first "
        f"replicate, where these {differ} do not hold; over all {n} replicates they are inconclusive.",
    )


def statistics(published: Published, claim: str) -> str:
    """The statistics of a claim in the paper's experiments."""
    return table(
        ["statistic", "claimed", "found", "n", "p", "verdict"],
        (
            [
                row["statistic"],
                row["criterion"],
                spread(values_of(row)),
                str(row["n"]),
                p_value(row["p"]),
                _with_reason(row),
            ]
            for row in records(published.paper.rows("claims", claim=claim))
        ),
    )


for _claim in CLAIMS_OF_THE_PAPER:
    part("paper", f"{_claim.lower()}-statistics")(partial(statistics, claim=_claim))


@part("replicates", "claims")
def statistics_of_replicates(published: Published) -> str:
    """All statistics that are defined in the replicates, and in how many each is where the claim puts it."""
    rows = published.replicates.rows("claims")
    return table(
        ["claim", "statistic", "claimed", "found", "met by", "p", "verdict"],
        (
            [
                row["claim"],
                row["statistic"],
                row["criterion"],
                each(values_of(row).each),
                f"{sum(met(row))} of {row['n']}",
                p_value(row["p"]),
                _with_reason(row),
            ]
            for row in records(rows[rows["n"] > 0])
        ),
    )


def _with_reason(row: dict[str, str]) -> str:
    return row["verdict"] if pd.isna(row["why"]) else f"{row['verdict']}: {row['why']}"
