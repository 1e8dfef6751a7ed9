"""What is allowed instead of an experiment that cannot serve a figure or a claim; nothing if it can."""

from collections.abc import Iterator

from cgpipe.names import REMEMBERING
from cgpipe.pipeline.config.datasets import Dataset, shape_of
from cgpipe.pipeline.config.experiments import Experiment

FEWEST_STEPS = 2  # of a window that a displacement is measured in


def without_plain_sgd(name: str, experiment: Experiment) -> Iterator[str]:
    """What is allowed instead of an experiment that does not have winsor level 0; nothing if it has."""
    if 0 not in experiment.winsor:
        yield f"an experiment with winsor level 0, plain SGD; {name} has {experiment.winsor}"


def without_snapshots(name: str, experiment: Experiment) -> Iterator[str]:
    """What is allowed instead of an experiment that keeps no snapshots; nothing if it does."""
    if not experiment.snapshots:
        yield f"an experiment with snapshots: true; {name} has false"


def without_replay(name: str, experiment: Experiment) -> Iterator[str]:
    """What is allowed instead of one whose updates cannot be made again; nothing if they can."""
    has = f"momentum: {experiment.momentum:g}" if experiment.momentum else f"update: {experiment.update}"
    if experiment.momentum or experiment.update in REMEMBERING:
        yield (
            "an experiment whose updates can be made again from snapshots, as each is by one minibatch: "
            f"without momentum, and with another update than {' and '.join(REMEMBERING)}; {name} has {has}"
        )


def without_window(name: str, experiment: Experiment) -> Iterator[str]:
    """What is allowed instead of an experiment too short for a displacement; nothing if it is not."""
    if experiment.steps < FEWEST_STEPS:
        needed = f"an experiment of at least {FEWEST_STEPS} steps, for a displacement"
        yield f"{needed}; {name} has {experiment.steps}"


def with_too_few_examples(name: str, experiment: Experiment, sampled: int, key: str) -> Iterator[str]:
    """What is allowed instead of an experiment with fewer examples than are sampled; nothing otherwise."""
    if experiment.trained_on < sampled:
        yield (
            f"an experiment with at least the {sampled:,} training examples that {key} samples; {name} has "
            f"{experiment.trained_on:,}"
        )


def with_too_few_held_out(
    name: str, experiment: Experiment, shared: Dataset | None, sampled: int
) -> Iterator[str]:
    """What is allowed instead of an experiment whose dataset has fewer test examples than are sampled."""
    dataset = experiment.dataset or shared
    if dataset is not None and (there := shape_of(dataset).test_examples) < sampled:
        yield (
            f"an experiment whose dataset has at least the {sampled:,} test examples that heldout.examples "
            f"samples; that of {name} has {there:,}"
        )
