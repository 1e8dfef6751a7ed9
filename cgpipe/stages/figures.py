"""Stage `figures`: histories or null worlds to one figure and the numbers it shows."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from matplotlib.figure import Figure

from cgpipe.figures import figure1, figure2, figure3, figure4, worlds
from cgpipe.figures.style import Style, styled
from cgpipe.runtime.artifacts import Provenance, read_netcdf, settings_of, whole
from cgpipe.runtime.progress import log


@dataclass(frozen=True)
class Spec:
    """The settings that this stage reads."""

    figure: Literal["figure1", "figure2", "figure3", "figure4"]
    style: Style
    learned: figure1.Learned | None = None  # figure 1 alone


def run(spec: Spec, provenance: Provenance, *, inputs: Sequence[Path], out: Path) -> None:
    """Write `out`.csv, and draw it as .pdf, .svg and .png."""
    numbers = table(spec, inputs)
    with styled(spec.style) as colors:
        draw = {
            "figure1": figure1.draw,
            "figure2": figure2.draw,
            "figure3": figure3.draw,
            "figure4": figure4.draw,
        }[spec.figure]
        figure = draw(numbers, spec.style, colors)
        lay_out(figure)
        for ending in ("pdf", "svg", "png"):
            save(figure, with_ending(out, ending), ending, provenance)
    with whole(with_ending(out, "csv")) as temporary:
        numbers.to_csv(temporary, index=False, lineterminator="\n")
    log.info("wrote %s.csv, .pdf, .svg and .png from %d artifacts", out, len(inputs))


def table(spec: Spec, inputs: Sequence[Path]) -> pd.DataFrame:
    """Read the artifacts, and make the numbers of the figure."""
    read = [
        read_netcdf(path, "train" if spec.figure in ("figure1", "figure4") else "nullworlds")
        for path in inputs
    ]
    settings = [settings_of(dataset) for dataset in read]
    cells = list(zip(settings, read, strict=True))
    if spec.figure == "figure1":
        runs = [figure1.Run(of["noise"], of["replicate"], history) for of, history in cells]
        return figure1.table(runs, spec.learned or "at_step")
    if spec.figure == "figure4":
        return figure4.table(
            [figure4.Run(of["noise"], of["winsor"], of["replicate"], history) for of, history in cells]
        )
    samples = [worlds.Sample(of["noise"], of["replicate"], null) for of, null in cells]
    return figure2.table(samples) if spec.figure == "figure2" else figure3.table(samples)


def save(figure: Figure, path: Path, ending: str, provenance: Provenance) -> None:
    """Save a figure so that the same numbers give the same bytes: no clock, no random names."""
    how = json.dumps({"stage": provenance.stage, "spec": provenance.spec, "code": provenance.code})
    metadata: dict[str, dict[str, Any]] = {
        "pdf": {"CreationDate": None, "Subject": how},
        "svg": {"Date": None, "Description": how},
        "png": {"Description": how},
    }
    with whole(path) as temporary:
        figure.savefig(temporary, format=ending, metadata=metadata[ending])


def lay_out(figure: Figure) -> None:
    """Place the panels once, rather than again for each format."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")


def with_ending(out: Path, ending: str) -> Path:
    """`out` with an ending, whatever dots are in it."""
    return out.with_name(f"{out.name}.{ending}")
