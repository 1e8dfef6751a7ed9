# Settings, paths, and what makes a job invalid: `spec`, the settings that its stage reads, and `code`,
# the fingerprint of the modules that its stage imports (cgpipe/pipeline/plan.py, fingerprint.py).
import json
import os
import signal
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.io import apply_wildcards
from snakemake.logging import logger
from snakemake.settings.types import RerunTrigger

# The package beside this file is planned with, and jobs run it: whatever else is installed, whatever PYTHONPATH
# says. A workflow without one beside it uses the one that is installed.
HERE = Path(str(workflow.current_basedir)).parents[1]
if (HERE / "cgpipe").is_dir():
    sys.path.insert(0, str(HERE))

import cgpipe
from cgpipe.figures.registry import entry_of
from cgpipe.pipeline import gpus, layout, plan, unfinished
from cgpipe.pipeline.canonical import canonical
from cgpipe.pipeline.config import files as configfiles
from cgpipe.pipeline.config.load import advice, load
from cgpipe.pipeline.config.related import without_difficulty
from cgpipe.pipeline.fingerprint import code_hash
from cgpipe.pipeline.jobs import Planned, as_options, is_done
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
        # A host may make the tables that it names, and a job may run where raw data are not.
        here=HERE if workflow.is_main_process and not OF_HOST else None,
    )
except configfiles.ConfigError as error:
    raise WorkflowError(str(error)) from None
if workflow.is_main_process:
    for unlikely_meant in [*configfiles.files_dropped(sys.argv), *advice(CONFIG)]:
        logger.warning(f"config: {unlikely_meant}.")

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
DISPLACEMENT_WORLDS = f"{RESULTS}/{layout.DISPLACEMENT_WORLDS}"
COHERENCE = f"{RESULTS}/{layout.COHERENCE}"
BURSTS = f"{RESULTS}/{layout.BURSTS}"
DISPLACEMENT = f"{RESULTS}/{layout.DISPLACEMENT}"
CLIPPING = f"{RESULTS}/{layout.CLIPPING}"
DIFFICULTY = f"{RESULTS}/{layout.DIFFICULTY}"
HELDOUT = f"{RESULTS}/{layout.HELDOUT}"
SIMILARITY = f"{RESULTS}/{layout.SIMILARITY}"
TWINS = f"{RESULTS}/{layout.TWINS}"
CLAIMS = f"{RESULTS}/{layout.CLAIMS}"
MYSTERY = f"{RESULTS}/{layout.MYSTERY}"
RUNS = f"{RESULTS}/{layout.RUNS}"
# What the claims of the second paper are tested on, of runs.
OF_MYSTERY = {
    "history": HISTORY,
    "heldout": HELDOUT,
    "displacement": DISPLACEMENT,
    "similarity": SIMILARITY,
    "twins": TWINS,
}
LOGS = f"{RESULTS}/logs"
BENCHMARKS = f"{RESULTS}/benchmarks"

# What all rules run: a stage with its settings and files, isolated from PYTHONPATH and the packages of the user's
# home (-I). The variables are in plan.environment; jobs inherit them, and on a cluster each job parses this again.
COMMAND = (
    '"$CGPIPE_PYTHON" -I "$CGPIPE_PACKAGE" {params.stage} --spec {params.spec:q} --code {params.code}'
    " {params.files} > {log:q} 2>&1"
)
os.environ.update(plan.environment())

# SIGUSR1, by which Slurm asks a training to save, is for the training alone: snakemake, the shells in between and
# the other stages must outlive it.
signal.signal(signal.SIGUSR1, signal.SIG_IGN)

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


PACKED = any(of.runs_per_job > 1 for of in CONFIG.experiments.values())
OF_JOBS = {RerunTrigger.PARAMS, RerunTrigger.INPUT}


def made_before(stage, wildcards):
    """Settings, as text, and code of a stage whose results a job reads, directly or not."""
    if stage not in plan.SETTINGS and stage != "start":  # of an earlier cgpipe
        return "{}", ""
    planned = plan.settings_before(CONFIG, stage, dict(wildcards))
    return canonical(planned), code_hash("train" if stage == "start" else stage)


# Jobs on a cluster leave the question to the process that planned them.
PLANNED = Path(".snakemake", "planned")
AS_PLANNED = Planned(PLANNED, CONFIG.name, made_before) if workflow.is_main_process else None


wildcard_constraints:
    noise=r"[0-9.]+",
    winsor=r"[0-9]+",
    replicate=r"[0-9]+",
    experiment="|".join(CONFIG.experiments),
    dataset=r"(datasets/[a-z0-9_-]+/)?",
    examples=layout.EXAMPLES,


