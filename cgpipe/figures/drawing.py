"""One call from the artifacts of runs to a figure and the numbers that it shows."""

import importlib
import inspect
from collections.abc import Hashable, Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from cgpipe.figures.comparison import compare
from cgpipe.figures.registry import FIGURES, entry_of
from cgpipe.figures.style import Style, note, styled
from cgpipe.inference.verdicts import claim_verdicts, met_by, parts_that_hold
from cgpipe.runs import Run


def draw(
    name: str,
    runs: Sequence[Run],
    *,
    style: Style | None = None,
    compare_with: tuple[str, pd.DataFrame] | None = None,
    claims: pd.DataFrame | None = None,
    **options: Any,
) -> tuple[pd.DataFrame, Figure]:
    """Make a figure and the table of the numbers that it shows.

    Parameters
    ----------
    name : str
        A figure of `cgpipe.figures.registry.FIGURES`, such as "figure1".
    runs : sequence of Run
        The runs that it plots, each with the Dataset that the registry names as the figure's artifact.
    style : Style, optional
        Width, font size, resolution and palette; by default those of the workflow.
    compare_with : tuple of str and DataFrame, optional
        Another table of the same figure to plot pale behind this one, and the name of its source.
    claims : DataFrame, optional
        Statistics of claims, as `cgpipe.inference.verdicts.tidy` returns them. The verdicts on those that the
        figure is about are written below it.
    **options
        What the functions `table` and `draw` of the figure's module take, such as `learned="first"` of
        figure 1.

    Returns
    -------
    DataFrame
        The numbers, one row for each point of a curve.
    Figure
        Not bound to a window or a backend. Saved within `styled(style)`, it has the bytes of the workflow's
        figure.

    Raises
    ------
    ValueError
        If there is no such figure, an option is unknown or missing, or the other table does not fit.

    Examples
    --------
    >>> import xarray as xr
    >>> from cgpipe.runs import Run
    >>> curves = {"accuracy_training": ("step", [0.1, 0.9]), "accuracy_test": ("step", [0.1, 0.8])}
    >>> history = xr.Dataset(curves | {"pristine": ("example", [True, False])}, coords={"step": [0, 10]})
    >>> table, figure = draw("figure4", [Run(0.5, 0, 0, history)], classes=10)
    >>> table.query("curve == 'test accuracy'")["value"].tolist()
    [0.1, 0.8]
    """
    entry = entry_of(name)
    if compare_with is not None and not entry.levels:
        able = ", ".join(figure for figure, of in FIGURES.items() if of.levels)
        raise ValueError(f"{name} cannot be compared with {compare_with[0]}; allowed for {able}")
    numbers = importlib.import_module(f"cgpipe.figures.{name}").table(runs, **_given(name, options)[0])
    if compare_with is not None:
        source, other = compare_with
        numbers = compare(numbers, other, source, entry.levels)
    return numbers, plot(name, numbers, style=style, claims=claims, **options)


def plot(
    name: str,
    numbers: pd.DataFrame,
    *,
    style: Style | None = None,
    claims: pd.DataFrame | None = None,
    **options: Any,
) -> Figure:
    """Make a figure from the table of its numbers.

    Parameters
    ----------
    name, style, claims
        As of `draw`.
    numbers : DataFrame
        As `draw` returned it; also several such tables of different replicates, one below the other.
    **options
        As of `draw`.

    Returns
    -------
    Figure
        As of `draw`.
    """
    style = style or Style()
    with styled(style) as colors:
        module = importlib.import_module(f"cgpipe.figures.{name}")
        figure: Figure = module.draw(numbers, style, colors, **_given(name, options)[1])
        if claims is not None and (of_figure := entry_of(name).claims):
            note(figure, f"{figure.get_supxlabel()}\n{verdicts_on(of_figure, claims)}".strip())
    return figure


def verdicts_on(names: Sequence[str], claims: pd.DataFrame) -> str:
    """The verdicts on some claims, in words."""

    def on(row: dict[Hashable, Any]) -> str:
        hold = f"; {of} parts hold" if row["parts"] > 1 and (of := parts_that_hold(row)) else ""
        return f"{row['claim']}: {row['verdict']}, met by {met_by(row)}{hold}"

    return ". ".join(map(on, claim_verdicts(claims[claims["claim"].isin(names)]).to_dict("records")))


def _given(name: str, options: dict[str, Any]) -> list[dict[str, Any]]:
    """Options of a figure's `table` and `draw`; an error if one is unknown, or missing without a default."""
    module = importlib.import_module(f"cgpipe.figures.{name}")
    taken = [
        {key: of for key, of in inspect.signature(function).parameters.items() if of.kind is of.KEYWORD_ONLY}
        for function in (module.table, module.draw)
    ]
    known = {key: of for parameters in taken for key, of in parameters.items()}
    if unknown := sorted(options.keys() - known.keys()):
        has = f"it has {', '.join(known)}" if known else "it has none"
        raise ValueError(f"{name} has no option {', '.join(unknown)}; {has}")
    missing = [key for key, of in known.items() if of.default is of.empty and key not in options]
    if missing:
        raise ValueError(f"{name} needs a value for {', '.join(missing)}")
    return [{key: options[key] for key in parameters if key in options} for parameters in taken]
