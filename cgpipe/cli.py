"""`cgpipe STAGE`: paths in and paths out, settings as one JSON text.

The workflow calls these commands; a person may, to run a stage by itself. Each ends with exit status
0, or with one message on the standard error and another status.
"""

import importlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

import click

from cgpipe.pipeline import errors, fingerprint
from cgpipe.pipeline.config import files as config_files
from cgpipe.pipeline.config import reference
from cgpipe.pipeline.config.datasets import expanded
from cgpipe.pipeline.config.load import advice, load
from cgpipe.pipeline.documents import write_between
from cgpipe.pipeline.progress import log, start_log
from cgpipe.version import __version__

HERE = Path(__file__).parents[1]  # of the Snakefile, in a clone of the repository
FILE = click.Path(path_type=Path, dir_okay=False)
FOLDER = click.Path(path_type=Path, file_okay=False)


@dataclass(frozen=True)
class Stage:
    """A command that runs `cgpipe.pipeline.stages.NAME`; its parameters are those of the stage's `run`.

    Parameters
    ----------
    help : str
        What it does.
    reads, writes : sequence of str
        Files, one of each; keys of FILES.
    others : sequence of click.Parameter
        What else it takes.
    """

    help: str
    reads: Sequence[str] = ()
    writes: Sequence[str] = ()
    others: Sequence[click.Parameter] = ()


# What the files hold.
FILES = {
    "bursts": "gradients of the pristine and the corrupt examples at bursts of steps",
    "claims": "statistics of the claims in each replicate, and verdicts",
    "clipping": "what winsorizing clips of minibatches",
    "coherence": "coherence of the gradients, by group of examples and part of the network",
    "contributions": "contributions of all examples over all parameters",
    "corrupted": "labels to train on, from stage corrupt",
    "dataset": "images and true labels, from stage data",
    "difficulty": "which examples runs have right after two epochs",
    "displacement": "what each example contributed to the way of a run",
    "gradients": "per-example gradients of a sample",
    "heldout": "sums of the gradients of training and of held-out examples",
    "nullworlds": "f and i in the data and in null worlds, with bands and p-values",
    "original": "parameters of the run that this one is the twin of",
    "similarity": "inner products of the gradients of pairs of examples",
    "snapshots": "parameters at some of the logged steps, from stage train",
    "source": "result of stage gradients, contributions or displacement",
    "table": "CSV table",
    "twins": "distances between a run and its twin",
    "verdicts": "CSV table of verdicts",
}


def option(name: str, text: str, kind: click.Path = FILE, **more: Any) -> click.Option:
    """An option with the name of a parameter of `run`."""
    return click.Option([f"--{name.replace('_', '-')}"], type=kind, help=text, **more)


def argument(name: str, kind: click.Path = FILE) -> click.Argument:
    """One path or several, without an option."""
    return click.Argument([name], type=kind, nargs=-1, required=True)


def any_number(**files: str) -> list[click.Option]:
    """Options that may be given several times, or not at all."""
    return [option(name, f"Input: {text}.", multiple=True) for name, text in files.items()]


def of_runs(role: str, *files: str) -> list[click.Option]:
    """Options for files that a job has one of for each of its runs."""
    return [
        option(file, f"{role}: {FILES[file]}; of each run.", multiple=True, required=True) for file in files
    ]


def of_all_examples(name: str, text: str) -> Stage:
    """A stage that measures all training examples from the snapshots of runs."""
    files = [*of_runs("Input", "corrupted", "snapshots"), *of_runs("Output", name)]
    return Stage(text, ["dataset"], others=files)


