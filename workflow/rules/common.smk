# Settings, paths, and what makes a job invalid: `spec`, the settings that its stage reads, and `code`,
# the fingerprint of the modules that its stage imports (cgpipe/pipeline/plan.py, fingerprint.py).
import filecmp
import json
import os
import shlex
import signal
import sys
import time
import uuid
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.io import apply_wildcards
from snakemake.logging import logger

# The package beside this file is planned with, and jobs run it: whatever else is installed, whatever PYTHONPATH
# says. A workflow without one beside it uses the one that is installed.
HERE = Path(str(workflow.current_basedir)).parents[1]
if (HERE / "cgpipe").is_dir():
    sys.path.insert(0, str(HERE))

import cgpipe
from cgpipe.pipeline import gpus, layout, plan, records
from cgpipe.pipeline.canonical import canonical
from cgpipe.pipeline.config import files as configfiles
from cgpipe.pipeline.config.load import advice, load
from cgpipe.pipeline.fingerprint import code_hash
from cgpipe.pipeline.slow import slow_ways

PACKAGE = Path(cgpipe.__file__).parent
if (HERE / "cgpipe").is_dir() and not PACKAGE.samefile(HERE / "cgpipe"):
    raise WorkflowError(
        f"this workflow is that of {HERE}, but cgpipe was imported from {PACKAGE} before: "
        "start snakemake without that folder on PYTHONPATH"
    )

# A config given on the command line stands for itself and is not mixed with the paper's. In a module, all are its
# host's (skip_configfile).
OF_HOST = workflow.modifier.skip_configfile
PAPERS = HERE / "config" / "config.yaml"
try:
    WRITTEN_SETTINGS = configfiles.read(
        workflow.configfiles if OF_HOST else workflow.overwrite_configfiles or [PAPERS],
        workflow.config_settings.config_args,
        sys.argv,
    )
except configfiles.ConfigError as error:
    raise WorkflowError(str(error)) from None

if not workflow.overwrite_configfiles:

    configfile: str(PAPERS)


try:
    CONFIG = load(
        config,
        WRITTEN_SETTINGS.of_another_workflow() if OF_HOST else WRITTEN_SETTINGS,
    )
except configfiles.ConfigError as error:
    raise WorkflowError(str(error)) from None
if workflow.is_main_process:
    for unlikely_meant in [*configfiles.files_dropped(sys.argv), *advice(CONFIG)]:
        logger.warning(f"config: {unlikely_meant}.")

FIGURES = plan.figures(CONFIG)
RESULTS = f"results/{CONFIG.name}"
RUN = layout.RUN
DATASET = f"{RESULTS}/{layout.DATASET}"
CORRUPTED = f"{RESULTS}/{layout.CORRUPTED}"
HISTORY = f"{RESULTS}/{layout.HISTORY}"
SNAPSHOTS = f"{RESULTS}/{layout.SNAPSHOTS}"
GRADIENTS = f"{RESULTS}/{layout.GRADIENTS}"
CONTRIBUTIONS = f"{RESULTS}/{layout.CONTRIBUTIONS}"
WORLDS = f"{RESULTS}/{layout.WORLDS}"
EXACT_WORLDS = f"{RESULTS}/{layout.EXACT_WORLDS}"
COHERENCE = f"{RESULTS}/{layout.COHERENCE}"
ACTIVITY = f"{RESULTS}/{layout.ACTIVITY}"
CLAIMS = f"{RESULTS}/{layout.CLAIMS}"
RUNS = f"{RESULTS}/{layout.RUNS}"
LOGS = f"{RESULTS}/logs"
BENCHMARKS = f"{RESULTS}/benchmarks"
WRITTEN = [f"{RESULTS}/text/{name}" for name in plan.WRITTEN] if CONFIG.publish else []

# Jobs inherit it; on a cluster each job parses this again. They run `"$CGPIPE_PYTHON" -I "$CGPIPE_PACKAGE"`: the Python
# and the package that planned them, with no PYTHONPATH and no packages of the user's home (-I), whatever stands first
# on the PATH of a job's shell.
os.environ.update(plan.environment(CONFIG))
os.environ.update(CGPIPE_PYTHON=sys.executable, CGPIPE_PACKAGE=str(PACKAGE))

# On a cluster: a GPU for training and contributions, unless networks are to run on the CPU.
GPUS = 0 if CONFIG.device == "cpu" else 1
# On one machine, as many jobs use a GPU at once as it has, unless --resources gpu=N says otherwise. (Such a line in
# a profile would drop the resources that the user gives, or be dropped for them.) On a cluster, where each job
# has a machine of its own as far as local resources go, the GPUs of this one limit nothing.
GPUS_HERE = gpus.visible() if GPUS and workflow.is_main_process else 0
if GPUS_HERE and "gpu" not in workflow.global_resources:
    workflow.register_resource("gpu", GPUS_HERE)

    resource_scopes:
        gpu="local",


def gpus_for_little(wildcards):
    """For so little work that a CPU does it: no GPU of a cluster, but one that is here is used."""
    here = GPUS_HERE and workflow.local_exec
    return 1 if here or CONFIG.device == "cuda" else 0


# Slurm sends it to all processes of a job some time before its time limit, for a training to save. The
# training handles it; snakemake, the shells in between and the other stages must outlive it. It is asked for by
# sbatch's own variable, so that slurm_extra is left to the user, whose --signal there wins over this one.
signal.signal(signal.SIGUSR1, signal.SIG_IGN)
os.environ.update(
    SBATCH_SIGNAL=os.environ.get("SBATCH_SIGNAL") or "USR1@120"
)  # seconds


