"""Build of the CPU kernel: once a machine type, then kept."""

import hashlib
import os
import platform
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

SOURCES = ("kernel.cpp", "kernel.h", "lanes.h", "sparse.h", "step.cpp")
COMPILER = ["-O3", "-std=c++20", "-fopenmp", "-ffp-contract=off", "-fno-fast-math", "-w", "-fPIC", "-shared"]
# Whatever the compiler, or a flag in CXX, takes for granted: the library runs where its name says.
BASE = {"x86_64": ["-march=x86-64"], "AMD64": ["-march=x86-64"]}
# By what torch found that the processor can do; any other gets the base.
INSTRUCTIONS = {
    "AVX512": ["-mavx512f", "-mavx512dq", "-mavx512vl", "-mavx512bw", "-mfma"],
    "AVX2": ["-mavx2", "-mfma"],
}
# A library ends with this and the SHA-256 of all before it.
SEAL = b"\nsha256 "
SHA256 = 64  # hexadecimal digits
SECONDS_TO_COMPILE = 600.0

INSTALL = "Install a C++20 compiler (Debian and Ubuntu: apt install g++; conda: conda install gxx)"
FOLDER = (
    "Set TORCH_EXTENSIONS_DIR to a folder that can be written, has room, and is not mounted noexec: what is "
    "compiled is loaded from there"
)
TELLING = re.compile(
    r"\berror\b|cannot|undefined|not found|no space|no such|unrecognized|killed", re.IGNORECASE
)
NO_MEMORY = re.compile(r"killed|out of memory|cannot allocate memory|memory exhausted", re.IGNORECASE)
NO_ROOM = re.compile(
    r"no space left|quota exceeded|read-only file system|file too large|input/output error|stale",
    re.IGNORECASE,
)


class BuildError(RuntimeError):
    """The kernel could not be compiled or loaded; the message says why, and what to do."""


def instruction_set() -> str:
    """What the kernel is compiled for here: AVX512, AVX2, or DEFAULT.

    It follows torch, so the environment variable ATEN_CPU_CAPABILITY chooses for both.
    """
    capability = torch.backends.cpu.get_cpu_capability()
    return capability if capability in INSTRUCTIONS else "DEFAULT"


def load() -> Path:
    """Load the kernel into torch, and compile it first if that was not done before.

    Kept in `$TORCH_EXTENSIONS_DIR`, or else in `torch_extensions` of `$XDG_CACHE_HOME` or `~/.cache`, by what
    it depends on: sources, torch, flags, instruction set and C library. So machines of several kinds may
    share the folder. It is sealed with its SHA-256; one that is not as it was written is never loaded, and
    made again. Two that compile at once do the same work twice, and nothing waits for a lock that a killed
    job has left behind.

    Where it cannot be kept, or not be loaded from where it is kept, a temporary folder of this process alone
    takes its place: in `$TMPDIR`, /tmp, /var/tmp or the working folder.

    Returns
    -------
    Path
        The library that was loaded.

    Raises
    ------
    BuildError
        If there is no compiler, it fails, or nothing can be loaded from any of these folders.

    Warns
    -----
    RuntimeWarning
        If it was compiled for this process alone, so that the next one has to compile it again.
    """
    kept = None
    try:
        kept = _cache() / f"winsorized-{instruction_set().lower()}-{_digest()}.so"
        if _whole(kept) is None:
            kept.parent.mkdir(parents=True, exist_ok=True)
            with _scratch(kept.parent) as scratch:
                _compile(scratch).replace(kept)
        return _open(kept)
    except BuildError:
        raise
    except (OSError, RuntimeError) as error:
        reasons = [str(error)]
    if kept and (content := _whole(kept)) and (library := _load_privately(content, reasons)):
        return library
    # It was not kept, or was compiled where other libraries are.
    if library := _load_privately(None, reasons):
        warnings.warn(
            "the fused CPU kernel was compiled for this process alone, and each process will take half a "
            f"minute for it: {reasons[0]}. {FOLDER}",
            RuntimeWarning,
            stacklevel=2,
        )
        return library
    raise BuildError(
        f"{reasons[0]}; nor from TMPDIR, /tmp, /var/tmp or the working folder: {reasons[-1]}. {FOLDER}"
    )


def _load_privately(content: bytes | None, reasons: list[str]) -> Path | None:
    """Load a library, or one that is compiled now, from a temporary folder; None if from none of them."""
    for folder in dict.fromkeys((os.environ.get("TMPDIR") or "/tmp", "/tmp", "/var/tmp", ".")):
        try:
            with _scratch(Path(folder).absolute()) as scratch:
                content = content or _compile(scratch).read_bytes()
                copy = scratch / "private.so"
                copy.write_bytes(content)
                return _open(copy)
        except BuildError as error:
            raise BuildError(f"{reasons[0]}. {FOLDER}. And {error}") from error
        except (OSError, RuntimeError) as error:
            reasons.append(str(error))
    return None


