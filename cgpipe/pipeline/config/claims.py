"""The section `claims`, and which experiments can answer a claim."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import Field

from cgpipe.pipeline.config.experiments import Experiment
from cgpipe.pipeline.config.section import Mistake, Section, Slug
from cgpipe.pipeline.config.serving import (
    with_too_few_examples,
    without_plain_sgd,
    without_replay,
    without_snapshots,
    without_window,
)


class Claims(Section):
    """On which experiments the claims of the paper are tested."""

    label_noise: Slug | None = Field(
        None, description="Experiment for claims C1 to C8 and C13. Without it they are undecided"
    )
    winsorization: Slug | None = Field(
        None, description="Experiment for claims C9 to C11, C14 and C15. Without it they are undecided"
    )
    full_batch: Slug | None = Field(
        None,
        description="Experiment with `batch_size: all` for claim C12, compared with `claims.minibatch`. "
        "Without it C12 is undecided",
    )
    minibatch: Slug | None = Field(
        None,
        description="Experiment that `claims.full_batch` is compared with: the same network and training "
        "set, smaller minibatches. It may be that of another claim",
    )
    seen: list[Annotated[int, Field(ge=0)]] = Field(
        default_factory=list,
        description="Replicates of these experiments that were seen before the criteria were fixed. They are "
        "shown, and not counted in the verdicts",
    )

    def experiments(self) -> dict[str, str]:
        """The experiments that are named, by key."""
        return self.model_dump(exclude={"seen"}, exclude_none=True)


def mistakes_in_claims(claims: Claims, valid: Mapping[str, Any]) -> Iterator[Mistake]:
    """Claims on experiments that cannot answer them; `valid` has what stands above and has no errors."""
    experiments: Mapping[str, Experiment] = valid.get("experiments", {})
    named = claims.experiments()
    known = {key: experiments[name] for key, name in named.items() if name in experiments}

    def mistake(key: str, allowed: str) -> Mistake:
        return Mistake((key,), named[key], allowed)

    yield from _seen(claims, known)
    for key, experiment in known.items():
        for allowed in without_plain_sgd(named[key], experiment):
            yield mistake(key, allowed)
        if experiment.update != "winsorized_mean":
            yield mistake(key, f"one with update: winsorized_mean; {named[key]} has {experiment.update}")
    if "label_noise" in known:
        for allowed in _not_analysed(named["label_noise"], known["label_noise"], valid):
            yield mistake("label_noise", allowed)
    for key, other in (("full_batch", "minibatch"), ("minibatch", "full_batch")):
        if key in named and other not in named:
            yield mistake(key, f"only with {other}, to compare with")
    if {"full_batch", "minibatch"} <= {*known}:
        for allowed in _not_alike(known["full_batch"], named["minibatch"], known["minibatch"]):
            yield mistake("full_batch", allowed)
    if "full_batch" in known and known["full_batch"].batch_size < known["full_batch"].trained_on:
        has = f"that of {named['full_batch']} is {known['full_batch'].batch_size}"
        yield mistake("full_batch", f"an experiment with batch_size: all; {has}")


def _seen(claims: Claims, known: Mapping[str, Experiment]) -> Iterator[Mistake]:
    """Replicates that are said to be seen, and that there are none of, or that are given twice."""
    there = sorted({replicate for experiment in known.values() for replicate in experiment.replicates})
    if claims.seen and not claims.experiments():
        yield Mistake(("seen",), claims.seen, "only with an experiment, whose replicates were seen")
    for place, replicate in enumerate(claims.seen):
        if replicate in claims.seen[:place]:
            yield Mistake(("seen", place), replicate, "each once")
        elif len(known) == len(claims.experiments()) > 0 and replicate not in there:
            allowed = f"a replicate of the experiments of the claims, {', '.join(map(str, there))}"
            yield Mistake(("seen", place), replicate, allowed)


def _not_analysed(name: str, experiment: Experiment, valid: Mapping[str, Any]) -> Iterator[str]:
    """What is allowed instead of an experiment whose gradients cannot be analysed as the claims need it."""
    yield from without_snapshots(name, experiment)
    yield from without_replay(name, experiment)
    yield from without_window(name, experiment)
    for section, key in (("gradients", "examples"), ("contributions", "stiffness_examples")):
        if section in valid:
            yield from with_too_few_examples(
                name, experiment, getattr(valid[section], key), f"{section}.{key}"
            )


def _not_alike(full: Experiment, name: str, other: Experiment) -> Iterator[str]:
    """What is allowed instead of full-batch descent that is not as some SGD but for the size of the batch."""
    if (full.network, full.init) != (other.network, other.init):
        yield (
            f"an experiment with the network of {name}, {other.network}, init {other.init}; it has "
            f"{full.network}, init {full.init}"
        )
    keys = ("subset", "choose", "copies", "zeroed", "twin")
    differ = [key for key in keys if getattr(full, key) != getattr(other, key)]
    ours, its = (
        f"{of.examples} examples of {of.dataset}, normalize: {str(of.normalize).lower()}"
        + "".join(f", {key}: {getattr(of, key)}" for key in differ)
        for of in (full, other)
    )
    if ours != its:
        yield f"an experiment with the training set of {name}, {its}; it has {ours}"
    if other.batch_size >= full.batch_size >= full.trained_on:
        yield (
            f"an experiment with larger batches than {name}, batch_size: {other.batch_size}; it has "
            f"{full.batch_size}"
        )
    if not set(full.noise) <= set(other.noise) or not set(full.replicates) <= set(other.replicates):
        yield (
            f"an experiment whose noise levels and replicates {name} has too; that has replicates "
            f"{other.replicates} of {other.noise}"
        )