DATA_ROOT = click.Option(
    ["--data-root"],
    envvar="CGPIPE_DATA_ROOT",
    callback=lambda context, option, path: expanded(path) if path else None,
    help="Raw data, in torchvision's layout.",
)
IMAGES = option("folder", "Folder of images, where the settings are of one.", FOLDER)
DOWNLOADS = option("downloads", "Where to download to without --data-root.", FOLDER, required=True)
TRAIN = """Train a network, or several.

Writes history.nc (and snapshots.safetensors) into FOLDER, and resumes from its checkpoint. For several
networks give a list of settings, and --corrupted (and --start) and a folder for each.
"""
RUNS = {
    "label_noise": "histories of plain SGD under label noise",
    "coherence": "results of stage coherence, of the same runs",
    "sampled": "results of stage nullworlds, from the sample, of the same runs",
    "exact": "results of stage nullworlds, from all examples, of the same runs",
    "displacement": "results of stage nullworlds, from the displacement, of the same runs",
    "bursts": "results of stage bursts, of the same runs",
    "winsorization": "histories at all levels of winsorization",
    "full_batch": "histories of full-batch descent",
    "minibatch": "histories of SGD, to compare full-batch descent with",
}
OF_MYSTERY = {
    "history": "histories of all runs",
    "heldout": "results of stage heldout",
    "displacement": "results of stage displacement",
    "similarity": "results of stage similarity",
    "twins": "results of stage twins",
    "difficulty": "results of stage difficulty",
}
HISTORIES = option("histories", "Input: histories of runs.", multiple=True, required=True)
FIGURE = [
    argument("inputs"),
    option("compare_with", "Input: table of the same figure, to be plotted pale behind it."),
    option("claims", "Input: result of stage mystery, whose verdicts are written below the figure."),
    option("out", "Output: path without ending, for .csv, .pdf, .svg, .png and .json.", required=True),
]
START = any_number(start="snapshots of another run, whose last weights are the first of this one")
SAMPLE = ["dataset", "corrupted", "snapshots"]
STAGES = {
    "data": Stage("Write raw images as one NetCDF file.", [], ["dataset"], [DATA_ROOT, IMAGES, DOWNLOADS]),
    "corrupt": Stage(
        "Choose examples, and permute the labels of a share.",
        ["dataset"],
        ["corrupted"],
        [option("difficulty", f"Input: {FILES['difficulty']}, to choose easy or hard ones.")],
    ),
    "train": Stage(
        TRAIN, ["dataset"], [], [*of_runs("Input", "corrupted"), *START, argument("folders", FOLDER)]
    ),
    "difficulty": Stage(
        "See which examples are right in all runs after two epochs.",
        ["dataset", "corrupted"],
        ["difficulty"],
        [HISTORIES],
    ),
    "gradients": Stage("Take per-example gradients of a sample.", SAMPLE, ["gradients"]),
    "contributions": of_all_examples("contributions", "Take the contributions of all examples."),
    "coherence": Stage(
        "Take the coherence of groups of examples.",
        others=[*of_runs("Input", "contributions"), *of_runs("Output", "coherence")],
    ),
    "bursts": of_all_examples("bursts", "Sum the gradients of groups of examples at bursts of steps."),
    "displacement": of_all_examples("displacement", "Take the way of runs, by example."),
    "clipping": of_all_examples("clipping", "Winsorize minibatches, and see what is clipped."),
    "heldout": of_all_examples("heldout", "Sum the gradients of training and of held-out examples."),
    "similarity": of_all_examples("similarity", "Compare the gradients of a sample, pair by pair."),
    "twins": Stage("Compare runs with their twins.", ["dataset", "original", "snapshots"], ["twins"]),
    "nullworlds": Stage(
        "Take f and i in the data and in null worlds.",
        ["source"],
        ["nullworlds"],
        [option("bursts", "Input: sums over bursts of steps, to be kept with the result.")],
    ),
    "claims": Stage(
        "Test the claims of the paper on all runs.", [], ["claims", "table", "verdicts"], any_number(**RUNS)
    ),
    "mystery": Stage(
        "Test the claims of the second paper on all runs.",
        [],
        ["claims", "table", "verdicts"],
        any_number(**OF_MYSTERY),
    ),
    "runs": Stage("List the devices, kernels and threads of all runs.", [], ["table"], [HISTORIES]),
    "figures": Stage("Plot a figure, and write the numbers that it shows.", others=FIGURE),
}


class Commands(click.Group):
    """Commands in the order in which they were added, stages apart from the others in the help text."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: D102
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: D102
        width = formatter.width - 6 - max(map(len, self.commands))
        for title, are_stages in (("Helpers", False), ("Stages, called by snakemake", True)):
            rows = [
                (name, command.get_short_help_str(width))
                for name, command in self.commands.items()
                if (name in STAGES) == are_stages
            ]
            with formatter.section(title):
                formatter.write_dl(rows)


INTRODUCTION = """Reproduce the experiments behind the Coherent Gradients hypothesis (Chatterjee, ICLR 2020),
from raw data to figures and a verdict on each claim of the paper. Begin in a clone of the repository:

\b
  snakemake --cores all --configfile config/demo.yaml    the demo, in minutes
  snakemake --cores all                                  the paper, on MNIST

