import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cgpipe.pipeline import disks
from cgpipe.pipeline.artifacts import ArtifactError
from cgpipe.pipeline.checkpoints import BusyError, Checkpoint, StopRequest

IDENTITY = ('{"seed":3}', "0123456789abcdef", "cpu", "aaaa", "bbbb")
STATE = {"weight.0": np.arange(6, dtype=np.float32).reshape(2, 3), "permutation": np.arange(9)[::-1].copy()}


def folders(beside):
    return sorted(path.name for path in beside.glob(".checkpoint-*"))


def test_what_was_saved_is_loaded_by_another_process_of_the_same_run(tmp_path):
    description = {
        "step": 7,
        "order": {"used": 3, "rng": {"state": {"state": 2**127 + 1}}},
        "curves": [[0.1, 1.0]],
    }
    Checkpoint(tmp_path, *IDENTITY).save(STATE, description)
    arrays, described = Checkpoint(tmp_path, *IDENTITY).load()
    assert described == description
    assert arrays.keys() == STATE.keys()
    for name, array in STATE.items():
        assert arrays[name].dtype == array.dtype
        assert np.array_equal(arrays[name], array)


def test_a_run_that_saved_nothing_has_nothing_to_load(tmp_path):
    assert Checkpoint(tmp_path, *IDENTITY).load() is None
    assert Checkpoint(tmp_path / "absent", *IDENTITY).load() is None
    assert list(tmp_path.iterdir()) == []


def test_saving_again_replaces_what_was_saved(tmp_path):
    checkpoint = Checkpoint(tmp_path, *IDENTITY)
    checkpoint.save(STATE, {"step": 1})
    checkpoint.save({"weight.0": np.zeros(2)}, {"step": 2})
    arrays, description = checkpoint.load()
    assert description == {"step": 2}
    assert list(arrays) == ["weight.0"]
    assert len(list(tmp_path.rglob("*.*"))) == 2  # one folder, one file


HOLD = """
import sys
from pathlib import Path
from cgpipe.pipeline.checkpoints import Checkpoint
checkpoint = Checkpoint(Path(sys.argv[1]), *sys.argv[2:])
checkpoint.hold()
print("held", flush=True)
sys.stdin.read()
"""


def test_a_run_that_another_process_trains_is_left_alone_until_that_ends(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path), *IDENTITY]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(BusyError, match=r"\.checkpoint-\w+ is held by another process.*scancel"):
            Checkpoint(tmp_path, *IDENTITY).hold()
        Checkpoint(tmp_path, *IDENTITY, "another run").hold()
        other.kill()
        other.wait()
        checkpoint = Checkpoint(tmp_path, *IDENTITY)
        checkpoint.hold()
        checkpoint.save(STATE, {"step": 1})
        checkpoint.discard()
        assert folders(tmp_path) == []


@pytest.mark.parametrize("part", range(len(IDENTITY)))
def test_a_run_of_another_identity_never_finds_it(tmp_path, part):
    Checkpoint(tmp_path, *IDENTITY).save(STATE, {"step": 1})
    other = [*IDENTITY]
    other[part] += "x"
    assert Checkpoint(tmp_path, *other).load() is None
    assert Checkpoint(tmp_path, *IDENTITY).load() is not None


def test_the_order_and_number_of_the_parts_of_an_identity_matter(tmp_path):
    Checkpoint(tmp_path, *IDENTITY).save(STATE, {"step": 1})
    assert Checkpoint(tmp_path, *IDENTITY[::-1]).load() is None
    assert Checkpoint(tmp_path, *IDENTITY[:-1]).load() is None
    assert Checkpoint(tmp_path, *IDENTITY, "").load() is None
    assert Checkpoint(tmp_path, "".join(IDENTITY)).load() is None


def test_snapshots_are_kept_apart_from_the_state(tmp_path):
    checkpoint = Checkpoint(tmp_path, *IDENTITY)
    for step in (0, 10):
        checkpoint.keep(step, {"weight.0": np.full(3, step, np.float32)})
    assert checkpoint.load() is None
    checkpoint.save(STATE, {"step": 10})
    again = Checkpoint(tmp_path, *IDENTITY)
    for step in (0, 10):
        assert again.kept(step)["weight.0"].tolist() == [step] * 3
        assert again.kept(step)["weight.0"].dtype == np.float32
    with pytest.raises(ArtifactError, match=r"step-5\.safetensors not found"):
        again.kept(5)


def altered(path):
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [altered, Path.unlink, lambda path: path.write_bytes(b"")])
@pytest.mark.parametrize("name", ["state", "step-0", "step-10"])
def test_a_damaged_checkpoint_is_as_good_as_none(tmp_path, caplog, damage, name):
    checkpoint = Checkpoint(tmp_path, *IDENTITY)
    for step in (0, 10):
        checkpoint.keep(step, STATE)
    checkpoint.save(STATE, {"step": 10, "kept": [0, 10]})
    assert checkpoint.load() is not None
    assert caplog.messages == []
    (path,) = tmp_path.rglob(f"{name}.safetensors")
    damage(path)
    assert checkpoint.load() is None
    if name != "state" or path.exists():
        assert f"the run begins again: {path}" in caplog.text
    if name != "state":
        checkpoint.save(STATE, {"step": 10})  # a run that keeps none
        assert checkpoint.load() is not None


def test_discarding_removes_all_checkpoints_and_nothing_else(tmp_path):
    (tmp_path / "history.nc").write_text("results")
    for identity in (IDENTITY, ("another", "run")):
        checkpoint = Checkpoint(tmp_path, *identity)
        checkpoint.save(STATE, {"step": 1})
        checkpoint.keep(0, STATE)
    assert len(folders(tmp_path)) == 2
    Checkpoint(tmp_path, *IDENTITY).discard()
    assert [path.name for path in tmp_path.iterdir()] == ["history.nc"]
    assert Checkpoint(tmp_path, *IDENTITY).load() is None


def test_discarding_nothing_is_no_error(tmp_path):
    Checkpoint(tmp_path, *IDENTITY).discard()
    assert list(tmp_path.iterdir()) == []


def test_half_discarded_checkpoints_are_never_gone_on_from(tmp_path, monkeypatch):
    checkpoint = Checkpoint(tmp_path, *IDENTITY)
    checkpoint.save(STATE, {"step": 1})
    checkpoint.keep(0, STATE)

    def killed(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(disks, "remove_folder", killed)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.discard()
    assert len(folders(tmp_path)) == 1
    assert checkpoint.load() is None


@pytest.fixture
def _handlers_as_before():
    numbers = (signal.SIGTERM, signal.SIGUSR1)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("_handlers_as_before")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_the_scheduler_may_ask_a_run_to_stop(number):
    stop = StopRequest()
    assert stop.signal is None
    signal.raise_signal(number)
    assert stop.signal is number
    assert stop.signal.name in ("SIGTERM", "SIGUSR1")