def planned(rule, pack=()):
    """Input of a rule, a file that is newer than the results of a job, or of a pack of them, if they are not as planned."""

    def newer_or_ancient(wildcards):
        # Snakemake's memory is of the job that made a file: its params and inputs are others in a pack than alone.
        if workflow.is_main_process and PACKED and OF_JOBS & set(workflow.rerun_triggers):
            raise WorkflowError(
                "runs_per_job above 1 needs `--rerun-triggers mtime`, as in profiles/default: otherwise "
                "snakemake would train runs again that are done"
            )
        path = local(str(PLANNED))
        job = getattr(rules, rule)
        if AS_PLANNED and any(
            AS_PLANNED.outdates(rule, job, at) for at in [run._asdict() for run in pack] or [wildcards]
        ):
            return path
        return ancient(path)

    return newer_or_ancient


def labels_of(wildcards):
    """Input of a rule, the labels that a run trains on."""
    made = rules.corrupt.output.corrupted
    return local(apply_wildcards(made, plan.labels_at(CONFIG, dict(wildcards))))


def dataset_of(wildcards):
    """Input of a rule, the dataset that a run trains on."""
    return local(apply_wildcards(rules.data.output.dataset, plan.labels_at(CONFIG, dict(wildcards))))


def difficulty_of(wildcards):
    """Input of a rule, which examples are easy, where these labels are of examples that are chosen by it."""
    made = layout.chosen_of(dict(wildcards)["examples"])
    return [DIFFICULTY.format(experiment=made)] if made else []


def paths_of_difficulty():
    """Which examples are easy, of each experiment that others choose theirs by."""
    named = {experiment.choose.of for experiment in CONFIG.experiments.values() if experiment.choose}
    return [DIFFICULTY.format(experiment=name) for name in sorted(named)]


def of_one_run(function):
    """Input of a rule, of an experiment whose runs have one set of labels: that of its first run."""
    return lambda wildcards: function(plan.runs(CONFIG, wildcards.experiment)[0]._asdict())


def dataset_of_pack(pack):
    """Input of a rule, the dataset that the runs of a pack train on."""
    return lambda wildcards: dataset_of(pack[0]._asdict())


def original_of(wildcards):
    """Input of a rule, the snapshots of the run that a run is the twin of."""
    at = dict(wildcards)
    of = CONFIG.experiments[at["experiment"]].twin.of
    return local(apply_wildcards(rules.train.output.snapshots, at | {"experiment": of}))


def labels_of_each(pack):
    """Input of a rule, the labels that the runs of a pack train on."""
    return lambda wildcards: [labels_of(run._asdict()) for run in pack]


def start_of(wildcards):
    """Input of a rule, the snapshots of the run from whose end a run begins, or none."""
    start = plan.start_of(CONFIG, plan.RunPath(*map(dict(wildcards).get, plan.RunPath._fields)))
    return local(apply_wildcards(rules.train.output.snapshots, start._asdict())) if start else []


def start_of_each(pack):
    """Input of a rule, the snapshots of the runs from whose ends the runs of a pack begin, or none."""
    return lambda wildcards: [start_of(run._asdict()) for run in pack if plan.start_of(CONFIG, run)]


def settings(stage, **more):
    """Of a job of this stage, as text; the order of the settings does not change it."""
    return lambda wildcards: canonical(plan.settings(CONFIG, stage, dict(wildcards) | more))


def settings_of_each(stage, pack):
    """Of a job of this stage that makes a pack of runs, as text."""
    return canonical([plan.settings(CONFIG, stage, run._asdict()) for run in pack])


def file_options(wildcards, input, output):
    """All files of a job, as options of its stage."""
    return as_options(input, output)


def data_options(wildcards, output):
    """The file that stage data writes, as an option, and where it finds images: no setting, they have checksums."""
    dataset = plan.datasets(CONFIG)[wildcards.dataset]
    places = {"downloads": str(Path(RESULTS).parent / "downloads")}
    if CONFIG.data_root:
        places["data_root"] = CONFIG.data_root
    if not isinstance(dataset, str):
        places["folder"] = str(dataset.path)
    return as_options(output, places)


def of_stage(name, *, files=file_options, **more):
    """Params of a rule: its stage, with the settings and the code that make its jobs valid, and its files."""
    return {"stage": name, "spec": settings(name, **more), "code": code_hash(name), "files": files}


def of_pack(name, pack, *, files=file_options):
    """As `of_stage`, of a rule that makes a pack of runs."""
    return {"stage": name, "spec": settings_of_each(name, pack), "code": code_hash(name), "files": files}