Snakemake runs the stages below, in this order. `cgpipe STAGE --help` lists what a stage reads and writes.
"""


@click.group(
    cls=Commands,
    help=INTRODUCTION,
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
)
@click.option(
    "--traceback",
    is_flag=True,
    help="Show where in the code an error came from; so does CGPIPE_TRACEBACK=1 in the environment.",
)
@click.version_option(__version__, prog_name="cgpipe")
@click.pass_context
def main(context: click.Context, *, traceback: bool) -> None:
    """Prepare what all commands need."""
    context.obj = {"traceback": traceback or errors.traceback_wanted()}
    start_log()


def command(name: str, stage: Stage) -> click.Command:
    """The command of a stage: the settings that it reads, the fingerprint of its code, and its files."""

    def run(spec: str, code: str, **paths: Any) -> None:
        call(name, spec, code, **paths)

    files = [("Input", file) for file in stage.reads] + [("Output", file) for file in stage.writes]
    options = [
        click.Option(["--spec"], required=True, help="Settings of the stage, as JSON."),
        click.Option(["--code"], default="", help="Fingerprint of the planned code; other code stops."),
        *(option(file, f"{role}: {FILES[file]}.", required=True) for role, file in files),
    ]
    return click.Command(name, callback=run, params=[*options, *stage.others], help=stage.help)


def call(name: str, spec: str, code: str, **paths: Any) -> None:
    """Run a stage, and turn whatever goes wrong into one message."""
    try:
        module = importlib.import_module(f"cgpipe.pipeline.stages.{name}")
        from cgpipe.pipeline.artifacts import Provenance  # noqa: PLC0415

        # What a stage takes, one run's settings or several, is in the signature of its run.
        settings = read_settings(get_type_hints(module.run)["spec"], spec)
        provenance = Provenance(name, spec, running_code(name, code))
        module.run(settings, provenance, **paths)
    except Exception as error:
        if click.get_current_context().obj["traceback"]:
            raise
        log.error("cgpipe %s: error: %s", name, errors.told(error))
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        log.error("cgpipe %s: interrupted", name)
        raise SystemExit(130) from None


def read_settings(kind: Any, spec: str) -> Any:
    """Read the settings of a stage from JSON; an error if they are others than it takes."""
    from pydantic import TypeAdapter, ValidationError  # noqa: PLC0415

    try:
        return TypeAdapter[Any](kind).validate_json(spec)
    except ValidationError as error:
        raise ValueError(f"--spec: {error}") from None


def running_code(name: str, planned: str) -> str:
    """Fingerprint of the code that a stage runs; an error if another was planned."""
    found = fingerprint.code_hash(name)
    if planned and planned != found:
        raise ValueError(
            f"this job runs other code ({found}) than was planned ({planned}): that of "
            f"{Path(__file__).parent}. It was edited since, or another copy of the package was planned with. "
            "Give snakemake the same command again"
        )
    return found


@main.command()
@click.argument("what", type=click.Choice(["schema", "reference", "criteria", "mystery"]))
@click.option("--into", type=FILE, help="Markdown file to put the table into, between its markers.")
def describe(what: str, into: Path | None) -> None:
    """Print the config schema, its keys, or criteria.

    `criteria` are those of the first paper's claims, `mystery` those of the second's.
    """
    if what == "schema":
        text = json.dumps(reference.schema(), indent=2)
    elif what == "reference":
        text = reference.table().rstrip("\n")
    else:
        from cgpipe.inference.claims.claim import CG  # noqa: PLC0415
        from cgpipe.inference.claims.registry import criteria_table  # noqa: PLC0415
        from cgpipe.inference.mystery.runs import GM  # noqa: PLC0415

        text = criteria_table(GM if what == "mystery" else CG).rstrip("\n")
    if into is None:
        click.echo(text)
        return
    try:
        write_between(into, "keys" if what == "reference" else what, f"{text}\n")
    except ValueError as error:
        raise click.ClickException(str(error)) from None


@main.command()
@click.argument("files", type=FILE, nargs=-1, required=True)
def check(files: tuple[Path, ...]) -> None:
    """Report all errors in config FILES, and what may not be meant.

    They are taken together, as by `snakemake --configfile FILES`. Unlike Snakemake, this also reports where a
    file is no YAML.
    """
    from snakemake.common.configfile import load_configfile  # noqa: PLC0415
    from snakemake.utils import update_config  # noqa: PLC0415

    settings: dict[str, Any] = {}
    try:
        written = config_files.read(files)
        for path in files:
            update_config(settings, load_configfile(path))
        config = load(settings, written, here=HERE if (HERE / "Snakefile").is_file() else Path.cwd())
    except config_files.ConfigError as error:
        raise click.ClickException(str(error)) from None
    for unlikely_meant in advice(config):
        click.echo(f"warning: {unlikely_meant}.")
    click.echo("no mistakes")


for name, stage in STAGES.items():
    main.add_command(command(name, stage))
