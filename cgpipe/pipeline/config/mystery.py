"""The section `mystery`, and which experiments can play a part in the claims of the second paper."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import Field

from cgpipe.pipeline.config.experiments import Experiment
from cgpipe.pipeline.config.related import without_difficulty
from cgpipe.pipeline.config.section import Mistake, Section, Slug, Slugs
from cgpipe.pipeline.config.serving import (
    with_too_few_examples,
    with_too_few_held_out,
    without_plain_sgd,
    without_snapshots,
    without_window,
)

# What is made of the runs of a role besides histories, and at which noise levels.
REAL, HALF, RANDOM = 0.0, 0.5, 1.0
MADE: dict[str, dict[str, tuple[float, ...]]] = {
    "heldout": {
        "networks": (REAL, HALF, RANDOM),
        "random_start": (REAL,),
        "adversarial_start": (REAL,),
        "widths": (REAL,),
    },
    "displacement": {"networks": (REAL, RANDOM)},
    "similarity": {"seeds": (REAL,), "similarity": (REAL, HALF, RANDOM)},
    "twins": {"twins": (REAL, RANDOM)},
    "difficulty": {"seeds": (REAL,)},
}
# Noise levels of which there must be histories.
NEEDED: dict[str, tuple[float, ...]] = {
    "networks": (REAL, HALF, RANDOM),
    "seeds": (REAL,),
    "easy": (REAL,),
    "hard": (REAL,),
    "unselected": (REAL,),
    "similarity": (REAL, HALF, RANDOM),
    "plain": (HALF,),
    "modified": (HALF,),
    "mean_of_three": (HALF,),
    "winsorized": (HALF,),
    "private": (HALF,),
    "twins": (REAL, RANDOM),
    "random_start": (REAL,),
    "adversarial_start": (REAL,),
    "widths": (REAL,),
}
# The roles that the figures of the claims show; one of which nobody plays any would be empty.
SHOWN: dict[str, tuple[str, ...]] = {
    "easy_and_hard": ("seeds", "easy", "hard", "unselected"),
    "beginnings": ("random_start", "adversarial_start", "widths"),
}
MARKED = ("networks", "seeds", "similarity")


class Mystery(Section):
    """On which experiments the claims of "On the Generalization Mystery" are tested."""

    networks: Slugs = Field(
        [],
        description="Experiments for claims G1 to G3 and G7: networks at noise 0, 0.5 and 1, with `marks`. "
        "Without experiments for it, a claim is undecided",
    )
    seeds: Slug | None = Field(
        None,
        description="Experiment for claims G4 and G6, and for which examples are easy: noise 0, `subset: "
        "shared`, `marks`. Two replicates make one value of G4, so ten are needed for a verdict",
    )
    easy: Slug | None = Field(
        None, description="Experiment for claim G5 that trains on the easy examples of `mystery.seeds`"
    )
    hard: Slug | None = Field(
        None, description="Experiment for claim G5 that trains on the hard examples of `mystery.seeds`"
    )
    unselected: Slug | None = Field(
        None,
        description="Experiment shown with claim G5 that trains on as many examples of either kind",
    )
    similarity: Slug | None = Field(
        None,
        description="Experiment for claim G13: noise 0, 0.5 and 1, `marks`. It may be that of another claim",
    )
    plain: Slug | None = Field(
        None, description="Experiment for claims G8 and G12: plain SGD at noise 0.5, to compare with"
    )
    modified: Slugs = Field([], description="Experiments for claim G8, with `update: m3` and `update: rm3`")
    mean_of_three: Slug | None = Field(
        None, description="Experiment for claim G8 with `update: ra3`, the control"
    )
    winsorized: Slug | None = Field(
        None, description="Experiment for claims G8 and G12 with levels of winsorization above 0"
    )
    private: Slugs = Field([], description="Experiments for claim G12, with `update: dp_sgd`")
    twins: Slugs = Field([], description="Experiments for claim G9, each with `twin`, at noise 0 and 1")
    random_start: Slug | None = Field(
        None, description="Experiment for claim G10 that begins with random weights, at noise 0"
    )
    adversarial_start: Slug | None = Field(
        None, description="Experiment for claim G10 that begins with adversarial weights, by `start`"
    )
    widths: Slugs = Field(
        [], description="Experiments for claim G11, from the narrowest network to the widest"
    )

    def roles(self) -> dict[str, tuple[str, ...]]:
        """The experiments that play each part, of those parts that are played."""
        given = {key: getattr(self, key) for key in NEEDED}
        return {key: tuple(of) if isinstance(of, list) else (of,) for key, of in given.items() if of}


def mistakes_in_mystery(mystery: Mystery, valid: Mapping[str, Any]) -> Iterator[Mistake]:
    """Parts of experiments that cannot play them; `valid` has what stands above and has no errors."""
    experiments: Mapping[str, Experiment] = valid.get("experiments", {})
    for role, names in mystery.roles().items():
        listed = isinstance(getattr(mystery, role), list)
        for place, name in enumerate(names):
            if name in experiments:
                for allowed in _allowed(role, name, experiments[name], mystery, valid):
                    yield Mistake((role, place) if listed else (role,), name, allowed)


def _allowed(
    role: str, name: str, experiment: Experiment, mystery: Mystery, valid: Mapping[str, Any]
) -> Iterator[str]:
    """What is allowed instead of an experiment that cannot play a part; nothing if it can."""
    if missing := [level for level in NEEDED[role] if level not in experiment.noise]:
        yield f"an experiment at noise {_listed(missing)}; {name} has {experiment.noise}"
    if role != "winsorized":
        yield from without_plain_sgd(name, experiment)
    elif not any(experiment.winsor):
        yield f"an experiment with winsor levels above 0; {name} has {experiment.winsor}"
    if any(role in roles for roles in MADE.values()):
        yield from without_snapshots(name, experiment)
    for kind in ("heldout", "similarity"):
        if role in MADE[kind] and kind in valid:
            yield from with_too_few_examples(name, experiment, valid[kind].examples, f"{kind}.examples")
            if kind == "heldout":
                sampled = valid[kind].examples
                yield from with_too_few_held_out(name, experiment, valid.get("dataset"), sampled)
    if role in MADE["displacement"]:
        yield from without_window(name, experiment)
    if role in MADE["difficulty"]:
        yield from without_difficulty(name, experiment)
    if role in MARKED and not experiment.marks:
        yield f"an experiment with marks; {name} has none"
    for key, wanted in _SETTINGS.get(role, {}).items():
        if (given := getattr(experiment, key)) not in wanted:
            yield f"an experiment with {key}: {' or '.join(wanted)}; {name} has {given}"
    if role == "twins" and experiment.twin is None:
        yield f"an experiment with twin; {name} has none"
    if role == "adversarial_start" and experiment.start is None:
        yield f"an experiment with start; {name} has none"
    if role in ("easy", "hard"):
        of = experiment.choose
        if of is None or (of.which, of.of) != (role, mystery.seeds):
            wanted_choice = f"choose: {{of: {mystery.seeds or 'that of mystery.seeds'}, which: {role}}}"
            yield f"an experiment with {wanted_choice}; {name} has {of and of.model_dump()}"


_SETTINGS: dict[str, dict[str, tuple[str, ...]]] = {
    "plain": {"update": ("winsorized_mean",)},
    "modified": {"update": ("m3", "rm3")},
    "mean_of_three": {"update": ("ra3",)},
    "private": {"update": ("dp_sgd",)},
}


def _listed(levels: Iterable[float]) -> str:
    return " and ".join(f"{level:g}" for level in levels)
