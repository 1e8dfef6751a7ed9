"""File systems that lack what POSIX promises: faults at the system call, in Python and below it."""

import builtins
import errno
import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr
from trees import ROOT, SMALL

from cgpipe.pipeline import disks, plan
from cgpipe.pipeline.artifacts import (
    ArtifactError,
    Provenance,
    UnreadableError,
    open_tensors,
    read_netcdf,
    whole,
    write_netcdf,
    write_tensors,
)
from cgpipe.pipeline.canonical import canonical
from cgpipe.pipeline.checkpoints import BusyError, Checkpoint
from cgpipe.pipeline.config.load import load

PROVENANCE = Provenance("train", '{"seed":3}', "0123456789abcdef")
IDENTITY = ('{"seed":3}', "0123456789abcdef")
STATE = {"weight": np.arange(6, dtype=np.float32).reshape(2, 3)}
# What no lock, no flush and no permissions are told by, on one file system or another.
REFUSED = ("ENOSYS", "EOPNOTSUPP", "EINVAL", "EPERM", "EACCES", "EROFS", "EBADF")
TRANSIENT = (
    "EIO",
    "ESTALE",
    "EACCES",
    "EPERM",
    "ENOLCK",
    "EAGAIN",
    "ETIMEDOUT",
    "EMFILE",
    "ENFILE",
    "ENOMEM",
)


@pytest.fixture(autouse=True)
def _nothing_warned_of(monkeypatch):
    monkeypatch.setattr(disks, "_warned", set())
    monkeypatch.setattr(disks, "PATIENCE", (0.0, 0.0, 0.0))


def failing(name):
    """A system call that fails."""

    def call(*_, **__):
        number = getattr(errno, name)
        raise OSError(number, os.strerror(number))

    return call


def failing_for(wanted, name, original):
    """A system call that fails for what `wanted` is true of."""
    return lambda *given, **how: (failing(name) if wanted(given[0]) else original)(*given, **how)


def is_folder(number):
    return Path(f"/proc/self/fd/{number}").is_dir()


def opened():
    """Files that this process has open."""
    numbers = Path("/proc/self/fd").iterdir()
    return [number.readlink() for number in numbers if os.path.lexists(number)]


def write_small(path):
    if path.suffix == ".nc":
        dataset = xr.Dataset({"x": ("step", np.arange(3.0), {"long_name": "something"})})
        write_netcdf(dataset, path, title="A title", provenance=PROVENANCE)
    else:
        write_tensors(STATE, path, {"step": 1})


def read_small(path):
    if path.suffix == ".nc":
        return read_netcdf(path, "train")["x"].values
    with open_tensors(path) as (_, file):
        return file.get_tensor("weight")


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


KINDS = pytest.mark.parametrize("name", ["a.nc", "a.safetensors"])


# --- Extras: one warning, and on ------------------------------------------------------------------


@KINDS
@pytest.mark.parametrize("reason", [*REFUSED, "EIO", "ENOTTY", "EISDIR"])
@pytest.mark.parametrize("call", ["fsync", "open"])
def test_a_folder_that_cannot_be_flushed_is_warned_of_once(tmp_path, monkeypatch, caplog, name, reason, call):
    wanted = is_folder if call == "fsync" else lambda path: Path(path).is_dir()
    monkeypatch.setattr(os, call, failing_for(wanted, reason, getattr(os, call)))
    for _ in range(2):
        write_small(tmp_path / name)
    read_small(tmp_path / name)
    (told,) = caplog.messages
    assert os.strerror(getattr(errno, reason)) in told
    assert "power failure" in told


@KINDS
@pytest.mark.parametrize("reason", REFUSED)
def test_a_file_system_that_flushes_nothing_is_warned_of_once(tmp_path, monkeypatch, caplog, name, reason):
    monkeypatch.setattr(os, "fsync", failing(reason))
    for _ in range(2):
        write_small(tmp_path / name)
    read_small(tmp_path / name)
    assert len(caplog.messages) == 2  # of files, of folders
    assert names_in(tmp_path) == [name]


