"""What is said at the end of a workflow. Imports neither torch nor xarray."""

import csv
from pathlib import Path

ONE_RUN = ("experiment", "noise", "winsor", "replicate")


def slow_ways(table: Path) -> list[str]:
    """How many runs were made in a way that costs time, in words.

    Parameters
    ----------
    table : Path
        CSV of stage `runs`; it need not exist.

    Returns
    -------
    list of str
        A sentence for each such way, with the number of runs that were made so in part at least.
    """
    if not table.exists():
        return []
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    ways = {
        "by sorting, as the fused kernel could not be used (the logs of these runs say why)": [
            row for row in rows if row["kernel"] == "reference"
        ],
        "on the CPU of a job that held a GPU": [row for row in rows if row["gpu_idle"] == "True"],
    }
    return [
        f"{_runs(slow)} of {_runs(rows)} runs were made, in part at least, {way}: see {table}"
        for way, slow in ways.items()
        if slow
    ]


def _runs(rows: list[dict[str, str]]) -> int:
    return len({tuple(row[key] for key in ONE_RUN) for row in rows})
