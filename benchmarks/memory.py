"""Peak resident memory (Linux)."""

import gc
from collections.abc import Callable
from pathlib import Path


def peak(do: Callable[[], object]) -> tuple[float, float]:
    """MiB that this process holds before something is done, and at most meanwhile."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5", "ascii")  # the peak counts from here on
    before = _kept("VmRSS:")
    do()
    return before, _kept("VmHWM:")


def _kept(what: str) -> float:
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(what)) / 1024