@KINDS
@pytest.mark.parametrize("reason", ["EIO", "ENOSPC", "EDQUOT", "ESTALE", "ETIMEDOUT"])
def test_content_that_does_not_reach_the_disk_is_an_error(tmp_path, monkeypatch, name, reason):
    write_small(tmp_path / name)
    before = (tmp_path / name).read_bytes()
    monkeypatch.setattr(os, "fsync", failing_for(lambda n: not is_folder(n), reason, os.fsync))
    with pytest.raises(ArtifactError, match=f"cannot be written .*{os.strerror(getattr(errno, reason))}"):
        write_small(tmp_path / name)
    assert (tmp_path / name).read_bytes() == before
    assert names_in(tmp_path) == [name]


@pytest.mark.parametrize("reason", REFUSED)
def test_permissions_that_cannot_be_set_are_warned_of_once(tmp_path, monkeypatch, caplog, reason):
    for module, name in ((os, "chmod"), (os, "fchmod"), (Path, "chmod")):
        monkeypatch.setattr(module, name, failing(reason))
    for _ in range(2):
        write_small(tmp_path / "a.safetensors")
    assert np.array_equal(read_small(tmp_path / "a.safetensors"), STATE["weight"])
    (told,) = caplog.messages
    assert "owner" in told


@pytest.mark.parametrize("reason", ["EIO", "ESTALE", "EACCES", "ENOSYS"])
def test_leftovers_that_cannot_be_listed_are_left(tmp_path, monkeypatch, caplog, reason):
    monkeypatch.setattr(Path, "glob", failing(reason))
    write_small(tmp_path / "a.nc")
    read_small(tmp_path / "a.nc")
    (told,) = caplog.messages
    assert "left behind" in told


@pytest.mark.parametrize("reason", ["EBUSY", "EACCES", "EPERM", "ESTALE", "EISDIR"])
def test_leftovers_that_cannot_be_removed_are_left(tmp_path, monkeypatch, caplog, reason):
    for number in range(2):
        (tmp_path / f".a.nc.{number}.tmp").touch()
    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", failing(reason))
        write_small(tmp_path / "a.nc")
    (told,) = caplog.messages
    assert "left behind" in told
    write_small(tmp_path / "a.nc")
    assert names_in(tmp_path) == ["a.nc"]


def test_what_went_wrong_is_told_although_nothing_can_be_cleared_away(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "unlink", failing("ESTALE"))
    monkeypatch.setattr(shutil, "disk_usage", failing("ENOSYS"))
    with pytest.raises(ArtifactError, match=r"a\.txt cannot be written \(mine\)$"), whole(tmp_path / "a.txt"):
        raise OSError("mine")


# --- Renaming -------------------------------------------------------------------------------------


@KINDS
@pytest.mark.parametrize("reason", ["EBUSY", "EACCES", "EPERM", "ETXTBSY"])
def test_a_file_that_another_program_has_open_for_a_while_is_waited_for(tmp_path, monkeypatch, name, reason):
    tries = []
    original = Path.replace

    def busy(*given):
        tries.append(given)
        return (failing(reason) if len(tries) < 3 else original)(*given)

    monkeypatch.setattr(Path, "replace", busy)
    write_small(tmp_path / name)
    assert len(tries) == 3
    read_small(tmp_path / name)
    assert names_in(tmp_path) == [name]


@pytest.mark.parametrize("reason", ["EBUSY", "EACCES", "EXDEV", "ENOENT", "EIO", "ENOSPC"])
def test_a_file_that_cannot_be_renamed_is_an_error_and_what_was_there_stays(tmp_path, monkeypatch, reason):
    write_small(tmp_path / "a.nc")
    before = (tmp_path / "a.nc").read_bytes()
    monkeypatch.setattr(Path, "replace", failing(reason))
    with pytest.raises(ArtifactError, match=f"cannot be written .*{os.strerror(getattr(errno, reason))}"):
        write_small(tmp_path / "a.nc")
    assert (tmp_path / "a.nc").read_bytes() == before
    assert names_in(tmp_path) == ["a.nc"]


