"""Stage `corrupt`: `dataset.nc` to the examples and labels of one noise level and replicate."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import xarray as xr

from cgpipe.data.corruption import corrupt_labels
from cgpipe.data.subset import balanced_subset, with_replaced
from cgpipe.names import Selection
from cgpipe.pipeline.artifacts import Provenance, read_netcdf, write_netcdf
from cgpipe.pipeline.layout import OF
from cgpipe.pipeline.progress import log
from cgpipe.pipeline.stages.inputs import read_for
from cgpipe.pipeline.streams import stream


@dataclass(frozen=True)
class Examples:
    """What is trained on, where it is not all of a training set once each, or a class-balanced subset."""

    chosen: str | None = None  # "easy-of-NAME" or "hard-of-NAME"; None: from all
    examples: int | None = None  # of a class-balanced subset of these; None: all
    replaced: int = 0
    copies: int = 1
    zeroed: float = 0.0  # share of the pixels, for those who read the images


@dataclass(frozen=True)
class Spec:
    """The settings that this stage reads."""

    noise: float
    replicate: int
    seed: int
    selection: Selection
    dataset: str = ""  # part of the path, of one that is not the workflow's own
    examples: int | Examples | None = None  # a number: of a class-balanced subset; None: all, once each


def run(
    spec: Spec, provenance: Provenance, *, dataset: Path, corrupted: Path, difficulty: Path | None = None
) -> None:
    """Choose the training examples, and permute the labels of a share of them."""
    images = read_netcdf(dataset, "data")
    provenance = provenance.of(images)
    true = images["train_labels"].values
    given = spec.examples if isinstance(spec.examples, Examples) else Examples(examples=spec.examples)
    pool = np.arange(len(true))
    if given.chosen is not None:
        if difficulty is None:
            raise ValueError(f"examples are to be chosen ({given.chosen}): give --difficulty")
        learned = read_for(images, difficulty, "difficulty")
        provenance = provenance.of(learned)
        pool = of_difficulty(learned, given)
    chosen = pool  # (example,)
    if given.examples is not None:
        rng = stream(spec.seed, "subset", spec.replicate)
        chosen = pool[balanced_subset(true[pool], given.examples, rng=rng)]
    if given.replaced:
        rng = stream(spec.seed, "replaced", spec.replicate)
        chosen = with_replaced(true, chosen, given.replaced, pool=pool, rng=rng)
    chosen = np.repeat(chosen, given.copies)
    rng = stream(spec.seed, "corruption", spec.replicate)
    labels = corrupt_labels(true[chosen], spec.noise, rng=rng, selection=spec.selection)
    labels["index"] = "example", chosen, {"long_name": "index in the training set of the dataset"}
    labels = labels.assign_attrs({name: images.attrs[name] for name in ("dataset", "checksum")})
    title = f"Labels with {spec.noise:.0%} noise, replicate {spec.replicate}"
    write_netcdf(labels, corrupted, title=title, provenance=provenance)
    pristine = labels["pristine"].values
    log.info("wrote %s: %.1f%% of %d examples are pristine", corrupted, 100 * pristine.mean(), len(pristine))


def of_difficulty(learned: xr.Dataset, given: Examples) -> npt.NDArray[np.int64]:
    """Indices of the easy or of the hard examples, ascending.

    Raises
    ------
    ValueError
        If there are fewer than are to be drawn from them.
    """
    which, _, experiment = str(given.chosen).partition(OF)
    is_of = learned["easy"].values if which == "easy" else ~learned["easy"].values
    pool: npt.NDArray[np.int64] = np.sort(learned["index"].values[is_of])
    if len(pool) < (given.examples or 1):
        raise ValueError(
            f"{given.examples} {which} examples of {experiment} are asked for, and of its {len(is_of)}, "
            f"{len(pool)} are {which}: set examples to at most that, or let {experiment} train on more"
        )
    return pool
