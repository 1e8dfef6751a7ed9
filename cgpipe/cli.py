"""`python -m cgpipe STAGE`: paths in and paths out, settings as one JSON text.

The workflow calls these commands; a person may, to run a stage by itself. Each ends with exit status
0, or with one message on the standard error and another status.
"""

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_type_hints

import click

from cgpipe.pipeline import config, configfiles, errors, fingerprint, plan
from cgpipe.pipeline.documents import read_between, write_between
from cgpipe.pipeline.progress import log, start_log

READ = click.Path(path_type=Path, dir_okay=False)
WRITE = click.Path(path_type=Path, dir_okay=False)
FOLDER = click.Path(path_type=Path, file_okay=False)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option(
    "--traceback",
    is_flag=True,
    help="Show where in the code an error came from; so does CGPIPE_TRACEBACK=1 in the environment.",
)
@click.version_option(package_name="cgpipe")
@click.pass_context
def main(context: click.Context, *, traceback: bool) -> None:
    """Stages of the Coherent Gradients workflow; usually called by snakemake."""
    context.obj = {"traceback": traceback or errors.traceback_wanted()}
    start_log()


def stage(command: Callable[..., None]) -> click.Command:
    """A subcommand that runs a stage: the settings it reads, and the fingerprint of its code."""
    options = [
        click.option("--spec", required=True, help="Settings of the stage, as JSON."),
        click.option(
            "--code",
            default="",
            help="Fingerprint of the planned code; other code stops.",
        ),
    ]
    for option in options:
        command = option(command)
    return main.command(name=command.__name__, help=command.__doc__)(command)


def call(name: str, spec: str, code: str, **paths: Any) -> None:
    """Run a stage, and turn whatever goes wrong into one message."""
    try:
        module = importlib.import_module(f"cgpipe.pipeline.stages.{name}")
        from cgpipe.pipeline.artifacts import Provenance  # noqa: PLC0415

        # What stage train takes, one run's settings or several, is in the signature of its run.
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


@stage
@click.option(
    "--data-root",
    envvar="CGPIPE_DATA_ROOT",
    callback=lambda *given: plan.expanded(given[-1]) if given[-1] else None,
    help="Raw data, in torchvision's layout.",
)
@click.option("--downloads", type=FOLDER, required=True, help="Where to download to without --data-root.")
@click.option("--dataset", type=WRITE, required=True, help="NetCDF to write.")
def data(spec: str, code: str, **paths: Path) -> None:
    """Raw images to one NetCDF with a checksum."""
    call("data", spec, code, **paths)


@stage
@click.option("--dataset", type=READ, required=True, help="From stage data.")
@click.option("--corrupted", type=WRITE, required=True, help="NetCDF to write.")
def corrupt(spec: str, code: str, **paths: Path) -> None:
    """Permute the labels of a share of the training examples."""
    call("corrupt", spec, code, **paths)


@stage
@click.option("--dataset", type=READ, required=True, help="From stage data.")
@click.option("--corrupted", type=READ, required=True, help="From stage corrupt.")
@click.argument("folders", type=FOLDER, nargs=-1, required=True)
def train(spec: str, code: str, **paths: Path) -> None:
    """Train a network, plain or winsorized, into history.nc (and snapshots.safetensors) of FOLDER.

    Goes on from its checkpoint. For several networks give a list of settings and a folder for each.
    """
    call("train", spec, code, **paths)


@stage
@click.option("--dataset", type=READ, required=True, help="From stage data.")
@click.option("--corrupted", type=READ, required=True, help="From stage corrupt.")
@click.option("--snapshots", type=READ, required=True, help="From stage train.")
@click.option("--gradients", type=WRITE, required=True, help="NetCDF to write.")
def gradients(spec: str, code: str, **paths: Path) -> None:
    """Per-example gradients of a sample of examples and weights."""
    call("gradients", spec, code, **paths)


@stage
@click.option("--dataset", type=READ, required=True, help="From stage data.")
@click.option("--corrupted", type=READ, required=True, help="From stage corrupt.")
@click.option("--snapshots", type=READ, required=True, help="From stage train.")
@click.option("--contributions", type=WRITE, required=True, help="NetCDF to write.")
def contributions(spec: str, code: str, **paths: Path) -> None:
    """Contributions of all examples over all parameters."""
    call("contributions", spec, code, **paths)


@stage
@click.option("--dataset", type=READ, required=True, help="From stage data.")
@click.option("--snapshots", type=READ, required=True, help="From stage train.")
@click.option("--activity", type=WRITE, required=True, help="NetCDF to write.")
def activity(spec: str, code: str, **paths: Path) -> None:
    """Hidden units in use, at the logged steps."""
    call("activity", spec, code, **paths)


@stage
@click.option("--contributions", type=READ, required=True, help="From stage contributions.")
@click.option("--coherence", type=WRITE, required=True, help="NetCDF to write.")
def coherence(spec: str, code: str, **paths: Path) -> None:
    """Coherence and its companions, by group of examples and part of the network."""
    call("coherence", spec, code, **paths)


