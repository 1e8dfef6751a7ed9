"""Config files as they are written: what the parsers of YAML and JSON swallow, and where settings stand.

Snakemake reads a config file as JSON or else as YAML 1.1, and hands on what comes of it: of a key that is
given twice the last is left, 010 is 8, no is false. Here the same text is looked at before that. Imports
neither torch nor xarray: parsing the Snakefile comes through here.
"""

import json
import re
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import yaml

Keys = tuple[str, ...]  # from the top; a place in a list is one too
Pairs = dict[Hashable, tuple[yaml.Node, yaml.Node]]

TAG = "tag:yaml.org,2002:"
# What people, YAML 1.1, YAML 1.2 and JSON read alike; anything is text, and no date is.
PLAIN = {
    f"{TAG}int": r"[-+]?(0|[1-9][0-9]*)",
    f"{TAG}float": r"[-+]?(?=.)(0|[1-9][0-9]*)?(\.[0-9]*)?(e[-+][0-9]+)?",
    f"{TAG}bool": "true|false",
    f"{TAG}null": "null",
    f"{TAG}timestamp": "(?!)",
    f"{TAG}str": "(?s:.*)",
}
OF_ARGUMENTS = r"[-+]?(0|[1-9][0-9]*)?(\.[0-9]*)?(e[-+]?[0-9]+)?"
LINE_ENDS = {"\x85": "NEXT LINE", "\u2028": "LINE SEPARATOR", "\u2029": "PARAGRAPH SEPARATOR"}
MARKS = {b"\xff\xfe\0\0": "UTF-32", b"\0\0\xfe\xff": "UTF-32", b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
NEW_LINE = "\n"
COMMAND_LINE = "--config"
SAVE = "save the file as UTF-8"
OF_KEY = "[key]"  # as pydantic has it
DEEPEST = 6  # level of a setting that is looked for; there are four
REPEATED = {
    "--configfile": "--configfile",
    "--configfiles": "--configfile",
    "--config": "--config",
    "-C": "--config",
}


class ConfigError(ValueError):
    """The settings have mistakes; the message lists all of them.

    Parameters
    ----------
    mistakes : sequence of str
        Each in one line.
    """

    def __init__(self, mistakes: Sequence[str]) -> None:
        count = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
        super().__init__("\n".join([f"{count} in the config:", *(f"  - {mistake}" for mistake in mistakes)]))


class Place(NamedTuple):
    """Where a setting stands; `given` says how it is written, if it was read as something else."""

    where: str = ""
    given: str = ""


class Problem(NamedTuple):
    """What is swallowed, of the setting that `keys` lead to; they end with `OF_KEY` if the key is meant."""

    where: str
    text: str
    keys: Keys = ()
    drops: bool = False  # something that was given

    def __str__(self) -> str:
        """In one line."""
        return f"{self.where}: {self.text}"


@dataclass
class ConfigFiles:
    """What the files and the command line that settings were read from hold; of none at first."""

    problems: list[Problem] = field(default_factory=list)
    places: dict[Keys, Place] = field(default_factory=dict)

    def at(self, keys: Sequence[object]) -> Place:
        """Where a setting stands; where its section does, if it is not given."""
        sought = tuple(map(str, keys))
        if sought in self.places or not sought:
            return self.places.get(sought, Place())
        return Place(self.at(sought[:-1]).where)

    def of_another_workflow(self) -> "ConfigFiles":
        """The same of files in which settings are a part: nothing may be given twice, all else is theirs."""
        return ConfigFiles([problem for problem in self.problems if problem.drops])


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
    files = ConfigFiles(problems=list(_options_given_twice(command)))
    names, readable = [], True
    for path in dict.fromkeys(map(Path, paths)):
        names.append(_shown(path))
        reader = _Reader(names[-1])
        readable &= reader.file(path)
        _join(files, reader)
    for argument in arguments or ():
        reader = _Reader(COMMAND_LINE, by="Snakemake")
        reader.argument(argument)
        clashing = [keys for keys in reader.leaves if files.places.get(keys, Place()).where == COMMAND_LINE]
        files.problems += [
            Problem(
                COMMAND_LINE, f"{'.'.join(keys)}: given twice, and the first is dropped: keep one", keys, True
            )
            for keys in clashing
        ]
        _join(files, reader)
    if not readable:
        raise ConfigError([*map(str, files.problems)])
    files.places[()] = Place(" and ".join(names))
    return files


def look_at(command: Sequence[str]) -> None:
    """Stop a command line whose config files Snakemake could not read; it would not say which, why or where.

    Parameters
    ----------
    command : sequence of str
        Such as `sys.argv`.

    Raises
    ------
    SystemExit
        With all problems.
    """
    paths, taking = [], False
    for part in command:
        option, given, value = part.partition("=")
        if part.startswith("-"):
            taking = REPEATED.get(option) == "--configfile"
            paths += [value] if taking and given else []
        elif taking:
            paths.append(part)
    try:
        read(paths)
    except ConfigError as error:
        raise SystemExit(str(error)) from None


def _join(files: ConfigFiles, reader: "_Reader") -> None:
    """Add what one source holds to what the sources before it hold."""
    for keys in reader.empty:
        inner = [known for known in files.places if known[: len(keys)] == keys and len(known) > len(keys)]
        if inner:
            where = reader.places[keys].where
            before = files.places[inner[0]].where
            text = (
                f"{'.'.join(keys)}: an empty section takes nothing away from what {before} and below gives "
                "it: leave it out, or write what is to be changed"
            )
            files.problems.append(Problem(where, text, keys, drops=True))
    files.problems += reader.problems
    files.places |= reader.places


def files_dropped(command: Sequence[str]) -> list[str]:
    """What to warn of: config files that Snakemake does not read, as --configfile was given more than once.

    Another file is a choice that the last option may take back. Settings (`--config`) given twice are an
    error.
    """
    times = _times("--configfile", command)
    said = f"--configfile was given {times} times, and Snakemake takes the last alone"
    return [f"{said}: for all, write --configfile A B"] if times > 1 else []


def _options_given_twice(command: Sequence[str]) -> Iterable[Problem]:
    """Options of Snakemake of which only the last is taken; several values may follow one."""
    times = _times("--config", command)
    if times > 1:
        text = f"given {times} times, and Snakemake takes the last alone: write --config a=1 b=2"
        yield Problem("--config", text, drops=True)


def _times(option: str, command: Sequence[str]) -> int:
    if "snakemake" not in "".join(command[:1]):
        return 0  # called from a program of another name, with options of its own
    return sum(REPEATED.get(part.partition("=")[0]) == option for part in command)


def _shown(path: Path) -> str:
    """A path as people know it."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


class _Reader:
    """One source of settings: what it swallows, and where each setting stands.

    Parameters
    ----------
    name : str
        Of the source.
    by : str
        Who reads it.
    """

    def __init__(self, name: str, by: str = "YAML") -> None:
        self.name, self.by = name, by
        self.problems: list[Problem] = []
        self.places: dict[Keys, Place] = {}
        self.leaves: list[Keys] = []
        self.empty: list[Keys] = []  # sections
        self._loader: Any = None
        self._typed = True  # whether plain words may become numbers
        self._seen: set[int] = set()
        self._merged: set[int] = set()

    def file(self, path: Path) -> bool:
        """Read a file; False if Snakemake cannot."""
        try:
            raw = path.read_bytes()
        except OSError as error:
            self._tell(self.name, f"cannot be read ({error.strerror}): give the path of a file that can")
            return False
        text = self._decoded(raw)
        return text is not None and self._parsed(text)

    def argument(self, argument: str) -> None:
        """Read one argument of `--config`: Snakemake takes numbers as Python does, and words as text."""
        name, _, value = argument.partition("=")
        value = value.strip("'\"")
        number = next(
            (number for number in map(_number, (int, float), (value, value)) if number is not None), None
        )
        if number is not None and not re.fullmatch(OF_ARGUMENTS, value, re.IGNORECASE):
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

    def _tell(self, where: str, text: str, keys: Keys = (), *, drops: bool = False) -> None:
        self.problems.append(Problem(where, text, keys, drops))

    def _line(self, node: Any) -> str:
        return self.name if self.name == COMMAND_LINE else f"{self.name}, line {node.start_mark.line + 1}"

    def _decoded(self, raw: bytes) -> str | None:
        """The text of a file, or None with a problem."""
        for mark, encoding in MARKS.items():
            if raw.startswith(mark):
                self._tell(self.name, f"is written in {encoding}: {SAVE}")
                return None
        try:
            text = raw.decode()
        except UnicodeDecodeError as error:
            byte = raw[error.start : error.start + 1]
            before = raw[: error.start].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            line, column = before.count(b"\n") + 1, error.start - raw.rfind(b"\n", 0, error.start)
            text = (
                f"the byte 0x{byte.hex()} is no UTF-8 (it is {byte.decode('latin-1')!r} in Latin-1): {SAVE}"
            )
            self._tell(f"{self.name}, line {line}, column {column}", text)
            return None
        # As Python reads text.
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        if "\0" in text:
            line = text[: text.index("\0")].count(NEW_LINE) + 1
            self._tell(f"{self.name}, line {line}", f"holds a NUL byte, as UTF-16 read as UTF-8 does: {SAVE}")
            return None
        return text

    def _parsed(self, text: str) -> bool:
        """Compose and walk through; False if Snakemake cannot read it."""
        no_json = None
        try:
            json.loads(text)
        except ValueError as error:
            no_json = error
            self._line_ends(text)
        else:
            self._typed = False
            text = text.replace("\t", " ")  # indents JSON, and YAML never
        try:
            self._loader = yaml.FullLoader(text)
            root = self._loader.get_single_node()
        except yaml.MarkedYAMLError as error:
            if text.lstrip().startswith("{") and isinstance(no_json, json.JSONDecodeError):
                where = f"{self.name}, line {no_json.lineno}, column {no_json.colno}"
                self._tell(where, f"neither JSON nor YAML: {no_json.msg}")
            else:
                self._tell(*self._syntax(error))
            return False
        except yaml.reader.ReaderError as error:
            line = text[: error.position].count(NEW_LINE) + 1
            letter = f"U+{int(error.character):04X}"
            self._tell(f"{self.name}, line {line}", f"holds {letter}, which YAML does not allow: remove it")
            return False
        if not isinstance(root, yaml.MappingNode):
            kind = {type(None): "is empty", yaml.SequenceNode: "is a list"}.get(type(root), "is text")
            self._tell(self.name, f"{kind}: write settings, each as a key and a value")
            return False
        self._walk(root, ())
        try:
            self._loader.construct_document(root)
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            if not self.problems:
                self._tell(self.name, f"no YAML: {' '.join(str(error).split())}")
            return False
        return True

    def _line_ends(self, text: str) -> None:
        """Letters at which a line ends for YAML and for no editor, as after a comment."""
        for place, letter in enumerate(text):
            if letter in LINE_ENDS:
                where = f"{self.name}, line {text.count(NEW_LINE, 0, place) + 1}"
                kind = f"U+{ord(letter):04X} ({LINE_ENDS[letter]})"
                self._tell(where, f"holds {kind}, at which a line ends for YAML alone: remove it")

    def _syntax(self, error: yaml.MarkedYAMLError) -> tuple[str, str]:
        """Where and what, of an error of YAML's own."""
        mark = error.problem_mark or error.context_mark
        said = ", ".join(part for part in (error.context, error.problem) if part)
        hint = ""
        if "'\\t'" in said:
            hint = ": indent with spaces, and separate with spaces"
        elif "another document" in said:
            hint = ": leave out what begins with ---, or put it into a file of its own"
        elif "mapping values" in said:
            hint = ": indent as the lines above, and put text that has a colon into quotes"
        elif "':'" in said:
            hint = ": write `key: value`, with a plain colon and a space"
        where = f"{self.name}, line {mark.line + 1}, column {mark.column + 1}" if mark else self.name
        return where, f"no YAML: {said}{hint}"

    def _walk(self, node: Any, keys: Keys) -> None:
        """Look at a node and all below it; one that an alias leads to is told of once."""
        first = id(node) not in self._seen
        self._seen.add(id(node))
        if not first and len(keys) > DEEPEST:
            return
        if first and node is not None:
            self._tag(node, keys)
        if isinstance(node, yaml.MappingNode):
            below = {
                _text(name): (self._line(key), value)
                for name, (key, value) in self._pairs(node, keys, tell=first).items()
            }
        elif isinstance(node, yaml.SequenceNode):
            below = {str(k): (self._line(value), value) for k, value in enumerate(node.value)}
        else:
            self.leaves.append(keys)
            return
        if not below:
            self.empty.append(keys)
        for name, (where, value) in below.items():
            self.places[(*keys, name)] = Place(where)
            if isinstance(value, yaml.ScalarNode) and self._typed:
                self._scalar(where, value, (*keys, name), tell=id(value) not in self._seen)
            self._walk(value, (*keys, name))

    def _tag(self, node: yaml.Node, keys: Keys) -> None:
        """A tag makes other things of what is written."""
        if node.tag not in (*PLAIN, f"{TAG}map", f"{TAG}seq"):
            tag = node.tag.replace(TAG, "!!")
            self._tell(self._line(node), f"{'.'.join(keys)}: has the tag {tag}: leave it out", keys)

    def _pairs(self, node: yaml.MappingNode, keys: Keys, *, tell: bool) -> Pairs:
        """Keys and values of a section, those from elsewhere (`<<`) included; what is dropped is told."""
        own: Pairs = {}
        merged: Pairs = {}
        for key, value in node.value:
            where = self._line(key)
            name = self._name(key, keys, tell=tell)
            path = ".".join((*keys, _written(key)))
            if name in own and tell:
                text = f"{path}: given twice, first on line {own[name][0].start_mark.line + 1}"
                then = "; write one << with a list" if name == "<<" else ", which is dropped: keep one"
                self._tell(where, text + then, (*keys, _text(name)), drops=True)
            if key.tag == f"{TAG}merge":
                for other, pair in self._from_elsewhere(value, keys):
                    path = ".".join((*keys, _text(other)))
                    if other in own and tell:
                        line = own[other][0].start_mark.line + 1
                        text = f"{path}: given by << too, which is dropped for line {line}: put << first"
                        self._tell(where, text, (*keys, _text(other)), drops=True)
                    elif other in merged and tell:
                        text = f"{path}: given by << twice, and the second is dropped: write it out here"
                        self._tell(where, text, (*keys, _text(other)), drops=True)
                    merged.setdefault(other, pair)
            own[name] = (key, value)
        own.pop("<<", None)
        return merged | own

    def _from_elsewhere(self, node: yaml.Node, keys: Keys) -> Iterable[tuple[Hashable, Any]]:
        """What `<<` brings: the pairs of one section, or of several."""
        sections = node.value if isinstance(node, yaml.SequenceNode) else [node]
        for section in sections:
            if not isinstance(section, yaml.MappingNode) or id(section) in self._merged:
                self._tell(
                    self._line(node), f"{'.'.join(keys)}: << is followed by no other section: name one"
                )
                continue
            self._merged.add(id(section))
            yield from self._pairs(section, keys, tell=False).items()
            self._merged.remove(id(section))

    def _name(self, key: yaml.Node, keys: Keys, *, tell: bool) -> Hashable:
        """A key as it is read, which should be text."""
        if key.tag == f"{TAG}merge":
            return "<<"
        if not isinstance(key, yaml.ScalarNode):
            if tell:
                text = f"{'.'.join(keys)}: has a key that is no text: write a name".removeprefix(": ")
                self._tell(self._line(key), text, keys)
            return id(key)
        name = self._value(key)
        if not self._typed or isinstance(name, str) or re.fullmatch(PLAIN[key.tag], key.value, re.IGNORECASE):
            return name  # type: ignore[no-any-return]
        if tell:
            path = ".".join((*keys, _written(key)))
            text = f"{path}: this key is {_read_as(name)} to YAML: write {key.value!r}, in quotes"
            self._tell(self._line(key), text, (*keys, _text(name), OF_KEY))
        return name  # type: ignore[no-any-return]

    def _scalar(self, where: str, node: yaml.ScalarNode, keys: Keys, *, tell: bool) -> None:
        """A value that is read as something that was not written."""
        plain = PLAIN.get(node.tag, "(?s:.*)")  # another tag is told of by itself
        if not re.fullmatch(plain, node.value, re.IGNORECASE):
            self._became(where, keys, _written(node), self._value(node), tell=tell)

    def _value(self, node: yaml.Node) -> Any:
        try:
            return self._loader.construct_object(node)
        except (ValueError, yaml.YAMLError) as error:
            return error

    def _became(self, where: str, keys: Keys, written: str, value: Any, *, tell: bool = True) -> None:
        """Note a value that became another one, and tell of it."""
        instead = [] if isinstance(value, (date, ValueError, yaml.YAMLError)) else [_read_as(value)]
        if re.fullmatch(r"[-+]?0[0-9_]+", written):
            instead.append(written.replace("_", "").lstrip("+-0") or "0")
        if value is None:
            instead.append("leave the key out")
        elif not re.fullmatch(r"[-+]?[0-9._]+", written):
            instead.append(f"{written!r} if it is text")
        given = f"{written}, which {self.by} reads as {_read_as(value)}"
        text = f"{'.'.join(keys)}: given {given}: write {', or '.join(dict.fromkeys(instead))}"
        self.places[keys] = Place(where, given)
        if tell:
            self._tell(where, text, keys)


def _number(kind: type[int] | type[float], text: str) -> int | float | None:
    try:
        return kind(text)
    except ValueError:
        return None


def _written(node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode):
        return "a section"
    return str(node.value) or "nothing"


def _text(name: Hashable) -> str:
    """A key as pydantic names it."""
    return str(int(name)) if isinstance(name, bool) else str(name)


def _read_as(value: Any) -> str:
    """A value as YAML writes it."""
    if isinstance(value, date):
        return "a date"
    if isinstance(value, (ValueError, yaml.YAMLError)):
        return f"an impossible value ({value})"
    return json.dumps(value) if value is None or isinstance(value, bool) else repr(value)
