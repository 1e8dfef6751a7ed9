from .claims.claim import Claim, Runs, claim
from .claims.registry import all_claims, criteria_table, findings, summary_table
from .decades import decades
from .nullworlds import (
    curve_p_value,
    null_band,
    null_group_sums,
    null_moments,
    p_value,
    share_above,
    smallest_lead,
)
from .sampling import expected_product
from .verdicts import Criterion, Finding, Observed, table, trend

__all__ = [
    "Claim",
    "Criterion",
    "Finding",
    "Observed",
    "Runs",
    "all_claims",
    "claim",
    "criteria_table",
    "curve_p_value",
    "decades",
    "expected_product",
    "findings",
    "null_band",
    "null_group_sums",
    "null_moments",
    "p_value",
    "share_above",
    "smallest_lead",
    "summary_table",
    "table",
    "trend",
]
