"""The claims of the paper, each replicate and the verdict on each part, as one figure."""

from collections.abc import Hashable, Sequence
from itertools import chain
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cgpipe.figures.style import Style, new_figure, note
from cgpipe.figures.words import usual
from cgpipe.inference.verdicts import BY, Estimator, claim_verdicts, statistics_in, verdicts
from cgpipe.runs import Run

# Colours as places in the palette, by verdict.
VERDICTS = {"holds": 2, "contradicted": 3, "undecided": 7}
# Marker, place within a row, and column of the counts, by estimator.
ESTIMATORS = {
    "": ("o", 0.0, 0),
    "loss": ("o", 0.0, 0),
    "sample": ("s", -0.28, 0),
    "all": ("o", 0.0, 1),
    "displacement": ("D", 0.28, 2),
}
MARKED: tuple[Estimator, ...] = ("sample", "all", "displacement")
LINEAR, FARTHEST = 0.01, 20.0  # of the symmetric logarithmic axis of T
ROW = 0.115  # inches
TEXT = 1.5  # points by which the text is smaller than that of legends
COLUMN = 0.17  # of the width of a panel, for the counts of an estimator
Row = dict[Hashable, Any]


def table(runs: Sequence[Run]) -> pd.DataFrame:
    """Numbers of the figure.

    Parameters
    ----------
    runs : sequence of Run
        One record: the artifact of stage claims, which is of all runs. Its levels are not used.

    Returns
    -------
    DataFrame
        Columns as `cgpipe.inference.verdicts.TIDY`, a row for each part of a claim and each replicate.
    """
    (claims,) = runs
    return statistics_in(claims.data)


def draw(numbers: pd.DataFrame, style: Style, colors: list[Any]) -> Figure:
    """Plot how far each replicate is on the side of each part of a claim, with the mean and its interval.

    Parameters
    ----------
    numbers : DataFrame
        As `table` returns it.
    style : Style
        Width of the figure.
    colors : list
        Palette.

    Returns
    -------
    Figure
        A row for each part that is judged, in two panels; its estimators lie one below the other.
    """
    lines = dict(list(numbers.groupby(["claim", "estimator", "part"], sort=False)))
    blocks = blocks_of(numbers)
    columns = halves(blocks)
    height = 1.2 + ROW * max(map(len, columns))
    figure = new_figure(style, height / style.width)
    # The counts beside the right panel.
    figure.get_layout_engine().set(rect=(0, 0, 0.965, 1))  # type: ignore[union-attr, call-arg]
    in_color = {verdict: colors[place % len(colors)] for verdict, place in VERDICTS.items()}
    for axes, column in zip(figure.subplots(1, 2, squeeze=False)[0], columns, strict=True):
        for place, (_, of_claim, rows) in enumerate(column):
            for row in rows:
                color = in_color[row["verdict"]]
                if not of_claim:
                    line = lines[row["claim"], row["estimator"], row["part"]]
                    replicates(axes, place, row, line, color)
                count(axes, place, row, color, "bold" if of_claim else "normal")
        lay_out(axes, column)
    several = bool((numbers["estimator"] != "").any())
    legend(figure, in_color, estimators=several)
    order = ", from left to right in the order of the marks above" if several else ""
    note(
        figure,
        "T: how far the statistic is on the claim's side (grey) of its bound; plain, or by logarithms or "
        "logits.\nDots: replicates, open if they do not count; marks and lines: mean and its 90 % t interval."
        f"\nRight: met by how many of how many replicates{order}. The axis is linear within ±{LINEAR:g}.",
    )
    return figure


class Line(NamedTuple):
    """A row of the figure."""

    label: str
    of_claim: bool
    rows: list[Row]  # of the verdicts, one for each estimator


def blocks_of(numbers: pd.DataFrame) -> list[list[Line]]:
    """The rows of each claim, the verdict on it first; what is judged by the actual loss is apart."""
    of_claims, of_parts = claim_verdicts(numbers), verdicts(numbers).query("verdict != 'shown'")
    together = [[rows["claim"], rows["estimator"] == "loss"] for rows in (of_claims, of_parts)]
    verdict_on = dict(list(of_claims.groupby(together[0], sort=False)))
    blocks = []
    for key, parts in of_parts.groupby(together[1], sort=False):
        claim, loss = key
        name = f"{claim}, {BY['loss']}" if loss else str(claim)
        block = [Line(name, True, verdict_on[key].to_dict("records"))]
        for part, rows in parts.groupby("part", sort=False):
            block.append(Line(usual(str(part)), False, rows.to_dict("records")))
        blocks.append(block)
    return blocks


