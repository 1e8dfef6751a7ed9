"""The command line: where raw files are looked for, and what is told of errors of any kind."""

import importlib
import inspect
import json
import os
import pkgutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
from click.testing import CliRunner

from cgpipe import cli
from cgpipe.data import datasets, published
from cgpipe.inference.claims.claim import Runs
from cgpipe.inference.mystery.runs import Kind
from cgpipe.pipeline import stages

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


def data(tmp_path, *options, dataset="mnist"):
    """Arguments that run stage data in a folder."""
    where = ("--downloads", tmp_path / "downloads", "--dataset", tmp_path / "dataset.nc")
    return [*map(str, ("data", "--spec", json.dumps({"dataset": dataset}), *where, *options))]


def in_this_process(monkeypatch, arguments, cwd, **environment):
    """The same as `run` without a process of its own: its exit status."""
    monkeypatch.chdir(cwd)
    return CliRunner().invoke(cli.main, arguments, env=environment).exit_code


# --- the table of stages --------------------------------------------------------------------------


def test_every_stage_is_a_command():
    modules = [
        importlib.import_module(f"{stages.__name__}.{m.name}") for m in pkgutil.iter_modules(stages.__path__)
    ]
    assert {module.__name__.rpartition(".")[2] for module in modules if hasattr(module, "run")} == set(
        cli.STAGES
    )


@pytest.mark.parametrize("name", cli.STAGES)
def test_a_command_takes_what_its_stage_does(name):
    run = importlib.import_module(f"{stages.__name__}.{name}").run
    hints = get_type_hints(run)
    takes = {
        p.name: (
            hints[p.name] == Sequence[Path],
            p.default is p.empty and hints[p.name] in (Path, Sequence[Path]),
        )
        for p in inspect.signature(run).parameters.values()
        if p.kind is p.KEYWORD_ONLY
    }
    if name == "claims":  # any other keyword is of files
        takes |= dict.fromkeys(Runs._fields, (True, True))
    if name == "mystery":
        takes |= dict.fromkeys(get_args(Kind), (True, True))
    command = cli.main.commands[name]
    params = {p.name: p for p in command.params if p.name not in ("spec", "code")}
    assert len(command.params) == len(takes) + 2
    assert {n: p.multiple or p.nargs == -1 for n, p in params.items()} == {
        n: m for n, (m, _) in takes.items()
    }
    # Any number of files may be none.
    needed = {n for n, (_, required) in takes.items() if required}
    assert {n for n, p in params.items() if p.required} <= needed
    assert needed <= {n for n, p in params.items() if p.required or p.multiple}


def test_the_help_text_says_where_to_begin_and_what_each_command_does():
    shown = CliRunner().invoke(cli.main, ["--help"]).output
    assert shown.index("config/demo.yaml") < shown.index("Helpers:") < shown.index("Stages,")
    assert "..." not in shown.partition("Helpers:")[2]
    for name in cli.main.commands:
        assert f"  {name} " in shown
        assert CliRunner().invoke(cli.main, [name, "--help"]).exit_code == 0


# --- data root ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given", ["~/my data", "$HOME/my data", "${HERE}/my data", "my data", "{home}/my data"]
)
@pytest.mark.parametrize("how", ["option", "variable"])
def test_the_data_root_is_a_path_as_shells_know_them(tmp_path, monkeypatch, caplog, given, how):
    (tmp_path / "my data").mkdir()
    given = given.replace("{home}", str(tmp_path))
    environment = {"HOME": str(tmp_path), "HERE": str(tmp_path), "CGPIPE_DATA_ROOT": None}
    options = ("--data-root", given) if how == "option" else ()
    if how == "variable":
        environment["CGPIPE_DATA_ROOT"] = given
    assert in_this_process(monkeypatch, data(tmp_path, *options), tmp_path, **environment) == 1
    (message,) = caplog.messages
    assert f"In {tmp_path}/my data there is nothing" in message


@pytest.mark.parametrize("how", ["option", "variable"])
def test_an_empty_data_root_counts_as_unset(tmp_path, monkeypatch, caplog, how):
    raw = tmp_path / "downloads/MNIST/raw"
    raw.mkdir(parents=True)
    for name in published.MNIST_RAW_MD5:
        (raw / name).write_bytes(b"")
    options = ("--data-root", "") if how == "option" else ()
    environment = {"CGPIPE_DATA_ROOT": "" if how == "variable" else None}
    assert in_this_process(monkeypatch, data(tmp_path, *options), tmp_path, **environment) == 1
    assert f"{raw}/train-images-idx3-ubyte (0 bytes) has MD5" in caplog.text


