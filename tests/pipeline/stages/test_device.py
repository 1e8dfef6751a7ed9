"""Which device is taken, by what torch can use and what the job was given."""

import errno
import fcntl
import logging
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from cgpipe.pipeline import disks, gpus
from cgpipe.pipeline.stages import device
from cgpipe.pipeline.stages.device import choose, held_gpus

WORDS = (
    "CUDA_VISIBLE_DEVICES",
    "SLURM_JOB_GPUS",
    "SLURM_STEP_GPUS",
    "SLURM_GPUS_ON_NODE",
    "SLURM_JOB_ID",
    "NVIDIA_TF32_OVERRIDE",
    "CUBLAS_WORKSPACE_CONFIG",
)
OLD_DRIVER = (
    "CUDA initialization: The NVIDIA driver on your system is too old (found version 11040). "
    "(Triggered internally at CUDAFunctions.cpp:108.)"
)


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No word of a scheduler, and no device file."""
    for name in WORDS:
        monkeypatch.setenv(name, "")  # so that it is as before afterwards, whatever sets it
        monkeypatch.delenv(name)
    monkeypatch.setattr(gpus, "DEVICE_FILES", tmp_path)
    monkeypatch.setattr(torch.version, "cuda", "13.2")
    monkeypatch.setattr(device, "_LOCKS", [])
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def unusable(*_: object, **__: object) -> None:
    warnings.warn(OLD_DRIVER, stacklevel=1)
    raise RuntimeError("No CUDA GPUs are available")


HELD = [
    {"SLURM_JOB_GPUS": "0"},
    {"SLURM_JOB_ID": "7", "SLURM_JOB_GPUS": "2,3", "CUDA_VISIBLE_DEVICES": "0,1"},
    {"SLURM_JOB_ID": "7", "SLURM_STEP_GPUS": "1"},
    {"SLURM_JOB_ID": "7", "SLURM_GPUS_ON_NODE": "1"},
    {"CUDA_VISIBLE_DEVICES": "0"},
    {"CUDA_VISIBLE_DEVICES": "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6"},
    {"CUDA_VISIBLE_DEVICES": "MIG-GPU-8932f937/1/0"},
]
NONE = [
    {},
    {"SLURM_JOB_ID": "7"},
    {"SLURM_JOB_ID": "7", "SLURM_GPUS_ON_NODE": "0", "SLURM_JOB_GPUS": ""},
    *({"SLURM_JOB_GPUS": "0", "CUDA_VISIBLE_DEVICES": of} for of in ("", "-1", "NoDevFiles", "-1,0", " ")),
]


@pytest.mark.parametrize("words", HELD)
def test_a_gpu_that_the_job_holds_and_torch_cannot_use_is_an_error(
    monkeypatch: pytest.MonkeyPatch, words: dict[str, str]
) -> None:
    monkeypatch.setattr(torch, "ones", unusable)
    for name, value in words.items():
        monkeypatch.setenv(name, value)
    held = held_gpus()
    assert held
    with pytest.raises(ValueError, match="this job holds a GPU") as caught:
        choose("auto")
    said = str(caught.value)
    for part in (
        held,
        "No CUDA GPUs are available; ",
        "driver on your system is too old",
        "device: cpu in the",
    ):
        assert part in said
    assert "Triggered" not in said
    assert choose("cpu").type == "cpu"


@pytest.mark.parametrize("words", NONE)
def test_a_job_without_gpus_runs_on_the_cpu_in_silence(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, words: dict[str, str]
) -> None:
    monkeypatch.setattr(torch, "ones", unusable)
    for name, value in words.items():
        monkeypatch.setenv(name, value)
    assert held_gpus() is None
    with caplog.at_level(logging.WARNING, logger="cgpipe"):
        assert choose("auto").type == "cpu"
    assert caplog.text == ""
    with pytest.raises(ValueError, match=r"device: cuda, but torch finds no GPU here .* too old"):
        choose("cuda")


def test_a_torch_for_the_cpu_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setenv("SLURM_JOB_GPUS", "0")
    with pytest.raises(ValueError, match="this torch is built for the CPU alone"):
        choose("auto")


def warned(caplog: pytest.LogCaptureFixture) -> str:
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        assert choose("auto").type == "cpu"
    return caplog.text


def test_a_gpu_that_nobody_gave_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.setattr(torch, "ones", unusable)
    (tmp_path / "nvidiactl").touch()
    assert warned(caplog) == ""
    (tmp_path / "nvidia0").touch()
    said = warned(caplog)
    assert "runs on the CPU" in said
    assert "nvidia0" in said
    assert "too old" in said
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert warned(caplog) == ""  # Slurm gave it none
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert "CUDA_VISIBLE_DEVICES=0" in warned(caplog)  # inherited
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert warned(caplog) == ""


def test_a_gpu_that_works_is_taken_and_what_torch_says_of_it_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def usable(*_: object, **__: object) -> torch.Tensor:
        warnings.warn("Found GPU0, which is newer than this torch", stacklevel=1)
        return torch.zeros(1)

    monkeypatch.setattr(torch, "ones", usable)
    monkeypatch.setenv("SLURM_JOB_GPUS", "0")
    try:
        with caplog.at_level(logging.WARNING):
            assert choose("auto").type == "cuda"
    finally:
        torch.use_deterministic_algorithms(False)
    assert "newer than this torch" in caplog.text


class Jobs:
    """Jobs that run at once, each a process of its own as far as locks go, on GPUs that are not here."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch
        self.locks: list[list[int]] = []

    def start(self, *uuids: str) -> list[int]:
        """Do what a job does that sees these GPUs: which it made the current one."""
        made_current: list[int] = []
        self.locks.append([])
        patch = self.monkeypatch.setattr
        patch(torch.cuda, "device_count", lambda: len(uuids))
        patch(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid=uuids[index]))
        patch(torch.cuda, "set_device", made_current.append)
        patch(torch, "ones", lambda *_, **__: torch.zeros(1))
        patch(device, "_LOCKS", self.locks[-1])
        try:
            for _ in range(2):  # and keeps it
                assert choose("auto").type == "cuda"
        finally:
            torch.use_deterministic_algorithms(False)
        return made_current

    def end(self, job: int) -> None:
        while self.locks[job]:
            os.close(self.locks[job].pop())


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Jobs]:
    jobs = Jobs(monkeypatch)
    yield jobs
    for job in range(len(jobs.locks)):
        jobs.end(job)


