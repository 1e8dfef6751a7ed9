"""The sections `experiments` and `corruption`, and what follows from them alone."""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
    field_validator,
)

from cgpipe.names import CLIPPING, MOST_PAIRED, Init, Schedule, Selection, UpdateName
from cgpipe.pipeline.config.datasets import Dataset, shape_of
from cgpipe.pipeline.config.networks import Network
from cgpipe.pipeline.config.numerals import number_hint
from cgpipe.pipeline.config.section import Mistake, Section, Slug, each_once, report, suggestion

# An example whose label changes takes a second one to exchange labels with, and round(1.5) is 2.
FEWEST_CHOSEN = 1.5
# Settings and paths of all runs of a job stand in one argument of a shell, of at most 128 KiB.
MOST_RUNS = 250
LAST_REPLICATE = 999


class Corruption(Section):
    """Label noise."""

    selection: Selection = Field(
        "exact",
        description="How examples are selected for label noise. `exact`: round(noise x examples) of them, "
        "as in the paper. `bernoulli`: each with probability noise, independently, as in its released code",
    )


def is_all(given: Any) -> bool:
    """Whether a number of examples is `all`; it is, until the dataset is known."""
    return bool(given == "all")


def _number_or_all(given: Any, number: ValidatorFunctionWrapHandler) -> Any:
    if is_all(given):
        return given
    try:
        return number(given)
    except ValidationError:
        text = given if isinstance(given, str) else ""
        hint = suggestion(text.lower(), ["all"]) or number_hint(text, whole=True)
        raise ValueError(f"a whole number of at least 1, or all{hint}") from None


Examples = Annotated[
    int,
    Field(ge=1),
    WrapValidator(_number_or_all),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, {"enum": ["all"]}]}),
]


def _of_a_number(given: Any, listed: ValidatorFunctionWrapHandler) -> Any:
    if isinstance(given, list):
        # Those of a list in --config are text.
        replicates = listed([int(one) if isinstance(one, str) and one.isdecimal() else one for one in given])
        return each_once(replicates)
    if type(given) is int and 1 <= given <= LAST_REPLICATE + 1:
        return list(range(given))
    raise ValueError(
        f"a number from 1 to {LAST_REPLICATE + 1}, or a list of replicates from 0 on, such as [3, 4]"
    )


Replicates = Annotated[
    list[Annotated[int, Field(ge=0, le=LAST_REPLICATE)]],
    Field(min_length=1),
    WrapValidator(_of_a_number),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 1, "maximum": LAST_REPLICATE + 1},
                {
                    "type": "array",
                    "items": {"type": "integer", "minimum": 0, "maximum": LAST_REPLICATE},
                    "minItems": 1,
                },
            ]
        }
    ),
]


class Twin(Section):
    """Which experiment is trained again, on nearly the same examples."""

    of: Slug = Field(
        description="Experiment that this one is the twin of. Both have the same settings; the twin may have "
        "some of its noise levels and replicates alone"
    )
    replaced: int = Field(
        1,
        ge=1,
        description="How many of the `examples` are replaced, each by one of its class that the other "
        "experiment does not train on. Labels to train on, initial weights and minibatches stay the same",
    )


class Choose(Section):
    """Which examples an experiment trains on, by what another one learned early."""

    of: Slug = Field(
        description="Experiment whose runs say which examples are easy: those that all of them have right "
        "after two epochs. It has `subset: shared`, `noise: [0]` and `winsor: [0]`"
    )
    which: Literal["easy", "hard"] = Field(
        description="From which of its training examples the `examples` are drawn. Hard ones are not easy"
    )


