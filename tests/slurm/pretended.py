"""Stands in for Slurm's commands where there is no Slurm: `python pretended.py COMMAND ...`.

`sbatch` notes its arguments and its part of the environment, and runs the job here at once. Like a cluster
that limits submitted jobs, it refuses one while as many as SUBMIT_LIMIT have not ended.
"""

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

COMMANDS = ("sbatch", "squeue", "srun", "scancel", "sinfo", "sacct", "sacctmgr", "scontrol")
REFUSED = (
    "sbatch: error: QOSMaxSubmitJobPerUserLimit\nsbatch: error: Batch job submission failed: Job violates "
    "accounting/QOS policy (job submit limit, user's size and/or time limits)"
)
FOLDER = "PRETENDED_SLURM"


class Pretended:
    """The commands, in a folder, and what they were asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "bin").mkdir(parents=True)
        (folder / "jobs").mkdir()
        for name in COMMANDS:
            command = folder / "bin" / name
            command.write_text(
                f'#!/bin/sh\nexec "{sys.executable}" "{__file__}" {name} "$@"\n', encoding="utf-8"
            )
            command.chmod(0o755)

    def environment(self, **more: str) -> dict[str, str]:
        """That of a process which finds these commands first, and no settings of Slurm but these."""
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(("SBATCH_", "SLURM_"))
        }
        path = f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        return {**inherited, "PATH": path, FOLDER: str(self.folder), **more}

    def asked(self) -> list[dict[str, Any]]:
        """All calls of `sbatch`: their `arguments`, without what the job runs, and `environment`."""
        return [json.loads(line) for line in (self.folder / "asked").read_text(encoding="utf-8").splitlines()]


def sbatch(folder: Path, arguments: list[str]) -> int:
    (wrapped,) = [given.removeprefix("--wrap=") for given in arguments if given.startswith("--wrap=")]
    asked = {
        "arguments": [given for given in arguments if not given.startswith("--wrap=")],
        "environment": {name: value for name, value in os.environ.items() if name.startswith("SBATCH_")},
    }
    with (folder / "asked").open("a", encoding="utf-8") as calls:
        fcntl.flock(calls, fcntl.LOCK_EX)
        calls.write(f"{json.dumps(asked)}\n")
        calls.flush()
        jobs = list((folder / "jobs").iterdir())
        waiting = [job for job in jobs if not (job / "status").exists()]
        if len(waiting) >= int(os.environ.get("SUBMIT_LIMIT", sys.maxsize)):
            print(REFUSED, file=sys.stderr)
            return 1
        job = folder / "jobs" / str(len(jobs) + 1)
        job.mkdir()
    with (job / "said").open("w") as said:
        subprocess.Popen(
            ["sh", "-c", f'(eval "$1"); echo $? > "{job}/status"', "sh", wrapped],
            env={**os.environ, "SLURM_JOB_ID": job.name},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    print(job.name)
    return 0


def squeue(folder: Path, arguments: list[str]) -> int:
    for job in (folder / "jobs").iterdir():
        status = job / "status"
        ended = status.read_text(encoding="ascii").strip() if status.exists() else ""
        state = ("COMPLETED" if ended == "0" else "FAILED") if ended else "RUNNING"
        print(f"{job.name}|{state}")
    return 0


def srun(folder: Path, arguments: list[str]) -> int:
    program = next(i for i, given in enumerate(arguments) if not given.startswith("-"))
    os.execvp(arguments[program], arguments[program:])


def sinfo(folder: Path, arguments: list[str]) -> int:
    print("PARTITION\nmain*")
    return 0


def sacctmgr(folder: Path, arguments: list[str]) -> int:
    print("mylab")
    return 0


def scontrol(folder: Path, arguments: list[str]) -> int:
    print("MinJobAge = 86400 sec\nMaxArraySize = 1001")
    return 0


if __name__ == "__main__":
    # The others know nothing.
    answer = globals().get(sys.argv[1])
    sys.exit(answer(Path(os.environ[FOLDER]), sys.argv[2:]) if answer else 1)
