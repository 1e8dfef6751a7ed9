"""The section `figures`, and which experiments a figure can show."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import Field, create_model

from cgpipe.figures.registry import OF_RUNS, Entry
from cgpipe.names import Palette, Selection
from cgpipe.pipeline.config.experiments import FEWEST_CHOSEN, Corruption, Experiment, is_all, is_mixed
from cgpipe.pipeline.config.related import unlike
from cgpipe.pipeline.config.section import Mistake, Section, Slug, Slugs
from cgpipe.pipeline.config.serving import (
    with_too_few_examples,
    with_too_few_held_out,
    without_plain_sgd,
    without_replay,
    without_snapshots,
    without_window,
)

# What a control may have of its own.
OF_CONTROLS = {"marks", "noise", "replicates", "runs_per_job", "snapshots", "update", "winsor"}


class Figure(Section):
    """One figure."""

    experiment: Slug = Field(description="Name of the experiment that the figure shows")


class Curves(Figure):
    """A figure that can be compared with that of another workflow."""

    compare_with: str | None = Field(
        None,
        min_length=1,
        description="Table of the same figure from another workflow: its `.csv`, relative to the folder of "
        "the Snakefile. It is plotted in pale colours at the levels that both have. Omit for none",
    )


class Controls(Figure):
    """A figure that shows experiments with other update rules, too."""

    controls: Slugs = Field(
        [],
        description="Experiments with other update rules, and otherwise the settings of `experiment`, at "
        "some of its noise levels and replicates",
    )


class Others(Figure):
    """A figure that shows several experiments."""

    others: Slugs = Field([], description="Further experiments, of any network and dataset")


class Style(Section):
    """The look of the figures."""

    width: float = Field(7.0, gt=0, le=100, description="Width of the figures, in inches")
    font_size: float = Field(8.0, gt=0, le=100, description="Font size, in points")
    dpi: int = Field(200, ge=10, le=2400, description="Resolution of the PNG files")
    palette: Palette = Field("colorblind", description="Seaborn palette that the colours come from")


def _section(name: str, entry: Entry) -> Any:
    """Type and default of a figure's section; a model of its own where the figure has keys of its own."""
    kinds: dict[type[Figure], bool] = {
        Controls: entry.controls,
        Others: entry.others,
        Curves: bool(entry.levels),
    }
    model: type[Figure] = next((kind for kind, fits in kinds.items() if fits), Figure)
    if entry.keys:
        fields: dict[str, Any] = {
            key: (option.kind, Field(option.default, description=option.description))
            for key, option in entry.keys.items()
        }
        title = name.title().replace("_", "")
        model = create_model(title, __base__=model, __doc__=f"{entry.title}.", **fields)
    return model | None, Field(None, description=f"{entry.description}. Omit for none")


_SECTIONS: dict[str, Any] = {name: _section(name, entry) for name, entry in OF_RUNS.items()}


class Figures(create_model("Figures", __base__=Section, **_SECTIONS)):  # type: ignore[misc]
    """Which figures to make, and of which experiments."""

    style: Style = Field(default_factory=Style, description="The look of all figures")

    def wanted(self) -> dict[str, Figure]:
        """The figures to make, by name."""
        sections = {name: getattr(self, name) for name in OF_RUNS}
        return {name: section for name, section in sections.items() if section is not None}


def mistakes_in_figures(figures: Figures, valid: Mapping[str, Any]) -> Iterator[Mistake]:
    """Figures of experiments that lack what is shown; `valid` has what stands above and has no errors."""
    experiments: Mapping[str, Experiment] = valid.get("experiments", {})
    for name, figure in figures.wanted().items():
        if figure.experiment in experiments:
            given = figure.experiment
            for allowed in _allowed(OF_RUNS[name], given, experiments[given], valid):
                yield Mistake((name, "experiment"), given, allowed)
            for key in ("others", "controls"):
                for place, other in enumerate(getattr(figure, key, ())):
                    if other == given:
                        yield Mistake((name, key, place), other, f"further experiments than {given}")
            for place, other in enumerate(getattr(figure, "others", ())):
                if other in experiments:
                    for allowed in _allowed(OF_RUNS[name], other, experiments[other], valid):
                        yield Mistake((name, "others", place), other, allowed)
            for place, control in enumerate(getattr(figure, "controls", ())):
                if control in experiments:
                    for allowed in unlike(given, experiments[given], experiments[control], OF_CONTROLS):
                        yield Mistake((name, "controls", place), control, allowed)


def _allowed(entry: Entry, name: str, experiment: Experiment, valid: Mapping[str, Any]) -> Iterator[str]:
    """What is allowed instead of an experiment that a figure cannot show."""
    if entry.plain or entry.compares:
        yield from without_plain_sgd(name, experiment)
    if entry.compares and not any(experiment.winsor):
        yield f"an experiment with winsor levels above 0; {name} has {experiment.winsor}"
    if entry.hidden and experiment.network.dense == []:
        yield f"an experiment with hidden units; {name} has none"
    dataset = valid.get("dataset")
    sample: Any = valid.get("gradients") if entry.sampled else None
    if entry.mixed:
        selection: Selection = valid.get("corruption", Corruption()).selection
        examples = experiment.trained_on
        if not any(is_mixed(noise, selection, examples) for noise in experiment.noise):
            fewest = f", so from {FEWEST_CHOSEN / examples:g} on with {examples:,} training examples"
            yield (
                "an experiment with a noise level between 0 and 1, where there are both pristine and corrupt "
                f"examples{fewest if selection == 'exact' and dataset else ''}; {name} has {experiment.noise}"
            )
    for section, key, read in (
        ("gradients", "examples", entry.sampled or "examples" in entry.shared),
        ("contributions", "stiffness_examples", entry.stiff),
        ("heldout", "examples", entry.artifact == "heldout"),
        ("similarity", "examples", entry.artifact == "similarity"),
    ):
        if read and section in valid:
            size = getattr(valid[section], key)
            yield from with_too_few_examples(name, experiment, size, f"{section}.{key}")
            if section == "heldout":
                yield from with_too_few_held_out(name, experiment, dataset, size)
    if entry.artifact == "clipping" and "clipping" in valid:
        most = max(valid["clipping"].levels)
        if not is_all(experiment.batch_size) and 2 * most >= experiment.batch_size:
            yield (
                f"an experiment with a batch_size above 2c, which is {2 * most} at the largest of "
                f"clipping.levels; {name} has {experiment.batch_size}"
            )
    if sample and sample.examples == 1:
        yield "none, or gradients.examples of at least 2: in a sample of 1 one group is empty"
    if entry.artifact == "twins" and experiment.twin is None:
        yield f"an experiment that is the twin of another, by its key twin; {name} is none"
    if entry.snapshots:
        yield from without_snapshots(name, experiment)
    if entry.replayed:
        yield from without_replay(name, experiment)
    if entry.artifact == "nullworlds_displacement":
        yield from without_window(name, experiment)
    if "learning_rate" in entry.shared and (experiment.schedule != "constant" or experiment.weight_decay):
        yield (
            "an experiment with schedule: constant and weight_decay: 0, as the fall of the loss is predicted "
            f"from the learning rate alone; {name} has {experiment.schedule} and {experiment.weight_decay:g}"
        )
