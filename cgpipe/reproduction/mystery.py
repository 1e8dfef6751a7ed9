"""The page of the second paper: its tables, and the conclusions that its sentences draw."""

from cgpipe.inference.claims.registry import summary_table
from cgpipe.inference.mystery.runs import GM
from cgpipe.inference.verdicts import claim_verdicts
from cgpipe.reproduction.shared import costs_of, software_of, statistics_of
from cgpipe.reproduction.tables import Tables


def claims(tables: Tables) -> str:
    """The table of all claims."""
    return summary_table(claim_verdicts(tables.rows("mystery")), GM).rstrip("\n")


def statistics(tables: Tables) -> str:
    """Those of all claims: each replicate, and the verdict."""
    return statistics_of(tables.rows("mystery"))


def costs(tables: Tables) -> str:
    """By stage and experiment: the mean of the replicates."""
    return costs_of(tables)


def software(tables: Tables) -> str:
    """Devices and versions, with the replicates where they differ."""
    return software_of(tables)