class Experiment(Section):
    """One network and one schedule, at several levels of label noise and winsorization."""

    network: Network = Field(
        description="The network, by exactly one key, such as `network: {dense: [2048]}`"
    )
    init: Init = Field(
        "xavier",
        description="Distribution of the initial weights of a `dense` network: normal, with variance "
        "2/(fan_in+fan_out) for `xavier` (the paper) and 4/(fan_in+fan_out) for `official` (its released "
        "code). Biases start at 0. Not beside `start`",
    )
    learning_rate: float = Field(
        0.1, gt=0, le=1.0e38, description="Learning rate of SGD, for the mean gradient of a minibatch"
    )
    dataset: Dataset | None = Field(
        None, description="Dataset to train on, if it is another than that of `dataset` above"
    )
    schedule: Schedule = Field(
        "constant",
        description="How the learning rate falls. `cosine`: to 0 at the end of the run, along half a period. "
        "`step`: to a tenth after half of the steps, and again after three quarters",
    )
    momentum: float = Field(0.0, ge=0, lt=1, description="Momentum of SGD, for every update rule")
    weight_decay: float = Field(
        0.0, ge=0, description="Times the parameter, it is added to the direction of each update"
    )
    examples: Examples = Field(  # type: ignore[assignment]  # a number once the dataset is known
        "all",
        description="Training examples: `all` of the training set, or how many of it. These are chosen at "
        "random for each replicate, so that the sizes of the classes differ as little as possible",
    )
    subset: Literal["own", "shared"] = Field(
        "own",
        description="Whether each replicate has examples and label noise of its `own`, or all have `shared` "
        "ones, those of replicate 0. Initial weights and minibatches are always their own",
    )
    choose: Choose | None = Field(
        None,
        description="Draw the `examples`, which are a number, from the easy or the hard ones of another "
        "experiment. Omit to draw them from all",
    )
    copies: int = Field(
        1,
        ge=1,
        le=1_000,
        description="How often each example is in the training set. Label noise treats copies as different "
        "examples, and so does `batch_size`",
    )
    zeroed: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share of the pixels of each training image that are black, drawn for each copy. Test "
        "images are left as they are",
    )
    twin: Twin | None = Field(
        None, description="Train as another experiment does, with some examples replaced. Omit for none"
    )
    normalize: bool = Field(
        False,
        description="Whether the mean of each channel is subtracted from the images, and the rest divided by "
        "its standard deviation. Both are those of all images of the training set",
    )
    batch_size: Examples = Field(
        100,
        validate_default=True,
        description="Examples in a minibatch. `all` is full-batch gradient descent",
    )
    steps: int = Field(ge=1, description="Number of updates in a run")
    noise: list[Annotated[float, Field(ge=0, le=1)]] = Field(
        [0.0, 0.25, 0.5, 0.75, 1.0],
        min_length=1,
        description="Levels of label noise. A level is the share of the training examples whose labels are "
        "permuted",
    )
    update: UpdateName = Field(
        "winsorized_mean",
        description="How the per-example gradients of a minibatch become one update, for each parameter. "
        "`winsorized_mean`: their mean, with the c smallest and the c largest clipped. `trimmed_mean`: their "
        "mean without these. `median`: their median. `m3`: the median of the means of three groups of the "
        "minibatch. `rm3` and `ra3`: the median and the mean of the mean gradients of this step and the last "
        "two. `sign_of_sum`: the sign of their sum. `sum_of_signs`: the sum of their signs, divided by their "
        "number. And controls, which `winsorized_mean` is compared with at the same c. `scaled_mean`: their "
        "mean, scaled to the norm of the winsorized mean; norms are of the whole network. `random_drop`: "
        "their mean without 2c random ones. `inlier_clip`: their mean, with the 2c nearest to the median "
        "moved onto it. `norm_clip`: their mean, with each example's gradient scaled down to a common norm, "
        "such that the mean has the norm of the winsorized mean. "
        "`dp_sgd`: the sum of the gradients of examples, each scaled down to a norm of at most `clip_norm`, "
        "with noise, divided by the batch_size",
    )
    clip_norm: float | None = Field(
        None,
        gt=0,
        validate_default=True,
        description="C of `update: dp_sgd`, which needs it: largest norm of the gradient of an example, over "
        "all parameters",
    )
    noise_multiplier: float | None = Field(
        None,
        gt=0,
        validate_default=True,
        description="σ of `update: dp_sgd`, which needs it: the noise on the sum of the clipped gradients is "
        "normal, with standard deviation σ times clip_norm for each parameter. ε is reported by Opacus "
        "(`pip install 'cgpipe[privacy]'`)",
    )
    winsor: list[Annotated[int, Field(ge=0)]] = Field(
        [0],
        min_length=1,
        description="Levels c of winsorization: how many per-example gradients are clipped (`trimmed_mean`: "
        "left out) on each side of a minibatch, for each parameter; for a control, the c that it is compared "
        "with. 0 is plain SGD. With batch_size 100, c is the paper's percentile. 2c must be below "
        "batch_size. Updates without a c allow `[0]` only",
    )
    replicates: Replicates = Field(
        default_factory=list,  # until those of all experiments are known
        description="Repetitions of this experiment. Leave it out for those of `replicates` above: an empty "
        "list is refused",
    )
    runs_per_job: int = Field(
        1,
        ge=1,
        le=MOST_RUNS,
        description="How many runs one job trains. On a GPU, runs of a dense network by plain or clipped "
        "steps train in lockstep, faster than one by one: 25 or 125 suit it (docs/architecture.md says which "
        "runs do, in *Many runs in lockstep*). Others train one after the other, which saves the start of a "
        "process where runs take seconds. Results do not depend on it, and changing it reruns nothing",
    )
    snapshots: bool = Field(
        True,
        description="Whether runs save their parameters: at the logged steps, but from 10,000 on only "
        "every 10,000, and at the last. Figures 2 and 3 and the figure of coherence need them",
    )
    marks: list[Annotated[float, Field(gt=0)]] = Field(
        [],
        description="Training losses in nats, in descending order. When the mean loss of the last 20 "
        "minibatches first falls to one, the step is logged, and its parameters are saved if there are "
        "`snapshots`",
    )
    start: Slug | None = Field(
        None,
        description="Experiment from whose end the runs begin: initial weights are the last of its run of "
        "the same replicate. It has the same network and dataset, snapshots, one level of noise, and winsor "
        "[0]. Omit for weights drawn at random",
    )

    @property
    def trained_on(self) -> int:
        """Training examples of a run, copies included."""
        return self.examples * self.copies

    @field_validator("init")
    @classmethod
    def _of_dense(cls, init: str, info: ValidationInfo) -> str:
        network: Network | None = info.data.get("network")
        if init != "xavier" and network is not None and network.dense is None:
            raise ValueError(f"xavier; {network.kind} draws its own initial weights, and {init} is for dense")
        return init

    @field_validator("choose")
    @classmethod
    def _of_a_number(cls, choose: Choose | None, info: ValidationInfo) -> Choose | None:
        if choose is not None and is_all(info.data.get("examples")):
            raise ValueError(f"only with examples: a number, to be drawn from the {choose.which} ones")
        return choose

    @field_validator("batch_size")
    @classmethod
    def _of_the_subset(cls, batch: int, info: ValidationInfo) -> int:
        examples = info.data.get("examples", "all")
        if is_all(examples):
            return batch
        most = int(examples * info.data.get("copies", 1))
        if is_all(batch):
            return most
        if batch > most:
            raise ValueError(f"at most {most}, the examples of the experiment")
        return batch

    @field_validator("noise", "winsor")
    @classmethod
    def _each_once(cls, values: list[float]) -> list[float]:
        return each_once(values)

    @field_validator("update")
    @classmethod
    def _of_a_minibatch(cls, update: UpdateName, info: ValidationInfo) -> UpdateName:
        batch = info.data.get("batch_size", "all")
        for allowed in [] if is_all(batch) else beyond_minibatches(update, batch):
            raise ValueError(allowed)
        if update == "dp_sgd" and (copies := info.data.get("copies", 1)) > 1:
            raise ValueError(
                f"dp_sgd only with copies: 1, as ε would be that of a copy, not of an example; it is {copies}"
            )
        return update

    @field_validator("clip_norm", "noise_multiplier")
    @classmethod
    def _of_dp_sgd(cls, given: float | None, info: ValidationInfo) -> float | None:
        update = info.data.get("update")
        if update == "dp_sgd" and given is None:
            raise ValueError("a number above 0, as update is dp_sgd")
        if update not in (None, "dp_sgd") and given is not None:
            raise ValueError(f"nothing, as it is for update: dp_sgd; update is {update}")
        return given

    @field_validator("marks")
    @classmethod
    def _descending(cls, marks: list[float]) -> list[float]:
        if marks != sorted(set(marks), reverse=True):
            raise ValueError("losses in descending order, each once")
        return marks

    @field_validator("winsor")
    @classmethod
    def _something_left(cls, values: list[int], info: ValidationInfo) -> list[int]:
        batch = info.data.get("batch_size", math.inf)
        update = info.data.get("update", "winsorized_mean")

        def mistakes() -> Iterator[Mistake]:
            for place, c in enumerate(values):
                if c and update not in CLIPPING:
                    yield Mistake((place,), c, f"0, as {update} takes no c")
                if not is_all(batch) and 2 * c >= batch:
                    yield Mistake((place,), c, c_below(batch))

        report(mistakes())
        return values