wildcard_constraints:
    noise=r"[0-9.]+",
    winsor=r"[0-9]+",
    replicate=r"[0-9]+",
    experiment="|".join(CONFIG.experiments),


def settings(stage, **more):
    """Of a job of this stage, as text; the order of the settings does not change it."""
    return lambda wildcards: canonical(
        plan.settings(CONFIG, stage, dict(wildcards) | more)
    )


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


def run_files(run):
    """What training a run leaves behind."""
    keeps = CONFIG.experiments[run.experiment].snapshots
    return of_runs(HISTORY, [run]) + (of_runs(SNAPSHOTS, [run]) if keeps else [])


def of_runs(path, runs):
    """An artifact of each run."""
    return [path.format(**run._asdict()) for run in runs]


def drawn_from(path, figure, **which):
    """An artifact of each run that a figure draws."""
    return of_runs(path, plan.runs(CONFIG, FIGURES[figure], **which))


def given(path):
    """A file that the settings name: from the folder of the Snakefile, whatever folder is worked in."""
    return local(path if Path(path).exists() else os.path.relpath(HERE / path))


def beside(figure):
    """The table of another workflow that a figure shows too, or none."""
    path = getattr(getattr(CONFIG.figures, figure, None), "compare_with", None)
    return [given(path)] if path else []


def figure_files(figure):
    return [
        f"{RESULTS}/figures/{figure}.{ending}"
        for ending in ("csv", "pdf", "svg", "png", "json")
    ]


def rule_of(figure):
    """Name of the rule that draws a figure."""
    return figure if figure.startswith("figure") else f"figure_{figure}"


def in_words(figure):
    return figure.removeprefix("figure").replace("_", " ")


def of_claims(experiment, path, **which):
    """Artifacts of the runs of an experiment that the claims name, or none."""
    name = CONFIG.claims and getattr(CONFIG.claims, experiment)
    return of_runs(path, plan.runs(CONFIG, name, **which)) if name else []


def as_options(wildcards, input):
    """Each file with the option of its kind."""
    return " ".join(
        f"--{kind.replace('_', '-')} {shlex.quote(str(path))}"
        for kind, paths in input.items()
        if kind != "planned"
        for path in ([paths] if isinstance(paths, str) else paths)
    )


def say_what_ran(table):
    """At the end of a workflow: how many runs were made in a slow way."""
    for slow in slow_ways(Path(table)):
        logger.warning(slow)


def drawn_as(*endings):
    """All figures, or the numbers that they show."""
    return [
        f"{RESULTS}/figures/{figure}.{ending}"
        for figure in plan.all_figures(CONFIG)
        for ending in endings
    ]


# Snakemake knows how a file was made from .snakemake alone, and people delete that. So each job's files are asked
# themselves (cgpipe/pipeline/records.py). The answer reaches Snakemake as the age of a file that every job has as
# an input: newer than the results for a job whose files are not what is planned, and ancient for all others.
PLANNED = Path(".snakemake", "planned")
if workflow.is_main_process:
    PLANNED.parent.mkdir(exist_ok=True)
    # Never the same twice, as Snakemake compares files that are newer by content.
    PLANNED.write_text(uuid.uuid4().hex, encoding="ascii")


def asked(rule, stage, why=None):
    """Input of a rule: the file that says whether what lies there is what is planned."""
    why = why or why_stale

    def planned(wildcards):
        path = local(str(PLANNED))
        if not workflow.is_main_process:
            return ancient(path)
        job = getattr(rules, rule)
        outputs, inputs = (
            [
                Path(apply_wildcards(str(name), wildcards))
                for name in names
                if not callable(name)
            ]
            for names in (job.output, job.input)
        )
        try:
            reasons = why(job, stage, wildcards, outputs, inputs)
        except OSError as error:
            raise WorkflowError(
                f"results that are there could not be read ({error}): nothing was changed. Try again"
            ) from None
        if not reasons:
            return ancient(path)
        say_why(rule, reasons)
        make_newer_than(outputs)
        return path

    return planned


def why_stale(job, stage, wildcards, outputs, inputs):
    spec = job.params.spec
    spec = spec(wildcards) if callable(spec) else spec
    specs = [spec]
    if spec.startswith("["):  # of several runs, in the order of their files
        of_runs = [canonical(one) for one in json.loads(spec)]
        specs = of_runs * (len(outputs) // len(of_runs))
    return records.why_stale(
        outputs, inputs, stage=stage, specs=specs, code=code_hash(stage)
    )


def why_no_copy(job, stage, wildcards, outputs, inputs):
    copied = {path.name: path for path in inputs}
    for path in outputs:
        source = copied[path.name]
        if path.exists() and source.exists():
            if not filecmp.cmp(path, source, shallow=False):
                return {"is not as it was made": path}
    return {}


SAID = set()


def say_why(rule, reasons):
    """Say before anything is replaced what is, once for files that differ alike."""
    for reason, path in reasons.items():
        if (rule, reason) not in SAID:
            logger.warning(
                f"{path} {reason}: it is made again and replaced, and so is what else differs like this. "
                f"To keep it, stop, and give the config another name than {CONFIG.name}."
            )
            SAID.add((rule, reason))


def make_newer_than(outputs):
    """Make the file that all jobs read newer than results; file systems may count in seconds."""
    newest = max(path.stat().st_mtime for path in outputs if path.exists())
    while PLANNED.stat().st_mtime <= newest:
        if newest > time.time() + 3:
            raise WorkflowError(
                f"the time stamp of {', '.join(map(str, outputs))} lies in the future, and so snakemake would "
                "not replace it: touch it, or set the clock right"
            )
        time.sleep(0.1)
        PLANNED.write_text(uuid.uuid4().hex, encoding="ascii")
