# Settings, paths, and what makes a job invalid: `spec`, the settings that its stage reads, and `code`,
# the fingerprint of the modules that its stage imports (cgpipe/runtime/plan.py, fingerprint.py).
import os
import shlex
import signal
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
WORLDS = f"{RESULTS}/{RUN}/nullworlds.nc"
EXACT_WORLDS = f"{RESULTS}/{RUN}/nullworlds_exact.nc"
COHERENCE = f"{RESULTS}/{RUN}/coherence.nc"
ACTIVITY = f"{RESULTS}/{RUN}/activity.nc"
CLAIMS = f"{RESULTS}/claims.nc"
LOGS = f"{RESULTS}/logs"
BENCHMARKS = f"{RESULTS}/benchmarks"
WRITTEN = [f"{RESULTS}/text/{name}" for name in plan.WRITTEN] if CONFIG.publish else []

# Jobs inherit it; on a cluster each job parses this again.
os.environ.update(plan.environment(CONFIG))

# On a cluster: a GPU for training and contributions, unless networks are to run on the CPU.
GPUS = 0 if CONFIG.device == "cpu" else 1
# Slurm sends it to all processes of a job some time before its time limit, for the training to save. The
# training handles it; snakemake and the shells in between must outlive it.
signal.signal(signal.SIGUSR1, signal.SIG_IGN)
AHEAD_OF_LIMIT = "--signal=USR1@120"  # seconds


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


def minutes(of_first_attempt):
    """Time that a job may take on a cluster: more at each attempt."""
    return lambda wildcards, attempt: of_first_attempt * attempt


def run_folders(wildcards, output):
    return [
        str(Path(path).parent) for path in output if Path(path).name == "history.nc"
    ]


def run_files(cell):
    """What training a run leaves behind."""
    keeps = CONFIG.experiments[cell.experiment].snapshots
    return of_runs(HISTORY, [cell]) + (of_runs(SNAPSHOTS, [cell]) if keeps else [])


def of_runs(path, cells):
    """An artifact of each run."""
    return [path.format(**cell._asdict()) for cell in cells]


def drawn_from(path, figure, **which):
    """An artifact of each run that a figure draws."""
    return of_runs(path, plan.cells(CONFIG, FIGURES[figure], **which))


def beside(figure):
    """The table of another workflow that a figure shows too, or none."""
    path = getattr(getattr(CONFIG.figures, figure, None), "beside", None)
    return [path] if path else []


def figure_files(figure):
    return [
        f"{RESULTS}/figures/{figure}.{ending}"
        for ending in ("csv", "pdf", "svg", "png")
    ]


def in_words(figure):
    return figure.removeprefix("figure").replace("_", " ")


def of_claims(experiment, path, **which):
    """Artifacts of the runs of an experiment that the claims name, or none."""
    name = CONFIG.claims and getattr(CONFIG.claims, experiment)
    return of_runs(path, plan.cells(CONFIG, name, **which)) if name else []


def as_options(wildcards, input):
    """Each file with the option of its kind."""
    return " ".join(
        f"--{kind.replace('_', '-')} {shlex.quote(str(path))}"
        for kind, paths in input.items()
        for path in ([paths] if isinstance(paths, str) else paths)
    )


def drawn_as(*endings):
    """All figures, or the numbers that they show."""
    return [
        f"{RESULTS}/figures/{figure}.{ending}"
        for figure in plan.drawn(CONFIG)
        for ending in endings
    ]
