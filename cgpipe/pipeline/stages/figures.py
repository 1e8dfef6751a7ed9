"""Stage `figures`: artifacts to one figure and the numbers it shows."""

import cgpipe.pipeline.stages.plain_matplotlib  # noqa: F401, first, before matplotlib

# isort: split
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from cgpipe.figures.drawing import draw
from cgpipe.figures.registry import entry_of
from cgpipe.figures.style import Style, styled
from cgpipe.inference.verdicts import statistics_in
from cgpipe.pipeline.artifacts import Provenance, whole, write_record
from cgpipe.pipeline.layout import PLOTTED
from cgpipe.pipeline.progress import log
from cgpipe.pipeline.stages.inputs import LEVELS
from cgpipe.pipeline.stages.results import by_experiment, read_alike, read_current, run_of

DIGITS = "%.7g"  # of the tables: what the float32 of the runs holds


@dataclass(frozen=True)
class Spec:
    """The settings that this stage reads."""

    figure: str
    style: Style
    experiments: list[str] = field(default_factory=list)  # by name, of a figure that tells them apart
    options: dict[str, Any] = field(default_factory=dict)  # as the registry lists them


def run(
    spec: Spec,
    provenance: Provenance,
    *,
    inputs: Sequence[Path],
    out: Path,
    compare_with: Path | None = None,
    claims: Path | None = None,
) -> None:
    """Write `out`.csv, plot it as .pdf, .svg and .png, and note in .json what it was made from."""
    entry = entry_of(spec.figure)
    stage, _ = PLOTTED[entry.artifact]
    levels = (*LEVELS, "update", "marks") if entry.controls else LEVELS
    alike = by_experiment(inputs) if entry.others else {"": inputs}
    if entry.others and {*alike} != {*spec.experiments}:
        given = ", ".join(sorted(alike))
        raise ValueError(f"artifacts of {given}: give those of {', '.join(spec.experiments)}")
    read = {name: read_alike(paths, stage, levels) for name, paths in alike.items()}
    runs = [run_of(data, name) for name, of_one in read.items() for data in of_one]
    other = None if compare_with is None else (str(compare_with), pd.read_csv(compare_with))
    judged = [] if claims is None else [read_current(claims, "mystery")]
    with styled(spec.style):
        numbers, figure = draw(
            spec.figure,
            runs,
            style=spec.style,
            compare_with=other,
            claims=statistics_in(judged[0]) if judged else None,
            **spec.options,
        )
        lay_out(figure)
        for ending in ("pdf", "svg", "png"):
            save(figure, with_ending(out, ending), ending, provenance)
    with whole(with_ending(out, "csv")) as temporary:
        numbers.to_csv(temporary, index=False, lineterminator="\n", float_format=DIGITS)
    written = [with_ending(out, ending) for ending in ("csv", "pdf", "svg", "png")]
    made = provenance.of_many(*(of.data for of in runs), *judged).of_files(
        *([compare_with] if compare_with else [])
    )
    write_record(with_ending(out, "json"), made.answering_for(*written))
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
