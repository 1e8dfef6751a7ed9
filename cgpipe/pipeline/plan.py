"""From the settings to the cells of the experiment, and to exactly the settings that a stage reads.

A stage sees no more of the config than its `spec`, so what reruns when a setting changes is what
reads it. Each function's keys are those of the `Spec` in the stage's module; a test holds the two
together. Imports neither torch nor xarray.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from cgpipe.pipeline.config import DATASETS, FIGURES, Config, Experiment, is_mixed

# What stage `text` makes.
WRITTEN = ("README.md", "costs.csv", "software.csv")


class Cell(NamedTuple):
    """One training run, by the parts of its path."""

    experiment: str
    noise: str
    winsor: str
    replicate: str


@cache
def slug(noise: float) -> str:
    """A noise level in per cent, for a path: 0.5 is 050, 0.125 is 012.5."""
    whole, point, rest = f"{(Decimal(str(abs(noise))) * 100).normalize():f}".partition(".")
    return f"{whole:0>3}{point}{rest}"


def cells(config: Config, experiment: str, *, mixed: bool = False, plain: bool = False) -> list[Cell]:
    """The runs of an experiment, in ascending order of noise, winsorization and replicate.

    Parameters
    ----------
    config : Config
        The settings.
    experiment : str
        Its name.
    mixed : bool
        Only noise levels between 0 and 1 at which neither group of examples is known to be empty.
    plain : bool
        Only winsorization level 0, plain SGD.

    Returns
    -------
    list of Cell
        The order in which the settings list the levels does not matter.
    """
    of = config.experiments[experiment]
    selection, examples = config.corruption.selection, DATASETS[config.dataset].examples
    return [
        Cell(experiment, slug(noise), str(c), str(replicate))
        for noise in sorted(of.noise)
        if not mixed or is_mixed(noise, selection, examples)
        for c in sorted(of.winsor)
        if not plain or c == 0
        for replicate in range(of.replicates)
    ]


def all_cells(config: Config) -> Iterator[Cell]:
    """The runs of all experiments."""
    for experiment in sorted(config.experiments):
        yield from cells(config, experiment)


def figures(config: Config) -> dict[str, str]:
    """The figures to draw, each with the experiment that it draws."""
    wanted = {number: getattr(config.figures, number) for number in FIGURES}
    return {number: figure.experiment for number, figure in wanted.items() if figure is not None}


def drawn(config: Config) -> list[str]:
    """All figures to draw, that of the claims included."""
    return [*figures(config), *(["claims"] if config.claims else [])]


def environment(config: Config) -> dict[str, str]:
    """Environment of the jobs.

    Its variables are no settings of a stage, so that a folder that was moved reruns nothing. Jobs run
    `"$CGPIPE_PYTHON" -I "$CGPIPE_PACKAGE"`: the Python and the package that planned them, whatever stands
    first on the PATH of a job's shell. By SBATCH_SIGNAL Slurm signals all processes of a job some time before
    its time limit, for a training to save; an option of sbatch would take `slurm_extra` from the user.
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    root = {"CGPIPE_DATA_ROOT": str(expanded(config.data_root))} if config.data_root else {}
    return {
        "PATH": path,
        "CGPIPE_PYTHON": sys.executable,
        "CGPIPE_PACKAGE": str(Path(__file__).parents[1]),
        "SBATCH_SIGNAL": os.environ.get("SBATCH_SIGNAL") or "USR1@120",  # seconds
        **root,
    }


def expanded(path: str) -> Path:
    """A path with `~` and variables such as `$HOME` replaced, from the working folder if it is relative."""
    return Path(os.path.expandvars(os.path.expanduser(path))).absolute()  # noqa: PTH111  (takes a ~ of nobody)


def data(config: Config) -> dict[str, Any]:
    """Settings of stage `data`. Where the files lie is not one: their checksums say what they are."""
    return {"dataset": config.dataset}


def corrupt(config: Config, at: Mapping[str, str]) -> dict[str, Any]:
    """Settings of stage `corrupt`; `at` gives the noise and replicate of a path."""
    return {
        "noise": _noise(config, at["noise"]),
        "replicate": int(at["replicate"]),
        "seed": config.seed,
        "selection": config.corruption.selection,
    }


