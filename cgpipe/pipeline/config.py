"""The settings of a workflow: typed, with every mistake told at once.

The schema in `workflow/schemas/` and the table in `config/README.md` are generated from here
(`make docs`), and tests hold them together. Imports neither torch nor xarray: parsing the Snakefile
comes through here.
"""

import difflib
import json
import math
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
    create_model,
    field_validator,
)
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from cgpipe.figures.registry import OF_RUNS, Entry
from cgpipe.pipeline.configfiles import COMMAND_LINE, OF_KEY, ConfigError, ConfigFiles

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_]*$")]
Noise = Annotated[float, Field(ge=0, le=1)]


class Shape(NamedTuple):
    """Size of a dataset, known before it is there, so that settings are checked before it is used."""

    examples: int  # of the training set
    features: int
    classes: int = 10


DATASETS = {
    "digits": Shape(1_000, 64),
    "mnist": Shape(60_000, 784),
    "fashion_mnist": Shape(60_000, 784),
    "cifar10": Shape(50_000, 3_072),
}


# Examples whose labels are permuted, so that one can change: round(1.5) is 2.
FEWEST_CHOSEN = 1.5


class Mistakes:
    """Mistakes that one look at several keys finds, each with its own path below the keys looked at."""

    def __init__(self) -> None:
        self._found: list[InitErrorDetails] = []

    def add(self, path: tuple[str | int, ...], given: Any, allowed: str) -> None:
        """Note one."""
        error = PydanticCustomError("value_error", "{error}", {"error": allowed})
        self._found.append(InitErrorDetails(type=error, loc=path, input=given))

    def tell(self) -> None:
        """Raise all that were noted, if any; pydantic adds them to its own."""
        if self._found:
            raise ValidationError.from_exception_data("Config", self._found)