def test_a_rename_whose_answer_was_lost_is_done(tmp_path, monkeypatch):
    original = Path.replace

    def twice(self, onto):
        original(self, onto)
        original(self, onto)

    monkeypatch.setattr(Path, "replace", twice)
    write_small(tmp_path / "a.nc")
    read_small(tmp_path / "a.nc")


def test_processes_of_one_number_on_two_machines_write_to_different_files(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "getpid", lambda: 1)
    with whole(tmp_path / "a.txt") as one:
        one.touch()
    with whole(tmp_path / "a.txt") as other:
        other.touch()
    assert one != other


# --- Reading: damaged is what was read and is wrong ------------------------------------------------


def is_left_alone(path, before, told, reason):
    assert path.read_bytes() == before
    assert "could not be read" in told
    assert reason in told
    assert "left alone" in told
    for word in ("damaged", "Remove", "cut short"):
        assert word not in told


@KINDS
@pytest.mark.parametrize("reason", TRANSIENT)
def test_a_file_that_cannot_be_opened_is_left_alone(tmp_path, monkeypatch, name, reason):
    path = tmp_path / name
    write_small(path)
    before = path.read_bytes()
    with monkeypatch.context() as patched:
        for module in (builtins, __import__("io")):
            patched.setattr(module, "open", failing_for(lambda given: given == path, reason, open))
        with pytest.raises(UnreadableError) as error:
            read_small(path)
    is_left_alone(path, before, str(error.value), os.strerror(getattr(errno, reason)))
    read_small(path)


@KINDS
def test_a_file_that_does_not_fit_into_memory_is_left_alone(tmp_path, monkeypatch, name):
    path = tmp_path / name
    write_small(path)
    before = path.read_bytes()

    def too_much(*_, **__):
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", too_much)
        patched.setattr(np, "empty", too_much)
        with pytest.raises(UnreadableError) as error:
            read_small(path)
    is_left_alone(path, before, str(error.value), "out of memory")


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EAGAIN, "unable to lock file, errno = 11"),
        OSError(-101, "NetCDF: HDF error"),
        RuntimeError("NetCDF: Memory allocation (malloc) failure"),
        MemoryError(),
        ValueError("unknown filter"),
        KeyError("unknown"),
    ],
)
def test_a_whole_file_that_the_library_does_not_take_is_left_alone(tmp_path, monkeypatch, error):
    path = tmp_path / "a.nc"
    write_small(path)
    before = path.read_bytes()

    def refuses(*_, **__):
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(netCDF4, "Dataset", refuses)
        with pytest.raises(UnreadableError) as told:
            read_small(path)
    is_left_alone(path, before, str(told.value), str(error) or "out of memory")


def test_tensors_that_vanish_while_they_are_read_are_told(tmp_path):
    path = tmp_path / "a.safetensors"
    write_tensors({"x": np.arange(100_000.0).reshape(100, 1000)}, path, {})
    with open_tensors(path) as (_, file):
        before = file["x"][3]
        os.truncate(path, 300_000)
        with pytest.raises(UnreadableError, match="ended early"):  # by a memory map: killed
            file["x"][99]
    assert before.tolist() == list(range(3000, 4000))


def test_a_part_of_a_tensor_is_that_part(tmp_path):
    of = np.random.default_rng(0).standard_normal((5, 4, 3)).astype(np.float32)
    write_tensors({"x": of, "y": np.arange(7), "z": np.empty((4, 0))}, tmp_path / "a.safetensors", {})
    with open_tensors(tmp_path / "a.safetensors") as (_, file):
        stored = file["x"]
        assert stored.shape == (5, 4, 3)
        for t in (0, 3, 4, -1, np.int64(2)):
            assert np.array_equal(stored[t], of[t])
        assert file["y"][2] == 2
        assert file["z"][3].shape == (0,)
        for t in (5, -6):
            with pytest.raises(IndexError):
                stored[t]


