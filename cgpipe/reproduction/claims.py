"""The claims of the paper: the table of all, and the statistics behind each."""

from functools import partial

import pandas as pd

from cgpipe.inference.claims.claim import CG
from cgpipe.inference.claims.registry import all_claims, count_verdicts, summary_table
from cgpipe.reproduction.markdown import each, p_value, spread, table, word
from cgpipe.reproduction.registry import Conclusion, part
from cgpipe.reproduction.tables import AT_50, Published, Tables, met, records, values_of


def verdict(tables: Tables, claim: str) -> str:
    """Verdict on a claim, or the counts of verdicts on its parts."""
    return count_verdicts(list(tables.rows("claims", claim=claim)["verdict"]))


@part("paper", "claims")
def table_of_claims(published: Published) -> str:
    """Each claim of the paper, with the largest n of its statistics and the verdict."""
    return summary_table(published.paper.rows("claims")).rstrip("\n")


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


for _claim in all_claims(CG):
    part("paper", f"{_claim.name.lower()}-statistics")(partial(statistics, claim=_claim.name))


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