class Section(BaseModel):
    """Part of the settings: no key that is not known, no text where a number belongs."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Corruption(Section):
    """How labels are corrupted."""

    selection: Literal["exact", "bernoulli"] = Field(
        "exact",
        description="How examples are chosen for label noise: `exact`, round(noise x examples) of them "
        "(the paper), or `bernoulli`, each with probability noise (its released code)",
    )


def _is_all(batch_size: Any) -> bool:
    return bool(batch_size == "all")


def _number_or_all(given: Any, number: ValidatorFunctionWrapHandler) -> Any:
    if _is_all(given):
        return given
    try:
        return number(given)
    except ValidationError:
        hint = _suggestion(given.lower(), ["all"]) if isinstance(given, str) else ""
        raise ValueError(f"a whole number of at least 1, or all{hint}") from None


# `all` becomes the number of training examples as soon as the dataset is known.
BatchSize = Annotated[
    int,
    Field(ge=1),
    WrapValidator(_number_or_all),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, {"enum": ["all"]}]}),
]


class Experiment(Section):
    """One network and schedule, over levels of noise and winsorization."""

    hidden: list[Annotated[int, Field(ge=1)]] = Field(
        description="Units of each hidden layer; `[2048]` is one layer, `[]` a linear classifier"
    )
    init: Literal["xavier", "official"] = Field(
        "xavier",
        description="Initial weights: `xavier`, normal with variance 2/(fan_in+fan_out) (the paper), or "
        "`official`, with variance 4/(fan_in+fan_out) (its released code). Biases start at 0",
    )
    learning_rate: float = Field(
        0.1, gt=0, le=1.0e38, description="Step size of SGD, for the mean gradient of a minibatch"
    )
    batch_size: BatchSize = Field(
        100, description="Examples in a minibatch; `all` is full-batch gradient descent"
    )
    steps: int = Field(ge=1, description="Updates of a run")
    noise: list[Noise] = Field(
        [0.0, 0.25, 0.5, 0.75, 1.0],
        min_length=1,
        description="Levels of label noise, each the share of the training examples whose labels are "
        "permuted",
    )
    update: Literal[
        "winsorized_mean", "trimmed_mean", "median", "m3", "rm3", "ra3", "sign_of_sum", "sum_of_signs"
    ] = Field(
        "winsorized_mean",
        description="How the per-example gradients of a minibatch become one update, for each parameter: "
        "`winsorized_mean`, or `trimmed_mean`, which leaves out what the other clips; their `median`; `m3`, "
        "the median of the means of three groups of the minibatch; `rm3` and `ra3`, the median and the mean "
        "of the mean gradients of this step and the last two; the `sign_of_sum`; the `sum_of_signs`, divided "
        "by their number",
    )
    winsor: list[Annotated[int, Field(ge=0)]] = Field(
        [0],
        min_length=1,
        description="Levels c of winsorization: per-example gradients clipped (or left out, in the "
        "`trimmed_mean`) on each side of a minibatch, for each parameter. 0 is plain SGD. With batch_size "
        "100, c is the paper's percentile; 2c must stay below batch_size. Other updates have `[0]` alone",
    )
    replicates: int = Field(
        3,
        ge=1,
        description="Repetitions, each with its own corruption, initial weights and order of batches",
    )
    together: bool = Field(
        False,
        description="Whether one job trains all levels of winsorization of a noise level and replicate, one "
        "after the other. Saves the start of a process a level, where runs take seconds; in exchange a "
        "changed list of levels trains all of them again, and one that diverges fails the job",
    )
    snapshots: bool = Field(
        True,
        description="Whether runs keep their parameters at the logged steps; figures 2 and 3 and those of "
        "coherence and activity need them",
    )

    @field_validator("noise", "winsor")
    @classmethod
    def _each_once(cls, values: list[float]) -> list[float]:
        mistakes = Mistakes()
        for place, value in enumerate(values):
            if value in values[:place]:
                mistakes.add((place,), value, "each level once")
        mistakes.tell()
        return values

    @field_validator("update")
    @classmethod
    def _three_groups(cls, update: str, info: ValidationInfo) -> str:
        batch = info.data.get("batch_size", 3)
        if update == "m3" and not _is_all(batch) and batch < 3:
            raise ValueError(f"m3 only with a batch_size of at least 3, for its three groups; it is {batch}")
        return update

    @field_validator("winsor")
    @classmethod
    def _something_between(cls, values: list[int], info: ValidationInfo) -> list[int]:
        batch: float = info.data.get("batch_size", math.inf)
        if _is_all(batch):
            batch = math.inf
        update: str = info.data.get("update", "winsorized_mean")
        mistakes = Mistakes()
        if update not in ("winsorized_mean", "trimmed_mean"):
            for place, c in enumerate(values):
                if c:
                    mistakes.add((place,), c, f"0, as {update} does not clip")
        for place, c in enumerate(values):
            if 2 * c >= batch:
                allowed = f"c with 2c below batch_size, which is {batch}, so at most {(batch - 1) // 2}"
                mistakes.add((place,), c, allowed)
        mistakes.tell()
        return values


class Gradients(Section):
    """What is sampled of the per-example gradients."""

    examples: int = Field(
        400, ge=1, description="Training examples whose gradients are sampled, drawn once a run"
    )
    weights: int = Field(300, ge=1, description="Weights sampled of each layer (no biases), drawn once a run")


class Contributions(Section):
    """What is looked at beside the contributions of all examples."""

    stiffness_examples: int = Field(
        1_000,
        ge=2,
        le=10_000,
        description="Training examples over all pairs of which stiffness is taken, drawn once a run; memory "
        "grows with their square",
    )


class NullWorlds(Section):
    """How many null worlds, and how they are shown."""

    drawn: int = Field(3, ge=0, description="Null worlds drawn as rows of figures 2 and 3")
    worlds: int = Field(
        10_000,
        ge=1,
        validate_default=True,
        description="Null worlds behind the bands and the permutation p-values",
    )
    level: float = Field(0.95, gt=0, lt=1, description="Share of the null worlds inside the null band")

    @field_validator("worlds")
    @classmethod
    def _enough_to_draw(cls, worlds: int, info: ValidationInfo) -> int:
        drawn = info.data.get("drawn", 0)
        if worlds < drawn:
            raise ValueError(f"at least as many as are drawn, {drawn}")
        return worlds


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


class Style(Section):
    """How figures look."""

    width: float = Field(7.0, gt=0, le=100, description="Width of the figures, in inches")
    font_size: float = Field(8.0, gt=0, le=100, description="Font size, in points")
    dpi: int = Field(200, ge=10, le=2400, description="Resolution of the PNG files")
    palette: Literal["colorblind", "deep", "muted", "pastel", "bright", "dark"] = Field(
        "colorblind", description="Seaborn palette that colours are taken from"
    )


def _section_of_figure(name: str, entry: Entry) -> Any:
    """Type and default of a figure's section; a model of its own where the figure has keys of its own."""
    model: type[Figure] = Curves if entry.levels else Figure
    if entry.keys:
        fields: dict[str, Any] = {
            key: (of.kind, Field(of.default, description=of.description)) for key, of in entry.keys.items()
        }
        model = create_model(
            name.title().replace("_", ""), __base__=model, __doc__=f"{entry.title}.", **fields
        )
    return model | None, Field(None, description=f"{entry.description}. Omit for none")


