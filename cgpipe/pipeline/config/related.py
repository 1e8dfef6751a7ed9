"""Experiments that name others, and what the two must have in common."""

from collections.abc import Iterator, Mapping, Set

from cgpipe.pipeline.config.datasets import shape_of
from cgpipe.pipeline.config.experiments import Experiment
from cgpipe.pipeline.config.section import Mistake

# What a twin may have of its own.
OF_TWINS = {"noise", "replicates", "runs_per_job", "twin"}

# Steps that a run logs (`cgpipe.learning.evaluation`) before 10,000, from where on it logs every 1,000.
LOGGED = [10**k * d for k in range(4) for d in range(1, 10)]


def mistakes_in_related(experiments: Mapping[str, Experiment]) -> Iterator[Mistake]:
    """Experiments that do not go with those that they name; a name of none is reported elsewhere."""
    for name, experiment in experiments.items():
        choose, twin = experiment.choose, experiment.twin
        if choose is not None and choose.of in experiments:
            for allowed in _not_to_choose_from(choose.of, experiments[choose.of], experiment):
                yield Mistake((name, "choose", "of"), choose.of, allowed)
            if experiment.examples > (most := experiments[choose.of].examples):
                allowed = f"at most {most}, those of {choose.of}"
                yield Mistake((name, "examples"), experiment.examples, allowed)
        if twin is not None and twin.of in experiments:
            for allowed in _not_of_a_twin(twin.of, experiments[twin.of], experiment):
                yield Mistake((name, "twin", "of"), twin.of, allowed)
            if twin.replaced > experiment.examples:
                allowed = f"at most {experiment.examples}, the examples of the experiment"
                yield Mistake((name, "twin", "replaced"), twin.replaced, allowed)
            # That all of the training set leave none is reported above.
            elif (0 if choose else 1) <= (left := _left(experiment, experiments)) < twin.replaced:
                allowed = f"at most {left}, the examples that the experiment does not train on"
                yield Mistake((name, "twin", "replaced"), twin.replaced, allowed)


def _left(experiment: Experiment, experiments: Mapping[str, Experiment]) -> int:
    """The most examples that a twin may draw from to replace some of its own."""
    assert experiment.dataset is not None
    choose = experiment.choose
    chosen_from = experiments.get(choose.of) if choose else None
    most = chosen_from.examples if chosen_from else shape_of(experiment.dataset).examples
    return most - experiment.examples


def unlike(name: str, experiment: Experiment, other: Experiment, own: Set[str]) -> Iterator[str]:
    """What is allowed instead of an experiment that differs from that of this name in other than `own` keys.

    Of noise levels and replicates it may have fewer.
    """
    pairs = [
        (key, getattr(experiment, key), getattr(other, key))
        for key in Experiment.model_fields
        if key not in own
    ]
    if differ := [f"{key}: {its}" for key, ours, its in pairs if its != ours]:
        yield f"an experiment with the settings of {name}; this one has {', '.join(differ)}"
    for key in ("noise", "replicates"):
        ours, its = getattr(experiment, key), getattr(other, key)
        if not set(its) <= set(ours):
            yield f"an experiment whose {key} {name} has too, {ours}; this one has {its}"


def without_difficulty(name: str, experiment: Experiment) -> Iterator[str]:
    """What is allowed instead of an experiment whose runs cannot say which examples are easy."""
    for key, given, needed in (
        ("subset", experiment.subset, "shared"),
        ("noise", experiment.noise, [0]),
        ("winsor", experiment.winsor, [0]),
        ("copies", experiment.copies, 1),
    ):
        if given != needed:
            yield f"an experiment with {key}: {needed}; {name} has {given}"
    epoch = experiment.examples // experiment.batch_size
    if experiment.steps < 2 * epoch:
        yield f"an experiment of at least two epochs, {2 * epoch} steps; {name} has {experiment.steps}"
    elif epoch < 1_000 and not any(
        3 * epoch <= 2 * step <= 5 * epoch for step in (*LOGGED, experiment.steps)
    ):
        yield (
            f"an experiment that logs a step near two epochs, of {epoch} steps each; {name} logs "
            f"{max(step for step in LOGGED if 2 * step < 3 * epoch)} and "
            f"{min(step for step in LOGGED if 2 * step > 5 * epoch)}: give it another batch_size"
        )


def _not_to_choose_from(name: str, learned: Experiment, experiment: Experiment) -> Iterator[str]:
    """What is allowed instead of an experiment that another cannot choose its examples by."""
    if learned.choose is not None:
        yield f"another experiment, which draws from all examples; {name} chooses them, too"
        return
    yield from without_difficulty(name, learned)
    if learned.dataset != experiment.dataset:
        yield f"an experiment on {experiment.dataset}; {name} is on {learned.dataset}"


def _not_of_a_twin(name: str, original: Experiment, twin: Experiment) -> Iterator[str]:
    """What is allowed instead of an experiment that another cannot be the twin of."""
    if original.twin is not None:
        yield f"another experiment, which is no twin itself; {name} is one"
        return
    yield from unlike(name, original, twin, OF_TWINS)
    if original.dataset is not None and original.examples >= (most := shape_of(original.dataset).examples):
        yield (
            f"an experiment on a part of the training set, examples: a number below {most}; {name} trains on "
            "all, and nothing is left to replace them"
        )