def test_a_data_root_that_is_a_file_is_told_and_is_nothing_to_the_digits(tmp_path):
    (tmp_path / "file").touch()
    root = {"CGPIPE_DATA_ROOT": str(tmp_path / "file")}
    done = run(*data(tmp_path), cwd=tmp_path, **root)
    assert done.returncode == 1
    assert f"{tmp_path}/file is a file, not a folder" in done.stderr
    assert done.stderr.count("\n") == 1
    done = run(*data(tmp_path, dataset="digits"), cwd=tmp_path, **root)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "dataset.nc").exists()


# --- check ----------------------------------------------------------------------------------------


def test_check_reports_mistakes_and_what_may_not_be_meant(tmp_path):
    path = tmp_path / "x.yaml"
    settings = {"experiments": {"one": {"network": {"dense": [8]}, "steps": 5, "noise": [0, 0.0004]}}}
    settings |= {"name": "a", "dataset": "digits", "figures": {"figure1": {"experiment": "one"}}}
    path.write_text(json.dumps(settings))
    done = CliRunner().invoke(cli.main, ["check", str(path)])
    assert done.exit_code == 0
    warning, last = done.output.splitlines()
    assert warning.startswith("warning: experiments.one.noise.1: given 0.0004; round(0.4) = 0 of 1,000")
    assert last == "no mistakes"
    settings["figures"]["figure1"]["compare_with"] = "docs/none.csv"
    path.write_text(json.dumps(settings))
    done = CliRunner().invoke(cli.main, ["check", str(path)])
    assert done.exit_code == 1
    assert "figures.figure1.compare_with: given 'docs/none.csv' (text); allowed: a table" in done.output


# --- errors ---------------------------------------------------------------------------------------

SPEC = {"noise": 0.5, "replicate": 0, "seed": 1, "selection": "exact"}


def corrupt(tmp_path, *first, **environment):
    """Run stage corrupt, which finds no dataset."""
    files = ("--dataset", tmp_path / "dataset.nc", "--corrupted", tmp_path / "corrupted.nc")
    return run(*first, "corrupt", "--spec", json.dumps(SPEC), *files, **environment)


def shadow(folder, module, content):
    """Python path on which a module is another than the installed one."""
    (folder / "shadow").mkdir()
    (folder / "shadow" / f"{module}.py").write_text(content, encoding="utf-8")
    return os.pathsep.join([str(folder / "shadow"), str(ROOT)])


@pytest.mark.parametrize("module", ["lazy_loader", "click", "pydantic", "xarray"])
def test_a_module_that_is_missing_is_one_message(tmp_path, module):
    missing = f"raise ModuleNotFoundError('No module named {module}', name={module!r})"
    path = shadow(tmp_path, module, missing)
    done = corrupt(tmp_path, PYTHONPATH=path)
    assert done.returncode == 1
    (said,) = done.stderr.splitlines()
    assert f"error: ModuleNotFoundError: No module named {module} (at {tmp_path}/shadow/{module}.py:1" in said
    assert f"{sys.executable}, lacks it" in said
    assert "make install" in said
    assert "CGPIPE_TRACEBACK=1" in said
    for asked in ({"CGPIPE_TRACEBACK": "1"}, {}):
        options = () if asked else ("--traceback",)
        done = corrupt(tmp_path, *options, PYTHONPATH=path, **asked)
        assert "Traceback (most recent call last)" in done.stderr
        assert f"ModuleNotFoundError: No module named {module}" in done.stderr
        assert done.returncode == 1