_SECTIONS: dict[str, Any] = {name: _section_of_figure(name, entry) for name, entry in OF_RUNS.items()}


class Figures(create_model("Figures", __base__=Section, **_SECTIONS)):  # type: ignore[misc]
    """Which figures to make, and of which experiments."""

    style: Style = Field(default_factory=Style, description="How all figures look")

    def wanted(self) -> dict[str, Figure]:
        """The figures to make, by name."""
        sections = {name: getattr(self, name) for name in OF_RUNS}
        return {name: section for name, section in sections.items() if section is not None}


class Claims(Section):
    """Which experiments the claims of the paper are tested on."""

    label_noise: Slug | None = Field(
        None, description="Experiment behind claims C1 to C8; without it they are inconclusive"
    )
    winsorization: Slug | None = Field(
        None, description="Experiment behind claims C9 to C11; without it they are inconclusive"
    )
    full_batch: Slug | None = Field(
        None,
        description="Experiment with `batch_size: all` behind claim C12, compared with plain SGD of "
        "`claims.winsorization`; without it C12 is inconclusive",
    )


class Publish(Section):
    """Where figures, tables and a text about them go, to be kept under version control."""

    folder: str = Field(
        min_length=1,
        description="Folder, from that of the Snakefile: holds what is published and nothing else",
    )
    template: str = Field(
        min_length=1,
        description="Text for its README.md, Markdown in Jinja's syntax, in which every number is taken from "
        "the tables",
    )
    beside: list[Annotated[str, Field(min_length=1)]] = Field(
        default_factory=list,
        description="CSV tables that other workflows published, which the text takes numbers from too and "
        "names by these paths, from the folder of the Snakefile; they must be there",
    )


