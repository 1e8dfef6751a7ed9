"""The settings as pydantic models.

The schema in `workflow/schemas/` and the table in `config/README.md` are generated from here (`make docs`).
A check of several keys is a validator of the last of them: it sees those above that have no errors, so that
all errors are reported together.
"""

import math
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field, ValidationInfo, field_validator

from cgpipe.names import Device, Kernel
from cgpipe.pipeline.config.claims import Claims, mistakes_in_claims
from cgpipe.pipeline.config.datasets import Dataset, shape_of
from cgpipe.pipeline.config.experiments import (
    Corruption,
    Experiment,
    Replicates,
    beyond_minibatches,
    c_below,
    is_all,
    training_examples,
)
from cgpipe.pipeline.config.figures import Figures, mistakes_in_figures
from cgpipe.pipeline.config.mystery import Mystery, mistakes_in_mystery
from cgpipe.pipeline.config.related import mistakes_in_related
from cgpipe.pipeline.config.section import Mistake, Section, Slug, report
from cgpipe.pipeline.config.starts import mistakes_in_starts


class Gradients(Section):
    """The sample of per-example gradients."""

    examples: int = Field(
        400, ge=1, description="Training examples whose gradients are sampled, chosen once per run"
    )
    weights: int = Field(
        300, ge=1, description="Weights sampled in each layer (no biases), chosen once per run"
    )
    draws: int = Field(
        20,
        ge=1,
        description="Samples drawn for each run. Figures 2 and 3 show the first, with its null worlds, and "
        "the mean and range of all",
    )


class Contributions(Section):
    """What is computed with the contributions of all examples."""

    stiffness_examples: int = Field(
        1_000,
        ge=2,
        le=10_000,
        description="Training examples whose pairs the stiffness is computed from, chosen once per run. "
        "Memory grows with the square of their number",
    )


class Clipping(Section):
    """What winsorizing clips."""

    levels: list[Annotated[int, Field(ge=1)]] = Field(
        [1, 2, 4, 8],
        min_length=1,
        description="Levels c at which minibatches are winsorized, whatever level a run was trained with. 2c "
        "must be below the batch_size of the experiment",
    )
    batches: int = Field(
        4,
        ge=2,
        le=100,
        description="Minibatches that are sampled, once per run. Time grows with their number",
    )

    @field_validator("levels")
    @classmethod
    def _ascending(cls, levels: list[int]) -> list[int]:
        if levels != sorted(set(levels)):
            raise ValueError("levels in ascending order, each once")
        return levels


class HeldOut(Section):
    """Coherence on training examples and on examples of the test set."""

    examples: int = Field(
        2_000,
        ge=2,
        description="Examples that are sampled of either set, once per run. Only coherences of equally many "
        "can be compared",
    )


class Similarity(Section):
    """The gradients that are compared pair by pair."""

    examples: int = Field(
        300,
        ge=2,
        le=2_000,
        description="Training examples whose gradients are compared, all pairs of them; chosen once per "
        "replicate, as many of each class as of another. Files grow with the square of their number",
    )


class NullWorlds(Section):
    """How many null worlds there are, and how they are shown."""

    shown: int = Field(3, ge=0, description="Null worlds shown as rows of figures 2 and 3")
    count: int = Field(
        10_000,
        ge=1,
        validate_default=True,
        description="Null worlds from which the null bands and the permutation p-values are computed",
    )
    level: float = Field(0.95, gt=0, lt=1, description="Share of the null worlds inside the null band")

    @field_validator("count")
    @classmethod
    def _enough_to_show(cls, count: int, info: ValidationInfo) -> int:
        shown = info.data.get("shown", 0)
        if count < shown:
            raise ValueError(f"at least as many as are shown, {shown}")
        return count