# --- Checkpoints ----------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", [*REFUSED, "ENOLCK", "EIO", "EINTR", "ESTALE"])
def test_a_file_system_without_locks_is_warned_of_once(tmp_path, monkeypatch, caplog, reason):
    monkeypatch.setattr(fcntl, "flock", failing(reason))
    for run in ("one", "another"):
        checkpoint = Checkpoint(tmp_path / run, *IDENTITY)
        checkpoint.hold()
        checkpoint.save(STATE, {"step": 1})
        assert checkpoint.load()[1] == {"step": 1}
        checkpoint.discard()
    (told,) = caplog.messages
    assert os.strerror(getattr(errno, reason)) in told
    assert "takes the run over" in told


@pytest.mark.parametrize("flock", [failing("ENOLCK"), lambda *_: None], ids=["none", "of one machine"])
def test_without_locks_the_last_one_holds_the_run_and_the_first_one_stops(tmp_path, monkeypatch, flock):
    monkeypatch.setattr(fcntl, "flock", flock)
    first, last = (Checkpoint(tmp_path, *IDENTITY) for _ in range(2))
    first.hold()
    first.keep(0, STATE)
    first.save(STATE, {"step": 1, "kept": [0]})
    last.hold()
    assert last.load()[1] == {"step": 1, "kept": [0]}
    last.keep(2, STATE)
    last.save({"weight": -STATE["weight"]}, {"step": 2})
    held = {path.name: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()}
    for action in (
        lambda: first.save(STATE, {"step": 3}),
        lambda: first.keep(3, STATE),
        lambda: first.kept(0),
    ):
        with pytest.raises(BusyError, match=rf"taken over by .*process {os.getpid()} of "):
            action()
    assert {path.name: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()} == held
    last.save(STATE, {"step": 3})
    last.discard()
    assert names_in(tmp_path) == []
    with pytest.raises(BusyError, match="it has ended"):
        first.save(STATE, {"step": 4})
    assert names_in(tmp_path) == []


