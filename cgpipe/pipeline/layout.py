"""Where the artifacts lie, below `results/{name}/`."""

from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

RUN = "{experiment}/noise-{noise}/winsor-{winsor}/replicate-{replicate}"
DATASET = "{dataset}dataset.nc"
CORRUPTED = "corrupted/{dataset}{examples}noise-{noise}/replicate-{replicate}.nc"
HISTORY = f"{RUN}/history.nc"
SNAPSHOTS = f"{RUN}/snapshots.safetensors"
GRADIENTS = f"{RUN}/gradients.nc"
CONTRIBUTIONS = f"{RUN}/contributions.nc"
COHERENCE = f"{RUN}/coherence.nc"
BURSTS = f"{RUN}/bursts.nc"
DISPLACEMENT = f"{RUN}/displacement.nc"
CLIPPING = f"{RUN}/clipping.nc"
HELDOUT = f"{RUN}/heldout.nc"
SIMILARITY = f"{RUN}/similarity.nc"
TWINS = f"{RUN}/twins.nc"
WORLDS = f"{RUN}/nullworlds.nc"
EXACT_WORLDS = f"{RUN}/nullworlds_exact.nc"
DISPLACEMENT_WORLDS = f"{RUN}/nullworlds_displacement.nc"
DIFFICULTY = "difficulty/{experiment}.nc"
CLAIMS = "claims.nc"
MYSTERY = "mystery.nc"
RUNS = "runs.csv"

# What figures plot, by its name in `cgpipe.figures.registry`: the stage that makes it, and where it lies.
PLOTTED = {
    "history": ("train", HISTORY),
    "nullworlds": ("nullworlds", WORLDS),
    "nullworlds_exact": ("nullworlds", EXACT_WORLDS),
    "nullworlds_displacement": ("nullworlds", DISPLACEMENT_WORLDS),
    "coherence": ("coherence", COHERENCE),
    "bursts": ("bursts", BURSTS),
    "clipping": ("clipping", CLIPPING),
    "heldout": ("heldout", HELDOUT),
    "similarity": ("similarity", SIMILARITY),
    "twins": ("twins", TWINS),
    "claims": ("claims", CLAIMS),
    "mystery": ("mystery", MYSTERY),
}

# What later stages read of a stage.
_READ = {
    "data": DATASET,
    "corrupt": CORRUPTED,
    "train": SNAPSHOTS,
    "gradients": GRADIENTS,
    "contributions": CONTRIBUTIONS,
    "bursts": BURSTS,
    "displacement": DISPLACEMENT,
}


OF = "-of-"  # between easy or hard and an experiment
# What `{examples}` in a path may consist of, in this order, and of what kind each is.
_OF_EXAMPLES = {"chosen": str, "examples": int, "replaced": int, "copies": int, "zeroed": float}
EXAMPLES = rf"(({'|'.join(_OF_EXAMPLES)})-[a-z0-9_.-]+/)*"


@cache
def slug(noise: float) -> str:
    """A noise level in per cent, for a path: 0.5 is 050, 0.125 is 012.5."""
    whole, point, rest = f"{(Decimal(str(abs(noise))) * 100).normalize():f}".partition(".")
    return f"{whole:0>3}{point}{rest}"


def part_of_path(examples: int | Mapping[str, Any] | None) -> str:
    """What `{examples}` stands for in a path of labels.

    Parameters
    ----------
    examples : int, mapping or None
        What the labels are of, as in the settings of stage corrupt: so many training examples, or what makes
        them others than all (None) once each: such as `{"examples": 500, "copies": 2}`.

    Returns
    -------
    str
        Such as `examples-500/copies-2/`; empty for all.
    """
    of = examples if isinstance(examples, Mapping) else {"examples": examples}
    return "".join(f"{key}-{of[key]}/" for key in _OF_EXAMPLES if of.get(key) is not None)


def examples_of(part: str) -> int | dict[str, Any] | None:
    """The settings that `part_of_path` gives this part of a path for."""
    pairs = (one.split("-", 1) for one in part.split("/")[:-1])
    of = {key: _OF_EXAMPLES[key](text) for key, text in pairs}
    return of.get("examples") if {*of} <= {"examples"} else of


def chosen_of(part: str) -> str | None:
    """The experiment by which the examples of this part of a path are chosen; None if they are not."""
    of = examples_of(part)
    return of["chosen"].partition(OF)[2] if isinstance(of, dict) and "chosen" in of else None


def made_from(
    artifact: Path, labels: Mapping[str, Any], start: tuple[str, float] | None = None
) -> dict[str, Path]:
    """Where that lies which an artifact of a run was made from, by stage.

    Parameters
    ----------
    artifact : Path
        A file in the folder of a run.
    labels : mapping
        Settings that stage corrupt made its labels with. Those of another replicate have this in `replicate`.
    start : tuple of str and float, optional
        The experiment from whose run it began, and the noise level of that run.

    Returns
    -------
    dict from str to Path
        They need not exist; none if the file is not in such a folder.
    """
    run = artifact.absolute().parent
    if len(run.parts) < 5:
        return {}
    replicate, winsor, noise, experiment = (folder.name for folder in (run, *list(run.parents)[:3]))
    at = {
        "dataset": labels.get("dataset", ""),
        "examples": part_of_path(labels.get("examples")),
        "experiment": experiment,
        "noise": noise.removeprefix("noise-"),
        "winsor": winsor.removeprefix("winsor-"),
        "replicate": replicate.removeprefix("replicate-"),
    }
    if run != run.parents[3] / RUN.format(**at):
        return {}
    of_labels = {**at, "replicate": labels.get("replicate", at["replicate"])}
    places = {
        stage: run.parents[3] / path.format(**(of_labels if stage == "corrupt" else at))
        for stage, path in _READ.items()
    }
    if start:
        before = {**at, "experiment": start[0], "noise": slug(start[1]), "winsor": "0"}
        places["start"] = run.parents[3] / SNAPSHOTS.format(**before)
    return places
