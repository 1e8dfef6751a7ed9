"""The one reader and the one writer of the workflow's files. Nothing is ever unpickled.

A file is written under another name in the same folder, closed, opened again and checked, flushed to
the disk and then renamed: a name that exists is a file that is whole. Each carries a SHA-256, and is
read only if that is right: HDF5 sees damage in the arrays alone, and some damage elsewhere kills it. What
was checked is what is used: a file is opened once, by Python, whose errors name their reason. Each
also carries a record of its making (records.py).
"""

import hashlib
import json
import math
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from io import BufferedRandom, BufferedReader
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.numpy
import xarray as xr

from cgpipe.pipeline import disks
from cgpipe.pipeline.records import RECORD, SEAL, SHA256, file_hash, header_of

REFERENCES = (
    "Chatterjee, S. (2020). Coherent Gradients: An Approach to Understanding Generalization in Gradient "
    "Descent-based Optimization. ICLR 2020. arXiv:2002.10657"
)
CONVENTIONS = "CF-1.11"
# In safetensors it stands in the header, for a file that has this in its place.
UNSEALED = "0" * 64
DAMAGED = "it is cut short or damaged. Remove it, and snakemake makes it again"
SOFTWARE = ("cgpipe", "netCDF4", "numpy", "pillow", "scikit-learn", "scipy", "torch", "torchvision", "xarray")


class ArtifactError(RuntimeError):
    """A file of the workflow is missing, damaged or of another kind."""


class MissingError(ArtifactError):
    """A file of the workflow is not there."""


class UnreadableError(ArtifactError):
    """A file of the workflow could not be read, which says nothing of its content."""


@dataclass(frozen=True)
class Provenance:
    """What an artifact says of its making."""

    stage: str
    spec: str  # JSON: the settings that the stage read
    code: str  # fingerprint of the code that it ran
    # Of every stage before, by name: spec, code, and the SHA-256 of the file of it that was used.
    inputs: dict[str, dict[str, str]] = field(default_factory=dict)
    read: tuple[str, ...] = ()  # SHA-256 of all files that this stage read itself
    files: dict[str, str] = field(default_factory=dict)  # SHA-256 of accompanying files without a record

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
        """With files that were written together with the artifact and cannot hold a record."""
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
    if unnamed := [str(name) for name, of in dataset.variables.items() if "long_name" not in of.attrs]:
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
        record = RECORD + json.dumps(provenance.attributes(), sort_keys=True).encode()
        with temporary.open("rb+") as file:
            digest = hashlib.file_digest(file, "sha256")
            digest.update(record)
            file.write(record + SEAL + digest.hexdigest().encode())
        if not _reads_back(temporary, complete):
            raise ArtifactError(f"{path}: what was written does not read back as it was; is the disk full?")


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
        If it is missing, cut short, altered, written by another stage, or if it could not be read.
    """
    with _reading(path, f", from stage {stage}"):
        # One reading: what is checked is what is parsed, and HDF5 sees no file that it would lock.
        content = path.read_bytes()
        try:
            sha256 = _check_seal(content)
        except ValueError as error:
            raise ArtifactError(f"{path} cannot be read ({error}): {DAMAGED}") from error
        try:
            dataset = _load(content)
        except (RuntimeError, ValueError, LookupError, AttributeError) as error:
            raise OSError(f"its SHA-256 is right, but netCDF4 says: {error}") from error
    dataset.encoding["sha256"] = sha256
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
        temporary.touch()
        permissions = temporary.stat().st_mode  # of any new file: safetensors gives its own
        safetensors.numpy.save_file(contiguous, temporary, metadata)
        if temporary.stat().st_mode != permissions:
            disks.extra(partial(temporary.chmod, permissions), "snapshots can be read by their owner alone")
        with temporary.open("rb+") as file:
            header = header_of(file)
            digest = _tensor_hash(file, header, UNSEALED)
            file.seek(header.index(UNSEALED.encode()))
            file.write(digest.encode())


@dataclass(frozen=True)
class StoredArray:
    """An array in an open file, read when it is asked for; indexing reads a part, along the first axis.

    Not by a memory map: some file systems have none, and in one an error of the disk kills the process.
    """

    path: Path  # for messages
    file: BufferedReader
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    begin: int  # byte

    def __getitem__(self, index: int) -> npt.NDArray[Any]:
        rest = self.shape[1:]
        before = range(self.shape[0])[index] * math.prod(rest) * self.dtype.itemsize
        return replace(self, shape=rest, begin=self.begin + before).read()

    def read(self) -> npt.NDArray[Any]:
        """All of it."""
        with _reading(self.path):
            content = np.empty(math.prod(self.shape) * self.dtype.itemsize, np.uint8)
            self.file.seek(self.begin)
            if self.file.readinto(content.data) != len(content):
                raise OSError("it ended early")
        return content.view(self.dtype).reshape(self.shape)


class Tensors(dict[str, StoredArray]):
    """Arrays of an open file, with the names of safetensors."""

    def get_tensor(self, name: str) -> npt.NDArray[Any]:
        """All of an array."""
        return self[name].read()


@contextmanager
def open_tensors(path: Path) -> Iterator[tuple[dict[str, Any], Tensors]]:
    """Open safetensors for reading: yields the description, and the arrays.

    Raises
    ------
    ArtifactError
        If the file is missing, cut short, altered, not safetensors, or if it could not be read.
    """
    with _reading(path):
        file = path.open("rb")
    with file:
        with _reading(path):
            try:
                header = header_of(file)
                noted = json.loads(header[8:])
                description = json.loads(noted.pop("__metadata__")["cgpipe"])
                _compare(_tensor_hash(file, header, description["sha256"]), description["sha256"])
                arrays = Tensors(
                    {name: StoredArray(path, file, *_place(of, len(header))) for name, of in noted.items()}
                )
            except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
                raise ArtifactError(f"{path} cannot be read ({error}): {DAMAGED}") from error
        yield description, arrays


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A name to write to in the place of `path`, which comes into being when all went well.

    Raises
    ------
    ArtifactError
        If it cannot be written.
    """
    # Of nobody else: two machines may share a folder, and have processes of one number.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        disks.remove(*disks.found(path.parent, f".{path.name}.*.tmp"))  # of a job that was killed
        try:
            yield temporary
            disks.flush_file(temporary)
            disks.move(temporary, path)
        except BaseException:
            disks.remove(temporary)
            raise
        disks.flush_folder(path.parent)
    except ArtifactError:
        raise
    except (OSError, RuntimeError, safetensors.SafetensorError) as error:
        raise ArtifactError(f"{path} cannot be written ({error}){disks.room(path.parent)}") from error


