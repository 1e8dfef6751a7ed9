"""GPUs are counted as CUDA sees them, without torch."""

from pathlib import Path

import pytest

from cgpipe.pipeline import gpus


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Two GPUs, among the files that their driver makes."""
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm", "null"):
        (tmp_path / name).touch()
    monkeypatch.setattr(gpus, "DEVICE_FILES", tmp_path)


@pytest.mark.parametrize(
    ("names", "n"),
    [
        (None, 2),
        ("0", 1),
        ("1,0", 2),
        ("0, 1", 2),
        ("0,1,2,3", 2),  # of another machine
        ("", 0),
        (" ", 0),
        ("-1", 0),
        ("1,-1,0", 1),
        ("NoDevFiles", 0),
        ("GPU-8932f937-d72c-4106-c12f-20bd9faed9f6", 1),
        ("MIG-a,MIG-b", 2),
    ],
)
@pytest.mark.usefixtures("two")
def test_those_that_are_visible_count(monkeypatch: pytest.MonkeyPatch, names: str | None, n: int) -> None:
    if names is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", names)
    assert gpus.visible() == n


@pytest.mark.parametrize(
    ("script", "n"),
    [
        ("echo 'GPU 0: NVIDIA A100 (UUID: GPU-a)'; echo '  MIG 1g.5gb Device 0: (UUID: MIG-b)'", 1),
        ("echo 'GPU 0: NVIDIA'; echo 'GPU 1: NVIDIA'", 2),
        ("echo 'No devices found.'", 0),
        ("echo 'GPU 0: it has failed'; exit 9", 0),
        (None, 0),
    ],
)
def test_the_driver_is_asked_where_there_are_no_device_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str | None, n: int
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(gpus, "DEVICE_FILES", tmp_path / "none")
    monkeypatch.setenv("PATH", str(tmp_path))
    if script is not None:
        (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        (tmp_path / "nvidia-smi").chmod(0o755)
    assert gpus.visible() == n
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert gpus.visible() == min(n, 1)  # on a machine without a GPU it names none
