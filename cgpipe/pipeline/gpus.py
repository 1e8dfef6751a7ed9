"""The GPUs of this machine, told without torch, as a Snakefile is parsed often."""

import itertools
import os
import shutil
import subprocess
from pathlib import Path

DEVICE_FILES = Path("/dev")
NO_DEVICE = ("", "none", "void", "nodevfiles")  # besides numbers below 0


def visible() -> int:
    """How many GPUs a process started here sees: all that are here, or as many as are named."""
    here = len(device_files()) or told_by_driver()
    names = os.environ.get("CUDA_VISIBLE_DEVICES")
    return here if names is None else min(here, shown(names))


def shown(names: str) -> int:
    """How many devices a value of CUDA_VISIBLE_DEVICES names; CUDA reads it up to the first that is none."""
    each = (name.strip().lower() for name in names.split(","))
    named = itertools.takewhile(lambda name: name not in NO_DEVICE and not name.startswith("-"), each)
    return len(list(named))


def device_files() -> list[Path]:
    """The file of each GPU of NVIDIA's driver."""
    return sorted(DEVICE_FILES.glob("nvidia[0-9]*"))


def told_by_driver() -> int:
    """How many GPUs the driver's own tool names, which has no device files under Windows."""
    if shutil.which("nvidia-smi") is None:
        return 0
    try:
        done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return 0
    return sum(line.startswith("GPU ") for line in done.stdout.splitlines())
