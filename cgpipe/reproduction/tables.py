"""Published tables, and numbers of them by name, level and replicate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import pandas as pd

from cgpipe.figures.comparison import split_sources
from cgpipe.inference.decades import decades
from cgpipe.inference.verdicts import Criterion

SUMMARY = ("mean", "low", "high", "n")
WINSOR = (0, 1, 2, 4, 8)  # c of the paper's figure 4
END, END_WINSORIZED = 100_000, 60_000  # last steps of the runs under label noise, and of winsorized SGD
# Curves of f^p, and of the self terms, by table, row and group.
CURVES = {
    "exact": ("figure2_exact", "data", "pristine"),
    "expected": ("figure2_exact", "in a sample", "pristine"),
    "sampled": ("figure2", "data", "pristine"),
    "self terms": ("figure2", "self terms", "all"),
}
AT_50 = "50% noise"  # in the names of statistics


class TableError(ValueError):
    """A table lacks what a page asks for, or is no table."""


@dataclass(frozen=True)
class Values:
    """A quantity in each replicate, and its summary over the replicates in which it is defined."""

    replicates: tuple[float, ...] | None  # None where the table does not hold them
    mean: float
    low: float
    high: float
    n: int

    @property
    def each(self) -> tuple[float, ...]:
        """Value of each replicate: in their order if the table has it, else ascending.

        Raises
        ------
        TableError
            If the table has mean, smallest and largest of more than three replicates.
        """
        if self.replicates is None:
            raise TableError(
                f"the values of {self.n} replicates do not follow from their mean, smallest and largest: "
                "publish a table with one row for each replicate (columns `replicate` and `value`)"
            )
        return self.replicates


@dataclass(frozen=True)
class Tables:
    """The tables of one folder by the names of their files, each with one row for each combination of levels.

    The rows have `mean`, `low`, `high`, `n` and `replicates`, as `summarised` makes them.
    """

    frames: Mapping[str, pd.DataFrame]

    def rows(self, table: str, /, **levels: Any) -> pd.DataFrame:
        """Rows in which columns have the given values.

        Raises
        ------
        TableError
            If there is no such table, column or row; the message lists those that there are.
        """
        if table not in self.frames:
            raise TableError(f"there is no table {table}; there are {', '.join(sorted(self.frames))}")
        rows = self.frames[table]
        for column, value in levels.items():
            if column not in rows:
                raise TableError(f"{table} has no column {column}; there are {', '.join(rows.columns)}")
            chosen = rows[rows[column] == value]
            if chosen.empty:
                known = ", ".join(map(str, rows[column].unique()[:50]))
                raise TableError(
                    f"{table} has no row with {column} = {value!r} and {levels}; there are {known}"
                )
            rows = chosen
        return rows

    def row(self, table: str, /, **levels: Any) -> dict[str, Any]:
        """The only such row; as for `rows`, and an error if there are several."""
        rows = self.rows(table, **levels)
        if len(rows) != 1:
            raise TableError(f"{table}: {len(rows)} rows with {levels}, but one is needed; give more levels")
        return records(rows)[0]

    def at(self, table: str, /, **levels: Any) -> Values:
        """The quantity of the only such row."""
        return values_of(self.row(table, **levels), table)

    def claim(self, claim: str, *words: str) -> dict[str, Any]:
        """The first row of a claim whose statistic has all these words."""
        for row in records(self.rows("claims", claim=claim)):
            if all(word in row["statistic"] for word in words):
                return row
        raise TableError(f"claims has no statistic of {claim} with {' and '.join(map(repr, words))}")

    def learning(self, panel: str, noise: float, step: int = END, group: str = "all") -> Values:
        """A curve of figure 1 at a step."""
        return self.at("figure1", panel=panel, noise=noise, group=group, step=step)

    def winsorized(self, curve: str, noise: float, c: int) -> Values:
        """A curve of figure 4 at its last step; `best test accuracy` and `excess` have no other."""
        return self.at("figure4", curve=curve, noise=noise, winsor=c, step=END_WINSORIZED)

    def kept(self, noise: float, c: int) -> float:
        """Test accuracy at the end as a share of the best."""
        best, end = (self.winsorized(curve, noise, c) for curve in ("best test accuracy", "test accuracy"))
        return end.mean / best.mean

    def fractions(self, curve: str, noise: float) -> list[float]:
        """Mean over the logged steps of each decade of one of CURVES."""
        table, row, group = CURVES[curve]
        rows = self.rows(table, row=row, noise=noise, group=group).sort_values("step")
        return [float(mean) for mean in rows["mean"].groupby(decades(rows["step"])).mean()]

    def of_sums(self, noise: float) -> list[Values]:
        """f^p of each decade: the sum of ⟨g, g^p⟩ over its logged steps by that of ⟨g, g⟩."""
        rows = self.rows("figure2_exact", row="of sums", noise=noise, group="pristine").sort_values("step")
        return [values_of(row) for row in records(rows)]

    def spans(self) -> list[str]:
        """First and last logged step of each decade of figure 2."""
        steps = np.unique(self.rows("figure2_exact", row="data")["step"].to_numpy())
        decade = decades(steps)
        return [f"{steps[decade == d].min():,} to {steps[decade == d].max():,}" for d in np.unique(decade)]

    def network(self, quantity: str, noise: float, group: str) -> pd.DataFrame:
        """A quantity of the figure of coherence for the whole network, by step."""
        levels = {"quantity": quantity, "group": group, "part": "network", "noise": noise}
        return self.rows("coherence", **levels).set_index("step").sort_index()

    def pristine_share(self, noise: float) -> float:
        """Share of the examples that are pristine."""
        pristine, everything = (self.network("size", noise, group) for group in ("pristine", "all"))
        return float(pristine["mean"].iloc[0] / everything["mean"].iloc[0])

    def pairs_below(self, noise: float, groups: Sequence[str] = ("pristine", "corrupt")) -> list[int]:
        """Logged steps at which gradients of the first group agree less, pair by pair, than of the second."""
        first, second = (self.network("pair_coherence", noise, group)["mean"] for group in groups)
        both = pd.concat([first, second], axis=1, join="inner")
        return list(both.index[both.iloc[:, 0] < both.iloc[:, 1]])


class Published(NamedTuple):
    """The tables of the three workflows that are published, by the name of their settings."""

    paper: Tables
    replicates: Tables
    conventions: Tables


def records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of a table, as `values_of` takes them."""
    return cast(list[dict[str, Any]], rows.to_dict("records"))