def settings_of(dataset: xr.Dataset) -> dict[str, Any]:
    """The settings that the stage which wrote an artifact read."""
    return dict(json.loads(dataset.attrs["spec"]))


@contextmanager
def _reading(path: Path, origin: str = "") -> Iterator[None]:
    """Tell a file that is not there from one that could not be read: that one may be good."""
    try:
        yield
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise MissingError(f"{path} not found: let snakemake make it{origin}") from error
    except (OSError, MemoryError) as error:
        raise UnreadableError(
            f"{path} could not be read ({str(error) or 'out of memory'}). The file was left alone, as "
            "nothing is known to be wrong with it: give the same command again"
        ) from error


def _check_seal(content: bytes) -> str:
    sealed = memoryview(content)[: -len(SEAL) - SHA256]
    sha256 = hashlib.sha256(sealed).hexdigest()
    _compare(content[len(sealed) :], SEAL + sha256.encode())
    return sha256


def _reads_back(path: Path, dataset: xr.Dataset) -> bool:
    content = path.read_bytes()
    try:
        _check_seal(content)
    except ValueError:
        return False
    return _load(content).identical(dataset)


def _tensor_hash(file: BufferedReader | BufferedRandom, header: bytes, noted: str) -> str:
    """SHA-256 of safetensors after their header, with zeros in the place of the one that it notes."""
    blank = header.replace(noted.encode(), UNSEALED.encode(), 1)
    return hashlib.file_digest(file, lambda: hashlib.sha256(blank)).hexdigest()


def _place(array: Mapping[str, Any], header: int) -> tuple[np.dtype[Any], tuple[int, ...], int]:
    """Type, shape and first byte of an array, by its entry in a header of so many bytes."""
    kind = array["dtype"]
    dtype = np.dtype(np.bool_) if kind == "BOOL" else np.dtype(f"<{kind[0].lower()}{int(kind[1:]) // 8}")
    return dtype, tuple(array["shape"]), header + array["data_offsets"][0]


def _compare(found: str | bytes, noted: str | bytes) -> None:
    if found != noted:
        raise ValueError("its SHA-256 is not the one that it notes")


def _load(content: bytes) -> xr.Dataset:
    file = netCDF4.Dataset("in memory", memory=content)
    store = xr.backends.NetCDF4DataStore(file)  # type: ignore[no-untyped-call]
    with xr.open_dataset(store) as dataset:
        return dataset.load()


def _encoding(variable: xr.Variable) -> dict[str, Any]:
    # Nothing is missing: what is undefined is NaN, and xarray is not to add a fill value.
    encoding: dict[str, Any] = {"_FillValue": None} if variable.dtype.kind == "f" else {}
    if variable.dtype.kind not in "iufb" or variable.ndim == 0:
        return encoding
    # Values of single examples, in float32, are like noise: packed a tenth smaller, in five times the time.
    encoding |= {"zlib": variable.dtype != np.float32, "complevel": 4, "fletcher32": True}
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
