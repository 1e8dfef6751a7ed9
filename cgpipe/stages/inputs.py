"""What several stages read, and check, in the same way."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import xarray as xr

from cgpipe.runtime.artifacts import ArtifactError, read_netcdf


def read_corrupted(path: Path, dataset: xr.Dataset) -> xr.Dataset:
    """Read the labels of a noise level, and check that they were made for this dataset."""
    corrupted = read_netcdf(path, "corrupt")
    if corrupted.attrs["checksum"] != dataset.attrs["checksum"]:
        raise ArtifactError(
            f"{path} was made for images with sha256 {corrupted.attrs['checksum']}, not for those at hand, "
            f"{dataset.attrs['checksum']}. Remove it, and snakemake makes it again"
        )
    return corrupted


def flat_images(dataset: xr.Dataset, part: str) -> npt.NDArray[np.float32]:
    """Images as the network sees them: (example, feature), intensities from 0 to 1, nothing else."""
    images = dataset[f"{part}_images"].values
    flat = images.reshape(len(images), -1).astype(np.float32)
    return flat / np.float32(dataset.attrs["pixel_max"])