class Config(Section):
    """All settings."""

    name: Slug = Field(description="Folder of the results: `results/{name}/`")
    seed: int = Field(
        0, ge=0, description="Seed of every random stream; replicates and purposes have their own"
    )
    dataset: Literal["digits", "mnist", "fashion_mnist", "cifar10"] = Field(
        description="`digits` comes with scikit-learn; the others are torchvision's"
    )
    data_root: str | None = Field(
        None,
        description="Folder that holds the dataset in torchvision's layout. `~` and variables such as "
        "`$HOME` are replaced, and a relative path starts where `results/` lies. Unset or empty: the "
        "environment variable `CGPIPE_DATA_ROOT`, likewise; if that is unset too, the dataset is downloaded "
        "into `results/downloads`",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Where networks run; `auto` is the GPU if there is one"
    )
    kernel: Literal["auto", "required"] = Field(
        "auto",
        description="What a training does where its fused kernel cannot be compiled or loaded: `auto`, it "
        "warns and goes by torch (winsorized and trimmed mean and median by sorting, some 30 times as slow; "
        "plain SGD on a CPU at half the speed); `required`, it stops before its first step and says why. "
        "Trainings that no kernel is made for are not concerned: the other updates, and on a GPU plain SGD "
        "and c above 16",
    )
    corruption: Corruption = Field(default_factory=Corruption, description="Label noise")
    experiments: dict[Slug, Experiment] = Field(
        min_length=1, description="Training runs, by a name of your own"
    )
    gradients: Gradients = Field(default_factory=Gradients, description="The sample of per-example gradients")
    contributions: Contributions = Field(
        default_factory=Contributions, description="The contributions of all examples"
    )
    nullworlds: NullWorlds = Field(default_factory=NullWorlds, description="Permutation tests")
    figures: Figures = Field(default_factory=Figures, description="What to draw")
    claims: Claims | None = Field(
        None, description="The claims of the paper as tests, a table and a figure; omit for none"
    )
    publish: Publish | None = Field(
        None, description="Copies of figures and tables, and a text with their numbers; omit for none"
    )

    @field_validator("experiments")
    @classmethod
    def _batches_of_the_dataset(
        cls, experiments: dict[str, Experiment], info: ValidationInfo
    ) -> dict[str, Experiment]:
        mistakes = Mistakes()
        most, allowed = _training_examples(info)
        sized = {}
        for name, experiment in experiments.items():
            if _is_all(experiment.batch_size):
                sized[name] = experiment.model_copy(update={"batch_size": most})
                for place, c in enumerate(experiment.winsor):
                    if 2 * c >= most:
                        mistakes.add((name, "winsor", place), c, f"c with 2c below batch_size: {allowed}")
            else:
                sized[name] = experiment
                if experiment.batch_size > most:
                    mistakes.add((name, "batch_size"), experiment.batch_size, allowed)
        mistakes.tell()
        return sized

    @field_validator("gradients", "contributions")
    @classmethod
    def _examples_of_the_dataset(cls, section: Section, info: ValidationInfo) -> Section:
        mistakes = Mistakes()
        most, allowed = _training_examples(info)
        for key, given in section.model_dump(include={"examples", "stiffness_examples"}).items():
            if given > most:
                mistakes.add((key,), given, allowed)
        mistakes.tell()
        return section

    @field_validator("figures")
    @classmethod
    def _of_experiments_that_can_show_it(cls, figures: Figures, info: ValidationInfo) -> Figures:
        experiments: Mapping[str, Experiment] = info.data.get("experiments", {})
        dataset, gradients = info.data.get("dataset"), info.data.get("gradients")
        selection = info.data.get("corruption", Corruption()).selection
        examples, _ = _training_examples(info)
        mistakes = Mistakes()
        for name, figure in figures.wanted().items():
            if figure.experiment not in experiments:
                continue
            given, entry = figure.experiment, OF_RUNS[name]
            experiment = experiments[given]

            def wrong(allowed: str, path: tuple[str, ...] = (name, "experiment"), given: str = given) -> None:
                mistakes.add(path, given, allowed)

            if entry.plain and 0 not in experiment.winsor:
                wrong(f"an experiment with winsor level 0, plain SGD; {given} has {experiment.winsor}")
            if entry.hidden and not experiment.hidden:
                wrong(f"an experiment with hidden units; {given} has none")
            if entry.mixed and not any(is_mixed(noise, selection, examples) for noise in experiment.noise):
                wrong(
                    "an experiment with a noise level between 0 and 1, where there are both pristine and "
                    f"corrupt examples{_fewest(selection, examples)}; {given} has {experiment.noise}"
                )
            if entry.sampled and gradients and gradients.examples == 1:
                wrong("none, or gradients.examples of at least 2: in a sample of 1 one group is empty")
            if entry.snapshots and not experiment.snapshots:
                wrong(f"an experiment with snapshots: true; {given} has false")
            if dataset and gradients and entry.sampled:
                fewest = min(a * b for a, b in pairwise(widths(dataset, experiment)))
                if fewest < gradients.weights:
                    wrong(
                        f"an experiment whose layers each have the {gradients.weights} weights that "
                        f"gradients.weights samples; the smallest of {given} has {fewest}"
                    )
        mistakes.tell()
        return figures

    @field_validator("claims")
    @classmethod
    def _of_experiments_that_can_say(cls, claims: Claims | None, info: ValidationInfo) -> Claims | None:
        if claims is None:
            return None
        experiments: Mapping[str, Experiment] = info.data.get("experiments", {})
        named = {name: getattr(claims, name) for name in Claims.model_fields}
        known = {name: experiments[given] for name, given in named.items() if given in experiments}
        mistakes = Mistakes()
        for name, experiment in known.items():
            if 0 not in experiment.winsor:
                allowed = (
                    f"an experiment with winsor level 0, plain SGD; {named[name]} has {experiment.winsor}"
                )
                mistakes.add((name,), named[name], allowed)
            if experiment.update != "winsorized_mean":
                allowed = f"one with update: winsorized_mean; {named[name]} has {experiment.update}"
                mistakes.add((name,), named[name], allowed)
        if "label_noise" in known and not known["label_noise"].snapshots:
            given = named["label_noise"]
            mistakes.add(("label_noise",), given, f"an experiment with snapshots: true; {given} has false")
        if named["full_batch"] and not named["winsorization"]:
            mistakes.add(("full_batch",), named["full_batch"], "only beside winsorization, to compare with")
        if "full_batch" in known and known["full_batch"].batch_size < _training_examples(info)[0]:
            size = known["full_batch"].batch_size
            allowed = f"an experiment with batch_size: all; that of {named['full_batch']} is {size}"
            mistakes.add(("full_batch",), named["full_batch"], allowed)
        if {"full_batch", "winsorization"} <= set(known):
            one, other = known["full_batch"], known["winsorization"]
            if (one.hidden, one.init) != (other.hidden, other.init):
                allowed = (
                    f"an experiment with the network of {named['winsorization']}, hidden: {other.hidden} and "
                    f"init: {other.init}; it has {one.hidden} and {one.init}"
                )
                mistakes.add(("full_batch",), named["full_batch"], allowed)
            if other.batch_size == one.batch_size:
                allowed = "an experiment with minibatches, for full_batch to be compared with"
                mistakes.add(("winsorization",), named["winsorization"], allowed)
            lacking = sorted(set(one.noise) - set(other.noise))
            if lacking or one.replicates > other.replicates:
                allowed = (
                    f"an experiment whose noise levels and replicates {named['winsorization']} has too; that "
                    f"has {other.replicates} replicates of {other.noise}"
                )
                mistakes.add(("full_batch",), named["full_batch"], allowed)
        mistakes.tell()
        return claims


