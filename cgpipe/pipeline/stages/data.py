"""Stage `data`: raw images to `dataset.nc`."""

from dataclasses import dataclass
from pathlib import Path

from cgpipe.data import datasets
from cgpipe.pipeline.artifacts import Provenance, write_netcdf
from cgpipe.pipeline.progress import log


@dataclass(frozen=True)
class Spec:
    """The settings that this stage reads."""

    dataset: str


def run(
    spec: Spec, provenance: Provenance, *, dataset: Path, data_root: Path | None, downloads: Path
) -> None:
    """Read raw files from `data_root`, or download them, and write them as one NetCDF."""
    loaded = datasets.load(spec.dataset, data_root or downloads, download=data_root is None)
    write_netcdf(loaded, dataset, title=f"Images and true labels of {spec.dataset}", provenance=provenance)
    sizes = (loaded.sizes[f"{part}_example"] for part in ("train", "test"))
    text = "wrote %s: %d training and %d test examples, sha256 %s"
    log.info(text, dataset, *sizes, loaded.attrs["checksum"])