def values_of(row: Mapping[str, Any], table: str = "claims") -> Values:
    """The quantity of a row of `Tables`."""
    if "replicates" not in row:
        raise TableError(f"{table} has no column mean; there are {', '.join(map(str, row))}")
    return Values(row["replicates"], *(row[column] for column in SUMMARY))


def met(row: Mapping[str, Any]) -> list[bool]:
    """Whether the statistic of a claim is where the claim puts it, by replicate."""
    criterion = Criterion.parse(row["criterion"])
    return [criterion.met(value) for value in values_of(row).each]


def summarised(table: pd.DataFrame) -> pd.DataFrame:
    """One row for each combination of levels, whatever form a table has.

    Parameters
    ----------
    table : DataFrame
        Columns of levels, and either `replicate` and `value`, with a row for each replicate, or `mean` (in
        a table of claims `estimate`), `low`, `high` and `n`, or neither. A column `p` of the first form
        becomes the largest over the replicates; NaN if it is NaN in one of them.

    Returns
    -------
    DataFrame
        The levels, `mean`, `low`, `high`, `n`, and `replicates`, a tuple of the values, or None where they
        do not follow from the summary: that is of more than three replicates. A table of neither form as
        it is.
    """
    if {"replicate", "value"} <= {*table.columns}:
        levels = [column for column in table.columns if column not in ("replicate", "value", "p")]
        grouped = table.sort_values("replicate", kind="stable").groupby(
            levels, sort=False, dropna=False, observed=True
        )
        found = grouped["value"].agg(mean="mean", low="min", high="max", n="count")
        if "p" in table:
            found["p"] = grouped["p"].agg(lambda p: p.max(skipna=False))
        found["replicates"] = [tuple(values.dropna()) for _, values in grouped["value"]]
        return found.reset_index()
    table = table.rename(columns={"estimate": "mean"})
    if not {*SUMMARY} <= {*table.columns}:
        return table
    rows = table[list(SUMMARY)].itertuples(index=False)
    return table.assign(
        replicates=pd.Series([_from_summary(*row) for row in rows], table.index, dtype=object)
    )


def _from_summary(mean: float, low: float, high: float, n: int) -> tuple[float, ...] | None:
    """Up to three values follow from their mean and extremes."""
    between = min(max(3 * mean - low - high, low), high)  # but for rounding it lies between them
    known: dict[int, tuple[float, ...]] = {0: (), 1: (mean,), 2: (low, high), 3: (low, between, high)}
    return known.get(n)


def read_tables(contents: Mapping[Path, bytes]) -> Tables:
    """Read CSV tables from the bytes of files; of one with rows from another workflow too, its own.

    Raises
    ------
    TableError
        If a file is no CSV table.
    """
    tables = {path: content for path, content in contents.items() if path.suffix == ".csv"}
    return Tables({path.stem: summarised(_read(path, content)) for path, content in tables.items()})


def _read(path: Path, content: bytes) -> pd.DataFrame:
    try:
        table, _ = split_sources(pd.read_csv(BytesIO(content)))
    except (ValueError, pd.errors.ParserError) as error:
        raise TableError(f"{path} is no CSV table ({error}): give one that a workflow published") from error
    return table.drop(columns="source", errors="ignore").reset_index(drop=True)