class Config(Section):
    """All settings."""

    name: Slug = Field(description="Name of the folder of results, `results/{name}/`")
    seed: int = Field(
        0, ge=0, description="Seed of all random streams. Each replicate and each purpose has its own stream"
    )
    dataset: Dataset = Field(
        description="Dataset to train on. `digits` comes with scikit-learn, the others with torchvision. A "
        "section is your own images: `{folder: PATH, size: 32}`"
    )
    data_root: str | None = Field(
        None,
        description="Folder that holds the dataset in torchvision's layout. `~` and variables such as "
        "`$HOME` are expanded, and a relative path starts at the folder that holds `results/`. If unset or "
        "empty, the environment variable `CGPIPE_DATA_ROOT` is used in the same way. If that is unset too, "
        "the dataset is downloaded into `results/downloads`",
    )
    device: Device = Field("auto", description="Where networks run. `auto` is the GPU if there is one")
    kernel: Kernel = Field(
        "auto",
        description="What a training does if its fused kernel cannot be compiled or loaded. `auto`: it warns "
        "and uses torch instead. Means that clip, and the median, then take many times as long "
        "(docs/performance.md), and plain SGD on a CPU is slower, too. `required`: it stops before its first "
        "step and reports the reason. Trainings without a kernel are not affected: the other updates, and on "
        "a GPU plain SGD and c above 16",
    )
    corruption: Corruption = Field(default_factory=Corruption, description="Label noise")
    replicates: Replicates = Field(
        3,
        validate_default=True,
        description="Repetitions of the experiments: how many (3 are replicates 0, 1 and 2), or a list of "
        "them, such as `[3, 4]`. Each has its own label noise, initial weights and order of minibatches",
    )
    experiments: dict[Slug, Experiment] = Field(
        min_length=1, description="The training runs. Each experiment has a name of your choice"
    )
    gradients: Gradients = Field(default_factory=Gradients, description="The sample of per-example gradients")
    contributions: Contributions = Field(
        default_factory=Contributions, description="The contributions of all examples"
    )
    clipping: Clipping = Field(default_factory=Clipping, description="What winsorizing clips of minibatches")
    heldout: HeldOut = Field(
        default_factory=HeldOut, description="Coherence on training and on held-out examples"
    )
    similarity: Similarity = Field(
        default_factory=Similarity, description="The gradients that are compared pair by pair"
    )
    nullworlds: NullWorlds = Field(default_factory=NullWorlds, description="The permutation tests")
    figures: Figures = Field(default_factory=Figures, description="The figures to make")
    claims: Claims | None = Field(
        None, description="Tests of the paper's claims, with a table and a figure. Omit for none"
    )

    mystery: Mystery | None = Field(
        None,
        description="Tests of the claims of Chatterjee and Zielinski (2022), with tables and figures. Omit "
        "for none",
    )

    @field_validator("experiments")
    @classmethod
    def _complete(cls, experiments: dict[str, Experiment], info: ValidationInfo) -> dict[str, Experiment]:
        shared = info.data.get("dataset")

        def size(dataset: Dataset | None) -> float:
            return math.inf if dataset is None else shape_of(dataset).examples

        def at_most(count: float, dataset: Dataset | None) -> str:
            return f"at most {count}, the training examples of {dataset}"

        def mistakes() -> Iterator[Mistake]:
            for name, experiment in experiments.items():
                dataset = experiment.dataset or shared
                most, copies = size(dataset), experiment.copies
                if dataset is not None:
                    network = experiment.network
                    for fitting in network.misfits(shape_of(dataset)):
                        yield Mistake((name, "network", network.kind), network.arguments, fitting)
                if not is_all(experiment.examples) and experiment.examples > most:
                    allowed = f"{at_most(most, dataset)}, or all"
                    yield Mistake((name, "examples"), experiment.examples, allowed)
                    continue
                most *= copies
                allowed = at_most(most, dataset) + (f", each {copies} times" if copies > 1 else "")
                if not is_all(experiment.batch_size):
                    if experiment.batch_size > most:
                        yield Mistake((name, "batch_size"), experiment.batch_size, allowed)
                    continue
                if dataset is not None:
                    yield from of_all(name, experiment, shape_of(dataset).examples * copies)

        def of_all(name: str, experiment: Experiment, batch: int) -> Iterator[Mistake]:
            for place, c in enumerate(experiment.winsor):
                if 2 * c >= batch:
                    yield Mistake((name, "winsor", place), c, c_below(batch))
            for allowed in beyond_minibatches(experiment.update, batch):
                yield Mistake((name, "update"), experiment.update, allowed)

        report(mistakes())

        def complete(experiment: Experiment) -> Experiment:
            known: dict[str, Any] = {"dataset": experiment.dataset or shared}
            most = size(known["dataset"])
            every = {"examples": most, "batch_size": most * experiment.copies}
            known |= {key: count for key, count in every.items() if is_all(getattr(experiment, key))}
            if not experiment.replicates:
                known["replicates"] = info.data.get("replicates", [0])
            return experiment.model_copy(update=known)

        completed = {name: complete(experiment) for name, experiment in experiments.items()}
        if shared is not None:
            report(mistakes_in_related(completed))
        report(mistakes_in_starts(completed))
        return completed

    @field_validator("gradients", "contributions")
    @classmethod
    def _examples_of_the_dataset(cls, section: Section, info: ValidationInfo) -> Section:
        most = training_examples(info.data)
        report(
            Mistake((key,), given, f"at most {most}, the training examples of the largest dataset")
            for key, given in section.model_dump(include={"examples", "stiffness_examples"}).items()
            if given > most
        )
        return section

    @field_validator("figures", "claims", "mystery")
    @classmethod
    def _experiments_that_can_serve(cls, section: Section | None, info: ValidationInfo) -> Section | None:
        if isinstance(section, Figures):
            report(mistakes_in_figures(section, info.data))
        elif isinstance(section, Claims):
            report(mistakes_in_claims(section, info.data))
        elif isinstance(section, Mystery):
            report(mistakes_in_mystery(section, info.data))
        return section
