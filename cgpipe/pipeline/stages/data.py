"""Stage `data`: raw images to `dataset.nc`."""

from dataclasses import dataclass
from pathlib import Path

from cgpipe.data import datasets
from cgpipe.data.errors import DataError
from cgpipe.pipeline.artifacts import Provenance, write_netcdf
from cgpipe.pipeline.progress import log


@dataclass(frozen=True)
class Folder:
    """Images of a folder: the SHA-256 of its files, and the size that they are given."""

    files: str
    size: int | None


@dataclass(frozen=True)
class Spec:
    """The settings that this stage reads."""

    dataset: str | Folder


def run(
    spec: Spec,
    provenance: Provenance,
    *,
    dataset: Path,
    data_root: Path | None,
    downloads: Path,
    folder: Path | None = None,
) -> None:
    """Read raw files from `folder` or `data_root`, or download them, and write them as one NetCDF."""
    if isinstance(spec.dataset, str):
        name = spec.dataset
        loaded = datasets.load(name, data_root or downloads, download=data_root is None)
    elif folder is None:
        raise ValueError("the settings are of a folder of images: name it with --folder")
    else:
        name = "a folder"
        loaded = datasets.load_folder(folder, spec.dataset.size)
        if loaded.attrs["files_sha256"] != spec.dataset.files:
            raise DataError(f"{folder}: its files changed while it was read. Give the same command again")
    write_netcdf(loaded, dataset, title=f"Images and true labels of {name}", provenance=provenance)
    sizes = (loaded.sizes[f"{part}_example"] for part in ("train", "test"))
    text = "wrote %s: %d training and %d test examples, sha256 %s"
    log.info(text, dataset, *sizes, loaded.attrs["checksum"])