def _of_known_experiments(settings: Mapping[str, Any]) -> Mistakes:
    """Figures and claims of experiments that there are none of; told whatever is wrong with the others."""
    mistakes = Mistakes()
    experiments = settings.get("experiments")
    if not isinstance(experiments, Mapping):
        return mistakes
    known = [name for name in experiments if isinstance(name, str)]
    figures, claims = (
        of if isinstance(of, Mapping) else {} for of in (settings.get("figures"), settings.get("claims"))
    )
    named: dict[tuple[str, ...], Any] = {("claims", name): claims.get(name) for name in Claims.model_fields}
    for name in OF_RUNS:
        figure = figures.get(name)
        if isinstance(figure, Mapping):
            named["figures", name, "experiment"] = figure.get("experiment")
    for path, given in named.items():
        if isinstance(given, str) and given not in known:
            mistakes.add(path, given, f"one of {', '.join(known)}{_suggestion(given, known)}")
    return mistakes


def _training_examples(info: ValidationInfo) -> tuple[float, str]:
    """Size of the training set, and how to say that it is the most; no limit for no dataset."""
    dataset = info.data.get("dataset")
    if dataset is None:
        return math.inf, ""
    most = DATASETS[dataset].examples
    return most, f"at most {most}, the training examples of {dataset}"


def is_mixed(noise: float, selection: str, examples: float) -> bool:
    """Whether both groups, pristine and corrupt, may have an example among so many for training.

    Of an `exact` level it is known: round(noise · examples) are chosen, and one alone has no other to
    change labels with.
    """
    return 0 < noise < 1 and (selection != "exact" or noise * examples >= FEWEST_CHOSEN)


def _fewest(selection: str, examples: float) -> str:
    if selection != "exact" or not math.isfinite(examples):
        return ""
    return f", so from {FEWEST_CHOSEN / examples:g} on with {examples:,} training examples"


def advice(config: Config) -> list[str]:
    """What settings allow but hardly mean: levels of noise that have, or may well have, no corrupt example.

    Parameters
    ----------
    config : Config
        The settings.

    Returns
    -------
    list of str
        One for each such level: its path, what was given, what follows, what to do.
    """
    selection, examples = config.corruption.selection, DATASETS[config.dataset].examples
    sampled = {of.experiment for name, of in config.figures.wanted().items() if OF_RUNS[name].sampled}
    told = []
    for name, experiment in config.experiments.items():
        for place, noise in enumerate(experiment.noise):
            in_sample = noise * config.gradients.examples
            if not 0 < noise < 1:
                continue
            if not is_mixed(noise, selection, examples):
                why = (
                    f"round({noise * examples:g}) = {round(noise * examples)} of {examples:,} training "
                    "examples are chosen, and it takes 2 to permute labels, so no example is corrupt. "
                    "Figures 2 and 3 and their null worlds leave this level out; give 0, or at least "
                    f"{FEWEST_CHOSEN / examples:g}"
                )
            elif noise * examples < FEWEST_CHOSEN:
                why = (
                    f"on average {noise * examples:.2g} of {examples:,} training examples are chosen, so it "
                    "may well be that none is corrupt. Figures 2 and 3 would say so; give more"
                )
            elif name in sampled and in_sample < 1:
                why = (
                    f"on average at most {in_sample:.2g} of the {config.gradients.examples} examples of the "
                    "sample are corrupt, so it may well be that none is. Figures 2 and 3 would say so; "
                    "sample more (gradients.examples), or draw the exact figures alone"
                )
            else:
                continue
            told.append(f"experiments.{name}.noise.{place}: given {noise:g}; {why}")
    return told


