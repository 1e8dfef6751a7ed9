"""From the settings to the runs of the experiments, and to exactly the settings that each stage reads.

A stage gets no more of the config than its `spec`, so when a setting changes, only the stages that read it
rerun. Imports neither torch nor xarray: parsing the Snakefile imports this.
"""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

from cgpipe.figures.registry import FIGURES, entry_of
from cgpipe.names import REMEMBERING
from cgpipe.pipeline.config.datasets import Dataset, Folder, shape_of
from cgpipe.pipeline.config.experiments import Experiment, is_mixed
from cgpipe.pipeline.config.figures import Figure
from cgpipe.pipeline.config.models import Config
from cgpipe.pipeline.config.mystery import MADE, NEEDED, SHOWN
from cgpipe.pipeline.layout import OF, examples_of, part_of_path, slug

# What each stage reads, as paths in the config; `experiment` is the one that the run belongs to. The names in
# FROM_PATH come from the path of the job instead. The last parts are the fields of the stage's `Spec`.
FROM_PATH = ("dataset", "examples", "noise", "replicate", "source", "winsor")
SETTINGS = {
    "data": "dataset",  # not where the files lie: their checksums identify them
    "corrupt": "corruption.selection dataset examples noise replicate seed",
    "train": "device experiment.batch_size experiment.clip_norm experiment.examples experiment.init "
    "experiment.learning_rate experiment.marks experiment.momentum experiment.network "
    "experiment.noise_multiplier experiment.normalize experiment.schedule experiment.snapshots "
    "experiment.start experiment.steps experiment.update experiment.weight_decay kernel labels noise "
    "replicate seed winsor",
    "gradients": "device gradients.draws gradients.examples gradients.weights noise replicate seed",
    "contributions": "contributions.stiffness_examples device noise replicate seed",
    "coherence": "noise replicate",
    # How a run was trained is in the record of its snapshots.
    "bursts": "device noise replicate",
    "displacement": "device noise replicate",
    "clipping": "clipping.batches clipping.levels device noise replicate seed winsor",
    "heldout": "corruption.selection device heldout.examples noise replicate seed",
    "similarity": "device noise replicate seed similarity.examples",
    "twins": "device experiment.twin.replaced noise replicate",
    "nullworlds": "noise nullworlds.count nullworlds.level nullworlds.shown replicate seed source",
    "difficulty": "",
    "runs": "",
    "claims": "claims.roles claims.seen",  # the criteria are part of the code
    "mystery": "mystery.roles",
}


class RunPath(NamedTuple):
    """The parts of the path of one training run."""

    experiment: str
    noise: str
    winsor: str
    replicate: str


