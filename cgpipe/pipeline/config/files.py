"""All that settings come from, as it is written: config files and the command line."""

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from cgpipe.pipeline.config.reading import OPTIONS, Keys, Place, Problem, Reader, listed

COMMAND_LINE = "--config"
PLAIN_NUMBER = r"[-+]?(0|[1-9][0-9]*)?(\.[0-9]*)?(e[-+]?[0-9]+)?"


class ConfigError(ValueError):
    """The settings have errors; the message lists all of them.

    Parameters
    ----------
    mistakes : sequence of str
        Each in one line.
    """

    def __init__(self, mistakes: Sequence[str]) -> None:
        super().__init__(listed(mistakes))


class Argument(Reader):
    """One argument of `--config`: Snakemake takes numbers as Python does, and words as text.

    Parameters
    ----------
    argument : str
        Such as `seed=1`.
    """

    by = "Snakemake"

    def __init__(self, argument: str) -> None:
        super().__init__(COMMAND_LINE)
        name, _, value = argument.partition("=")
        value = value.strip("'\"")
        number = _number(value)
        if number is not None and not re.fullmatch(PLAIN_NUMBER, value, re.IGNORECASE):
            self.leaves.append((name,))
            self._became(self.name, (name,), value, number)
            return
        self._typed = False
        self._loader = yaml.BaseLoader(value)
        try:
            node = self._loader.get_single_node()
        except yaml.YAMLError:  # Snakemake takes it as text
            node = None
        self.places[name,] = Place(self.name)
        self._walk(node, (name,))

    def _line(self, node: Any) -> str:
        return self.name


@dataclass
class ConfigFiles:
    """What is found in the files and the command line that settings were read from; empty at first."""

    problems: list[Problem] = field(default_factory=list)
    places: dict[Keys, Place] = field(default_factory=dict)

    def at(self, keys: Sequence[object]) -> Place:
        """Where a setting stands; where its section does, if it is not given."""
        sought = tuple(map(str, keys))
        if sought in self.places or not sought:
            return self.places.get(sought, Place())
        return Place(self.at(sought[:-1]).where)

    def of_another_workflow(self) -> "ConfigFiles":
        """The same for files in which settings are a part: nothing may be given twice, all else is theirs."""
        return ConfigFiles([problem for problem in self.problems if problem.drops])

    def add(self, reader: Reader) -> None:
        """Add what one source holds to what the sources before it hold."""
        for keys in reader.empty:
            below = [known for known in self.places if known[: len(keys)] == keys and len(known) > len(keys)]
            if below:
                text = (
                    f"{'.'.join(keys)}: an empty section takes nothing away from what "
                    f"{self.places[below[0]].where} and below gives it: leave it out, or write what is to be "
                    "changed"
                )
                self.problems.append(Problem(reader.places[keys].where, text, keys, drops=True))
        self.problems += reader.problems
        self.places |= reader.places


def read(
    paths: Iterable[Path | str], arguments: Sequence[str] | None = None, command: Sequence[str] = ()
) -> ConfigFiles:
    """Look at all that settings come from.

    Parameters
    ----------
    paths : iterable of path
        Config files; what a later one gives replaces what an earlier one gave.
    arguments : sequence of str, optional
        Those of Snakemake's `--config`, such as `seed=1`.
    command : sequence of str
        The whole command line, of which Snakemake takes the last `--config` and `--configfile` alone.

    Returns
    -------
    ConfigFiles
        With the problems found.

    Raises
    ------
    ConfigError
        With all problems, if a file cannot be read at all.
    """
    files = ConfigFiles()
    if (times := _times("--config", command)) > 1:
        text = f"given {times} times, and Snakemake takes the last alone: write --config a=1 b=2"
        files.problems.append(Problem(COMMAND_LINE, text, drops=True))
    readers = [Reader.of_file(path) for path in dict.fromkeys(map(Path, paths))]
    for reader in readers:
        files.add(reader)
    for reader in map(Argument, arguments or ()):
        for keys in reader.leaves:
            if files.places.get(keys, Place()).where == COMMAND_LINE:
                text = f"{'.'.join(keys)}: given twice, and the first is dropped: keep one"
                files.problems.append(Problem(COMMAND_LINE, text, keys, drops=True))
        files.add(reader)
    if not all(reader.readable for reader in readers):
        raise ConfigError([*map(str, files.problems)])
    files.places[()] = Place(" and ".join(reader.name for reader in readers))
    return files


def files_dropped(command: Sequence[str]) -> list[str]:
    """Warn of config files that Snakemake does not read, as --configfile was given more than once.

    Another file is a choice that the last option may take back. Settings (`--config`) given twice are an
    error.
    """
    times = _times("--configfile", command)
    start = f"--configfile was given {times} times, and Snakemake takes the last alone"
    return [f"{start}: for all, write --configfile A B"] if times > 1 else []


def _times(option: str, command: Sequence[str]) -> int:
    """How often an option is given; Snakemake takes the last alone, which several values may follow."""
    if "snakemake" not in "".join(command[:1]):
        return 0  # called from a program of another name, with options of its own
    given = (part.partition("=")[0] for part in command)
    return sum(OPTIONS.get(name, name) == option for name in given)


def _number(text: str) -> int | float | None:
    """A number as Python reads it."""
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    return None
