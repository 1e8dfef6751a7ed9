"""The command line: where raw files are looked for, and what is told of errors that are none of cgpipe's own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cgpipe.data import datasets

ROOT = Path(__file__).parents[1]


def run(*arguments, cwd=ROOT, **environment):
    """`python -m cgpipe`, in an environment with these variables more, or None to leave one out."""
    merged = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(
        [sys.executable, "-m", "cgpipe", *map(str, arguments)],
        cwd=cwd,
        env={name: value for name, value in merged.items() if value is not None},
        capture_output=True,
        text=True,
        check=False,
    )


def data(tmp_path, *options, dataset="mnist", **environment):
    """Run stage data in a folder."""
    spec = json.dumps({"dataset": dataset})
    where = ("--downloads", tmp_path / "downloads", "--dataset", tmp_path / "dataset.nc")
    return run("data", "--spec", spec, *where, *options, cwd=tmp_path, **environment)


# --- data root ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given", ["~/my data", "$HOME/my data", "${HERE}/my data", "my data", "{home}/my data"]
)
@pytest.mark.parametrize("how", ["option", "variable"])
def test_the_data_root_is_a_path_as_shells_know_them(tmp_path, given, how):
    (tmp_path / "my data").mkdir()
    given = given.replace("{home}", str(tmp_path))
    environment = {"HOME": str(tmp_path), "HERE": str(tmp_path), "CGPIPE_DATA_ROOT": None}
    options = ("--data-root", given) if how == "option" else ()
    if how == "variable":
        environment["CGPIPE_DATA_ROOT"] = given
    done = data(tmp_path, *options, **environment)
    assert done.returncode == 1
    assert f"In {tmp_path}/my data there is nothing" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("how", ["option", "variable"])
def test_an_empty_data_root_counts_as_unset(tmp_path, how):
    raw = tmp_path / "downloads/MNIST/raw"
    raw.mkdir(parents=True)
    for name in datasets.MNIST_RAW_MD5:
        (raw / name).write_bytes(b"")
    options = ("--data-root", "") if how == "option" else ()
    done = data(tmp_path, *options, CGPIPE_DATA_ROOT="" if how == "variable" else None)
    assert f"{raw}/train-images-idx3-ubyte (0 bytes) has MD5" in done.stderr


def test_a_data_root_that_is_a_file_is_told_and_is_nothing_to_the_digits(tmp_path):
    (tmp_path / "file").touch()
    done = data(tmp_path, CGPIPE_DATA_ROOT=str(tmp_path / "file"))
    assert f"{tmp_path}/file is a file, not a folder" in done.stderr
    done = data(tmp_path, dataset="digits", CGPIPE_DATA_ROOT=str(tmp_path / "file"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "dataset.nc").exists()