def widths(dataset: str, experiment: Experiment) -> list[int]:
    """Units of the input, of each hidden layer and of the output of an experiment's network."""
    return [DATASETS[dataset].features, *experiment.hidden, DATASETS[dataset].classes]


def load(settings: Mapping[str, Any], files: ConfigFiles | None = None) -> Config:
    """Check settings as YAML gave them.

    Parameters
    ----------
    settings : mapping
        The config file, parsed.
    files : ConfigFiles, optional
        What was seen of the files, so that mistakes are told with their places.

    Returns
    -------
    Config
        With the defaults filled in.

    Raises
    ------
    ConfigError
        With every mistake: its path, what was given, what is allowed, and a suggestion for a
        misspelt key.
    """
    files = files or ConfigFiles()
    found: list[ErrorDetails] = []
    config = None
    try:
        config = Config.model_validate(dict(settings))
    except ValidationError as error:
        found += error.errors()
    try:
        _of_known_experiments(settings).tell()
    except ValidationError as error:
        found += error.errors()
    if config is None or found or files.problems:
        raise ConfigError([*_all_told(found, files)])
    return config


def _all_told(found: Sequence[ErrorDetails], files: ConfigFiles) -> Iterator[str]:
    """What only the files show, then what pydantic found; what both found is told once."""
    of_keys = {_keys(details): details for details in found}
    keys_told = set()
    for problem in files.problems:
        is_key, place = problem.keys[-1:] == (OF_KEY,), files.at(problem.keys)
        if is_key:
            keys_told.add(problem.keys)
        elif problem.keys in of_keys and place.given and place.where == problem.where:
            continue
        yield str(problem)
    for keys, details in zip(map(_keys, found), found, strict=True):
        if keys not in keys_told:
            yield _explain(details, files)


def _keys(details: ErrorDetails) -> tuple[str, ...]:
    """Where in the settings; keys that are no text alike in models and in dicts."""
    of_key = (OF_KEY,) if details["type"] == "invalid_key" else ()
    return (*map(str, details["loc"]), *of_key)


def schema() -> dict[str, Any]:
    """JSON schema of a config file, for editors and for the tests."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Config.model_json_schema(),
        "title": "cgpipe config",
    }


def leaves(model: type[Section] = Config, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every key of the schema that holds a value, as a dotted path with its pydantic field.

    A name of your own, as of an experiment, is `*` in the path.
    """
    for name, field in model.model_fields.items():
        kind = _section_of(field.annotation)
        if kind is None:
            yield f"{path}{name}", field
        else:
            inner = f"{path}{name}.*." if get_origin(field.annotation) is dict else f"{path}{name}."
            yield from leaves(kind, inner)


def reference() -> str:
    """The table of all keys for `config/README.md`, in Markdown."""
    rows = ["| key | type | default | meaning |", "|---|---|---|---|"]
    definitions = schema()
    for path, field in leaves():
        default = (
            "required"
            if field.is_required()
            else f"`{json.dumps(field.get_default(call_default_factory=True))}`"
        )
        kind = _kind(_schema_at(definitions, path))
        rows.append(f"| `{path}` | {kind} | {default} | {field.description} |")
    return "\n".join(rows) + "\n"


def _section_of(annotation: Any) -> type[Section] | None:
    """The Section inside an annotation such as `Figure | None` or `dict[str, Experiment]`."""
    if get_origin(annotation) in (Union, UnionType, dict):
        found = [_section_of(argument) for argument in get_args(annotation)]
        return next((section for section in found if section is not None), None)
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return None


def _schema_at(definitions: Mapping[str, Any], path: str) -> Mapping[str, Any]:
    at: Any = definitions
    for key in path.split("."):
        at = next(iter(at["patternProperties"].values())) if key == "*" else at["properties"][key]
        for option in [at, *at.get("anyOf", [])]:
            if "$ref" in option:
                at = definitions["$defs"][option["$ref"].rsplit("/", 1)[-1]]
    return at  # type: ignore[no-any-return]


