"""Published tables: a row for each replicate, whatever machine made it."""

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd

NUMBERS = ("value", "excess", "bound")  # columns that stay numbers where all are NaN
PARTS = ("claim", "experiment")  # whose rows may be of more replicates than those of others
NAMES = ("experiment", "layer", "part")  # columns that stay text where all look like numbers


class TableError(ValueError):
    """A table lacks what a page asks for, or is no table."""


@dataclass(frozen=True)
class Tables:
    """The tables of one folder, by the names of their files."""

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

    def at(self, table: str, /, **levels: Any) -> pd.Series:
        """A quantity by replicate, in their order.

        Raises
        ------
        TableError
            As for `rows`, and if a replicate has several rows.
        """
        values = self.rows(table, **levels).set_index("replicate")["value"].sort_index()
        if not values.index.is_unique:
            raise TableError(f"{table}: several rows of a replicate with {levels}; give more levels")
        return values


def merged(old: pd.DataFrame | None, new: pd.DataFrame) -> pd.DataFrame:
    """The new rows, and the old ones of other replicates, in the order of the replicates.

    Some experiments have more replicates than others, and all of them are among the results of each machine.
    So rows of a replicate are replaced experiment by experiment, and claim by claim. What the new table has
    nothing of is left out.

    Parameters
    ----------
    old, new : DataFrame
        Tables of one figure. Without a column `replicate`, or without an old one, the new one is taken.

    Raises
    ------
    TableError
        If the columns differ.
    """
    if "replicate" not in new:
        return new
    if old is None:  # as it will be ordered the next time
        return _ordered(new)
    if list(old.columns) != list(new.columns):
        raise TableError(
            f"the published table has columns {', '.join(old.columns)}, and the new one "
            f"{', '.join(new.columns)}: remove the published one, whose replicates were made by earlier code"
        )
    parts = [column for column in PARTS if column in new]
    made = {tuple(row) for row in new[[*parts, "replicate"]].to_numpy()}
    known = {row[:-1] for row in made}
    rows = [tuple(row) for row in old[[*parts, "replicate"]].to_numpy()]
    others = old[[row not in made and row[:-1] in known for row in rows]]
    whole = new if others.empty else pd.concat([others, new], ignore_index=True)
    return _ordered(whole)


def _ordered(table: pd.DataFrame) -> pd.DataFrame:
    """In the order of the replicates; what is about all of them together, replicate -1, last."""
    return table.sort_values(
        "replicate", key=lambda of: of.mask(of < 0, of.max() + 1), kind="stable", ignore_index=True
    )


def read_table(path: Path, content: bytes | None = None) -> pd.DataFrame:
    """Read a CSV table from a file, or from its bytes; text that is empty is no NaN.

    Raises
    ------
    TableError
        If it is no CSV table.
    """
    try:
        content = path.read_bytes() if content is None else content
        table = pd.read_csv(BytesIO(content), dtype=dict.fromkeys(NAMES, object))
    except (ValueError, pd.errors.ParserError) as error:
        raise TableError(f"{path} is no CSV table ({error}): give one that a workflow published") from error
    of_text = [
        column
        for column in table
        if not pd.api.types.is_numeric_dtype(table[column])
        or (column not in NUMBERS and table[column].isna().all())
    ]
    return table.assign(**table[of_text].astype(object).fillna(""))
