"""Build of the CPU kernel: once a machine type, then kept."""

import hashlib
import os
import sys
import tempfile
from pathlib import Path

import torch

SOURCES = ("kernel.cpp", "kernel.h", "lanes.h", "step.cpp")
COMPILER = ["-O3", "-std=c++20", "-fopenmp", "-ffp-contract=off", "-w"]
# By what torch found that the processor can do; any other gets what the compiler takes for granted.
INSTRUCTIONS = {
    "AVX512": ["-mavx512f", "-mavx512dq", "-mavx512vl", "-mavx512bw", "-mfma"],
    "AVX2": ["-mavx2", "-mfma"],
}


class BuildError(RuntimeError):
    """The kernel could not be compiled or loaded."""


def instruction_set() -> str:
    """What the kernel is compiled for here: AVX512, AVX2, or DEFAULT.

    It follows torch, so the environment variable ATEN_CPU_CAPABILITY chooses for both.
    """
    found = torch.backends.cpu.get_cpu_capability()
    return found if found in INSTRUCTIONS else "DEFAULT"


def load() -> Path:
    """Load the kernel into torch, and compile it first if that was not done before.

    Kept in `$TORCH_EXTENSIONS_DIR`, or else `~/.cache/torch_extensions`, by what it depends on: sources,
    torch, flags and instruction set. So machines of several kinds may share the folder. Two that compile
    at once do the same work twice, and nothing waits for a lock that a killed job has left behind.

    Returns
    -------
    Path
        The library that was loaded.

    Raises
    ------
    BuildError
        If there is no compiler, it fails, or the folder cannot be written.
    """
    folder = Path(__file__).parent
    flags = [*COMPILER, *INSTRUCTIONS.get(instruction_set(), [])]
    text = "\n".join([torch.__version__, *flags, *((folder / name).read_text("utf-8") for name in SOURCES)])
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    default = Path("~/.cache/torch_extensions").expanduser()
    cache = Path(os.environ.get("TORCH_EXTENSIONS_DIR") or default) / "cgpipe"
    library = cache / f"winsorized-{instruction_set().lower()}-{digest}.so"
    try:
        if not library.exists():
            cache.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=cache, prefix=".building-") as scratch:
                _compile(folder, flags, Path(scratch)).replace(library)
        torch.ops.load_library(library)  # type: ignore[no-untyped-call]
    except (OSError, RuntimeError, ImportError) as error:
        raise BuildError(str(error)) from error
    return library


def _compile(folder: Path, flags: list[str], scratch: Path) -> Path:
    """Compile into a folder of this process alone."""
    from torch.utils import cpp_extension  # noqa: PLC0415 - half a second, and needed once

    # Where ninja is when the environment was not activated.
    path = os.environ.get("PATH", os.defpath)
    os.environ["PATH"] = f"{path}{os.pathsep}{Path(sys.executable).parent}"
    try:
        cpp_extension.load(
            "winsorized",
            [str(folder / name) for name in SOURCES if name.endswith(".cpp")],
            extra_cflags=flags,
            extra_ldflags=["-fopenmp"],
            build_directory=str(scratch),
            is_python_module=False,
        )
    finally:
        os.environ["PATH"] = path
    return scratch / "winsorized.so"
