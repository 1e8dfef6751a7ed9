"""The figures, an entry each: which artifacts a figure plots, and how the report and the settings name it.

A new figure is a module `cgpipe/figures/{name}.py` with functions `table` and `draw`, an entry here, a
caption `workflow/report/{name}.rst` and a test. The settings, the workflow and stage `figures` read this.
It imports only Python and `cgpipe.names`, because the Snakefile and the settings come through here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from cgpipe.names import Learned


@dataclass(frozen=True)
class Key:
    """An option of a figure that is a key of its section in the config."""

    kind: Any
    default: Any
    description: str


@dataclass(frozen=True)
class Entry:
    """A figure."""

    title: str  # in the report
    description: str  # of its section in the config
    artifact: Literal[
        "history",
        "nullworlds",
        "nullworlds_exact",
        "nullworlds_displacement",
        "coherence",
        "bursts",
        "clipping",
        "heldout",
        "similarity",
        "twins",
        "claims",
        "mystery",
    ]
    plain: bool = False  # plots runs of plain SGD alone
    mixed: bool = False  # plots only noise levels at which there are pristine and corrupt examples
    hidden: bool = False  # needs a network with hidden units
    compares: bool = False  # compares winsorized SGD with plain SGD, and needs both
    controls: bool = False  # plots experiments with other update rules too, those in its key `controls`
    others: bool = False  # plots any other experiments too, those in its key `others`
    # Columns that match another table of the figure with it; none: no comparison.
    levels: tuple[str, ...] = ()
    keys: Mapping[str, Key] = field(default_factory=dict)  # options from the figure's own section
    shared: tuple[str, ...] = ()  # options from other settings, see `cgpipe.pipeline.plan.figure`
    claims: tuple[str, ...] = ()  # of the second paper, whose verdicts stand below the figure

    @property
    def of_runs(self) -> bool:
        """Whether it plots artifacts of the runs of an experiment, and so has a section in the config."""
        return self.artifact not in ("claims", "mystery")

    @property
    def sampled(self) -> bool:
        """Whether it plots gradients of a sample of examples and weights."""
        return self.artifact == "nullworlds"

    @property
    def stiff(self) -> bool:
        """Whether it plots what is made from stage contributions, and so with stiffness."""
        return self.artifact in ("nullworlds_exact", "coherence")

    @property
    def replayed(self) -> bool:
        """Whether its artifacts need updates that are made again from snapshots."""
        return self.artifact in ("bursts", "nullworlds_exact", "nullworlds_displacement")

    @property
    def snapshots(self) -> bool:
        """Whether its artifacts are made from the parameters that a run kept."""
        return self.artifact not in ("history", "claims", "mystery")


def entry_of(name: str) -> Entry:
    """The entry of a figure.

    Raises
    ------
    ValueError
        If there is no figure of that name.
    """
    if name not in FIGURES:
        raise ValueError(f"there is no figure {name!r}; there are {', '.join(FIGURES)}")
    return FIGURES[name]


# Of plain SGD, at noise levels at which there are pristine and corrupt examples.
OF_BOTH_GROUPS: dict[str, Any] = {"plain": True, "mixed": True}

FIGURES: dict[str, Entry] = {
    "figure1": Entry(
        title="Label noise: learning curves",
        description="Learning curves and learned examples under label noise",
        artifact="history",
        plain=True,
        levels=("noise",),
        keys={
            "learned": Key(
                Learned,
                "at_step",
                "When an example counts as learned at step t in panel d. `at_step`: it is classified "
                "correctly at step t. `first`: correctly at some step up to t. `last`: correctly from some "
                "step up to t until the end of the run",
            )
        },
    ),
    "figure2": Entry(
        title="Fractions of the gradient, and null worlds: a sample",
        description="Fractions f of the gradient, in the data and in null worlds, from a sample as in the "
        "paper",
        artifact="nullworlds",
        **OF_BOTH_GROUPS,
    ),
    "figure2_exact": Entry(
        title="Fractions of the gradient, and null worlds: exact",
        description="Figure 2 from all examples and all parameters",
        artifact="nullworlds_exact",
        **OF_BOTH_GROUPS,
        shared=("examples",),
    ),
    "figure2_displacement": Entry(
        title="Shares of the way, and null worlds",
        description="Figure 2 for the displacement: the shares of the way that pristine and corrupt examples "
        "make, in the data and in null worlds",
        artifact="nullworlds_displacement",
        **OF_BOTH_GROUPS,
    ),
    "figure3": Entry(
        title="Mean cumulative contributions, and null worlds: a sample",
        description="Mean cumulative contributions i, in the data and in null worlds, from a sample as in "
        "the paper",
        artifact="nullworlds",
        **OF_BOTH_GROUPS,
    ),
    "figure3_exact": Entry(
        title="Mean cumulative contributions, and null worlds: exact",
        description="Figure 3 from all examples and all parameters",
        artifact="nullworlds_exact",
        **OF_BOTH_GROUPS,
    ),
    "figure3_displacement": Entry(
        title="Contributions of an example to the way, and null worlds",
        description="Figure 3 for the displacement: what a pristine and a corrupt example contribute to the "
        "way, in the data and in null worlds",
        artifact="nullworlds_displacement",
        **OF_BOTH_GROUPS,
    ),
    "figure4": Entry(
        title="Winsorized SGD: accuracies and overfit",
        description="Accuracies and overfit under winsorized SGD",
        artifact="history",
        levels=("noise", "winsor"),
        shared=("classes",),
    ),
    "coherence": Entry(
        title="Coherence of the gradients of all examples",
        description="m-coherence of the gradients of all examples",
        artifact="coherence",
        plain=True,
    ),
    "networks": Entry(
        title="Coherence of several networks, and of their layers",
        description="m-coherence of the gradients of all examples, of several experiments, as a whole and "
        "layer by layer",
        artifact="coherence",
        plain=True,
        others=True,
    ),
    "strata": Entry(
        title="Cosines with the gradient, and null worlds of like sizes",
        description="Cosines of the examples' gradients with the sum, and f against null worlds that permute "
        "within class and size of gradient",
        artifact="nullworlds_exact",
        **OF_BOTH_GROUPS,
    ),
    "activity": Entry(
        title="Winsorized SGD: hidden units in use",
        description="Active and dead hidden units, by level of winsorization",
        artifact="history",
        hidden=True,
    ),
    "matched": Entry(
        title="Winsorized SGD against plain SGD at the same accuracy",
        description="Winsorized SGD less plain SGD at the same accuracy, and how much later it learns and "
        "memorizes",
        artifact="history",
        compares=True,
    ),
    "controls": Entry(
        title="Controls of winsorization",
        description="Winsorized SGD and other update rules, each less plain SGD at the same accuracy, and "
        "how much later they memorize",
        artifact="history",
        mixed=True,
        compares=True,
        controls=True,
    ),
    "descent": Entry(
        title="First order against actual loss, by group",
        description="Fall of the loss that the gradient predicts and actual fall, by group of examples",
        artifact="bursts",
        plain=True,
        shared=("learning_rate",),
    ),
    "clipping": Entry(
        title="What is clipped",
        description="Whose gradients winsorizing clips, and what is left of the update",
        artifact="clipping",
        mixed=True,
    ),
    "real_and_random": Entry(
        title="Coherence with real and with random labels, on held-out examples too",
        description="Coherence of several experiments at the lowest and the highest level of label noise, at "
        "marks of the training loss and on held-out examples",
        artifact="heldout",
        plain=True,
        others=True,
        claims=("G1", "G2", "G3"),
    ),
    "stopping": Entry(
        title="Early stopping: what is learned at the best test accuracy",
        description="Test accuracy, and the pristine share of what is learned",
        artifact="history",
        **OF_BOTH_GROUPS,
        others=True,
        claims=("G7",),
    ),
    "frontier": Entry(
        title="Memorized against learned, by update rule",
        description="Corrupt examples learned against pristine ones, of several experiments",
        artifact="history",
        mixed=True,
        others=True,
        shared=("reference",),
        claims=("G8", "G12"),
    ),
    "similarity": Entry(
        title="Similarity of gradients, by class and by pixels",
        description="Cosines between the gradients of examples, ordered by class, and whether they are alike "
        "by class or by pixels",
        artifact="similarity",
        plain=True,
        claims=("G13",),
    ),
    "twins": Entry(
        title="Twin runs: distances of parameters and of predictions",
        description="How far runs of an experiment are apart from those that they are the twins of",
        artifact="twins",
        plain=True,
        claims=("G9",),
    ),
    "claims": Entry(
        title="The claims of the paper: statistics and verdicts",
        description="The claims of the paper as tests, a table and a figure",
        artifact="claims",
    ),
    "mystery": Entry(
        title="The claims of the second paper: statistics and verdicts",
        description="The claims of the second paper as tests, tables and a figure",
        artifact="mystery",
    ),
    "easy_and_hard": Entry(
        title="Easy and hard examples",
        description="What is learned early, training on easy and on hard examples, and their coherence",
        artifact="mystery",
        claims=("G4", "G5", "G6"),
    ),
    "beginnings": Entry(
        title="Initial weights and width",
        description="Test accuracy, and coherence at the start, by initial weights and by width",
        artifact="mystery",
        claims=("G10", "G11"),
    ),
}
# Those that have a section in the config.
OF_RUNS = {name: entry for name, entry in FIGURES.items() if entry.of_runs}
