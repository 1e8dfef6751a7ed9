# Settings, paths, and what makes a job invalid: `spec`, the settings that its stage reads, and `code`,
# the fingerprint of the modules that its stage imports (cgpipe/runtime/plan.py, fingerprint.py).
import os
from pathlib import Path

from snakemake.exceptions import WorkflowError

from cgpipe.runtime import plan
from cgpipe.runtime.canonical import canonical
from cgpipe.runtime.config import ConfigError, load
from cgpipe.runtime.fingerprint import code_hash

# A config given on the command line stands for itself and is not mixed with the paper's.
if not workflow.overwrite_configfiles:

    configfile: str(Path(workflow.basedir, "config", "config.yaml"))


try:
    CONFIG = load(config)
except ConfigError as error:
    raise WorkflowError(str(error)) from None

FIGURES = plan.figures(CONFIG)
RESULTS = f"results/{CONFIG.name}"
DATASET = f"{RESULTS}/dataset.nc"
CORRUPTED = f"{RESULTS}/corrupted/noise-{{noise}}/replicate-{{replicate}}.nc"
RUN = "{experiment}/noise-{noise}/winsor-{winsor}/replicate-{replicate}"
HISTORY = f"{RESULTS}/{RUN}/history.nc"
SNAPSHOTS = f"{RESULTS}/{RUN}/snapshots.safetensors"
LOGS = f"{RESULTS}/logs"
BENCHMARKS = f"{RESULTS}/benchmarks"

# Jobs inherit it; on a cluster each job parses this again.
os.environ.update(plan.environment(CONFIG))


wildcard_constraints:
    noise=r"[0-9.]+",
    winsor=r"[0-9]+",
    replicate=r"[0-9]+",
    experiment="|".join(CONFIG.experiments),


def settings(stage, **more):
    """Of a job of this stage, as text; the order of the settings does not change it."""
    of_stage = getattr(plan, stage)
    return lambda wildcards: canonical(of_stage(CONFIG, dict(wildcards) | more))


def one_of(condition):
    """Constraint on the experiments of a rule."""
    names = [name for name, of in CONFIG.experiments.items() if condition(of)]
    return "|".join(names) or "(?!)"


def of_levels(path, experiment):
    """A path of a run, at every level of winsorization."""
    levels = sorted(CONFIG.experiments[experiment].winsor)
    return [
        path.replace("{experiment}", experiment).replace("{winsor}", str(c))
        for c in levels
    ]


def run_folders(wildcards, output):
    return [
        str(Path(path).parent) for path in output if Path(path).name == "history.nc"
    ]


def history(cell):
    return HISTORY.format(**cell._asdict())


def run_files(cell):
    """What training a cell leaves behind."""
    keeps = CONFIG.experiments[cell.experiment].snapshots
    return (
        [history(cell), SNAPSHOTS.format(**cell._asdict())]
        if keeps
        else [history(cell)]
    )


def histories(figure, *, plain):
    """Runs that a figure draws; only those of plain SGD, or all."""
    return [history(cell) for cell in plan.cells(CONFIG, FIGURES[figure], plain=plain)]


def worlds(figure):
    """Null worlds that a figure draws: plain SGD, where both groups of examples are sizeable."""
    cells = plan.cells(CONFIG, FIGURES[figure], plain=True, mixed=True)
    return [f"{RESULTS}/{RUN}/nullworlds.nc".format(**cell._asdict()) for cell in cells]


def figure_files(figure):
    return [
        f"{RESULTS}/figures/{figure}.{ending}"
        for ending in ("csv", "pdf", "svg", "png")
    ]