def packs(stages, experiment, is_needed=lambda run: True):
    """Runs of an experiment, in packs that one job takes through the last of some rules; what is done is in none.

    Decided once: jobs, which parse this again while others end, inherit it.
    """
    key = f"{stages[-1]} {experiment} {rules.data.output.dataset}"
    known = json.loads(os.environ.get("CGPIPE_PACKS", "{}"))

    def is_made(run, *stages):
        at, start = run._asdict(), plan.start_of(CONFIG, run)
        places = dict.fromkeys(("data", "corrupt"), plan.labels_at(CONFIG, at))
        done = all(is_done(getattr(rules, stage), places.get(stage, at), made_before) for stage in stages)
        return done and (start is None or is_made(start, "data", "corrupt", "train"))

    def is_to_be_made(run):
        folder = Path(getattr(rules, stages[-1]).output[0].format(**run._asdict())).parent
        # A run that has diverged is not tried together with others again.
        if any(folder.glob(f"{unfinished.CHECKPOINTS}/{unfinished.DIVERGED}")):
            return False
        return not is_made(run, *stages) or any(folder.glob(f"{unfinished.CHECKPOINTS}/{unfinished.STATE}"))

    if workflow.is_main_process:
        known[key] = plan.packs(CONFIG, experiment, lambda run: is_needed(run) and is_to_be_made(run))
        os.environ.update(CGPIPE_PACKS=json.dumps(known))
    return [[plan.RunPath(*run) for run in pack] for pack in known[key]]


def training_options(wildcards, input, output):
    """The files that a training reads, as options, and the folders of its runs."""
    histories = [Path(path) for path in output if Path(path).name == "history.nc"]
    return as_options(input, arguments=[str(path.parent) for path in histories])


def minutes(of_first_attempt):
    """Time that a job may take on a cluster: more at each attempt."""
    return lambda wildcards, attempt: of_first_attempt * attempt


def gpus_for_little(wildcards):
    """For so little work that a CPU does it: no GPU of a cluster, but one that is here is used."""
    here = GPUS_HERE and workflow.local_exec
    return 1 if here or CONFIG.device == "cuda" else 0


def experiments_where(condition):
    """Constraint on the experiments of a rule."""
    names = [name for name, experiment in CONFIG.experiments.items() if condition(experiment)]
    return "|".join(names) or "(?!)"


def paths_of(path, runs):
    """An artifact of each run."""
    return [path.format(**run._asdict()) for run in runs]


def training_files(run):
    """What training a run leaves behind."""
    keeps = CONFIG.experiments[run.experiment].snapshots
    return paths_of(HISTORY, [run]) + (paths_of(SNAPSHOTS, [run]) if keeps else [])


def claim_files(experiment, path, **which):
    """Artifacts of the runs of an experiment that the claims name, or none."""
    name = CONFIG.claims and getattr(CONFIG.claims, experiment)
    return paths_of(path, plan.runs(CONFIG, name, **which)) if name else []


def plotted_by(figure):
    """The artifacts that a figure plots: one of each run, or that of the claims."""
    entry = entry_of(figure)
    path = f"{RESULTS}/{layout.PLOTTED[entry.artifact][1]}"
    if not entry.of_runs:
        return [path]
    return paths_of(path, plan.figure_runs(CONFIG, figure))


def is_analysed(*artifacts):
    """Condition on a run: a figure or the claims are made from one of these artifacts of it."""
    wanted = {path for figure in CONFIG.figures.wanted() for path in plotted_by(figure)}
    wanted.update(claim_files("label_noise", COHERENCE, plain=True))
    wanted.update(claim_files("label_noise", BURSTS, plain=True))
    for of_mixed in (EXACT_WORLDS, DISPLACEMENT_WORLDS):
        wanted.update(claim_files("label_noise", of_mixed, plain=True, mixed=True))
    for kind, path in OF_MYSTERY.items():
        wanted.update(paths_of(path, plan.mystery_runs(CONFIG, kind)))
    return lambda run: any(path.format(**run._asdict()) in wanted for path in artifacts)


def file_of_settings(path):
    """A file that the settings name: from the folder of the Snakefile, whatever folder is worked in."""
    return local(path if Path(path).exists() else os.path.relpath(HERE / path))


def compared_with(figure):
    """The table of another workflow that a figure is compared with, or none."""
    path = getattr(getattr(CONFIG.figures, figure, None), "compare_with", None)
    return [file_of_settings(path)] if path else []


def figure_files(figure):
    return [f"{RESULTS}/figures/{figure}.{ending}" for ending in ("csv", "pdf", "svg", "png", "json")]


def rule_of(figure):
    """Name of the rule that makes a figure."""
    return figure if figure.startswith("figure") else f"figure_{figure}"


def in_report(name, category, shows=None):
    """Caption, category and labels of a figure or a table in the report; `shows` is a figure's title unless given."""
    label = name.removeprefix("figure").replace("_", " ")
    labels = {"figure": label, "shows": shows or entry_of(name).title}
    return {"caption": f"../report/{name}.rst", "category": category, "labels": labels}


def report_slow_runs():
    """At the end of a workflow: how many runs were made in a slow way."""
    for slow in slow_ways(Path(rules.runs.output.table)):
        logger.warning(slow)