def _kind(of: Mapping[str, Any]) -> str:
    if "anyOf" in of:
        return " or ".join(_kind(option) for option in of["anyOf"])
    if "enum" in of:
        return ", ".join(f"`{value}`" for value in of["enum"])
    if of["type"] == "array":
        return f"list of {_kind(of['items'])}"
    limits = {
        "minimum": "≥ {}",
        "exclusiveMinimum": "> {}",
        "maximum": "≤ {}",
        "exclusiveMaximum": "< {}",
    }
    bounds = " and ".join(text.format(of[key]) for key, text in limits.items() if key in of)
    return f"{of['type']} {bounds}".strip()


def _explain(details: ErrorDetails, files: ConfigFiles) -> str:
    """One mistake in one line: place, path, what was given, what is allowed, what to do."""
    location = [part for part in details["loc"] if part != OF_KEY]
    place = files.at(location)
    path = ".".join(map(str, location))
    if place.where:
        path = f"{place.where}: {path}"
    given, kind = details["input"], details["type"]
    shown = place.given or _shown(given)
    if kind == "extra_forbidden":
        known = _known_keys(details["loc"][:-1])
        key = str(location[-1])
        hint = f"{_suggestion(key, known)}{_odd_letters(key)}"
        return f"{path}: there is no such key{hint}; allowed here: {', '.join(known)}"
    if kind == "missing":
        return f"{path}: not given, and it has no default: {_description(details['loc'])}"
    if kind == "value_error":
        return f"{path}: given {shown}; allowed: {details['ctx']['error']}"
    allowed = {
        "string_pattern_mismatch": "lower-case letters, digits and _, as it becomes the name of a folder",
        "string_type": "text",
        "invalid_key": "text as a name",
        "model_type": "a section of keys and values",
        "dict_type": "a section of keys and values",
        "too_short": "at least one",
        "bool_type": "true or false",
    }.get(kind, details["msg"].removeprefix("Input should be "))
    hint = ""
    if isinstance(given, str):
        if kind == "literal_error":
            expected = [part.strip("' ") for part in allowed.replace(" or ", ",").split(",")]
            hint = _suggestion(given, expected)
        elif kind in ("float_type", "int_type"):
            hint = _number_hint(given, kind)
        if len(location) > 1 and place.where == COMMAND_LINE:
            hint = f". In a section, {COMMAND_LINE} gives text alone: write it into a file for --configfile"
    return f"{path}: given {shown}; allowed: {allowed}{hint}"


def _number_hint(given: str, kind: str) -> str:
    try:
        number = float(given)
    except ValueError:
        try:
            number = int(given, 0)  # 0o10 of YAML 1.2
        except ValueError:
            return ""
    if not math.isfinite(number):
        return ""
    if kind == "int_type":
        return f". It was read as text: write {int(number)}" if number == int(number) else ""
    mantissa, e, exponent = given.strip().lower().partition("e")
    # YAML wants both the point and the sign of the exponent.
    point = "" if "." in mantissa else ".0"
    sign = "" if exponent[:1] in ("-", "+") else "+"
    written = f"{mantissa}{point}e{sign}{exponent}" if e else repr(number)
    return f". YAML reads {given} as text: write {written}"


def _suggestion(given: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(unicodedata.normalize("NFKC", given), known, n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def _odd_letters(given: str) -> str:
    """Name letters that look like others, or like none."""
    odd = dict.fromkeys(letter for letter in given if not (letter.isascii() and letter.isprintable()))
    named = (f"U+{ord(letter):04X} {unicodedata.name(letter, 'of no name')}" for letter in odd)
    return f"; it holds {', '.join(named)}" if odd else ""


def _known_keys(location: Sequence[str | int]) -> list[str]:
    model: type[Section] = Config
    for part in location:
        field = model.model_fields.get(str(part))
        # A name of the user's own, below a dict, is no field: the model stays.
        section = _section_of(field.annotation) if field else None
        model = section or model
    return list(model.model_fields)


def _description(location: Sequence[str | int]) -> str:
    model: type[Section] = Config
    description = ""
    for part in location:
        field = model.model_fields.get(str(part))
        if field is not None:
            description = field.description or ""
            model = _section_of(field.annotation) or model
    return description


def _shown(given: Any) -> str:
    if isinstance(given, Section):
        return "this section"
    text = f"{given!r} (text{_odd_letters(given)})" if isinstance(given, str) else repr(given)
    return text if len(text) <= 80 else f"{text[:77]}..."
