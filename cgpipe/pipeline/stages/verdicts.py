"""Statistics of claims and verdicts on them, as the stages of the papers write them."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import xarray as xr

from cgpipe.inference.verdicts import CLAIMS, TIDY, VERDICTS, claim_verdicts
from cgpipe.inference.verdicts import verdicts as verdicts_of
from cgpipe.pipeline.artifacts import Provenance, whole, write_netcdf
from cgpipe.pipeline.progress import log


def write_verdicts(
    statistics: pd.DataFrame,
    *,
    of: Sequence[xr.Dataset],
    provenance: Provenance,
    title: str,
    claims: Path,
    table: Path,
    verdicts: Path,
) -> None:
    """Write statistics of claims, as `tidy` returns them, and the verdicts; `of` is what they are about."""
    of_parts, of_claims = verdicts_of(statistics), claim_verdicts(statistics)
    for path, rows in ((table, statistics), (verdicts, of_parts)):
        with whole(path) as temporary:
            rows.to_csv(temporary, index=False, lineterminator="\n")
    made = provenance.of_many(*of).answering_for(table, verdicts)
    write_netcdf(as_dataset(statistics, of_parts, of_claims), claims, title=title, provenance=made)
    for verdict, count in of_claims["verdict"].value_counts().items():
        log.info("claims, %s: %d", verdict, count)


def as_dataset(statistics: pd.DataFrame, of_parts: pd.DataFrame, of_claims: pd.DataFrame) -> xr.Dataset:
    """The tables as one Dataset: the columns of each along its rows, with its name before theirs."""
    tables = {
        "statistic": (statistics, TIDY),
        "part": (of_parts, VERDICTS),
        "claim": (of_claims, CLAIMS),
    }
    return xr.Dataset(
        {
            f"{table}_{name}": (f"{table}_row", rows[name].to_numpy(), {"long_name": meaning})
            for table, (rows, columns) in tables.items()
            for name, meaning in columns.items()
        }
    )
