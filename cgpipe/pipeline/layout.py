"""Where the artifacts lie, below `results/{name}/`."""

from pathlib import Path

RUN = "{experiment}/noise-{noise}/winsor-{winsor}/replicate-{replicate}"
DATASET = "dataset.nc"
CORRUPTED = "corrupted/noise-{noise}/replicate-{replicate}.nc"
HISTORY = f"{RUN}/history.nc"
SNAPSHOTS = f"{RUN}/snapshots.safetensors"
GRADIENTS = f"{RUN}/gradients.nc"
CONTRIBUTIONS = f"{RUN}/contributions.nc"
COHERENCE = f"{RUN}/coherence.nc"
ACTIVITY = f"{RUN}/activity.nc"
WORLDS = f"{RUN}/nullworlds.nc"
EXACT_WORLDS = f"{RUN}/nullworlds_exact.nc"
CLAIMS = "claims.nc"
RUNS = "runs.csv"

# In the folder of a run, until its job has succeeded: what it goes on from, or a mark that it has diverged.
CHECKPOINTS = ".checkpoint-*"
STATE = "state.safetensors"
DIVERGED = "diverged"

# What figures plot, by its name in `cgpipe.figures.registry`: the stage that makes it, and where it lies.
PLOTTED = {
    "history": ("train", HISTORY),
    "nullworlds": ("nullworlds", WORLDS),
    "nullworlds_exact": ("nullworlds", EXACT_WORLDS),
    "coherence": ("coherence", COHERENCE),
    "activity": ("activity", ACTIVITY),
    "claims": ("claims", CLAIMS),
}

# What later stages read of a stage.
_READ = {
    "data": DATASET,
    "corrupt": CORRUPTED,
    "train": SNAPSHOTS,
    "gradients": GRADIENTS,
    "contributions": CONTRIBUTIONS,
}


def made_from(artifact: Path) -> dict[str, Path]:
    """Where that lies which an artifact of a run was made from, by stage.

    Parameters
    ----------
    artifact : Path
        A file in the folder of a run.

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
        "experiment": experiment,
        "noise": noise.removeprefix("noise-"),
        "winsor": winsor.removeprefix("winsor-"),
        "replicate": replicate.removeprefix("replicate-"),
    }
    if run != run.parents[3] / RUN.format(**at):
        return {}
    return {stage: run.parents[3] / path.format(**at) for stage, path in _READ.items()}