def _cache() -> Path:
    """Folder that the library is kept in."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", ""))
    default = (cache if cache.is_absolute() else Path("~/.cache")) / "torch_extensions"
    return Path(os.environ.get("TORCH_EXTENSIONS_DIR") or default).expanduser().absolute() / "cgpipe"


def _digest() -> str:
    """Hash of all that the library depends on but the instruction set."""
    folder = Path(__file__).parent
    libc = os.confstr("CS_GNU_LIBC_VERSION") if "CS_GNU_LIBC_VERSION" in os.confstr_names else ""
    setting = [torch.__version__, platform.machine(), libc or "", *_flags()]
    text = "\n".join([*setting, *((folder / name).read_text("utf-8") for name in SOURCES)])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _flags() -> list[str]:
    return [*COMPILER, *BASE.get(platform.machine(), []), *INSTRUCTIONS.get(instruction_set(), [])]


@contextmanager
def _scratch(within: Path) -> Iterator[Path]:
    """A folder of this process alone."""
    with tempfile.TemporaryDirectory(dir=within, prefix=".building-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _seal(content: bytes) -> bytes:
    return SEAL + hashlib.sha256(content).hexdigest().encode()


def _whole(library: Path) -> bytes | None:
    """What a library holds, if it is there and as it was written."""
    try:
        content = library.read_bytes()
    except OSError:
        return None
    end = len(content) - len(SEAL) - SHA256
    return content if end > 0 and content[end:] == _seal(content[:end]) else None


def _open(library: Path) -> Path:
    try:
        torch.ops.load_library(library)  # type: ignore[no-untyped-call]
    except (OSError, RuntimeError) as error:
        raise OSError(str(error.__cause__ or error)) from error  # torch hides what the linker says
    return library


def _compile(scratch: Path) -> Path:
    """Compile into a folder of this process alone, and seal what was made.

    Raises
    ------
    BuildError
        If there is no compiler, or none that does it.
    OSError
        If there is no room in the folder.
    """
    try:
        from torch.utils import cpp_extension  # noqa: PLC0415 - half a second, and needed once
    except ImportError as error:
        raise BuildError(f"torch cannot say where its headers are ({error})") from error
    folder, made = Path(__file__).parent, scratch / "winsorized.so"
    # As a list, not by a shell or ninja: a path may hold anything.
    arguments = [
        *_flags(),
        *(f"-I{path}" for path in cpp_extension.include_paths()),
        *(str(folder / name) for name in SOURCES if name.endswith(".cpp")),
        *("-o", made.name),
        *(f"-L{path}" for path in cpp_extension.library_paths()),
        *("-lc10", "-ltorch_cpu", "-ltorch"),
    ]
    extras = {"TMPDIR": str(scratch), "LC_ALL": "C", "CCACHE_DISABLE": "1"}
    # Variables such as CPATH or LD_LIBRARY_PATH may be what a compiler needs, or what it stumbles over.
    bare = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    failures: dict[str, str] = {}
    for compiler in _compilers():
        for environment in (dict(os.environ), bare):
            failure = _run([*compiler, *arguments], scratch, {**environment, **extras})
            if not failure and not (made.exists() and made.read_bytes().startswith(b"\x7fELF")):
                failure = "it ended as if all were well, but made no library"
            if not failure:
                content = made.read_bytes()
                made.write_bytes(content + _seal(content))
                return made
            failures[shlex.join(compiler)] = failure
    reasons = "; ".join(f"{name} failed: {failure}" for name, failure in failures.items())
    if NO_ROOM.search(reasons):
        raise OSError(reasons)
    raise BuildError(f"{reasons}. {_cure(reasons)}")


def _compilers() -> list[list[str]]:
    """Commands to try: the user's alone, or else those that are there."""
    given = os.environ.get("CXX", "").strip()
    if not given:
        programs: dict[Path, str] = {}  # several names may be one program
        for name in ("c++", "g++", "clang++"):
            if path := shutil.which(name):
                programs.setdefault(Path(path).resolve(), path)
        if not programs:
            raise BuildError(f"c++, g++ and clang++: not found on the PATH. {INSTALL}, or name one in CXX")
        return [[str(Path(path).absolute())] for path in programs.values()]
    try:
        command = [given] if shutil.which(given) else shlex.split(given)
    except ValueError as error:
        raise BuildError(f"CXX is {given!r}, which is no command ({error}). Unset or mend it") from None
    program = shutil.which(command[0]) if command else None
    if program is None:
        raise BuildError(
            f"CXX is {given!r}, but {command[0] if command else given}: not found, or not to be run. Unset "
            f"CXX, or set it to a C++20 compiler. {INSTALL} if there is none"
        )
    return [[str(Path(program).absolute()), *command[1:]]]


def _run(command: list[str], scratch: Path, environment: dict[str, str]) -> str:
    """Run a compiler; what it first complained of, or nothing if all was well."""
    try:
        running = subprocess.Popen(
            command,
            cwd=scratch,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        return f"it cannot be run ({error.strerror})"
    with running:
        try:
            output = running.communicate(timeout=SECONDS_TO_COMPILE)[0].decode(errors="replace")
        except BaseException as error:
            # A compiler is several processes; none is left behind.
            with suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)
            if isinstance(error, subprocess.TimeoutExpired):
                return f"it had not ended after {SECONDS_TO_COMPILE:.0f} s"
            raise
    if running.returncode == 0:
        return ""
    lines = [line.strip()[:300] for line in output.splitlines() if line.strip()]
    telling = [line for line in lines if TELLING.search(line)] or lines
    if telling:
        return " | ".join(telling[:3])
    if running.returncode < 0:
        return f"it was killed by {signal.Signals(-running.returncode).name}"
    return f"exit status {running.returncode}, without a word"


def _cure(reasons: str) -> str:
    """What to do about the errors of compilers."""
    if NO_MEMORY.search(reasons):
        return "It takes about 1 GB of memory: give the job more"
    unset = ", or unset CXX" if os.environ.get("CXX", "").strip() else ""
    return (
        "It takes C++20 and OpenMP, as g++ 11 and newer have: if this compiler is too old, or lacks a part, "
        f"set CXX to another{unset}"
    )
