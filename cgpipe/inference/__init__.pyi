from .claims.claim import Claim, Runs, claim
from .claims.registry import all_claims, criteria_table, findings, summary_table
from .decades import decades
from .groups import NullTest, null_test, null_worlds
from .nullworlds import (
    curve_p_value,
    null_band,
    null_group_sums,
    null_moments,
    p_value,
    share_above,
    smallest_lead,
)
from .sampling import decade_fraction, expected_product, sample_fraction
from .verdicts import Criterion, Finding, Observed, table, trend

__all__ = [
    "Claim",
    "Criterion",
    "Finding",
    "NullTest",
    "Observed",
    "Runs",
    "all_claims",
    "claim",
    "criteria_table",
    "curve_p_value",
    "decade_fraction",
    "decades",
    "expected_product",
    "findings",
    "null_band",
    "null_group_sums",
    "null_moments",
    "null_test",
    "null_worlds",
    "p_value",
    "sample_fraction",
    "share_above",
    "smallest_lead",
    "summary_table",
    "table",
    "trend",
]
