"""What an artifact says of its making, and whether that still is what the settings ask for.

Snakemake remembers in `.snakemake` how a file was made, and people delete that folder. So the artifacts
are asked themselves. The record of an artifact is one JSON object of text: `stage`, `spec`, `code`,
`inputs`, `input_sha256`, and `files` where it answers for others beside it. It stands

- at the end of a NetCDF file, in a line of its own ahead of the seal, where HDF5 does not look;
- in the header of a safetensors file;
- in a JSON file, for files that can hold none: figures, tables, texts.

Only the ends of large files are read. Imports neither torch nor xarray.
"""

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

RECORD = b"\ncgpipe "
# A NetCDF file ends with this and the SHA-256 of all before it.
SEAL = b"\nsha256 "
SHA256 = 64  # hexadecimal digits
HOLD_RECORDS = (".nc", ".safetensors", ".json")
# Read first of the end of a file; more, if the record is longer.
TAIL = 65_536


class NoRecordError(ValueError):
    """A file holds no record: it is cut short, damaged, edited, or not of this program."""


def record_of(path: Path) -> dict[str, str]:
    """The record of an artifact, with the SHA-256 that it notes of itself as `sha256`.

    Whether that is right is not looked at: this is for planning, and the stages look.

    Parameters
    ----------
    path : Path
        A NetCDF, safetensors or JSON file of the workflow.

    Returns
    -------
    dict of str
        The record.

    Raises
    ------
    NoRecordError
        If it was read, and holds none.
    OSError
        If it could not be read.
    """
    with path.open("rb") as file:
        try:
            if path.suffix == ".safetensors":
                record = json.loads(json.loads(header_of(file)[8:])["__metadata__"]["cgpipe"])
            elif path.suffix == ".json":
                content = file.read()
                record = {**json.loads(content), "sha256": hashlib.sha256(content).hexdigest()}
            else:
                record = _of_tail(file)
            record["sha256"], record["stage"]
        except (ValueError, KeyError, TypeError) as error:
            raise NoRecordError(f"{path} holds no record of its making") from error
    return dict(record)


def seal_of(path: Path) -> str:
    """SHA-256 by which an artifact is known: that which it notes, or that of its bytes if it notes none."""
    if path.suffix in HOLD_RECORDS:
        try:
            return record_of(path)["sha256"]
        except NoRecordError:
            pass
    return file_hash(path)


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def header_of(file: BinaryIO) -> bytes:
    """Header of a safetensors file, with the eight bytes of its length before it."""
    length = file.read(8)
    # What is damaged may claim any length.
    return length + file.read(min(int.from_bytes(length, "little"), 100_000_000))


def why_stale(
    outputs: Sequence[Path],
    inputs: Sequence[Path],
    *,
    stage: str,
    spec: str,
    code: str,
    before: Callable[[str], tuple[str, str]] | None = None,
) -> dict[str, Path]:
    """Why the files of a job have to be made again; empty if they are what the plan asks for.

    Parameters
    ----------
    outputs : sequence of Path
        All files that the job makes.
    inputs : sequence of Path
        All files that it reads.
    stage : str
        Its stage.
    spec : str
        Its settings.
    code : str
        Fingerprint of the code of the stage.
    before : callable, optional
        Settings and code of a stage whose results the outputs are made from, by its name. They are compared
        where an input is not there, as after a failure: snakemake makes it only if this job has to run.

    Returns
    -------
    dict from str to Path
        What differs, in words, and the first file that differs so. Files that are not there are left to
        snakemake.

    Raises
    ------
    OSError
        If a file could not be read.
    """
    there = [path for path in outputs if path.exists()]
    lying = {seal_of(path) for path in inputs if path.exists()}
    complete = all(path.exists() for path in inputs)
    reasons: dict[str, Path] = {}
    answered: dict[str, str] = {}
    for path in there:
        if path.suffix not in HOLD_RECORDS:
            continue
        try:
            record = record_of(path)
        except NoRecordError:
            reasons.setdefault("holds no record of its making: damaged, or of another program", path)
            continue
        answered |= json.loads(record.get("files", "{}"))
        if record["stage"] != stage:
            reasons.setdefault(f"is of stage {record['stage']}, not {stage}", path)
            continue
        for difference in _differences(record["spec"], spec):
            reasons.setdefault(f"was made with {difference}", path)
        if record["code"] != code:
            reasons.setdefault("was made by other code", path)
        if complete and set(json.loads(record.get("input_sha256", "[]"))) != lying:
            reasons.setdefault("was made from other files than those that are there now", path)
        if not complete and before:
            for earlier, noted in json.loads(record["inputs"]).items():
                planned, its_code = before(earlier)
                for difference in _differences(noted["spec"], planned):
                    reasons.setdefault(f"was made from results of stage {earlier} with {difference}", path)
                if noted["code"] != its_code:
                    reasons.setdefault(f"was made from results of stage {earlier} by other code", path)
        # Of a run it is kept. What collects many may have to collect others, and these are not there yet.
        if not complete and record.get("inputs") == "{}":
            reasons.setdefault("is made from many files, and one of them is not there", path)
    for path in there:
        if path.suffix not in HOLD_RECORDS and answered.get(path.name) != file_hash(path):
            reasons.setdefault("is not as it was written", path)
    return reasons


def _of_tail(file: BinaryIO) -> dict[str, str]:
    size = file.seek(0, os.SEEK_END)
    length = TAIL
    while True:
        file.seek(max(0, size - length))
        tail = file.read(length)
        body, sealed, seal = tail.rpartition(SEAL)
        if not sealed or len(seal) != SHA256:
            raise ValueError("no seal")
        _, marked, text = body.rpartition(RECORD)
        if marked:
            return {**json.loads(text), "sha256": seal.decode("ascii")}
        if length >= size:
            raise ValueError("no record")
        length *= 4


def _differences(noted: str, planned: str) -> list[str]:
    """Settings that differ between two specs, in words."""
    then, now = (_flat(json.loads(text)) for text in (noted, planned))
    none = "nothing"
    return [
        f"{key} = {then.get(key, none)}, not {now.get(key, none)}"
        for key in sorted({*then, *now})
        if then.get(key, none) != now.get(key, none)
    ]


def _flat(settings: Any, path: str = "") -> dict[str, str]:
    if not isinstance(settings, Mapping) or (path and not settings):  # `{lenet5: {}}` is a choice, too
        return {path: json.dumps(settings)}
    flat: dict[str, str] = {}
    for key, value in settings.items():
        flat |= _flat(value, f"{path}.{key}" if path else key)
    return flat
