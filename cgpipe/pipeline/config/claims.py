"""The section `claims`, and which experiments can answer a claim."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import Field

from cgpipe.pipeline.config.experiments import (
    Experiment,
    with_too_few_examples,
    without_plain_sgd,
    without_snapshots,
)
from cgpipe.pipeline.config.section import Mistake, Section, Slug


class Claims(Section):
    """On which experiments the claims of the paper are tested."""

    label_noise: Slug | None = Field(
        None, description="Experiment for claims C1 to C8. Without it they are inconclusive"
    )
    winsorization: Slug | None = Field(
        None, description="Experiment for claims C9 to C11. Without it they are inconclusive"
    )
    full_batch: Slug | None = Field(
        None,
        description="Experiment with `batch_size: all` for claim C12, compared with plain SGD in "
        "`claims.winsorization`. Without it C12 is inconclusive",
    )


def mistakes_in_claims(claims: Claims, valid: Mapping[str, Any]) -> Iterator[Mistake]:
    """Claims on experiments that cannot answer them; `valid` has what stands above and has no errors."""
    experiments: Mapping[str, Experiment] = valid.get("experiments", {})
    named: dict[str, str] = claims.model_dump(exclude_none=True)
    known = {key: experiments[name] for key, name in named.items() if name in experiments}

    def mistake(key: str, allowed: str) -> Mistake:
        return Mistake((key,), named[key], allowed)

    for key, experiment in known.items():
        for allowed in without_plain_sgd(named[key], experiment):
            yield mistake(key, allowed)
        if experiment.update != "winsorized_mean":
            yield mistake(key, f"one with update: winsorized_mean; {named[key]} has {experiment.update}")
    if "label_noise" in known:
        for allowed in without_snapshots(named["label_noise"], known["label_noise"]):
            yield mistake("label_noise", allowed)
        paired = valid["contributions"].stiffness_examples if "contributions" in valid else 0
        for allowed in with_too_few_examples(
            named["label_noise"], known["label_noise"], paired, "contributions.stiffness_examples"
        ):
            yield mistake("label_noise", allowed)
    if "full_batch" in named and "winsorization" not in named:
        yield mistake("full_batch", "only with winsorization, to compare with")
    if "full_batch" not in known:
        return
    full, name = known["full_batch"], named["full_batch"]
    if full.batch_size < full.examples:
        allowed = f"an experiment with batch_size: all; that of {name} is {full.batch_size}"
        yield mistake("full_batch", allowed)
    if "winsorization" not in known:
        return
    other, name = known["winsorization"], named["winsorization"]
    if (full.hidden, full.init) != (other.hidden, other.init):
        yield mistake(
            "full_batch",
            f"an experiment with the network of {name}, hidden: {other.hidden} and init: {other.init}; it "
            f"has {full.hidden} and {full.init}",
        )
    if full.examples != other.examples:
        yield mistake(
            "full_batch",
            f"an experiment with the training set of {name}, examples: {other.examples}; it has "
            f"{full.examples}",
        )
    if other.batch_size == full.batch_size:
        yield mistake("winsorization", "an experiment with minibatches, for full_batch to be compared with")
    if not set(full.noise) <= set(other.noise) or not set(full.replicates) <= set(other.replicates):
        yield mistake(
            "full_batch",
            f"an experiment whose noise levels and replicates {name} has too; that has replicates "
            f"{other.replicates} of {other.noise}",
        )
