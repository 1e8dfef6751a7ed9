"""The tables on the page of the second paper."""

from cgpipe.inference.claims.registry import summary_table
from cgpipe.inference.mystery.runs import GM
from cgpipe.inference.verdicts import claim_verdicts
from cgpipe.reproduction.shared import statistics_of
from cgpipe.reproduction.tables import Tables


def claims(tables: Tables) -> str:
    """The table of all claims."""
    return summary_table(claim_verdicts(tables.rows("mystery")), GM).rstrip("\n")


def statistics(tables: Tables) -> str:
    """Those of all claims: each replicate, and the verdict."""
    return statistics_of(tables.rows("mystery"))