def runs(config: Config, experiment: str, *, mixed: bool = False, plain: bool = False) -> list[RunPath]:
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
    list of RunPath
        It does not depend on the order in which the settings list the levels.
    """
    levels = config.experiments[experiment]
    return [
        RunPath(experiment, slug(noise), str(c), str(replicate))
        for noise in sorted(levels.noise)
        if not mixed or is_mixed(noise, config.corruption.selection, levels.trained_on)
        for c in sorted(levels.winsor)
        if not plain or c == 0
        for replicate in sorted(levels.replicates)
    ]


def all_runs(config: Config) -> Iterator[RunPath]:
    """The runs of all experiments."""
    for experiment in sorted(config.experiments):
        yield from runs(config, experiment)


def packs(config: Config, experiment: str, wanted: Callable[[RunPath], bool]) -> list[list[RunPath]]:
    """Those runs of an experiment that are wanted, in packs that one job trains.

    Runs of a replicate come together: they share their minibatches. A run that is left over is in no pack.
    """
    size = config.experiments[experiment].runs_per_job
    left = [run for run in runs(config, experiment) if size > 1 and wanted(run)]
    left.sort(key=lambda run: int(run.replicate))
    packed = [left[first : first + size] for first in range(0, len(left), size)]
    return [pack for pack in packed if len(pack) > 1]


def figure_runs(config: Config, figure: str) -> list[RunPath]:
    """The runs that a figure plots."""
    entry, section = entry_of(figure), config.figures.wanted()[figure]
    return [
        run
        for experiment in experiments_of(section)
        for run in runs(config, experiment, mixed=entry.mixed, plain=entry.plain)
    ]


def experiments_of(figure: Figure) -> tuple[str, ...]:
    """The experiments that a figure plots."""
    return figure.experiment, *getattr(figure, "controls", ()), *getattr(figure, "others", ())


def all_figures(config: Config) -> list[str]:
    """All figures to make, those of the claims included, if somebody plays a role that they show."""
    played = config.mystery.roles() if config.mystery else {}
    of_claims = [
        name
        for name, entry in FIGURES.items()
        if not entry.of_runs and getattr(config, entry.artifact) is not None
        if name not in SHOWN or any(role in played for role in SHOWN[name])
    ]
    return [*config.figures.wanted(), *of_claims]


def claimed_runs(config: Config) -> list[RunPath]:
    """All runs of the experiments that section `claims` names."""
    experiments = config.claims.experiments().values() if config.claims else ()
    return [run for experiment in experiments for run in runs(config, experiment)]


def mystery_runs(config: Config, kind: str) -> list[RunPath]:
    """The runs of which section `mystery` needs an artifact: `history`, `heldout`, `similarity`, ..."""
    found: dict[RunPath, None] = {}
    for role, experiments in (config.mystery.roles() if config.mystery else {}).items():
        levels = {slug(noise) for noise in (NEEDED if kind == "history" else MADE[kind]).get(role, ())}
        for experiment in experiments:
            of = config.experiments[experiment]
            if kind == "displacement" and (of.momentum or of.update in REMEMBERING):
                continue  # its updates cannot be made again
            of_role = runs(config, experiment, plain=role != "winsorized")
            found |= dict.fromkeys(run for run in of_role if run.noise in levels)
    return list(found)


def environment() -> dict[str, str]:
    """Environment of the jobs.

    Jobs run `"$CGPIPE_PYTHON" -I "$CGPIPE_PACKAGE"`: the Python and the package that planned them, whatever
    stands first on the PATH of a job's shell. By SBATCH_SIGNAL Slurm signals all processes of a job some time
    before its time limit, for a training to save; an option of sbatch would take `slurm_extra` from the user.
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return {
        "PATH": path,
        "CGPIPE_PYTHON": sys.executable,
        "CGPIPE_PACKAGE": str(Path(__file__).parents[1]),
        "SBATCH_SIGNAL": os.environ.get("SBATCH_SIGNAL") or "USR1@120",  # seconds
    }


def settings(config: Config, stage: str, at: Mapping[str, str]) -> dict[str, Any]:
    """The settings that a job of a stage reads.

    Parameters
    ----------
    config : Config
        The settings of the workflow.
    stage : str
        Its name.
    at : mapping from str to str
        The parts of the job's path, such as `noise`, and for stage `nullworlds` the `source`.

    Returns
    -------
    dict from str
        The fields of the stage's `Spec`.

    Raises
    ------
    KeyError
        If the path has an experiment or a noise level that is not in the settings.
    """
    values: dict[str, Any] = {}
    for path in SETTINGS[stage].split():
        key, of_experiment = path.rpartition(".")[2], path.removeprefix("experiment.")
        if stage == "data":
            dataset = datasets(config)[at["dataset"]]
            values[key] = dataset.planned if isinstance(dataset, Folder) else dataset
        elif path in FROM_PATH:
            values[key] = _from_path(config, key, at[key])
        elif path == "labels":
            # Other labels lie elsewhere, and Snakemake makes no file for results that are there already.
            of, subset = labels_at(config, at), _experiment(config, at).subset
            values[key] = f"{of['dataset']}{of['examples']}{'' if subset == 'own' else subset}"
        elif path == "experiment.start":
            before = start_of(config, RunPath(**{part: at[part] for part in RunPath._fields}))
            values[key] = before and f"{before.experiment}/noise-{before.noise}"  # where it lies, too
        elif path == "claims.roles":
            assert config.claims is not None
            values[key] = config.claims.experiments()
        elif path == "mystery.roles":
            assert config.mystery is not None
            values[key] = config.mystery.roles()
        elif path == "experiment.network":
            values[key] = _experiment(config, at).network.described()
        elif path == "experiment.examples":
            values[key] = _experiment(config, at).trained_on
        elif of_experiment != path:
            values[key] = attrgetter(of_experiment)(_experiment(config, at))
        else:
            values[key] = attrgetter(path)(config)
    return values


