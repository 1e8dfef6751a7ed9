"""One source of settings as it is written: what its parser changes or drops, and where settings stand.

Snakemake reads a config file as JSON or else as YAML 1.1, and passes on the result: of a key that is given
twice the last is left, 010 is 8, no is false. Here the same text is looked at before that.

`profiles/default` runs this file by its path, before anything else: it imports PyYAML and Python alone.
"""

import json
import re
from collections.abc import Hashable, Iterable, Sequence
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
LINE_ENDS = {"\x85": "NEXT LINE", "\u2028": "LINE SEPARATOR", "\u2029": "PARAGRAPH SEPARATOR"}
MARKS = {b"\xff\xfe\0\0": "UTF-32", b"\0\0\xfe\xff": "UTF-32", b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
HINTS = {  # by what is in an error of YAML's own
    "'\\t'": ": indent with spaces, and separate with spaces",
    "another document": ": leave out what begins with ---, or put it into a file of its own",
    "mapping values": ": indent as the lines above, and put text that has a colon into quotes",
    "':'": ": write `key: value`, with a plain colon and a space",
}
NEW_LINE, NUL = "\n", "\0"
SAVE = "save the file as UTF-8"
OF_KEY = "[key]"  # as pydantic has it
DEEPEST = 6  # level of a setting that is looked for; there are four
OPTIONS = {"--configfiles": "--configfile", "-C": "--config"}  # other names of options


class Place(NamedTuple):
    """Where a setting stands; `given` says how it is written, if it was read as something else."""

    where: str = ""
    given: str = ""


class Problem(NamedTuple):
    """What is changed or dropped, of the setting at `keys`; these end with `OF_KEY` if the key is meant."""

    where: str
    text: str
    keys: Keys = ()
    drops: bool = False  # something that was given

    def __str__(self) -> str:
        """In one line."""
        return f"{self.where}: {self.text}"


def look_at(command: Sequence[str]) -> None:
    """Stop a command line whose config files Snakemake cannot read; it would not say which, why or where.

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
            taking = OPTIONS.get(option, option) == "--configfile"
            paths += [value] if taking and given else []
        elif taking:
            paths.append(part)
    readers = [Reader.of_file(path) for path in dict.fromkeys(map(Path, paths))]
    if not all(reader.readable for reader in readers):
        raise SystemExit(listed([str(problem) for reader in readers for problem in reader.problems]))


def listed(mistakes: Sequence[str]) -> str:
    """The message with all errors of the settings."""
    count = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
    return "\n".join([f"{count} in the config:", *(f"  - {mistake}" for mistake in mistakes)])


class Reader:
    """One source of settings.

    Parameters
    ----------
    name : str
        Of the source.
    """

    by = "YAML"  # who reads it

    def __init__(self, name: str) -> None:
        self.name = name
        self.problems: list[Problem] = []
        self.places: dict[Keys, Place] = {}
        self.leaves: list[Keys] = []  # settings that are no sections
        self.empty: list[Keys] = []  # sections without settings
        self.readable = True  # by Snakemake
        self._loader: Any = None
        self._typed = True  # whether plain words may become numbers
        self._seen: set[int] = set()  # nodes, by identity
        self._merged: set[int] = set()  # sections that a << is followed into

    @classmethod
    def of_file(cls, path: Path) -> "Reader":
        """Read a file."""
        here = Path.cwd()
        reader = cls(str(path.relative_to(here) if path.is_relative_to(here) else path))
        try:
            raw = path.read_bytes()
        except OSError as error:
            text = f"cannot be read ({error.strerror}): give the path of a file that can be read"
            reader._report(reader.name, text)
            reader.readable = False
        else:
            content = reader._decoded(raw)
            reader.readable = content is not None and reader._parsed(content)
        return reader

    def _report(self, where: str, text: str, keys: Keys = (), *, drops: bool = False) -> None:
        self.problems.append(Problem(where, text, keys, drops))

    def _line(self, node: Any) -> str:
        return f"{self.name}, line {node.start_mark.line + 1}"

    def _decoded(self, raw: bytes) -> str | None:
        """The text of a file, or None with a problem."""
        for mark, encoding in MARKS.items():
            if raw.startswith(mark):
                self._report(self.name, f"is written in {encoding}: {SAVE}")
                return None
        try:
            text = raw.decode()
        except UnicodeDecodeError as error:
            byte = raw[error.start : error.start + 1]
            before = raw[: error.start].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            line, column = before.count(b"\n") + 1, error.start - raw.rfind(b"\n", 0, error.start)
            text = f"the byte 0x{byte.hex()} is no UTF-8 (it is {byte.decode('latin-1')!r} in Latin-1)"
            self._report(f"{self.name}, line {line}, column {column}", f"{text}: {SAVE}")
            return None
        # As Python reads text.
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        if NUL in text:
            where = f"{self.name}, line {text[: text.index(NUL)].count(NEW_LINE) + 1}"
            self._report(where, f"holds a NUL byte, as UTF-16 read as UTF-8 does: {SAVE}")
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
                self._report(where, f"neither JSON nor YAML: {no_json.msg}")
            else:
                self._syntax(error)
            return False
        except yaml.reader.ReaderError as error:
            line = text[: error.position].count(NEW_LINE) + 1
            letter = f"U+{int(error.character):04X}"
            self._report(f"{self.name}, line {line}", f"holds {letter}, which YAML does not allow: remove it")
            return False
        if not isinstance(root, yaml.MappingNode):
            kind = {type(None): "is empty", yaml.SequenceNode: "is a list"}.get(type(root), "is text")
            self._report(self.name, f"{kind}: write settings, each as a key and a value")
            return False
        self._walk(root, ())
        try:
            self._loader.construct_document(root)
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            if not self.problems:
                self._report(self.name, f"no YAML: {' '.join(str(error).split())}")
            return False
        return True

    def _line_ends(self, text: str) -> None:
        """Report letters at which a line ends for YAML and for no editor, as after a comment."""
        for place, letter in enumerate(text):
            if letter in LINE_ENDS:
                where = f"{self.name}, line {text.count(NEW_LINE, 0, place) + 1}"
                kind = f"U+{ord(letter):04X} ({LINE_ENDS[letter]})"
                self._report(where, f"holds {kind}, at which a line ends for YAML alone: remove it")

    def _syntax(self, error: yaml.MarkedYAMLError) -> None:
        """Report an error of YAML's own."""
        mark = error.problem_mark or error.context_mark
        where = f"{self.name}, line {mark.line + 1}, column {mark.column + 1}" if mark else self.name
        reason = ", ".join(part for part in (error.context, error.problem) if part)
        hint = next((hint for part, hint in HINTS.items() if part in reason), "")
        self._report(where, f"no YAML: {reason}{hint}")

    def _walk(self, node: Any, keys: Keys) -> None:
        """Look at a node and all below it; one that an alias leads to is reported once."""
        first = id(node) not in self._seen
        self._seen.add(id(node))
        if not first and len(keys) > DEEPEST:
            return
        if first and node is not None and node.tag not in (*PLAIN, f"{TAG}map", f"{TAG}seq"):
            tag = node.tag.replace(TAG, "!!")
            self._report(self._line(node), f"{'.'.join(keys)}: has the tag {tag}: leave it out", keys)
        if isinstance(node, yaml.MappingNode):
            below = {
                _text(name): (self._line(key), value)
                for name, (key, value) in self._pairs(node, keys, report=first).items()
            }
        elif isinstance(node, yaml.SequenceNode):
            below = {str(place): (self._line(value), value) for place, value in enumerate(node.value)}
        else:
            self.leaves.append(keys)
            return
        if not below:
            self.empty.append(keys)
        for name, (where, value) in below.items():
            self.places[(*keys, name)] = Place(where)
            if isinstance(value, yaml.ScalarNode) and self._typed:
                self._scalar(where, value, (*keys, name), report=id(value) not in self._seen)
            self._walk(value, (*keys, name))

    def _pairs(self, node: yaml.MappingNode, keys: Keys, *, report: bool) -> Pairs:
        """Keys and values of a section, those from elsewhere (`<<`) included; what is dropped is reported."""
        own: Pairs = {}
        merged: Pairs = {}

        def drop(name: Hashable, written: str, how: str) -> None:
            if report:
                path = ".".join((*keys, written))
                self._report(where, f"{path}: {how}", (*keys, _text(name)), drops=True)

        def line(name: Hashable) -> int:
            return int(own[name][0].start_mark.line) + 1

        for key, value in node.value:
            where = self._line(key)
            name = self._name(key, keys, report=report)
            if name in own:
                then = "; write one << with a list" if name == "<<" else ", which is dropped: keep one"
                drop(name, _written(key), f"given twice, first on line {line(name)}{then}")
            if key.tag == f"{TAG}merge":
                for other, pair in self._from_elsewhere(value, keys):
                    if other in own:
                        how = f"given by << too, which is dropped for line {line(other)}: put << first"
                        drop(other, _text(other), how)
                    elif other in merged:
                        how = "given by << twice, and the second is dropped: write it out here"
                        drop(other, _text(other), how)
                    merged.setdefault(other, pair)
            own[name] = (key, value)
        own.pop("<<", None)
        return merged | own

    def _from_elsewhere(self, node: yaml.Node, keys: Keys) -> Iterable[tuple[Hashable, Any]]:
        """What `<<` brings: the pairs of one section, or of several."""
        for section in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            if not isinstance(section, yaml.MappingNode) or id(section) in self._merged:
                text = f"{'.'.join(keys)}: << is followed by no other section: name one"
                self._report(self._line(node), text)
                continue
            self._merged.add(id(section))
            yield from self._pairs(section, keys, report=False).items()
            self._merged.remove(id(section))

    def _name(self, key: yaml.Node, keys: Keys, *, report: bool) -> Hashable:
        """A key as it is read, which should be text."""
        if key.tag == f"{TAG}merge":
            return "<<"
        if not isinstance(key, yaml.ScalarNode):
            if report:
                text = f"{'.'.join(keys)}: has a key that is no text: write a name".removeprefix(": ")
                self._report(self._line(key), text, keys)
            return id(key)
        name: Hashable = self._value(key)
        if not self._typed or isinstance(name, str) or re.fullmatch(PLAIN[key.tag], key.value, re.IGNORECASE):
            return name
        if report:
            path = ".".join((*keys, _written(key)))
            text = f"{path}: this key is {_read_as(name)} to YAML: write {key.value!r}, in quotes"
            self._report(self._line(key), text, (*keys, _text(name), OF_KEY))
        return name

    def _scalar(self, where: str, node: yaml.ScalarNode, keys: Keys, *, report: bool) -> None:
        """Note a value that is read as something that was not written."""
        plain = PLAIN.get(node.tag, "(?s:.*)")  # another tag is reported by itself
        if not re.fullmatch(plain, node.value, re.IGNORECASE):
            self._became(where, keys, _written(node), self._value(node), report=report)

    def _value(self, node: yaml.Node) -> Any:
        try:
            return self._loader.construct_object(node)
        except (ValueError, yaml.YAMLError) as error:
            return error

    def _became(self, where: str, keys: Keys, written: str, value: Any, *, report: bool = True) -> None:
        """Note a value that became another one."""
        instead = [] if isinstance(value, (date, ValueError, yaml.YAMLError)) else [_read_as(value)]
        if re.fullmatch(r"[-+]?0[0-9_]+", written):
            instead.append(written.replace("_", "").lstrip("+-0") or "0")
        if value is None:
            instead.append("leave the key out")
        elif not re.fullmatch(r"[-+]?[0-9._]+", written):
            instead.append(f"{written!r} if it is text")
        given = f"{written}, which {self.by} reads as {_read_as(value)}"
        self.places[keys] = Place(where, given)
        if report:
            write = ", or ".join(dict.fromkeys(instead))
            self._report(where, f"{'.'.join(keys)}: given {given}: write {write}", keys)


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
