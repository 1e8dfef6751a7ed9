"""Snakemake and its jobs, forked from a process that has imported all libraries.

Importing them takes most of the time of a small workflow. Nothing of this package is imported beforehand,
as each copy of the repository has its own. A slow test runs the workflow in processes that start anew, as
users do, and compares what is made.
"""

import atexit
import json
import os
import socket
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import IO

LIBRARIES = (
    *(
        "torch",
        "xarray",
        "netCDF4",
        "safetensors.numpy",
        "scipy.stats",
        "pandas",
        "matplotlib.figure",
        "seaborn",
    ),
    *(
        "sklearn.datasets",
        "sklearn.model_selection",
        "pydantic",
        "yaml",
        "grimp",
        "click",
        "tqdm",
        "lazy_loader",
    ),
    *("snakemake.cli", "snakemake_executor_plugin_slurm"),
)
# What the package sets before it imports them, and the threads of a job.
BEFORE = {
    "HDF5_USE_FILE_LOCKING": "FALSE",
    "MATPLOTLIBRC": os.devnull,
    "MPLBACKEND": "agg",
    "OMP_NUM_THREADS": "1",
    "SLURM_CONF": os.devnull,
}


def serve(path: str, executable: str) -> None:
    """Fork for each request; the child becomes what was asked for. Its number and status are sent."""
    import importlib
    import runpy
    import signal

    for name in LIBRARIES:
        importlib.import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the children
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    print("ready", flush=True)
    while True:
        connection, _ = listener.accept()
        if os.fork():
            connection.close()
            continue
        listener.close()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        message, files, _, _ = socket.recv_fds(connection, 10_000_000, 3, socket.MSG_WAITALL)
        arguments, folder, environment = json.loads(message)
        for number, file in enumerate(files):
            os.dup2(file, number)
            os.close(file)
        connection.sendall(os.getpid().to_bytes(NUMBER))
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        sys.path[:] = [p for p in sys.path if "site-packages" in p or p.startswith(sys.base_prefix)]
        status = 1
        try:
            if arguments[:2] == ["-m", "snakemake"]:
                sys.path[:0] = ["", *environment.get("PYTHONPATH", "").split(os.pathsep)]
                sys.argv, sys.executable = ["snakemake", *arguments[2:]], executable
                sys.modules["snakemake.cli"].main()
            else:
                sys.argv = arguments[1:]
                runpy.run_path(arguments[1], run_name="__main__")
            status = 0
        except SystemExit as end:
            if isinstance(end.code, str):
                print(end.code, file=sys.stderr)
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
        except BaseException:
            sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        sys.stdout.flush()
        sys.stderr.flush()
        connection.sendall(bytes([status & 255]))
        os._exit(status & 255)


# Stands for Python in the jobs: `-I PACKAGE STAGE ...` is forked, all else is Python's.
CLIENT = """\
#!{python} -IS
import array, json, os, socket, sys
if sys.argv[1:2] != ["-I"]:
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
with socket.socket(socket.AF_UNIX) as to:
    to.connect({path!r})
    message = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
    socket.send_fds(to, [message], [0, 1, 2])
    to.shutdown(socket.SHUT_WR)
    to.recv({number}, socket.MSG_WAITALL)
    status = to.recv(1)
sys.exit(status[0] if status else 137)
"""
NUMBER = 8  # bytes of the number of a process


@cache
def _server() -> tuple[Path, "subprocess.Popen[str]"]:
    folder = Path(tempfile.mkdtemp(prefix="warm-"))
    path, client = folder / "socket", folder / "python"
    client.write_text(CLIENT.format(python=sys.executable, path=str(path), number=NUMBER), encoding="utf-8")
    client.chmod(0o755)
    program = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import warm; "
    program += f"warm.serve({str(path)!r}, {str(client)!r})"
    process = subprocess.Popen(
        [sys.executable, "-c", program], env={**os.environ, **BEFORE}, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    atexit.register(_stop, process)
    return path, process


def _stop(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.communicate()


class Process:
    """`python ARGUMENTS`, forked: it can be signalled and waited for, and ends with 137 where it is killed.

    Its standard output and error are two open files.
    """

    def __init__(
        self, arguments: list[str], folder: Path, environment: dict[str, str], *streams: IO[str]
    ) -> None:
        path, _ = _server()
        self._connection = socket.socket(socket.AF_UNIX)
        self._connection.settimeout(900)
        self._connection.connect(str(path))
        message = json.dumps([arguments, str(folder), environment]).encode()
        with Path(os.devnull).open() as nothing:
            socket.send_fds(self._connection, [message], [file.fileno() for file in (nothing, *streams)])
        self._connection.shutdown(socket.SHUT_WR)
        self.pid = int.from_bytes(self._connection.recv(NUMBER, socket.MSG_WAITALL))

    def wait(self) -> int:
        """Exit status, once it has ended."""
        with self._connection:
            status = self._connection.recv(1)
        return status[0] if status else 137


def snakemake(
    arguments: list[str], folder: Path, environment: dict[str, str]
) -> "subprocess.CompletedProcess[str]":
    """As `python -m snakemake` with the same."""
    return _run(["-m", "snakemake", *arguments], folder, environment)


def cgpipe(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """As `python -I cgpipe` with the same, at the root of the repository."""
    root = Path(__file__).parents[1]
    return _run(["-I", str(root / "cgpipe"), *arguments], root, dict(os.environ))


def _run(command: list[str], folder: Path, environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    with tempfile.TemporaryFile("w+") as stdout, tempfile.TemporaryFile("w+") as stderr:
        status = Process(command, folder, environment, stdout, stderr).wait()
        stdout.seek(0)
        stderr.seek(0)
        return subprocess.CompletedProcess(command, status, stdout.read(), stderr.read())