@stage
@click.option("--source", type=READ, required=True, help="From stage gradients or contributions.")
@click.option("--nullworlds", type=WRITE, required=True, help="NetCDF to write.")
def nullworlds(spec: str, code: str, **paths: Path) -> None:
    """F and i in the data and in null worlds, with bands and p-values."""
    call("nullworlds", spec, code, **paths)


@stage
@click.option("--label-noise", type=READ, multiple=True, help="Histories of plain SGD under label noise.")
@click.option("--coherence", type=READ, multiple=True, help="From stage coherence, of the same runs.")
@click.option(
    "--nullworlds", type=READ, multiple=True, help="From stage nullworlds, exact, of the same runs."
)
@click.option("--winsorization", type=READ, multiple=True, help="Histories at all levels of winsorization.")
@click.option("--full-batch", type=READ, multiple=True, help="Histories of full-batch descent.")
@click.option("--claims", type=WRITE, required=True, help="NetCDF to write.")
@click.option("--table", type=WRITE, required=True, help="The same as CSV.")
def claims(spec: str, code: str, **paths: Any) -> None:
    """Test the claims of the paper on the artifacts of all runs."""
    call("claims", spec, code, **paths)


@stage
@click.option("--histories", type=READ, multiple=True, required=True, help="Histories of all runs.")
@click.option("--table", type=WRITE, required=True, help="CSV to write.")
def runs(spec: str, code: str, **paths: Any) -> None:
    """What made each run: devices, kernels and threads."""
    call("runs", spec, code, **paths)


@stage
@click.argument("inputs", type=READ, nargs=-1, required=True)
@click.option("--beside", type=READ, help="Table of the same figure, to be drawn pale behind it.")
@click.option(
    "--out", type=WRITE, required=True, help="Path without ending; .csv, .pdf, .svg and .png are written."
)
def figures(spec: str, code: str, **paths: Any) -> None:
    """One figure, with the numbers it shows, from INPUTS: the artifacts of runs, or claims."""
    call("figures", spec, code, **paths)


@stage
@click.option("--template", type=READ, required=True, help="Markdown in Jinja's syntax.")
@click.option("--tables", type=READ, multiple=True, help="CSV tables of figures and claims.")
@click.option("--beside", type=READ, multiple=True, help="CSV tables of other workflows.")
@click.option("--histories", type=READ, multiple=True, help="Histories of all runs.")
@click.option("--benchmarks", type=FOLDER, required=True, help="Snakemake's benchmark files.")
@click.option("--published", type=WRITE, multiple=True, required=True, help="All that will be published.")
@click.option("--folder", type=FOLDER, required=True, help="Where to write to.")
def text(spec: str, code: str, **paths: Any) -> None:
    """What the stages cost, and a text in which every number comes from tables."""
    call("text", spec, code, **paths)


@stage
@click.argument("files", type=READ, nargs=-1, required=True)
@click.option("--folder", type=FOLDER, required=True, help="Where to publish to.")
def publish(spec: str, code: str, **paths: Any) -> None:
    """Copies of FILES, to be kept under version control."""
    call("publish", spec, code, **paths)


@main.command()
@click.argument("what", type=click.Choice(["schema", "reference", "criteria"]))
@click.option("--into", type=WRITE, help="Markdown file to put the table into, between its markers.")
def describe(what: str, into: Path | None) -> None:
    """Print the JSON schema of the config, the table of its keys, or the criteria of the claims."""
    if what == "schema":
        text = json.dumps(config.schema(), indent=2)
    elif what == "reference":
        text = config.reference().rstrip("\n")
    else:
        from cgpipe.inference.claims.registry import criteria_table  # noqa: PLC0415

        text = criteria_table().rstrip("\n")
    if into is None:
        click.echo(text)
        return
    try:
        write_between(into, "criteria" if what == "criteria" else "keys", f"{text}\n")
    except ValueError as error:
        raise click.ClickException(str(error)) from None


@main.command()
@click.argument("files", type=READ, nargs=-1, required=True)
def check(files: tuple[Path, ...]) -> None:
    """Say what is wrong with config FILES, taken together as by `snakemake --configfile FILES`.

    Snakemake itself does not say where a file is no YAML.
    """
    from snakemake.common.configfile import load_configfile  # noqa: PLC0415
    from snakemake.utils import update_config  # noqa: PLC0415

    settings: dict[str, Any] = {}
    try:
        written = configfiles.read(files)
        for path in files:
            update_config(settings, load_configfile(path))
        config.load(settings, written)
    except configfiles.ConfigError as error:
        raise click.ClickException(str(error)) from None
    click.echo("no mistakes")


@main.command()
@click.argument("name")
@click.argument("source", type=READ)
@click.argument("into", type=WRITE)
def excerpt(name: str, source: Path, into: Path) -> None:
    """Copy the part NAME of one Markdown file to where another has its markers."""
    try:
        write_between(into, name, read_between(source, name))
    except (ValueError, OSError) as error:
        raise click.ClickException(str(error)) from None
