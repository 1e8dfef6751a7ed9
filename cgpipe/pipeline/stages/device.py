"""Where networks run, and the images there."""

import itertools
import os
import tempfile
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from cgpipe.data.images import flat_images, shaped_images, with_zeroed_pixels
from cgpipe.names import Device
from cgpipe.pipeline import disks, gpus
from cgpipe.pipeline.artifacts import settings_of
from cgpipe.pipeline.progress import log
from cgpipe.pipeline.streams import stream

UNKNOWN = "which GPUs other jobs have taken cannot be known, and the first is used"
Zeroed = tuple[float, int, int]  # share of the pixels, seed and replicate of their stream
_LOCKS: list[int] = []  # the open file by which this process has taken a GPU, until it ends


def choose(device: Device) -> torch.device:
    """The device to run on, set up so that a run on it can be repeated bit by bit.

    Parameters
    ----------
    device : {'auto', 'cpu', 'cuda'}
        What the settings say; `auto` is the GPU if there is one.

    Returns
    -------
    torch.device
        The CPU, or a GPU on which something was computed.

    Raises
    ------
    ValueError
        For `cuda` without a GPU that torch can use, and for `auto` in a job that holds a GPU which torch
        cannot use. The message has torch's own reason.
    """
    fix_precision()
    if device == "cpu":
        return torch.device("cpu")
    reason = why_no_gpu()
    if reason is None:
        torch.use_deterministic_algorithms(True)
        return torch.device("cuda")
    if device == "cuda":
        raise ValueError(
            f"device: cuda, but torch finds no GPU here that it can use: {reason}. Use auto or cpu, or give "
            f"the job a GPU that suits this torch ({torch.__version__})"
        )
    if held := held_gpus():
        raise ValueError(
            f"device: auto, and this job holds a GPU ({held}) that torch cannot use: {reason}. Install a "
            "torch that suits the GPU and its driver, set device: cpu in the config, or give the job no GPU "
            f"(torch {torch.__version__})"
        )
    if seen := _unasked_gpu():
        log.warning(
            "device: auto runs on the CPU, as torch %s cannot use the GPU that seems to be here (%s): %s. "
            "Set device: cpu in the config if this is meant",
            torch.__version__,
            seen,
            reason,
        )
    return torch.device("cpu")


class TrainingImages:
    """The images of a training set on a device; runs on the same examples share them."""

    def __init__(
        self, dataset: xr.Dataset, device: torch.device, *, normalize: bool = False, flat: bool = True
    ) -> None:
        self._dataset, self._device = dataset, device
        self._images = partial(flat_images if flat else shaped_images, part="train", normalize=normalize)
        self._all = torch.from_numpy(self._images(dataset)).to(device)
        self._subsets: dict[tuple[bytes, Zeroed | None], torch.Tensor] = {}

    def of(self, corrupted: xr.Dataset) -> torch.Tensor:
        """Those that these labels belong to, shape (example, feature) or (example, channel, row, column)."""
        index, zeroed = corrupted["index"].values, _zeroed(corrupted)
        if zeroed is None and np.array_equal(index, np.arange(len(self._all))):
            return self._all
        key = index.tobytes(), zeroed
        if key not in self._subsets:
            if zeroed is None:
                self._subsets[key] = self._all[torch.from_numpy(index).to(self._device)]
            else:
                share, seed, replicate = zeroed
                rng = stream(seed, "zeroed", replicate)
                part = self._images(with_zeroed_pixels(self._dataset, index, share, rng=rng))
                self._subsets[key] = torch.from_numpy(part).to(self._device)
        return self._subsets[key]


def _zeroed(corrupted: xr.Dataset) -> Zeroed | None:
    """Which pixels of its images are black, by the settings that stage corrupt read; None for none."""
    settings = settings_of(corrupted)
    examples = settings.get("examples")
    if isinstance(examples, dict) and "zeroed" in examples:
        return examples["zeroed"], settings["seed"], settings["replicate"]
    return None


def held_gpus() -> str | None:
    """What in the environment says that this job was given GPUs, such as `SLURM_JOB_GPUS=0`; None without.

    `CUDA_VISIBLE_DEVICES` that names none takes away what Slurm gave. One that names some counts outside of
    Slurm alone, as a job of Slurm's may have inherited it.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and not gpus.shown(visible):
        return None
    given = {name: os.environ.get(name, "") for name in ("SLURM_JOB_GPUS", "SLURM_STEP_GPUS")}
    count = os.environ.get("SLURM_GPUS_ON_NODE", "")
    given["SLURM_GPUS_ON_NODE"] = "" if count == "0" else count
    if "SLURM_JOB_ID" not in os.environ:
        given["CUDA_VISIBLE_DEVICES"] = visible or ""
    return next((f"{name}={value}" for name, value in given.items() if value), None)


def _unasked_gpu() -> str | None:
    """A sign of a GPU where no scheduler gave one; None without, and where it was taken away."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return f"CUDA_VISIBLE_DEVICES={visible}" if gpus.shown(visible) else None
    if "SLURM_JOB_ID" in os.environ:
        return None
    return next((str(path) for path in gpus.device_files()), None)


def why_no_gpu() -> str | None:
    """Torch's own reason why it cannot compute on a GPU; None if it can."""
    if torch.version.cuda is None and torch.version.hip is None:
        return "this torch is built for the CPU alone"
    error: Exception | None = None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            take_gpu()
            torch.ones(1, device="cuda").add_(1).cpu()
        # An old driver; a GPU that has failed, is too old for this torch, or is filled by another process.
        except (RuntimeError, AssertionError) as raised:
            error = raised
    warned = [str(warning.message) for warning in caught]
    if error is None:
        for text in warned:
            log.warning("%s", text)
        return None
    reasons = [text.partition("(Triggered internally")[0] for text in (str(error), *warned)]
    return "; ".join(dict.fromkeys(" ".join(text.split()).rstrip(".") for text in reasons))


def take_gpu() -> None:
    """Make that GPU the current one which the fewest jobs of this user have taken on this machine.

    A job takes a GPU by a lock in the user's temporary folder; a GPU has as many as there are jobs that share
    it. Where there are no locks, the first GPU stays the current one.
    """
    names = [str(torch.cuda.get_device_properties(i).uuid) for i in range(torch.cuda.device_count())]
    if _LOCKS or not names:
        return
    folder = Path(tempfile.gettempdir(), f"cgpipe-gpus-{os.getuid()}")
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        for sharing in itertools.count():
            for index, name in enumerate(names):
                if _lock(folder / f"{name}-{sharing}"):
                    torch.cuda.set_device(index)
                    return
    except OSError as error:
        disks.warn_once(UNKNOWN, error)


def _lock(path: Path) -> bool:
    """Whether this process got a lock, which it then holds until it ends."""
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    if not disks.lock(file, UNKNOWN):
        os.close(file)
        return False
    _LOCKS.append(file)
    return True


def fix_precision() -> None:
    """Set what the user's environment would change in the numbers; before anything runs on a GPU."""
    # cuBLAS takes TF32 for float32 if this says so, whatever torch says; its workspace chooses algorithms.
    os.environ["NVIDIA_TF32_OVERRIDE"] = "0"
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    # oneDNN's, on the CPU.
    for name in ("ONEDNN_DEFAULT_FPMATH_MODE", "DNNL_DEFAULT_FPMATH_MODE"):
        os.environ.pop(name, None)
    torch.set_float32_matmul_precision("highest")
    torch.backends.fp32_precision = "ieee"  # type: ignore[attr-defined]