def train(config: Config, at: Mapping[str, str]) -> dict[str, Any]:
    """Settings of stage `train`."""
    experiment = _experiment(config, at)
    return {
        "batch_size": experiment.batch_size,
        "device": config.device,
        "hidden": experiment.hidden,
        "init": experiment.init,
        "kernel": config.kernel,
        "learning_rate": experiment.learning_rate,
        "noise": _noise(config, at["noise"]),
        "replicate": int(at["replicate"]),
        "seed": config.seed,
        "snapshots": experiment.snapshots,
        "steps": experiment.steps,
        "update": experiment.update,
        "winsor": int(at["winsor"]),
    }


def train_together(config: Config, at: Mapping[str, str]) -> list[dict[str, Any]]:
    """Settings of stage `train` for a job that trains all levels of winsorization."""
    levels = sorted(_experiment(config, at).winsor)
    return [train(config, {**at, "winsor": str(c)}) for c in levels]


def gradients(config: Config, at: Mapping[str, str]) -> dict[str, Any]:
    """Settings of stage `gradients`."""
    return {
        "device": config.device,
        "examples": config.gradients.examples,
        "noise": _noise(config, at["noise"]),
        "replicate": int(at["replicate"]),
        "seed": config.seed,
        "weights": config.gradients.weights,
    }


def contributions(config: Config, at: Mapping[str, str]) -> dict[str, Any]:
    """Settings of stage `contributions`."""
    return {
        "device": config.device,
        "noise": _noise(config, at["noise"]),
        "replicate": int(at["replicate"]),
        "seed": config.seed,
        "stiffness_examples": config.contributions.stiffness_examples,
    }


def coherence(config: Config, at: Mapping[str, str]) -> dict[str, Any]:
    """Settings of stage `coherence`."""
    return {"noise": _noise(config, at["noise"]), "replicate": int(at["replicate"])}


def activity(config: Config, at: Mapping[str, str]) -> dict[str, Any]:
    """Settings of stage `activity`."""
    return {
        "device": config.device,
        "noise": _noise(config, at["noise"]),
        "replicate": int(at["replicate"]),
        "winsor": int(at["winsor"]),
    }


def nullworlds(config: Config, at: Mapping[str, str]) -> dict[str, Any]:
    """Settings of stage `nullworlds`; `source` is `sampled` or `exact`."""
    return {
        "drawn": config.nullworlds.drawn,
        "level": config.nullworlds.level,
        "noise": _noise(config, at["noise"]),
        "replicate": int(at["replicate"]),
        "seed": config.seed,
        "source": at["source"],
        "worlds": config.nullworlds.worlds,
    }


def runs() -> dict[str, Any]:
    """Settings of stage `runs`: none."""
    return {}


def claims() -> dict[str, Any]:
    """Settings of stage `claims`: none; its criteria are part of the code."""
    return {}


def text() -> dict[str, Any]:
    """Settings of stage `text`: none; the template is an input."""
    return {}


def publish() -> dict[str, Any]:
    """Settings of stage `publish`: none."""
    return {}


def published(config: Config) -> list[str]:
    """Paths of all that stage `publish` makes; none if the settings do not ask for it."""
    if not config.publish:
        return []
    copied = [f"{name}.{ending}" for name in drawn(config) for ending in ("csv", "png", "svg")]
    return [f"{config.publish.folder}/{name}" for name in (*WRITTEN, *copied)]


def figure(config: Config, number: str) -> dict[str, Any]:
    """Settings of stage `figures` for one figure, such as `figure1` or `claims`."""
    settings = getattr(config.figures, number, None)  # the figure of the claims has none
    of_figure = settings.model_dump(exclude={"experiment", "beside"}) if settings else {}
    if number == "figure2_exact":
        of_figure["examples"] = config.gradients.examples
    return {"figure": number, "style": config.figures.style.model_dump(), **of_figure}


def _experiment(config: Config, at: Mapping[str, str]) -> Experiment:
    if at["experiment"] not in config.experiments:
        raise KeyError(f"{at['experiment']} is not among the experiments: {sorted(config.experiments)}")
    return config.experiments[at["experiment"]]


def _noise(config: Config, wanted: str) -> float:
    levels = {slug(noise): noise for e in config.experiments.values() for noise in e.noise}
    if wanted not in levels:
        raise KeyError(f"noise-{wanted} is not among the noise levels: {sorted(levels)}")
    return levels[wanted]
