"""A real Slurm of one node, for tests: `python tests/slurm/cluster.py start FOLDER`, and `stop`.

Debian's munge, slurmctld and slurmd, run as root from a folder of their own, without accounting and without
cgroups. The node has two GPUs that Slurm schedules, and that are not there. Jobs of partition `spare` are
preempted by those of `urgent` that want the one `seat`. /etc/slurm leads to its settings while it runs:
inside of jobs, snakemake's plugin takes the environment variable SLURM_CONF away.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

SETTINGS = Path("/etc/slurm")
FILES = ("slurm.conf", "gres.conf")
NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol", "sinfo")
INSTALL = "apt-get install munge slurm-wlm (Debian or Ubuntu, as root)"

SLURM_CONF = """
ClusterName=cgpipe
SlurmctldHost={host}({address})
SlurmctldPort={controller}
SlurmdPort={daemon}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=5
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
SlurmdParameters=config_overrides
SlurmdTimeout={node_timeout}
KillWait=20
MinJobAge=86400
OverTimeLimit=0
SchedulerParameters=sched_interval=2,batch_sched_delay=1,defer_batch
SchedulerTimeSlice=5
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
GresTypes=gpu,seat
NodeName={host} NodeAddr={address} CPUs={cpus} RealMemory={memory} Gres=gpu:2,seat:1 Feature=fast
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE PriorityTier=1 PreemptMode=OFF State=UP
PartitionName=spare Nodes={host} MaxTime=INFINITE PriorityTier=1 State=UP
PartitionName=urgent Nodes={host} MaxTime=INFINITE PriorityTier=10 PreemptMode=OFF State=UP
"""

GRES_CONF = """
NodeName={host} Name=gpu File=/dev/null
NodeName={host} Name=gpu File=/dev/zero
NodeName={host} Name=seat Count=1
"""


def missing() -> list[str]:
    """What a cluster needs and is not here."""
    return [name for name in NEEDED if shutil.which(name, path=search_path()) is None]


def search_path() -> str:
    """Daemons are in sbin, which is not on every PATH."""
    return f"{os.environ.get('PATH', os.defpath)}{os.pathsep}/usr/sbin{os.pathsep}/sbin"


class Cluster:
    """A Slurm that runs from a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.host = socket.gethostname().partition(".")[0]
        self.environment = {**os.environ, "PATH": search_path()}
        self.environment.pop("SLURM_CONF", None)

    @classmethod
    def running(cls) -> "Cluster | None":
        """The one that runs already, if it is one of the tests."""
        settings = SETTINGS / FILES[0]
        if settings.is_symlink() and settings.exists():
            return cls(settings.resolve().parent)
        return None

    def start(self, *, cpus: int = 8, node_timeout: int = 300) -> None:
        """Start all daemons, and wait until the node is idle."""
        if lacking := missing():
            raise RuntimeError(f"not installed: {', '.join(lacking)}. Install them: {INSTALL}")
        if os.geteuid() != 0:
            raise RuntimeError(
                "the Slurm of the tests runs as root only: run them in a container, or as root"
            )
        for name in FILES:
            # A link that leads nowhere is of a cluster that was killed.
            if (SETTINGS / name).exists():
                raise RuntimeError(
                    f"{SETTINGS / name} is there: this machine has a Slurm, of its own or of other tests. "
                    f"Stop one of the tests with: python {__file__} stop"
                )
        for name in ("state", "spool", "munge"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        described = {
            "folder": self.folder,
            "host": self.host,
            "address": "127.0.0.1",
            "controller": free_port(),
            "daemon": free_port(),
            "cpus": cpus,
            "memory": 1_000_000,
            "node_timeout": node_timeout,
        }
        (self.folder / "slurm.conf").write_text(SLURM_CONF.format(**described), encoding="utf-8")
        (self.folder / "gres.conf").write_text(GRES_CONF.format(**described), encoding="utf-8")
        SETTINGS.mkdir(exist_ok=True)
        for name in FILES:
            (SETTINGS / name).unlink(missing_ok=True)
            (SETTINGS / name).symlink_to(self.folder / name)
        key = self.folder / "munge" / "key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        self._munge()
        self._daemon("slurmctld", "-c")
        self.start_node()

    def _munge(self) -> None:
        place = self.folder / "munge"
        place.chmod(0o755)
        options = {
            "--key-file": "key",
            "--socket": "socket",
            "--pid-file": "pid",
            "--log-file": "log",
            "--seed-file": "seed",
        }
        # --force: the folder of the tests may be writable by others.
        files = [f"{option}={place / name}" for option, name in options.items()]
        subprocess.run(["munged", "--force", *files], env=self.environment, check=True)

    def _daemon(self, name: str, *options: str) -> None:
        subprocess.run([name, *options], env=self.environment, check=True, cwd=self.folder)

    def start_node(self) -> None:
        """Start slurmd, and wait until Slurm knows of it."""
        self._daemon("slurmd", "-N", self.host)
        self.wait(lambda: self.node_state() in ("idle", "mixed", "allocated", "mix", "alloc"), "the node")

    def stop_node(self) -> None:
        """Stop slurmd; what runs under it goes on, as under a real one."""
        self._stop("slurmd")

    def node_state(self) -> str:
        """State of the node, as sinfo calls it."""
        said = self.call("sinfo", "-h", "-o", "%T", check=False).strip().splitlines()
        return said[0].rstrip("*~#!%$@^-") if said else ""

    def stop(self) -> None:
        """Cancel all jobs, and stop all daemons."""
        self.call("scancel", "--user=root", check=False)
        time.sleep(1)
        for name in ("slurmd", "slurmctld"):
            self._stop(name)
        self._end(self.folder / "munge" / "pid")
        for name in FILES:
            if (SETTINGS / name).resolve() == self.folder / name:
                (SETTINGS / name).unlink()

    def _stop(self, name: str) -> None:
        self._end(self.folder / f"{name}.pid")

    def _end(self, pid_file: Path) -> None:
        try:
            pid = int(pid_file.read_text(encoding="ascii"))
        except (OSError, ValueError):
            return
        for number, patience in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0)):
            try:
                os.kill(pid, number)
                wait_for(lambda: not alive(pid), patience)
            except ProcessLookupError:
                return
            except TimeoutError:
                continue
            return

    def call(self, *command: str, check: bool = True) -> str:
        """Run one of Slurm's commands; what it said."""
        done = subprocess.run(
            command, env=self.environment, check=False, capture_output=True, text=True, timeout=60
        )
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
        return done.stdout

    def jobs(self, *columns: str) -> list[list[str]]:
        """All jobs that Slurm remembers, as columns of squeue such as `%i` and `%T`."""
        form = "|".join(columns)
        said = self.call("squeue", "--states=all", "-h", "-o", form)
        return [line.split("|") for line in said.splitlines()]

    def wait(self, until: Callable[[], bool], what: str, patience: float = 60) -> None:
        """Wait, and say what the daemons logged if it takes too long."""
        try:
            wait_for(until, patience)
        except TimeoutError:
            logs = [path.read_text(errors="replace")[-3000:] for path in sorted(self.folder.glob("*.log"))]
            raise RuntimeError("\n".join([f"waited {patience} s for {what}", *logs])) from None


def wait_for(until: Callable[[], bool], patience: float) -> None:
    """Wait until something is so."""
    end = time.monotonic() + patience
    while not until():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.2)


def alive(pid: int) -> bool:
    """Whether a process runs; one that ended and was not waited for does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def free_port() -> int:
    """A TCP port that nothing listens to."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


if __name__ == "__main__":
    what, *where = sys.argv[1:]
    if what == "start":
        Cluster(Path(*where)).start()
    elif cluster := Cluster.running():
        cluster.stop()
