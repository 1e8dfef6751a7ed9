"""What several pages show: statistics of the claims, and what the runs took."""

import pandas as pd

from cgpipe.inference.verdicts import verdicts
from cgpipe.reproduction.pages import NONE, fixed, table
from cgpipe.reproduction.tables import Tables


def statistics_of(tidy: pd.DataFrame) -> str:
    """Statistics of all claims, as `tidy` returns them: each replicate, and the verdict."""
    keys = ["claim", "estimator", "part"]
    values = {
        key: rows.sort_values("replicate") for key, rows in tidy.groupby(keys, sort=False, dropna=False)
    }
    rows = []
    for row in verdicts(tidy).to_dict("records"):
        found = values[tuple(row[key] for key in keys)]["value"]
        why = f": {row['why']}" if row["why"] else ""
        if not pd.isna(row["page_p"]):
            why += f"; trend, by Page's L: p = {row['page_p']:.2g}"
        each = ", ".join(fixed(value) for value in found)
        met = f"{row['met']} of {row['n']}" if row["rule"] != "shown" else NONE
        judged = [fixed(row["bound"]), each, met, row["verdict"] + why]
        rows.append([row["claim"], row["part"], row["estimator"], row["statistic"], row["rule"], *judged])
    header = [
        "claim",
        "part",
        "gradients",
        "statistic",
        "claimed",
        "bound",
        "each replicate",
        "met",
        "verdict",
    ]
    return table(header, rows)


def costs(tables: Tables) -> str:
    """By stage and experiment: the mean of the replicates, and the largest memory of all."""
    digits = {"jobs": 0, "wall_hours": 2, "cpu_hours": 2, "largest_rss_mb": 0}
    of_all = dict.fromkeys(digits, "mean") | {"largest_rss_mb": "max"}
    of_stages = tables.rows("costs").groupby(["stage", "experiment"], sort=True).agg(of_all)
    rows = (
        [*of, *(fixed(values[column], n) for column, n in digits.items())]
        for of, values in zip(of_stages.index, of_stages.to_dict("records"), strict=True)
    )
    of = ["jobs", "hours of wall time", "hours of CPU time", "largest memory (MB)"]
    return table(["stage", "experiment", *of], rows)


def software(tables: Tables) -> str:
    """Devices and versions, with the replicates where they differ."""
    rows = tables.rows("software")
    values = rows.groupby(["name", "value"], sort=False)["replicate"].agg(list).reset_index("value")
    found = []
    for name, of in values.groupby(level=0, sort=False):
        for value, replicates in of.itertuples(index=False):
            which = f" (replicates {', '.join(map(str, replicates))})" if len(of) > 1 else ""
            found.append([str(name), f"{value}{which}"])
    return table(["what", "value"], found)
