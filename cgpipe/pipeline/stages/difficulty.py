"""Stage `difficulty`: which examples all runs of an experiment have right early (Zielinski et al. 2020)."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

import numpy as np
import xarray as xr

from cgpipe.pipeline.artifacts import ArtifactError, Provenance, read_netcdf, settings_of, write_netcdf
from cgpipe.pipeline.progress import log
from cgpipe.pipeline.stages.inputs import read_corrupted
from cgpipe.pipeline.stages.results import read_alike

EPOCHS = 2
# The logged step that stands for these is at most half an epoch off.
NEAR = 0.5


@dataclass(frozen=True)
class Spec:
    """The settings that this stage reads: none."""


def run(
    spec: Spec,
    provenance: Provenance,
    *,
    dataset: Path,
    corrupted: Path,
    histories: Sequence[Path],
    difficulty: Path,
) -> None:
    """Count the runs that have each example right, of the training set and of the test set."""
    images = read_netcdf(dataset, "data")
    labels = read_corrupted(corrupted, images)
    runs = read_alike(histories, "train", ["replicate"])
    for path, history in zip(histories, runs, strict=True):
        if json.loads(history.attrs["inputs"])["corrupt"]["sha256"] != labels.encoding["sha256"]:
            raise ArtifactError(
                f"{path} was trained on other examples than {corrupted}: give runs of one experiment with "
                "subset: shared, at one noise level"
            )
    step = step_of(runs)
    result = xr.Dataset({"index": labels["index"], **counted(runs, step)})
    result = result.assign_attrs(
        {name: labels.attrs[name] for name in ("dataset", "checksum")}, runs=len(runs), step=step
    )
    title = f"Runs that have an example right after {step} steps, of {len(runs)}"
    made = provenance.of_many(images, labels, *runs)
    write_netcdf(result, difficulty, title=title, provenance=made)
    shares = [100 * float(result[name].mean()) for name in ("easy", "easy_test")]
    log.info("wrote %s: %.1f%% of the training and %.1f%% of the test examples are easy", difficulty, *shares)


def counted(runs: Sequence[xr.Dataset], step: int) -> dict[str, xr.DataArray]:
    """In how many runs each example is right at a step, and whether in all: variables of the result."""
    found = {}
    for part, end, name in (("training", "", "correct"), ("test", "_test", "correct_test")):
        right = sum(history[name].sel(step=step, drop=True).astype(np.int64) for history in runs)
        assert isinstance(right, xr.DataArray)
        said = f"runs in which the {part} example is right"
        found[f"right{end}"] = right.assign_attrs(long_name=said, units="1")
        found[f"easy{end}"] = (right == len(runs)).assign_attrs(long_name=f"whether these are all {said}")
    return found


def step_of(runs: Sequence[xr.Dataset]) -> int:
    """The step that is nearest to two epochs, of those that all runs logged: each also logs its own marks.

    Raises
    ------
    ValueError
        If none is between 1.5 and 2.5 epochs.
    """
    epoch = runs[0].sizes["example"] // settings_of(runs[0])["batch_size"]
    steps = reduce(np.intersect1d, [history["step"].values for history in runs])
    step = int(steps[np.abs(steps - EPOCHS * epoch).argmin()])
    if abs(step - EPOCHS * epoch) > NEAR * epoch:
        low, high = (EPOCHS - NEAR) * epoch, (EPOCHS + NEAR) * epoch
        raise ValueError(
            f"easy are the examples that are right after two epochs, and no step from {low:g} to {high:g} is "
            f"logged; these are: {', '.join(map(str, steps))}. Set another batch_size (an epoch is {epoch} "
            "steps now)"
        )
    return step
