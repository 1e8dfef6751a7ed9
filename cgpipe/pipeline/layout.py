"""Where the artifacts lie, below `results/{name}/`."""

from pathlib import Path

RUN = "{experiment}/noise-{noise}/winsor-{winsor}/replicate-{replicate}"
DATASET = "{dataset}dataset.nc"
CORRUPTED = "corrupted/{dataset}{examples}noise-{noise}/replicate-{replicate}.nc"
HISTORY = f"{RUN}/history.nc"
SNAPSHOTS = f"{RUN}/snapshots.safetensors"
GRADIENTS = f"{RUN}/gradients.nc"
CONTRIBUTIONS = f"{RUN}/contributions.nc"
COHERENCE = f"{RUN}/coherence.nc"
BURSTS = f"{RUN}/bursts.nc"
DISPLACEMENT = f"{RUN}/displacement.nc"
CLIPPING = f"{RUN}/clipping.nc"
HELDOUT = f"{RUN}/heldout.nc"
WORLDS = f"{RUN}/nullworlds.nc"
EXACT_WORLDS = f"{RUN}/nullworlds_exact.nc"
DISPLACEMENT_WORLDS = f"{RUN}/nullworlds_displacement.nc"
CLAIMS = "claims.nc"
RUNS = "runs.csv"

# What figures plot, by its name in `cgpipe.figures.registry`: the stage that makes it, and where it lies.
PLOTTED = {
    "history": ("train", HISTORY),
    "nullworlds": ("nullworlds", WORLDS),
    "nullworlds_exact": ("nullworlds", EXACT_WORLDS),
    "nullworlds_displacement": ("nullworlds", DISPLACEMENT_WORLDS),
    "coherence": ("coherence", COHERENCE),
    "bursts": ("bursts", BURSTS),
    "clipping": ("clipping", CLIPPING),
    "heldout": ("heldout", HELDOUT),
    "claims": ("claims", CLAIMS),
}

# What later stages read of a stage.
_READ = {
    "data": DATASET,
    "corrupt": CORRUPTED,
    "train": SNAPSHOTS,
    "gradients": GRADIENTS,
    "contributions": CONTRIBUTIONS,
    "bursts": BURSTS,
    "displacement": DISPLACEMENT,
}


def part_of_path(examples: int | None) -> str:
    """What `{examples}` stands for in a path, of labels of so many training examples; empty if of all."""
    return "" if examples is None else f"examples-{examples}/"


def made_from(artifact: Path, examples: int | None, dataset: str = "") -> dict[str, Path]:
    """Where that lies which an artifact of a run was made from, by stage.

    Parameters
    ----------
    artifact : Path
        A file in the folder of a run.
    examples : int or None
        Size of the subset of the training set that the run trained on; None for all of it.
    dataset : str
        What `{dataset}` stands for in the paths of its dataset and its labels.

    Returns
    -------
    dict from str to Path
        They need not exist; none if the file is not in such a folder.
    """
    run = artifact.absolute().parent
    if len(run.parts) < 5:
        return {}
    replicate, winsor, noise, experiment = (folder.name for folder in (run, *list(run.parents)[:3]))
    at = {
        "dataset": dataset,
        "examples": part_of_path(examples),
        "experiment": experiment,
        "noise": noise.removeprefix("noise-"),
        "winsor": winsor.removeprefix("winsor-"),
        "replicate": replicate.removeprefix("replicate-"),
    }
    if run != run.parents[3] / RUN.format(**at):
        return {}
    return {stage: run.parents[3] / path.format(**at) for stage, path in _READ.items()}