def test_jobs_take_gpus_that_others_have_not_taken(jobs: Jobs) -> None:
    assert [jobs.start("a", "b") for _ in range(2)] == [[0], [1]]
    assert jobs.start("b", "a", "c") == [2]  # whatever their order: CUDA_VISIBLE_DEVICES may change it
    assert [jobs.start("a", "b", "c") for _ in range(4)] == [[0], [1], [2], [0]]  # shared evenly
    jobs.end(1)
    assert jobs.start("a", "b") == [1]


def test_without_locks_the_first_gpu_is_taken(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, jobs: Jobs
) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", none)
    monkeypatch.setattr(disks, "_warned", set())
    with caplog.at_level(logging.WARNING):
        assert [jobs.start("a", "b") for _ in range(2)] == [[0], [0]]
    assert caplog.text.count("the first is used") == 1
    assert "[Errno 37]" in caplog.text


def test_the_environment_says_nothing_of_precision() -> None:
    script = (
        "import os, torch\n"
        "from cgpipe.pipeline.stages.device import choose\n"
        "before = torch.get_float32_matmul_precision()\n"
        "choose('cpu')\n"
        "print(before, torch.get_float32_matmul_precision(), torch.backends.cuda.matmul.fp32_precision,\n"
        "      torch.backends.cudnn.conv.fp32_precision, os.environ['NVIDIA_TF32_OVERRIDE'],\n"
        "      os.environ['CUBLAS_WORKSPACE_CONFIG'], 'ONEDNN_DEFAULT_FPMATH_MODE' in os.environ)\n"
    )
    environment = {
        **os.environ,
        "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "1",
        "NVIDIA_TF32_OVERRIDE": "1",
        "CUBLAS_WORKSPACE_CONFIG": ":0:0",
        "ONEDNN_DEFAULT_FPMATH_MODE": "BF16",
    }
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["high", "highest", "ieee", "ieee", "0", ":4096:8", "False"]
