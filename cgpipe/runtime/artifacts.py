"""The one reader and the one writer of the workflow's files. Nothing is ever unpickled.

A file is written under another name in the same folder, closed, opened again and checked, flushed to
the disk and then renamed: a name that exists is a file that is whole. Each carries a SHA-256, and is
read only if that is right: HDF5 sees damage in the arrays alone, and some damage elsewhere kills it. Each
also carries a record of its making (records.py).
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.numpy
import xarray as xr

from cgpipe.runtime.records import RECORD, SEAL, file_hash, header_of

REFERENCES = (
    "Chatterjee, S. (2020). Coherent Gradients: An Approach to Understanding Generalization in Gradient "
    "Descent-based Optimization. ICLR 2020. arXiv:2002.10657"
)
CONVENTIONS = "CF-1.11"
# In safetensors it stands in the header, for a file that has this in its place.
UNSEALED = "0" * 64
DAMAGED = "it is cut short or damaged. Remove it, and snakemake makes it again"
SOFTWARE = ("cgpipe", "netCDF4", "numpy", "scikit-learn", "scipy", "torch", "torchvision", "xarray")


class ArtifactError(RuntimeError):
    """A file of the workflow is missing, damaged or of another kind."""


@dataclass(frozen=True)
class Provenance:
    """What an artifact says of its making."""

    stage: str
    spec: str  # JSON: the settings that the stage read
    code: str  # fingerprint of the code that it ran
    # Of every stage before, by name: spec, code, and the SHA-256 of the file of it that was used.
    inputs: dict[str, dict[str, str]] = field(default_factory=dict)
    read: tuple[str, ...] = ()  # SHA-256 of all files that this stage read itself
    files: dict[str, str] = field(default_factory=dict)  # SHA-256 of files beside it that hold no record

    def of(self, *read: xr.Dataset) -> "Provenance":
        """With the provenance of the Datasets that were read, and of what those were made from.

        Raises
        ------
        ArtifactError
            If two of them were made from different files of one stage.
        """
        made = self
        for dataset in read:
            made = made._with(dataset.attrs, dataset.encoding["sha256"])
        return made

    def of_many(self, *read: xr.Dataset) -> "Provenance":
        """With the Datasets of many runs, which have no one provenance."""
        return replace(self, read=(*self.read, *(dataset.encoding["sha256"] for dataset in read)))

    def of_tensors(self, description: Mapping[str, Any]) -> "Provenance":
        """With that of a file of tensors that was read, by its description; as for `of`."""
        return self._with(description, description["sha256"])

    def _with(self, attributes: Mapping[str, Any], sha256: str) -> "Provenance":
        itself = {"spec": attributes["spec"], "code": attributes["code"], "sha256": sha256}
        inputs = dict(self.inputs)
        for stage, made in {**json.loads(attributes["inputs"]), attributes["stage"]: itself}.items():
            if inputs.setdefault(stage, made) != made:
                raise ArtifactError(
                    f"what was read does not belong together: stage {attributes['stage']} and another were "
                    f"made from different results of stage {stage}. Give snakemake the same command again; "
                    "if that does not help, remove these results"
                )
        return replace(self, inputs=inputs, read=(*self.read, sha256))

    def of_files(self, *paths: Path) -> "Provenance":
        """With files of other kinds that were read."""
        return replace(self, read=(*self.read, *map(file_hash, paths)))

    def answering_for(self, *paths: Path) -> "Provenance":
        """With files that were written beside the artifact and cannot hold a record."""
        return replace(self, files={**self.files, **{path.name: file_hash(path) for path in paths}})

    def attributes(self) -> dict[str, str]:
        """As attributes of a file: text, without clock, host or path."""
        files = {"files": json.dumps(self.files, sort_keys=True)} if self.files else {}
        return {
            "stage": self.stage,
            "spec": self.spec,
            "code": self.code,
            "inputs": json.dumps(self.inputs, sort_keys=True),
            "input_sha256": json.dumps(sorted(set(self.read))),
            "software": software(),
            **files,
        }


def write_record(path: Path, provenance: Provenance) -> None:
    """Write the record of files that hold none themselves (`Provenance.answering_for`) as JSON."""
    with whole(path) as temporary:
        text = json.dumps(provenance.attributes(), sort_keys=True, indent=1)
        temporary.write_text(f"{text}\n", encoding="utf-8")


def write_netcdf(dataset: xr.Dataset, path: Path, *, title: str, provenance: Provenance) -> None:
    """Write a Dataset as NetCDF4, compressed, with checksums, and whole or not at all.

    Parameters
    ----------
    dataset : Dataset
        Every variable has a `long_name`.
    path : Path
        Where to.
    title : str
        What it is, for the attribute.
    provenance : Provenance
        How it came about, for the attributes.
    """
    unnamed = [str(name) for name, of in dataset.variables.items() if "long_name" not in of.attrs]
    if unnamed:
        raise ValueError(f"variables without long_name: {', '.join(unnamed)}")
    complete = dataset.assign_attrs(
        {
            "Conventions": CONVENTIONS,
            "title": title,
            "history": f"cgpipe {provenance.stage}",
            "source": dataset.attrs.get("source", "cgpipe"),
            "references": REFERENCES,
            **provenance.attributes(),
        }
    )
    encoding = {name: _encoding(of) for name, of in complete.variables.items()}
    with whole(path) as temporary:
        complete.to_netcdf(temporary, engine="netcdf4", format="NETCDF4", encoding=encoding)
        written = _load(temporary)
        if not written.identical(complete):
            raise ArtifactError(f"{path}: what was written does not read back as it was; is the disk full?")
        record = json.dumps(provenance.attributes(), sort_keys=True)
        with temporary.open("ab") as file:
            file.write(RECORD + record.encode())
        seal = SEAL + file_hash(temporary).encode()
        with temporary.open("ab") as file:
            file.write(seal)


def read_netcdf(path: Path, stage: str) -> xr.Dataset:
    """Read an artifact into memory, and check that it is whole and of the stage it should be of.

    Parameters
    ----------
    path : Path
        Where from.
    stage : str
        The stage that wrote it.

    Returns
    -------
    Dataset
        In memory, the file closed; its SHA-256 is `encoding["sha256"]`.

    Raises
    ------
    ArtifactError
        If it is missing, cut short, altered, or written by another stage.
    """
    if not path.is_file():
        raise ArtifactError(f"{path} not found: let snakemake make it, from stage {stage}")
    try:
        sha256 = _check_seal(path)
        dataset = _load(path)
        dataset.encoding["sha256"] = sha256
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        raise ArtifactError(f"{path} cannot be read ({error}): {DAMAGED}") from error
    if dataset.attrs.get("stage") != stage:
        raise ArtifactError(
            f"{path} is of stage {dataset.attrs.get('stage', 'unknown')}, but one of {stage} was expected"
        )
    return dataset


def write_tensors(
    tensors: Mapping[str, npt.NDArray[Any]], path: Path, description: Mapping[str, Any]
) -> None:
    """Write arrays as safetensors, whole or not at all, with a description in one JSON key."""
    # One key: the order of several would differ from run to run.
    metadata = {"cgpipe": json.dumps({**description, "sha256": UNSEALED}, sort_keys=True)}
    with whole(path) as temporary:
        contiguous = {name: np.asarray(tensor, order="C") for name, tensor in tensors.items()}
        temporary.touch()  # with the permissions of any new file: safetensors would give its own
        permissions = temporary.stat().st_mode
        safetensors.numpy.save_file(contiguous, temporary, metadata)
        temporary.chmod(permissions)
        digest = _tensor_hash(temporary, UNSEALED)
        with temporary.open("rb+") as file:
            place = header_of(file).index(UNSEALED.encode())
            file.seek(place)
            file.write(digest.encode())


@contextmanager
def open_tensors(path: Path) -> Iterator[tuple[dict[str, Any], Any]]:
    """Open safetensors for reading: yields the description, and the open file.

    Raises
    ------
    ArtifactError
        If the file is missing, cut short, altered, or not safetensors.
    """
    if not path.is_file():
        raise ArtifactError(f"{path} not found: let snakemake make it")
    try:
        file = safetensors.safe_open(path, framework="numpy")
        description = json.loads(file.metadata()["cgpipe"])  # type: ignore[no-untyped-call]
        noted = description["sha256"]
        _compare(_tensor_hash(path, noted), noted)
    except (safetensors.SafetensorError, OSError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise ArtifactError(f"{path} cannot be read ({error}): {DAMAGED}") from error
    with file:
        yield description, file


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A name to write to in the place of `path`, which comes into being when all went well.

    Raises
    ------
    ArtifactError
        If it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in path.parent.glob(f".{path.name}.*.tmp"):  # of a job that was killed
            left.unlink(missing_ok=True)
        try:
            yield temporary
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
            _flush(path.parent)
        finally:
            temporary.unlink(missing_ok=True)
    except ArtifactError:
        raise
    except (OSError, RuntimeError, safetensors.SafetensorError) as error:
        raise ArtifactError(f"{path} cannot be written ({error}){_room(path.parent)}") from error


def settings_of(dataset: xr.Dataset) -> dict[str, Any]:
    """The settings that the stage which wrote an artifact read."""
    settings: dict[str, Any] = json.loads(dataset.attrs["spec"])
    return settings


def _check_seal(path: Path) -> str:
    content = memoryview(path.read_bytes())
    noted = len(content) - len(SEAL) - 64
    sha256 = hashlib.sha256(content[:noted]).hexdigest()
    _compare(bytes(content[noted:]), SEAL + sha256.encode())
    return sha256


def _tensor_hash(path: Path, noted: str) -> str:
    """SHA-256 of safetensors, with zeros in the place of the one that the header notes."""
    with path.open("rb") as file:
        header = header_of(file).replace(noted.encode(), UNSEALED.encode(), 1)
        return hashlib.file_digest(file, lambda: hashlib.sha256(header)).hexdigest()


def _compare(found: str | bytes, noted: str | bytes) -> None:
    if found != noted:
        raise ValueError("its SHA-256 is not the one that it notes")


def _room(folder: Path) -> str:
    """How much the disk of a folder, or of the nearest one above that exists, still takes."""
    there = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    return f"; {shutil.disk_usage(there).free / 1e6:,.0f} MB are free on its disk"


def _flush(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _load(path: Path) -> xr.Dataset:
    with xr.open_dataset(path, engine="netcdf4") as dataset:
        return dataset.load()


def _encoding(variable: xr.Variable) -> dict[str, Any]:
    # Nothing is missing: what is undefined is NaN, and xarray is not to add a fill value.
    encoding: dict[str, Any] = {"_FillValue": None} if variable.dtype.kind == "f" else {}
    if variable.dtype.kind not in "iufb" or variable.ndim == 0:
        return encoding
    encoding |= {"zlib": True, "complevel": 4, "fletcher32": True}
    if "step" in variable.dims and variable.ndim > 1 and variable.size:
        encoding["chunksizes"] = [1 if d == "step" else n for d, n in variable.sizes.items()]
    return encoding


def software() -> str:
    """Versions of the libraries that results may depend on, as JSON."""
    found = {}
    for name in SOFTWARE:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return json.dumps(found, sort_keys=True)