def beyond_minibatches(update: UpdateName, batch: int) -> Iterator[str]:
    """What is allowed instead of an update rule that does not take minibatches of this size."""
    if update == "m3" and batch < 3:
        yield f"m3 only with a batch_size of at least 3, for its three groups; it is {batch}"
    if update == "norm_clip" and batch > MOST_PAIRED:
        yield f"norm_clip only with a batch_size of at most {MOST_PAIRED}; it is {batch}"


def c_below(batch: int) -> str:
    """Which levels of winsorization are allowed with minibatches of this size."""
    return f"c with 2c below batch_size, which is {batch}, so at most {(batch - 1) // 2}"


def training_examples(valid: Mapping[str, Any]) -> float:
    """Size of the largest training set in these settings; no limit while one of them has errors."""
    if not {"dataset", "experiments"} <= {*valid}:
        return math.inf
    experiments: Iterable[Experiment] = valid["experiments"].values()
    datasets = {str(of): of for of in (valid["dataset"], *(e.dataset for e in experiments)) if of is not None}
    return max(shape_of(of).examples for of in datasets.values())


def is_mixed(noise: float, selection: Selection, examples: float) -> bool:
    """Whether both groups, pristine and corrupt, can have an example in a training set of this size.

    At an `exact` level this is known: round(noise · examples) are chosen, and it takes two to exchange
    labels.
    """
    return 0 < noise < 1 and (selection != "exact" or noise * examples >= FEWEST_CHOSEN)