def settings_before(config: Config, stage: str, at: Mapping[str, str]) -> dict[str, Any]:
    """The settings of a stage whose results a job reads, directly or through others.

    Parameters
    ----------
    config : Config
        The settings of the workflow.
    stage : str
        Its name; `start` is the training that a run begins from.
    at : mapping from str to str
        The parts of the job's path.

    Returns
    -------
    dict from str
        As of `settings`; empty where the run has no start.
    """
    if stage == "start":
        start = start_of(config, RunPath(**{part: at[part] for part in RunPath._fields}))
        return settings(config, "train", start._asdict()) if start else {}
    if stage in ("data", "corrupt") and "experiment" in at:
        at = labels_at(config, at)
    return settings(config, stage, at)


def datasets(config: Config) -> dict[str, Dataset]:
    """The datasets by their part of a path, which is empty for the one that experiments share."""
    return {_part_of(config, of): of for of in (config.dataset, *_others(config))}


def labels_at(config: Config, at: Mapping[str, str]) -> dict[str, str]:
    """The parts of the path of the labels and the dataset of a run, by those of its own path."""
    experiment = _experiment(config, at)
    dataset, choose, twin = experiment.dataset or config.dataset, experiment.choose, experiment.twin
    all_once = experiment.examples == shape_of(dataset).examples and not choose
    others_than_all = {
        "chosen": f"{choose.which}{OF}{choose.of}" if choose else None,
        "examples": None if all_once else experiment.examples,
        "replaced": twin.replaced if twin else None,
        "copies": experiment.copies if experiment.copies > 1 else None,
        "zeroed": experiment.zeroed or None,
    }
    return {
        "dataset": _part_of(config, dataset),
        "examples": part_of_path(others_than_all),
        "noise": at["noise"],
        "replicate": "0" if experiment.subset == "shared" else at["replicate"],
    }


def start_of(config: Config, run: RunPath) -> RunPath | None:
    """The run whose last weights are the first of a run, or None."""
    start = config.experiments[run.experiment].start
    if start is None:
        return None
    (noise,) = config.experiments[start].noise
    return RunPath(start, slug(noise), "0", run.replicate)


def _others(config: Config) -> list[Dataset]:
    return [of.dataset for of in config.experiments.values() if of.dataset not in (None, config.dataset)]


def _part_of(config: Config, dataset: Dataset) -> str:
    if dataset == config.dataset:
        return ""
    return f"datasets/{dataset.name if isinstance(dataset, Folder) else dataset}/"


def _from_path(config: Config, key: str, text: str) -> Any:
    if key in ("source", "dataset"):
        return text
    if key == "examples":
        return examples_of(text)
    if key != "noise":
        return int(text)
    levels = {slug(noise): noise for e in config.experiments.values() for noise in e.noise}
    if text not in levels:
        raise KeyError(f"noise-{text} is not among the noise levels: {sorted(levels)}")
    return levels[text]


def _experiment(config: Config, at: Mapping[str, str]) -> Experiment:
    if at["experiment"] not in config.experiments:
        raise KeyError(f"{at['experiment']} is not among the experiments: {sorted(config.experiments)}")
    return config.experiments[at["experiment"]]


def figure(config: Config, name: str) -> dict[str, Any]:
    """The settings that stage `figures` reads for one figure, such as `figure1` or `claims`."""
    entry = entry_of(name)
    section = config.figures.wanted().get(name)
    experiment = config.experiments[section.experiment] if section is not None else None
    shared: dict[str, Any] = {
        "classes": shape_of((experiment and experiment.dataset) or config.dataset).classes,
        "examples": config.gradients.examples,
        "reference": section and section.experiment,
    }
    if experiment is not None:
        shared["learning_rate"] = experiment.learning_rate
    options = {key: getattr(section, key) for key in entry.keys}
    options |= {key: shared[key] for key in entry.shared}
    named = list(experiments_of(section)) if section is not None and entry.others else []
    style = config.figures.style.model_dump()
    return {"figure": name, "experiments": named, "style": style, "options": options}
