"""Check settings, and report all errors together.

Imports neither torch nor xarray: parsing the Snakefile imports this.
"""

from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from cgpipe.figures.registry import OF_RUNS
from cgpipe.pipeline.config.claims import Claims
from cgpipe.pipeline.config.experiments import FEWEST_CHOSEN, is_mixed
from cgpipe.pipeline.config.files import ConfigError, ConfigFiles
from cgpipe.pipeline.config.looked import not_there
from cgpipe.pipeline.config.messages import message
from cgpipe.pipeline.config.models import Config
from cgpipe.pipeline.config.mystery import Mystery
from cgpipe.pipeline.config.reading import OF_KEY
from cgpipe.pipeline.config.section import Mistake, report, suggestion


def load(
    settings: Mapping[str, Any], files: ConfigFiles | None = None, *, here: Path | None = None
) -> Config:
    """Check settings as YAML gave them.

    Parameters
    ----------
    settings : mapping
        The config file, parsed.
    files : ConfigFiles, optional
        What was found in the files as they are written, so that errors are reported with their places.
    here : Path, optional
        Folder of the Snakefile, if the folder of raw data and the tables that settings name are to be looked
        for.

    Returns
    -------
    Config
        With the defaults filled in.

    Raises
    ------
    ConfigError
        With all errors: of each its path, what was given, what is allowed, and a suggestion for a
        misspelt key.
    """
    files = files or ConfigFiles()
    errors: list[ErrorDetails] = []
    try:
        config = Config.model_validate(dict(settings))
    except ValidationError as error:
        errors += error.errors()
    for mistakes in (_unknown_experiments(settings), not_there(settings, here) if here else ()):
        try:
            report(mistakes)
        except ValidationError as error:
            errors += error.errors()
    if errors or files.problems:
        raise ConfigError([*_lines(errors, files)])
    return config


def _unknown_experiments(settings: Mapping[str, Any]) -> Iterator[Mistake]:
    """Experiments that are named and do not exist, whatever else is wrong with these."""
    experiments = settings.get("experiments")
    if not isinstance(experiments, Mapping):
        return
    known = [name for name in experiments if isinstance(name, str)]
    if not known:  # which is reported
        return
    keys = [("claims", key) for key in Claims.model_fields]
    keys += [("mystery", key) for key in Mystery.model_fields]
    of_figures = [
        ("figures", figure, key) for figure in OF_RUNS for key in ("experiment", "controls", "others")
    ]
    of_experiments = [
        ("experiments", name, *key)
        for name in known
        for key in (("choose", "of"), ("twin", "of"), ("start",))
    ]
    paths: list[tuple[str, ...]] = [*keys, *of_figures, *of_experiments]
    for path in paths:
        given: Any = settings
        for key in path:
            given = given.get(key) if isinstance(given, Mapping) else None
        for place, one in enumerate(given if isinstance(given, list) else [given]):
            if isinstance(one, str) and one not in known:
                at: tuple[str | int, ...] = (*path, place) if isinstance(given, list) else path
                yield Mistake(at, one, f"one of {', '.join(known)}{suggestion(one, known)}")


def _lines(errors: Sequence[ErrorDetails], files: ConfigFiles) -> Iterator[str]:
    """What only the files show, then what pydantic found; what both found is reported once."""
    wrong = {_keys(details) for details in errors}
    keys_reported = set()
    for problem in files.problems:
        place = files.at(problem.keys)
        if problem.keys[-1:] == (OF_KEY,):
            keys_reported.add(problem.keys)
        elif problem.keys in wrong and place.given and place.where == problem.where:
            continue
        yield str(problem)
    for details in errors:
        if _keys(details) not in keys_reported:
            yield message(details, files.at([part for part in details["loc"] if part != OF_KEY]))


def _keys(details: ErrorDetails) -> tuple[str, ...]:
    """Where in the settings; alike for a wrong key of a model and of a dict."""
    of_key = (OF_KEY,) if details["type"] == "invalid_key" else ()
    return (*map(str, details["loc"]), *of_key)


def advice(config: Config) -> list[str]:
    """Warn of what may not be meant: levels of noise without a corrupt example, `dp_sgd` without Opacus.

    Parameters
    ----------
    config : Config
        The settings.

    Returns
    -------
    list of str
        One for each: its path, what was given, what follows, what to do.
    """
    selection = config.corruption.selection
    wanted = config.figures.wanted()
    sampled = {figure.experiment for name, figure in wanted.items() if OF_RUNS[name].sampled}
    warnings = []
    for name, experiment in config.experiments.items():
        if experiment.update == "dp_sgd" and find_spec("opacus") is None:
            why = "it needs Opacus, which is not installed here: python -m pip install 'cgpipe[privacy]'"
            warnings.append(f"experiments.{name}.update: given dp_sgd; {why}")
        examples = experiment.trained_on
        for place, noise in enumerate(experiment.noise):
            in_sample = noise * config.gradients.examples
            if not 0 < noise < 1:
                continue
            if not is_mixed(noise, selection, examples):
                why = (
                    f"round({noise * examples:g}) = {round(noise * examples)} of {examples:,} training "
                    "examples are chosen, and it takes 2 to permute labels, so no example is corrupt. "
                    "Figures 2 and 3 and their null worlds leave this level out; give 0, or at least "
                    f"{FEWEST_CHOSEN / examples:g}"
                )
            elif noise * examples < FEWEST_CHOSEN:
                why = (
                    f"on average {noise * examples:.2g} of {examples:,} training examples are chosen, so it "
                    "may well be that none is corrupt. Figures 2 and 3 would say so; give more"
                )
            elif name in sampled and in_sample < 1:
                why = (
                    f"on average at most {in_sample:.2g} of the {config.gradients.examples} examples of the "
                    "sample are corrupt, so it may well be that none is. Figures 2 and 3 would say so; "
                    "sample more (gradients.examples), or draw the exact figures alone"
                )
            else:
                continue
            warnings.append(f"experiments.{name}.noise.{place}: given {noise:g}; {why}")
    return warnings
