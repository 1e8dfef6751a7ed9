"""Coherence with real and with random labels, at marks of the training loss and on held-out examples."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FormatStrFormatter

from cgpipe.figures.coherence import falling_loss
from cgpipe.figures.style import (
    DASHED,
    DOTTED,
    PALE,
    LineStyle,
    Style,
    curve,
    log_steps,
    new_figure,
    note,
    replicates_note,
)
from cgpipe.figures.summary import each_replicate, summarise
from cgpipe.figures.words import percent, usual
from cgpipe.inference.heldout import STATISTICS, bursts_at_marks, with_coherence
from cgpipe.runs import Run

MARKERS = [(".", ""), ("o", "white"), ("s", "white")]  # of the lines of a panel, with another colour inside
ASIDE = 1.06  # a loss over that at which the next line is drawn
SMALL = 0.001  # cosines between ± this are on a linear axis, others on a logarithmic one
QUANTITIES = ["m_coherence", "cosine", "loss"]
# Rows over the training loss: the quantity, and set, group, part and style of each line.
ROWS: dict[str, tuple[str, list[tuple[str, str, str, LineStyle]]]] = {
    "m-coherence": (
        "m_coherence",
        [("training", "all", "network", "-"), ("held-out", "all", "network", DASHED)],
    ),
    "mean cosine": (
        "cosine",
        [
            ("training", "all", "network", "-"),
            ("held-out", "all", "network", DASHED),
            ("held-out", "near chance", "network", DOTTED),
        ],
    ),
    "m-coherence of layers": (
        "m_coherence",
        [("training", "all", "convolutional", "-"), ("training", "all", "last linear", DASHED)],
    ),
}


# Quantity, set, group and part of what is drawn over the steps, and at marks against the loss.
OVER_STEPS = {("m_coherence", of_set, "all", "network") for of_set in ("training", "held-out")}
AT_MARKS = {
    ("loss", "training", "all", "network"),
    *((quantity, *line[:3]) for quantity, lines in ROWS.values() for line in lines),
}


def table(runs: Sequence[Run]) -> pd.DataFrame:
    """Numbers of the figure; all others are in the runs.

    Parameters
    ----------
    runs : sequence of Run
        Stage heldout of plain SGD, of each experiment, noise level and replicate.

    Returns
    -------
    DataFrame
        Columns `experiment`, `quantity` (`m_coherence`, `cosine`, `loss`), `set`, `group`,
        `part` (of the network), `noise`, `of`, `at`, `replicate`, `value`. `of` is `step`, and `at` the step,
        of a snapshot; or it is `median`, `low` or `high` of a burst of steps, and `at` the mark of the
        training loss that the burst begins at: `inf` is the first step, 0 the last snapshot. What is
        undefined is left out.
    """
    rows = []
    for run in runs:
        measured = with_coherence(run.data)[QUANTITIES]
        bursts = bursts_at_marks(measured, run.data.get("mark_step"))
        single = measured.sel(burst_step=measured["burst_step"] == measured["snapshot"])
        single = single.drop_vars("snapshot").rename(burst_step="at").expand_dims(of=["step"])
        for found in (single, bursts.rename(mark="at", statistic="of")):
            for quantity in QUANTITIES:
                long = found[quantity].to_dataframe(name="value").reset_index()
                long = long.assign(quantity=quantity, experiment=run.experiment)
                rows.append(long.assign(noise=run.noise, replicate=run.replicate))
    whole = pd.concat(rows).fillna({"part": "network"}).dropna(subset="value").astype({"at": float})
    kinds = zip(*(whole[name] for name in ("of", "quantity", "set", "group", "part")), strict=True)
    whole = whole[[tuple(kind) in (OVER_STEPS if of == "step" else AT_MARKS) for of, *kind in kinds]]
    columns = ("experiment", "quantity", "set", "group", "part", "noise", "of", "at", "replicate", "value")
    return each_replicate(whole[[*columns]])


def draw(numbers: pd.DataFrame, style: Style, colors: list[Any]) -> Figure:
    """Plot coherence over the steps and at marks.

    Parameters
    ----------
    numbers : DataFrame
        As `table` returns it.
    style : Style
        Width of the figure.
    colors : list
        Palette; the first colour is of real labels, the second of random ones.

    Returns
    -------
    Figure
        A column for each experiment, at its lowest and its highest noise level. Rows: m-coherence over the
        steps; at marks, against the training loss, m-coherence, mean cosine, and m-coherence of the layers.
    """
    experiments = list(numbers["experiment"].unique())
    summary = summarise(numbers)
    figure = new_figure(style, 1.15)
    grid = figure.subplots(1 + len(ROWS), len(experiments), sharey="row", squeeze=False)
    shown = []
    for name, (over_steps, *panels) in zip(experiments, grid.T, strict=True):
        of_one = summary[summary["experiment"] == name]
        own = sorted(of_one["noise"].unique())
        extremes = dict(zip(own[:1] + own[1:][-1:], colors, strict=False))
        over_steps.set_title(usual(name))
        for noise, color in extremes.items():
            at_noise = of_one[of_one["noise"] == noise]
            for of_set, line in {"training": "-", "held-out": DASHED}.items():
                rows = _rows(at_noise, "m_coherence", of_set)
                rows = rows[rows["of"] == "step"].rename(columns={"at": "step"})
                rows = rows[rows["n"] == rows["n"].max()]  # marks are passed at other steps in each run
                curve(over_steps, rows, color, line)
                shown.append(rows)
            losses = _rows(at_noise, "loss", "training")
            for axes, (quantity, lines) in zip(panels, ROWS.values(), strict=True):
                for place, (of_set, group, part, line) in enumerate(lines):
                    of_line = _rows(at_noise, quantity, of_set, group, part)
                    _bursts(axes, of_line, losses, color, line, place)
        log_steps(over_steps, int(rows["step"].max()), narrow=len(experiments) > 2)
        over_steps.set_xlabel("step")
        for axes, (quantity, _) in zip(panels, ROWS.values(), strict=True):
            falling_loss(axes)
            _orthogonal(axes, quantity)
        _orthogonal(over_steps, "m_coherence")
    for axes, label in zip(grid[:, 0], ("m-coherence", *ROWS), strict=True):
        axes.set_ylabel(label)
    levels = [sorted(of["noise"].unique()) for _, of in numbers.groupby("experiment")]
    real, random = (" or ".join(map(percent, sorted({of[k] for of in levels}))) for k in (0, -1))
    figure.legend(
        [Line2D([], [], color=color) for color in colors[:2]],
        [f"real labels ({real} noise)", f"random labels ({random} noise)"],
        loc="outside upper center",
        ncols=2,
    )
    note(
        figure,
        f"{replicates_note(pd.concat(shown))} Grey: orthogonal gradients.\n"
        "Solid: training examples; dashed: held-out ones; dotted: held-out ones near chance.\n"
        "Last row: convolutional layers (solid) and the last linear one (dashed), on training examples.\n"
        "Over the training loss: median of five steps, aside for each line; bars are no errors, but go from\n"
        "the smallest to the largest of these steps in all replicates. Marks passed at one step coincide.\n"
        f"Mean cosine: logarithmic beyond ±{SMALL:g}.",
    )
    return figure


def _rows(
    numbers: pd.DataFrame, quantity: str, of_set: str, group: str = "all", part: str = "network"
) -> pd.DataFrame:
    columns = {"quantity": quantity, "set": of_set, "group": group, "part": part}
    return numbers[(numbers[list(columns)] == pd.Series(columns)).all(axis=1)]


def _bursts(
    axes: Axes, rows: pd.DataFrame, losses: pd.DataFrame, color: Any, line: LineStyle, place: int
) -> None:
    """Plot the median at each mark, with a bar over all steps and replicates, against the loss there.

    Lines of later places lie on top, and a little aside, so that none hides the bars of another.
    """
    of = {name: rows[rows["of"] == name].set_index("at") for name in STATISTICS}
    loss = losses[losses["of"] == "median"].set_index("at")["mean"]
    of_marks = pd.DataFrame(
        {"loss": loss, "median": of["median"]["mean"], "low": of["low"]["low"], "high": of["high"]["high"]}
    )
    # As of a line over steps, means are of all replicates.
    in_all = of["median"]["n"] == of["median"]["n"].max()
    of_marks = of_marks[in_all.reindex(of_marks.index, fill_value=False)].dropna().sort_values("loss")
    at, front = of_marks["loss"] * ASIDE**place, 2 + place
    marker, face = MARKERS[place]
    look: dict[str, Any] = {"marker": marker, "markerfacecolor": face or color, "markeredgewidth": 0.6}
    axes.plot(at, of_marks["median"], color=color, linestyle=line, zorder=front, markersize=2.5, **look)
    axes.vlines(at, of_marks["low"], of_marks["high"], color=color, linewidth=0.6, alpha=PALE, zorder=1)


def _orthogonal(axes: Axes, quantity: str) -> None:
    """A line where gradients are orthogonal."""
    if quantity == "m_coherence":
        axes.set_yscale("log")
    else:
        axes.set_yscale("symlog", linthresh=SMALL)
        decades = [sign * SMALL * 10**k for k in range(4) for sign in (-1, 1)]
        axes.yaxis.set_major_locator(FixedLocator([0, *decades]))
        axes.yaxis.set_major_formatter(FormatStrFormatter("%g"))
    axes.axhline(int(quantity == "m_coherence"), color="0.55", linewidth=0.6, linestyle=DOTTED, zorder=0)
