"""Command lines of jobs, and the file that is newer than results that are not as planned."""

import os
import shlex
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

from cgpipe.pipeline.artifacts import Provenance, write_record
from cgpipe.pipeline.jobs import Planned, as_options


def test_files_are_options_with_the_names_of_their_kinds():
    inputs = {"label_noise": ["a.nc", "b.nc"], "coherence": [], "planned": ".snakemake/planned"}
    outputs = {"table": "runs.csv", "record": "runs.json"}
    assert (
        as_options(inputs, outputs, arguments=["one", "two"])
        == "--label-noise a.nc --label-noise b.nc --table runs.csv one two"
    )


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1))
def test_any_path_is_quoted(path):
    assert shlex.split(as_options({"of": path}, arguments=[path])) == ["--of", path, path]


@pytest.mark.parametrize(
    "path", ["with space.nc", "it's.nc", 'a"b.nc', "$HOME.nc", "{a}.nc", "a;b&c|d.nc", "*.nc"]
)
def test_a_shell_reads_the_path_that_was_meant(path):
    script = f"{shlex.quote(sys.executable)} -c 'import sys; print(sys.argv[1:])' {as_options({'of': path})}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == f"{['--of', path]}\n"


# --- results that are not as planned --------------------------------------------------------------


class Inputs(list):
    """Of a rule: what asks, and nothing else."""

    def __init__(self):
        self.planned = lambda wildcards: "never"
        super().__init__([self.planned])


class Jobs:
    """A folder with the results of two jobs of one rule."""

    def __init__(self, folder):
        path = folder / ".snakemake" / "planned"
        self.planned = Planned(path, "demo", lambda stage, wildcards: ("{}", "c"))
        self.folder = folder
        for noise in ("025", "050"):
            write_record(self.result(noise), Provenance("runs", self.spec(noise), "c"))

    def result(self, noise):
        return self.folder / f"noise-{noise}.json"

    def spec(self, noise):
        return f'{{"noise":"{noise}"}}'

    def outdates(self, noise="050", **planned):
        params = {
            "stage": "runs",
            "spec": lambda wildcards: self.spec(wildcards["noise"]),
            "code": "c",
            **planned,
        }
        job = SimpleNamespace(
            input=Inputs(),
            output=[str(self.folder / "noise-{noise}.json")],
            params=SimpleNamespace(**params),
        )
        return self.planned.outdates("runs", job, {"noise": noise})

    def age(self):
        return self.planned.path.stat().st_mtime


@pytest.fixture
def jobs(tmp_path):
    return Jobs(tmp_path)


@pytest.fixture
def warned(monkeypatch):
    said = []
    monkeypatch.setattr(logger, "warning", said.append)
    return said


def test_results_as_planned_leave_the_file_as_it_is(jobs, warned):
    before = jobs.planned.path.read_text()
    assert not jobs.outdates()
    assert not jobs.outdates("025")
    assert not jobs.outdates("100")  # not there
    assert (jobs.planned.path.read_text(), warned) == (before, [])


def test_results_that_differ_are_reported_once_and_the_file_is_newer(jobs, warned):
    os.utime(jobs.result("050"), (time.time() + 1,) * 2)
    before = jobs.planned.path.read_text()
    assert jobs.outdates("050", code="d")
    assert jobs.age() > jobs.result("050").stat().st_mtime
    assert jobs.planned.path.read_text() != before
    assert jobs.outdates("025", code="d")
    (said,) = warned
    assert said.startswith(f"{jobs.result('050')} was made by other code: it is made again and replaced")
    assert "give the config another name than demo" in said
    assert jobs.outdates("025", spec=jobs.spec("075"))
    assert '025.json was made with noise = "025", not "075"' in warned[1]


def test_results_that_cannot_be_read_are_an_error(jobs, monkeypatch):
    def fail(*_: object, **__: object):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("cgpipe.pipeline.jobs.why_stale", fail)
    with pytest.raises(WorkflowError, match=r"could not be read .*Input/output error.*nothing was changed"):
        jobs.outdates()


@pytest.mark.usefixtures("warned")
def test_results_from_the_future_are_an_error(jobs):
    os.utime(jobs.result("050"), (time.time() + 1000,) * 2)
    with pytest.raises(WorkflowError, match=r"noise-050.json lies in the future.*set the clock right"):
        jobs.outdates(code="d")
