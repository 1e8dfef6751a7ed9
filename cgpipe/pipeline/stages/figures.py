"""Stage `figures`: artifacts to one figure and the numbers it shows."""

import cgpipe.pipeline.stages.drawing  # noqa: F401, first, before matplotlib

# isort: split
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from cgpipe.figures import activity, claims, coherence, figure1, figure2, figure3, figure4, worlds
from cgpipe.figures.beside import put_beside
from cgpipe.figures.style import Style, styled
from cgpipe.inference.sampling import decade_fraction, sample_fraction
from cgpipe.names import Learned
from cgpipe.pipeline.artifacts import Provenance, settings_of, whole, write_record
from cgpipe.pipeline.progress import log
from cgpipe.pipeline.stages.inputs import read_alike

Name = Literal[
    "figure1",
    "figure2",
    "figure2_exact",
    "figure3",
    "figure3_exact",
    "figure4",
    "coherence",
    "activity",
    "claims",
]
EVERYTHING = "All examples, all parameters."
DIGITS = "%.7g"  # of the tables: what the float32 of the runs holds


@dataclass(frozen=True)
class Spec:
    """The settings that this stage reads."""

    figure: Name
    style: Style
    learned: Learned | None = None  # figure 1 alone
    examples: int | None = None  # in the sample that figure 2, exact, says what to expect of


Cells = list[tuple[dict[str, Any], xr.Dataset]]  # settings, artifact


class Drawing(NamedTuple):
    """How one figure comes about."""

    stage: str  # whose artifacts it is made from
    table: Callable[[Spec, Cells], pd.DataFrame]
    draw: Callable[[pd.DataFrame, Style, list[Any]], Figure]
    levels: Sequence[str] = ()  # columns by which another table is put beside; none, if it cannot be drawn


def samples(cells: Cells) -> list[worlds.Sample]:
    """For figures 2 and 3."""
    return [worlds.Sample(of["noise"], of["replicate"], null) for of, null in cells]


def exact_samples(spec: Spec, cells: Cells) -> list[worlds.Sample]:
    """For figure 2 from all examples: with what follows from these of a sample, and of longer times."""
    if spec.examples is None:
        raise ValueError(f"{spec.figure} says what a sample would show: give its size as `examples`")
    of_sample = spec.examples
    return samples(
        [
            (of, null.assign(f_in_a_sample=sample_fraction(null, of_sample), f_of_sums=decade_fraction(null)))
            for of, null in cells
        ]
    )


def table_of_figure1(spec: Spec, cells: Cells) -> pd.DataFrame:
    """For figure 1."""
    runs = [figure1.Run(of["noise"], of["replicate"], history) for of, history in cells]
    return figure1.table(runs, spec.learned or "at_step")


def table_of_figure4(_: Spec, cells: Cells) -> pd.DataFrame:
    """For figure 4."""
    return figure4.table([figure4.Run(of["noise"], of["winsor"], of["replicate"], run) for of, run in cells])


def table_of_coherence(_: Spec, cells: Cells) -> pd.DataFrame:
    """For the figure of coherence."""
    return coherence.table([coherence.Run(of["noise"], of["replicate"], found) for of, found in cells])


def table_of_activity(_: Spec, cells: Cells) -> pd.DataFrame:
    """For the figure of activity."""
    return activity.table(
        [activity.Run(of["noise"], of["winsor"], of["replicate"], found) for of, found in cells]
    )


DRAWINGS: dict[Name, Drawing] = {
    "figure1": Drawing("train", table_of_figure1, figure1.draw, ["noise"]),
    "figure2": Drawing("nullworlds", lambda _, cells: figure2.table(samples(cells)), figure2.draw),
    "figure2_exact": Drawing(
        "nullworlds",
        lambda spec, cells: figure2.table(exact_samples(spec, cells)),
        partial(figure2.draw, of=EVERYTHING),
    ),
    "figure3": Drawing("nullworlds", lambda _, cells: figure3.table(samples(cells)), figure3.draw),
    "figure3_exact": Drawing(
        "nullworlds",
        lambda _, cells: figure3.table(samples(cells)),
        partial(figure3.draw, of=EVERYTHING),
    ),
    "figure4": Drawing("train", table_of_figure4, figure4.draw, ["noise", "winsor"]),
    "coherence": Drawing("coherence", table_of_coherence, coherence.draw),
    "activity": Drawing("activity", table_of_activity, activity.draw),
    "claims": Drawing("claims", lambda _, cells: claims.table(cells[0][1]), claims.draw),
}


def run(
    spec: Spec, provenance: Provenance, *, inputs: Sequence[Path], out: Path, beside: Path | None = None
) -> None:
    """Write `out`.csv, draw it as .pdf, .svg and .png, and note in .json what it was made from."""
    drawing = DRAWINGS[spec.figure]
    read = read_alike(inputs, drawing.stage)
    numbers = drawing.table(spec, [(settings_of(dataset), dataset) for dataset in read])
    if beside is not None:
        if not drawing.levels:
            able = ", ".join(name for name, other in DRAWINGS.items() if other.levels)
            raise ValueError(f"{spec.figure} cannot be drawn beside {beside}; allowed for {able}")
        numbers = put_beside(numbers, pd.read_csv(beside), str(beside), drawing.levels)
    with styled(spec.style) as colors:
        figure = drawing.draw(numbers, spec.style, colors)
        lay_out(figure)
        for ending in ("pdf", "svg", "png"):
            save(figure, with_ending(out, ending), ending, provenance)
    with whole(with_ending(out, "csv")) as temporary:
        numbers.to_csv(temporary, index=False, lineterminator="\n", float_format=DIGITS)
    drawn = [with_ending(out, ending) for ending in ("csv", "pdf", "svg", "png")]
    made = provenance.of_many(*read).of_files(*([beside] if beside else []))
    write_record(with_ending(out, "json"), made.answering_for(*drawn))
    log.info("wrote %s.csv, .pdf, .svg and .png from %d artifacts", out, len(inputs))


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
