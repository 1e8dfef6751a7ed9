"""How all figures look: colour-blind palette, each colour with a line style of its own, text kept as text."""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from typing import Any, Literal

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from matplotlib.lines import Line2D
from matplotlib.ticker import (
    FixedLocator,
    FormatStrFormatter,
    LogFormatterMathtext,
    LogLocator,
    NullFormatter,
    NullLocator,
)


@dataclass(frozen=True)
class Style:
    """How the settings ask for it."""

    width: float = 7.0  # inches
    font_size: float = 8.0  # points
    dpi: int = 200
    palette: str = "colorblind"


LineStyle = Literal["-"] | tuple[float, Sequence[float]]
DASHED: LineStyle = (0, (3, 1.5))
DOTTED: LineStyle = (0, (1, 1))

BAND, PALE = 0.25, 0.4  # opacity

# The first comes with matplotlib; the others are for programs that show an SVG, where text is text.
SANS_SERIF = ["DejaVu Sans", "Arial", "Liberation Sans", "Bitstream Vera Sans", "sans-serif"]
NO_OTHER_FONTS = "MPL_IGNORE_SYSTEM_FONTS"


@contextmanager
def styled(style: Style) -> Iterator[list[Any]]:
    """Apply a style while figures are plotted and saved; yields the colours of its palette.

    It starts from matplotlib's own defaults and fonts, so that the same numbers give the same bytes whatever
    the user has configured and installed. What was set before is set again afterwards.

    Parameters
    ----------
    style : Style
        Font size, resolution and palette.

    Yields
    ------
    list
        Colours of the palette, as (red, green, blue).
    """
    settings = {
        **sns.axes_style("ticks"),
        "font.sans-serif": SANS_SERIF,
        "font.size": style.font_size,
        "axes.titlesize": style.font_size,
        "axes.labelsize": style.font_size,
        "xtick.labelsize": style.font_size - 1,
        "ytick.labelsize": style.font_size - 1,
        "legend.fontsize": style.font_size - 1,
        "legend.frameon": False,
        "axes.linewidth": 0.6,
        "xtick.major.width": 0.6,
        "ytick.major.width": 0.6,
        "xtick.minor.width": 0.4,
        "xtick.major.size": 3,
        "ytick.major.size": 3,
        "xtick.minor.size": 1.5,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "lines.linewidth": 1.1,
        "lines.solid_capstyle": "round",
        "savefig.dpi": style.dpi,
        "pdf.fonttype": 42,
        "svg.fonttype": "none",
        "svg.hashsalt": "cgpipe",
    }
    with mpl.rc_context(), own_fonts():
        mpl.rcdefaults()
        mpl.rcParams.update(settings)
        yield list(sns.color_palette(style.palette))


@contextmanager
def own_fonts() -> Iterator[None]:
    """Hide the fonts of the system from matplotlib, as they are not the same everywhere."""
    before = os.environ.get(NO_OTHER_FONTS)
    os.environ[NO_OTHER_FONTS] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[NO_OTHER_FONTS]
        else:
            os.environ[NO_OTHER_FONTS] = before


def new_figure(style: Style, height: float) -> Figure:
    """Make an empty figure of the style's width, `height` times as high as wide."""
    return Figure(figsize=(style.width, style.width * height), layout="constrained")


def curve(
    axes: Axes, rows: pd.DataFrame, color: Any, linestyle: LineStyle = "-", *, pale: bool = False
) -> None:
    """Plot `mean` over `step` with a band from `low` to `high`, or as a pale line behind the others."""
    rows = rows.sort_values("step")
    if pale:
        axes.plot(rows["step"], rows["mean"], color=color, linestyle=linestyle, alpha=PALE, zorder=1)
        return
    axes.plot(rows["step"], rows["mean"], color=color, linestyle=linestyle)
    axes.fill_between(rows["step"], rows["low"], rows["high"], color=color, alpha=BAND, linewidth=0)


def legend(figure: FigureBase, names: Sequence[str], colors: Iterable[Any]) -> None:
    """Say above the panels what the colours are, in the order of their lines."""
    handles = [Line2D([], [], color=color) for _, color in zip(names, cycle(colors), strict=False)]
    figure.legend(handles, names, loc="outside upper center", ncols=len(names))


def log_steps(axes: Axes, last: int, *, narrow: bool = False) -> None:
    """Make a logarithmic axis of steps that has a place for step 0; narrow panels get fewer labels."""
    axes.set_xscale("symlog", linthresh=1, linscale=0.35)
    axes.set_xlim(0, last)
    decades = [0, *(10**k for k in range(len(str(last))))]
    crowded = narrow or len(decades) > 5
    axes.xaxis.set_major_locator(FixedLocator(decades))
    formatter = LogFormatterMathtext()
    shown = [d for k, d in enumerate(decades) if not crowded or d == 0 or k % 2 == 0]
    axes.xaxis.set_major_formatter(
        lambda value, _: "0" if value == 0 else (formatter(value) if value in shown else "")
    )
    axes.xaxis.set_minor_locator(
        FixedLocator([d * k for d in decades[1:] for k in range(2, 10) if d * k <= last])
    )
    axes.xaxis.set_minor_formatter(NullFormatter())


def few_steps(axes: Axes, last: int) -> None:
    """Make a linear axis of a few steps."""
    axes.set_xlim(0, last)
    axes.xaxis.set_major_locator(FixedLocator(range(0, last + 1, 1 if last < 4 else 3)))
    axes.xaxis.set_minor_locator(NullLocator())


def log_ratios(axes: Axes, which: Literal["x", "y"]) -> None:
    """Make a logarithmic axis of ratios, with plain numbers."""
    axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FormatStrFormatter("%g"))
    axis.set_minor_formatter(NullFormatter())


def replicates_note(rows: pd.DataFrame) -> str:
    """What lines and bands are, and of how many replicates."""
    if set(rows["n"]) == {1}:
        return "Lines: one replicate (n = 1)."
    n = smallest_to_largest(rows["n"])
    return f"Lines: mean over n = {n} replicates; bands: smallest to largest."


def smallest_to_largest(counts: pd.Series) -> str:
    """One number, or the range of several."""
    return " to ".join(str(count) for count in sorted({counts.min(), counts.max()}))


def note(figure: Figure, text: str) -> None:
    """Write text below the panels; lines that are too long are wrapped."""
    font_size = mpl.rcParams["legend.fontsize"]
    figure.supxlabel(text, fontsize=font_size, color="0.35", x=0.01, ha="left", wrap=True)