def test_a_run_that_was_left_by_a_killed_process_is_free(tmp_path, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", failing("ENOSYS"))
    hold = "import sys; from pathlib import Path; from cgpipe.pipeline.checkpoints import Checkpoint\n" + (
        "c = Checkpoint(Path(sys.argv[1]), *sys.argv[2:]); c.hold(); import os; os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run([sys.executable, "-c", hold, tmp_path, *IDENTITY], cwd=ROOT, check=False)
    assert killed.returncode == -9
    checkpoint = Checkpoint(tmp_path, *IDENTITY)
    checkpoint.hold()
    checkpoint.save(STATE, {"step": 1})
    assert checkpoint.load()[1] == {"step": 1}


def test_a_holder_that_cannot_be_read_stops_nothing(tmp_path, monkeypatch, caplog):
    checkpoint = Checkpoint(tmp_path, *IDENTITY)
    checkpoint.hold()
    monkeypatch.setattr(Path, "read_text", failing("ESTALE"))
    for step in (1, 2):
        checkpoint.save(STATE, {"step": step})
    assert len(caplog.messages) == 1


@pytest.mark.parametrize("reason", ["ENOTEMPTY", "EBUSY", "ESTALE", "EACCES", "EPERM", "EIO", "EROFS"])
def test_a_checkpoint_that_cannot_be_removed_does_not_fail_the_run(tmp_path, monkeypatch, caplog, reason):
    checkpoint = Checkpoint(tmp_path, *IDENTITY)
    checkpoint.hold()
    checkpoint.save(STATE, {"step": 1})
    checkpoint.keep(0, STATE)
    (folder,) = tmp_path.iterdir()
    (folder / ".nfs000000000000000100000001").touch()  # of a file that was removed and is open
    unlink = Path.unlink
    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", failing_for(lambda path: ".nfs" in path.name, "EBUSY", unlink))
        for module in (os, Path):
            patched.setattr(module, "rmdir", failing(reason))
        checkpoint.discard()
    assert {message.rpartition(": ")[2] for message in caplog.messages} == {disks.LEFT}
    assert names_in(folder) == [".nfs000000000000000100000001"]
    assert Checkpoint(tmp_path, *IDENTITY).load() is None
    Checkpoint(tmp_path, *IDENTITY).discard()
    assert names_in(tmp_path) == []


def test_no_file_of_a_folder_is_open_when_it_is_removed(tmp_path, monkeypatch):
    checkpoint = Checkpoint(tmp_path, *IDENTITY)
    checkpoint.hold()
    checkpoint.save(STATE, {"step": 1})
    unlink = Path.unlink

    def noted(path, **how):
        assert path.name == "state.safetensors" or not any(file.is_relative_to(tmp_path) for file in opened())
        unlink(path, **how)

    monkeypatch.setattr(Path, "unlink", noted)
    checkpoint.discard()
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("file", ["state", "step-0"])
@pytest.mark.parametrize("reason", TRANSIENT)
def test_a_checkpoint_that_cannot_be_read_is_not_begun_again(tmp_path, monkeypatch, file, reason):
    checkpoint = Checkpoint(tmp_path, *IDENTITY)
    checkpoint.keep(0, STATE)
    description = {"step": 1, "kept": [0]}
    checkpoint.save(STATE, description)
    (path,) = tmp_path.rglob(f"{file}.safetensors")
    before = path.read_bytes()
    with monkeypatch.context() as patched:
        for module in (builtins, __import__("io")):
            patched.setattr(module, "open", failing_for(lambda given: given == path, reason, open))
        with pytest.raises(
            UnreadableError, match=r"begin again instead, move .*\.checkpoint-\w+ away"
        ) as error:
            checkpoint.load()
    is_left_alone(path, before, str(error.value), os.strerror(getattr(errno, reason)))
    assert checkpoint.load()[1] == description


# --- Below Python ---------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def shim(tmp_path_factory):
    """A library that makes system calls fail."""
    library = tmp_path_factory.mktemp("shim") / "shim.so"
    source = Path(__file__).with_name("shim.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    return library


def python(*arguments, shim=None, faults="", under="/nowhere", environment=None):
    """Run Python with faults; what it said on its standard error."""
    preloaded = {"LD_PRELOAD": str(shim), "FAULTS": faults, "FAULTS_IN": str(under)} if shim else {}
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", **preloaded, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )


THERE_AND_BACK = """
import sys
from pathlib import Path
import numpy as np, xarray as xr
from cgpipe.pipeline.artifacts import Provenance, open_tensors, read_netcdf, write_netcdf, write_tensors
from cgpipe.pipeline.checkpoints import Checkpoint
folder = Path(sys.argv[1])
x = np.arange(3000.0).reshape(3, 1000)
dataset = xr.Dataset({"x": (("step", "example"), x, {"long_name": "something"})})
for _ in range(2):
    write_netcdf(dataset, folder / "a.nc", title="A title", provenance=Provenance("train", "{}", "0"))
    write_tensors({"x": x}, folder / "a.safetensors", {})
assert (read_netcdf(folder / "a.nc", "train")["x"].values == x).all()
with open_tensors(folder / "a.safetensors") as (_, file):
    assert (file["x"][2] == x[2]).all()
checkpoint = Checkpoint(folder, "one")
checkpoint.hold()
checkpoint.save({"x": x}, {"step": 1})
assert checkpoint.load()[1] == {"step": 1}
checkpoint.discard()
"""


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    """What is written where nothing fails."""
    folder = tmp_path_factory.mktemp("undisturbed")
    done = python("-c", THERE_AND_BACK, folder)
    assert done.returncode == 0, done.stderr
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def all_at_once(**faults):
    return " ".join(f"{call}={getattr(errno, name)}" for call, name in faults.items())


# As seen on Lustre without locks, NFS without lockd, CIFS, 9p, and an object store.
@pytest.mark.parametrize(
    ("faults", "locking"),
    [
        (all_at_once(flock="ENOSYS", fcntl="ENOSYS", fsyncdir="EINVAL"), "TRUE"),
        (all_at_once(flock="ENOLCK", fcntl="ENOLCK", openfolder="EACCES"), "TRUE"),
        (all_at_once(flock="EOPNOTSUPP", chmod="EPERM", utime="EPERM", fsyncdir="EBADF"), None),
        (all_at_once(flock="EINVAL", mmap="ENODEV", fsync="EINVAL", openfolder="EISDIR"), "BEST_EFFORT"),
        (all_at_once(flock="EACCES", mmap="EACCES", chmod="EOPNOTSUPP", fsync="ENOSYS"), "TRUE"),
        (all_at_once(flock="ENOSYS", fsyncdir="EINVAL", chmod="EPERM", mmap="ENODEV"), "nonsense"),
    ],
)
def test_files_are_written_and_read_alike_on_any_file_system(tmp_path, shim, undisturbed, faults, locking):
    environment = {"HDF5_USE_FILE_LOCKING": locking} if locking else {}
    done = python(
        "-c", THERE_AND_BACK, tmp_path, shim=shim, faults=faults, under=tmp_path, environment=environment
    )
    assert done.returncode == 0, done.stderr
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == undisturbed


@KINDS
def test_an_error_of_the_disk_is_told_as_one(tmp_path, shim, name):
    write_small(tmp_path / name)
    before = (tmp_path / name).read_bytes()
    read = (
        "import sys; from pathlib import Path\n"
        "from cgpipe.pipeline.artifacts import open_tensors, read_netcdf\n"
        "path = Path(sys.argv[1])\n"
        "open_tensors(path).__enter__() if path.suffix == '.safetensors' else read_netcdf(path, 'train')"
    )
    done = python("-c", read, tmp_path / name, shim=shim, faults=f"read={errno.EIO}", under=tmp_path)
    assert done.returncode == 1
    is_left_alone(tmp_path / name, before, done.stderr.splitlines()[-1], "Input/output error")


def stages(folder):
    """Commands from raw data to contributions."""
    config = load({**SMALL, "device": "cpu"})
    at = {"experiment": "label_noise", "noise": "050", "winsor": "0", "replicate": "0"}
    at |= plan.labels_at(config, at)
    data, labels, run = folder / "dataset.nc", folder / "corrupted.nc", folder / "run"
    read = ("--dataset", data, "--corrupted", labels)
    specs = {
        stage: plan.settings(config, stage, at) for stage in ("data", "corrupt", "train", "contributions")
    }
    paths = {
        "data": ("--downloads", folder, "--dataset", data),
        "corrupt": read,
        "train": (*read, run),
        "contributions": (
            *(*read, "--snapshots", run / "snapshots.safetensors"),
            *("--contributions", run / "contributions.nc"),
        ),
    }
    for stage, spec in specs.items():
        yield "-m", "cgpipe", stage, "--spec", canonical(spec), *paths[stage]


def test_stages_on_a_file_system_without_extras_make_the_same_bytes(tmp_path, shim):
    plain, poor = tmp_path / "plain", tmp_path / "poor"
    for command in list(stages(plain))[:3]:
        done = python(*command)
        assert done.returncode == 0, done.stderr
    faults = all_at_once(flock="ENOSYS", fsyncdir="EINVAL", chmod="EPERM", mmap="ENODEV")
    warned = {}
    for command in stages(poor):
        done = python(*command, shim=shim, faults=faults, under=poor)
        assert done.returncode == 0, done.stderr
        warned[command[2]] = done.stderr.count("refuses an extra")
    assert warned == {"data": 1, "corrupt": 1, "train": 3, "contributions": 1}
    (poor / "run/contributions.nc").unlink()
    made = {
        folder: {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (plain, poor)
    }
    assert made[plain] == made[poor]
    assert not list(poor.rglob(".*"))