def test_a_python_without_anything_is_told_so(tmp_path):
    """With -S Python does not look into site-packages."""
    command = [sys.executable, "-S", "-m", "cgpipe", "data"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    (said,) = done.stderr.splitlines()
    assert said.startswith("cgpipe: error: ModuleNotFoundError: No module named 'lazy_loader'")
    assert "make install" in said
    command = [sys.executable, "-S", "-c", "import cgpipe"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert "Traceback" in done.stderr  # who imports the library gets an exception


def test_messages_of_cgpipe_have_a_traceback_if_it_is_asked_for(tmp_path):
    done = corrupt(tmp_path, CGPIPE_TRACEBACK="0")
    assert done.returncode == 1
    assert done.stderr.endswith(f"{tmp_path}/dataset.nc not found: let snakemake make it, from stage data\n")
    assert "Traceback" not in done.stderr
    said = corrupt(tmp_path, CGPIPE_TRACEBACK="1").stderr
    assert "Traceback (most recent call last)" in said
    assert "dataset.nc not found" in said


class OutOfMemoryError(RuntimeError):
    """As torch has one."""


def one_word():
    return "nan".no_such  # an error of the code


def a_subprocess():
    script = "import sys; print('line of output'); sys.exit('reason on the standard error')"
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)


def a_slow_subprocess():
    subprocess.run([sys.executable, "-c", "import time; time.sleep(60)"], check=True, timeout=0.01)


def raising(error):
    def fail():
        raise error

    return fail


FOREIGN = {
    "AttributeError: 'str' object has no attribute 'no_such'": one_word,
    "CalledProcessError: Command": a_subprocess,
    "TimeoutExpired: Command": a_slow_subprocess,
    "MemoryError (at": raising(MemoryError()),
    "OutOfMemoryError: CUDA out of memory": raising(OutOfMemoryError("CUDA out of memory")),
    "TypeError: a number": raising(TypeError("a number")),
    "AssertionError (at": raising(AssertionError()),
    "IndexError: out of range": raising(IndexError("out of range")),
    "an artifact that was read lacks 'f' (KeyError) (at": raising(KeyError("f")),
    "ZeroDivisionError: division by zero": lambda: 1 / 0,
    "OSError: [Errno 28] No space left on device": raising(OSError(28, "No space left on device")),
    "RecursionError: maximum": raising(RecursionError("maximum")),
    "UnicodeDecodeError: 'utf-8' codec": b"\xff".decode,
    "StopIteration (at": raising(StopIteration()),
    "NotImplementedError (at": raising(NotImplementedError()),
}


def call(monkeypatch, tmp_path, fail, *options):
    """Run stage corrupt in this process, with a `run` that fails."""
    from cgpipe.pipeline.stages import corrupt

    def run(spec: corrupt.Spec, provenance, **paths):
        fail()

    monkeypatch.setattr(corrupt, "run", run)
    files = ["--dataset", str(tmp_path / "a.nc"), "--corrupted", str(tmp_path / "b.nc")]
    return CliRunner().invoke(cli.main, [*options, "corrupt", "--spec", json.dumps(SPEC), *files])


@pytest.mark.parametrize("said", FOREIGN)
def test_an_error_that_is_none_of_cgpipes_own_is_one_message_with_its_type_and_place(
    monkeypatch, tmp_path, caplog, said
):
    monkeypatch.delenv("CGPIPE_TRACEBACK", raising=False)
    done = call(monkeypatch, tmp_path, FOREIGN[said])
    assert done.exit_code == 1
    (message,) = caplog.messages
    assert message.startswith(f"cgpipe corrupt: error: {said}")
    assert f"{'subprocess.py' if 'Command' in said else __file__}:" in message
    assert f"called from {ROOT}/cgpipe/cli.py:" in message
    assert "`python -m cgpipe --traceback STAGE`" in message
    if "CalledProcess" in said:
        assert "It said: reason on the standard error" in message
    again = call(monkeypatch, tmp_path, FOREIGN[said], "--traceback")
    assert isinstance(again.exception, Exception)
    assert type(again.exception).__name__ in said


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        *((no, False) for no in ("", "0", "false", "no", "OFF ")),
        *((yes, True) for yes in ("1", "true", "yes", "please")),
    ],
)
def test_the_traceback_can_be_asked_for_or_not(monkeypatch, tmp_path, value, wanted):
    monkeypatch.setenv("CGPIPE_TRACEBACK", value)
    done = call(monkeypatch, tmp_path, raising(TypeError("a number")))
    assert done.exit_code == 1
    assert isinstance(done.exception, TypeError if wanted else SystemExit)


def test_an_interrupted_stage_ends_with_130_and_without_traceback(monkeypatch, tmp_path, caplog):
    done = call(monkeypatch, tmp_path, raising(KeyboardInterrupt()))
    assert done.exit_code == 130
    assert caplog.messages == ["cgpipe corrupt: interrupted"]


def test_a_stage_interrupted_while_it_starts_ends_without_traceback(tmp_path):
    path = shadow(tmp_path, "click", "raise KeyboardInterrupt")
    done = corrupt(tmp_path, PYTHONPATH=path)
    assert (done.returncode, done.stderr) == (130, "")


@pytest.mark.parametrize(
    ("fail", "said"),
    [
        (
            lambda: Path("/no/such/file").read_bytes(),
            "[Errno 2] No such file or directory: '/no/such/file'",
        ),
        (
            lambda: datasets.load("imagenet"),
            "dataset 'imagenet': give digits, mnist, fashion_mnist or cifar10",
        ),
        (lambda: datasets.load("mnist", Path("/no/such")), "/no/such/MNIST/raw: train-images-idx3-ubyte,"),
    ],
)
def test_a_message_of_cgpipes_own_is_told_as_it_is(monkeypatch, tmp_path, caplog, fail, said):
    monkeypatch.delenv("CGPIPE_TRACEBACK", raising=False)
    assert call(monkeypatch, tmp_path, fail).exit_code == 1
    (message,) = caplog.messages
    assert message.startswith(f"cgpipe corrupt: error: {said}")
    assert "Error:" not in message
    assert "traceback" not in message
