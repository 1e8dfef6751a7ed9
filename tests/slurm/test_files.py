"""Faults of the file system: a clear message, and no result lost or half written."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from trees import Tree

from slurm.conftest import LONG_RUN, Note, Scheduled

pytestmark = pytest.mark.slurm


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


@pytest.fixture
def disk(long: Scheduled) -> Iterator[Path]:
    """The results of the long run's tree, on a disk of 10 MB."""
    folder = long.tree.folder / "results"
    aside = folder.rename(long.tree.folder / "aside")
    folder.mkdir()
    mount("-t", "tmpfs", "-o", "size=10m", "tmpfs", str(folder))
    try:
        subprocess.run(["cp", "-a", f"{aside}/.", str(folder)], check=True)
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk(long: Scheduled, disk: Path, undisturbed: dict[str, bytes], note: Note) -> None:
    status, said = long.run("--retries", "0")
    assert status != 0
    assert "No space left on device" in long.log()
    assert "MB are free on its disk" in long.log()
    assert "Traceback" not in long.log()
    assert list(disk.rglob("*.tmp")) == []
    assert not (long.tree.results / LONG_RUN / "history.nc").exists()
    mount("-o", "remount,size=100m", str(disk))
    status, said = long.run()
    assert status == 0, said
    assert long.log().count("going on from a checkpoint at step") == 1
    assert long.results() == undisturbed
    note(
        "disk full",
        "in training",
        "fails and says so; with room again, goes on from its checkpoint; same bytes",
    )


def test_results_that_are_read_only(long: Scheduled, disk: Path, note: Note) -> None:
    before = {path: path.read_bytes() for path in disk.rglob("*.nc")}
    assert len(before) == 2
    mount("-o", "remount,ro", str(disk))
    status, said = long.run("--retries", "0")
    assert status != 0
    assert "Read-only file system" in said
    assert {path: path.read_bytes() for path in disk.rglob("*.nc")} == before
    note("results on a read-only disk", "before training", "fails and says so; nothing is changed")


def test_two_workflows_in_one_folder(long: Scheduled, undisturbed: dict[str, bytes], note: Note) -> None:
    running = long.start()
    long.wait_for_training("step 2000 of", running)
    other = subprocess.run(
        long.command(),
        cwd=long.tree.folder,
        env=long.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert other.returncode != 0
    assert "Directory cannot be locked" in other.stdout + other.stderr
    assert running.wait(timeout=400) == 0, long.text()
    assert long.results() == undisturbed
    note("a second snakemake in the same folder", "in training", "is refused; the first is not disturbed")


def test_a_damaged_input(prepared: tuple[Tree, Tree], tmp_path: Path, note: Note) -> None:
    tree = prepared[1].copy(tmp_path / "tree")
    corrupted = tree.results / "corrupted/noise-050/replicate-0.nc"
    good, content = corrupted.read_bytes(), bytearray(corrupted.read_bytes())
    content[len(content) // 2] ^= 1
    corrupted.write_bytes(content)
    history = tree.results / LONG_RUN / "history.nc"
    wanted = history.read_bytes()
    history.unlink()
    # Only this job: snakemake sees that the labels are not those it knows, and would make them again.
    arguments = ("--rerun-triggers", "code", "--allowed-rules", "train", "--")
    said = tree.snakemake(*arguments, f"results/small/{LONG_RUN}/history.nc", check=False).stderr
    assert "it is cut short or damaged. Remove it, and snakemake makes it again" in said
    assert not history.exists()
    corrupted.unlink()
    tree.snakemake()
    assert corrupted.read_bytes() == good
    assert history.read_bytes() == wanted
    note(
        "a bit of the labels flipped",
        "before training",
        "refused; removed, they and the run are made again; same bytes",
    )