def replicates(axes: Axes, place: int, row: Row, line: pd.DataFrame, color: Any) -> None:
    """A part of a claim by one estimator: its replicates, their mean and its interval."""
    marker, offset, _ = ESTIMATORS[row["estimator"]]
    y = place + offset
    edges = (-row["bound"], row["bound"]) if row["rule"] == "within" else (0, FARTHEST)
    axes.fill_betweenx([place - 0.45, place + 0.45], *edges, color="0.93", linewidth=0, zorder=0)
    counts = line["counted"] & (line["reason"] == "")
    for chosen, face in ((counts, color), (~counts, "none")):
        t = line["excess"][chosen].clip(-FARTHEST, FARTHEST)
        axes.plot(t, np.full(len(t), y), ".", color=color, markerfacecolor=face, markersize=2, alpha=0.5)
    mean, *ends = np.clip([row["mean"], row["low"], row["high"]], -FARTHEST, FARTHEST)
    axes.plot(ends, [y, y], color=color, linewidth=0.8)
    axes.plot(mean, y, color=color, marker=marker, markersize=2.6)


def count(axes: Axes, place: int, row: Row, color: Any, weight: str) -> None:
    """How many replicates meet it, in the column of the estimator."""
    axes.text(
        1.09 + COLUMN * ESTIMATORS[row["estimator"]][2],
        place,
        f"{row['met']}/{row['n']}",
        transform=axes.get_yaxis_transform(),
        color=color,
        fontsize=mpl.rcParams["legend.fontsize"] - TEXT,
        fontweight=weight,
        ha="center",
        va="center",
    )


def halves(blocks: Sequence[list[Line]]) -> tuple[list[Line], list[Line]]:
    """The rows in two columns of about the same length, of whole blocks."""

    def parted(first: int) -> tuple[list[Line], list[Line]]:
        return [*chain(*blocks[:first])], [*chain(*blocks[first:])]

    return min(map(parted, range(len(blocks) + 1)), key=lambda columns: max(map(len, columns)))


def lay_out(axes: Axes, lines: Sequence[Line]) -> None:
    """Axes of a panel: a symmetric logarithm of T, and the names of claims and parts."""
    axes.set_xscale("symlog", linthresh=LINEAR, linscale=0.4)
    axes.set_xlim(-FARTHEST, FARTHEST)
    axes.axvline(0, color="0.6", linewidth=0.5, zorder=0)
    axes.set_xticks([-10, -1, -0.1, 0, 0.1, 1, 10], ["−10", "−1", "−0.1", "0", "0.1", "1", "10"])
    axes.minorticks_off()
    axes.set_xlabel("T")
    axes.set_ylim(len(lines) - 0.5, -0.5)
    size = mpl.rcParams["legend.fontsize"] - TEXT
    axes.set_yticks(range(len(lines)), [line.label for line in lines], fontsize=size)
    axes.tick_params(axis="y", length=0, pad=2)
    axes.tick_params(axis="x", labelsize=size)
    for label, line in zip(axes.get_yticklabels(), lines, strict=True):
        label.set_fontweight("bold" if line.of_claim else "normal")
    axes.spines["left"].set_visible(False)


def legend(figure: Figure, in_color: dict[str, Any], *, estimators: bool) -> None:
    """What colours mean and, where there are several estimators, marks."""
    # Verdicts in the first line, estimators in the second.
    looks = [
        look
        for (verdict, color), name in zip(in_color.items(), MARKED, strict=True)
        for look in (("o", color, verdict), (ESTIMATORS[name][0], "0.3", BY[name]))
        if estimators or look[-1] == verdict
    ]
    handles = [Line2D([], [], color=c, marker=m, linestyle="", markersize=3.5) for m, c, _ in looks]
    figure.legend(handles, [words for *_, words in looks], loc="outside upper center", ncols=len(MARKED))
