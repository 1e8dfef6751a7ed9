"""The section `figures`, and which experiments a figure can show."""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from pydantic import Field

from cgpipe.names import Learned, Palette, Selection
from cgpipe.pipeline.config.experiments import (
    FEWEST_CHOSEN,
    Corruption,
    Experiment,
    is_mixed,
    training_examples,
    widths,
    without_plain_sgd,
    without_snapshots,
)
from cgpipe.pipeline.config.section import Mistake, Section, Slug

FIGURES = (
    "figure1",
    "figure2",
    "figure2_exact",
    "figure3",
    "figure3_exact",
    "figure4",
    "coherence",
    "activity",
)


class Figure(Section):
    """One figure."""

    experiment: Slug = Field(description="Name of the experiment that the figure shows")


class Curves(Figure):
    """A figure of curves, which can be compared with those of another workflow."""

    compare_with: str | None = Field(
        None,
        min_length=1,
        description="Table of the same figure from another workflow: its `.csv`, relative to the folder of "
        "the Snakefile. It is plotted in pale colours at the levels that both have. Omit for none",
    )


class Figure1(Curves):
    """Figure 1."""

    learned: Learned = Field(
        "at_step",
        description="When an example counts as learned at step t in panel d. `at_step`: it is classified "
        "correctly at step t. `first`: correctly at some step up to t. `last`: correctly from some step up "
        "to t until the end of the run",
    )


class Style(Section):
    """The look of the figures."""

    width: float = Field(7.0, gt=0, le=100, description="Width of the figures, in inches")
    font_size: float = Field(8.0, gt=0, le=100, description="Font size, in points")
    dpi: int = Field(200, ge=10, le=2400, description="Resolution of the PNG files")
    palette: Palette = Field("colorblind", description="Seaborn palette that the colours come from")


class Figures(Section):
    """Which figures to make, and of which experiments."""

    figure1: Figure1 | None = Field(
        None, description="Learning curves and learned examples under label noise. Omit for none"
    )
    figure2: Figure | None = Field(
        None,
        description="Fractions f of the gradient, in the data and in null worlds, from a sample as in the "
        "paper. Omit for none",
    )
    figure2_exact: Figure | None = Field(
        None, description="Figure 2 from all examples and all parameters. Omit for none"
    )
    figure3: Figure | None = Field(
        None,
        description="Mean cumulative contributions i, in the data and in null worlds, from a sample as in "
        "the paper. Omit for none",
    )
    figure3_exact: Figure | None = Field(
        None, description="Figure 3 from all examples and all parameters. Omit for none"
    )
    figure4: Curves | None = Field(
        None, description="Accuracies and overfit under winsorized SGD. Omit for none"
    )
    coherence: Figure | None = Field(
        None, description="m-coherence of the gradients of all examples. Omit for none"
    )
    activity: Figure | None = Field(
        None, description="Active and dead hidden units, by level of winsorization. Omit for none"
    )
    style: Style = Field(default_factory=Style, description="The look of all figures")


def mistakes_in_figures(figures: Figures, valid: Mapping[str, Any]) -> Iterator[Mistake]:
    """Figures of experiments that lack what is shown; `valid` has what stands above and has no errors."""
    experiments: Mapping[str, Experiment] = valid.get("experiments", {})
    for name in FIGURES:
        figure: Figure | None = getattr(figures, name)
        if figure is not None and figure.experiment in experiments:
            given = figure.experiment
            for allowed in _allowed(name, given, experiments[given], valid):
                yield Mistake((name, "experiment"), given, allowed)


def _allowed(figure: str, name: str, experiment: Experiment, valid: Mapping[str, Any]) -> Iterator[str]:
    """What is allowed instead of an experiment that a figure cannot show."""
    if figure not in ("figure4", "activity"):
        yield from without_plain_sgd(name, experiment)
    if figure in ("figure1", "figure4"):
        return
    if figure == "activity" and not experiment.hidden:
        yield f"an experiment with hidden units; {name} has none"
    dataset = valid.get("dataset")
    sample: Any = valid.get("gradients") if figure in ("figure2", "figure3") else None
    if figure not in ("coherence", "activity"):
        selection: Selection = valid.get("corruption", Corruption()).selection
        examples = training_examples(valid)
        if not any(is_mixed(noise, selection, examples) for noise in experiment.noise):
            fewest = f", so from {FEWEST_CHOSEN / examples:g} on with {examples:,} training examples"
            yield (
                "an experiment with a noise level between 0 and 1, where there are both pristine and corrupt "
                f"examples{fewest if selection == 'exact' and dataset else ''}; {name} has {experiment.noise}"
            )
    if sample and sample.examples == 1:
        yield "none, or gradients.examples of at least 2: in a sample of 1 one group is empty"
    yield from without_snapshots(name, experiment)
    if sample and dataset:
        smallest = min(a * b for a, b in pairwise(widths(dataset, experiment)))
        if smallest < sample.weights:
            yield (
                f"an experiment whose layers each have the {sample.weights} weights that "
                f"gradients.weights samples; the smallest of {name} has {smallest}"
            )
