"""Stage `corrupt`: `dataset.nc` to the labels of one noise level and replicate."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from cgpipe.data.corruption import corruption
from cgpipe.names import Selection
from cgpipe.pipeline.artifacts import Provenance, read_netcdf, write_netcdf
from cgpipe.pipeline.progress import log
from cgpipe.pipeline.streams import stream


@dataclass(frozen=True)
class Spec:
    """The settings that this stage reads."""

    noise: float
    replicate: int
    seed: int
    selection: Selection


def run(spec: Spec, provenance: Provenance, *, dataset: Path, corrupted: Path) -> None:
    """Permute the labels of a share of the training examples."""
    images = read_netcdf(dataset, "data")
    true = images["train_labels"].values
    rng = stream(spec.seed, "corruption", spec.replicate)
    label_train, pristine, permutation = corruption(true, spec.noise, rng=rng, selection=spec.selection)
    result = xr.Dataset(
        {
            "label_true": ("example", true, {"long_name": "class of the image"}),
            "label_train": ("example", label_train, {"long_name": "class to train on"}),
            "pristine": ("example", pristine, {"long_name": "whether the class to train on is the true one"}),
            "permutation": (
                "example",
                permutation,
                {"long_name": "example whose true class is this one's class to train on"},
            ),
        },
        attrs={"dataset": images.attrs["dataset"], "checksum": images.attrs["checksum"]},
    )
    title = f"Labels with {spec.noise:.0%} noise, replicate {spec.replicate}"
    write_netcdf(result, corrupted, title=title, provenance=provenance.of(images))
    log.info("wrote %s: %.1f%% of %d examples are pristine", corrupted, 100 * np.mean(pristine), len(true))
