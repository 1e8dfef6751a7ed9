"""The workflow as a module of another one, with a prefix."""

import os
import shutil
from pathlib import Path

import pytest
import warm
import yaml
from trees import ROOT, SMALL, Tree

from cgpipe.pipeline.records import record_of

HOST = """
module gradients:
    snakefile: "{snakefile}"
    {config}
    prefix: "sub"

use rule * from gradients as cg_*

rule all:
    default_target: True
    input: rules.cg_all.input
"""


class Host:
    """A folder of another workflow."""

    def __init__(self, folder: Path, snakefile: Path, *, config: bool = True) -> None:
        self.folder = folder
        of_module = 'config: config["small"]' if config else ""
        text = HOST.format(snakefile=snakefile, config=of_module)
        (folder / "Snakefile").write_text(('configfile: "host.yaml"\n' if config else "") + text)
        self.configure(SMALL)

    def configure(self, settings: dict) -> None:
        (self.folder / "host.yaml").write_text(yaml.safe_dump({"small": settings}))

    def snakemake(self, *arguments: str) -> str:
        environment = {"SLURM_CONF": os.devnull, **os.environ}
        done = warm.snakemake(
            ["--rerun-triggers", "mtime", "--cores", "2", *arguments], self.folder, environment
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr


@pytest.fixture
def host(finished: Tree, tmp_path: Path) -> Host:
    return Host(tmp_path, finished.folder / "Snakefile")


def test_a_module_plans_all_jobs_below_its_prefix(host: Host) -> None:
    said = host.snakemake("-n")
    assert "sub/results/small/figures/figure1.svg" in said
    assert " results/small" not in said
    assert "cg_nullworlds_exact" in said


def test_a_module_runs_and_its_results_are_asked(host: Host) -> None:
    figure = "sub/results/small/figures/figure4.svg"
    host.snakemake(figure)
    history = host.folder / "sub/results/small/winsorization/noise-050/winsor-2/replicate-0/history.nc"
    assert record_of(history)["stage"] == "train"
    shutil.rmtree(host.folder / ".snakemake")
    assert "Nothing to be done" in host.snakemake("-n", figure)
    experiments = {
        **SMALL["experiments"],
        "winsorization": {**SMALL["experiments"]["winsorization"], "learning_rate": 0.25},
    }
    host.configure({**SMALL, "experiments": experiments})
    said = host.snakemake("-n", figure)
    assert "was made with learning_rate = 0.5, not 0.25" in said
    assert "cg_train" in said


def test_a_module_without_settings_takes_the_papers(tmp_path: Path) -> None:
    said = Host(tmp_path, ROOT / "Snakefile", config=False).snakemake("-n")
    assert "sub/results/paper/figures/figure4.svg" in said


def test_of_the_hosts_config_only_what_is_dropped_is_told(tmp_path: Path) -> None:
    host = Host(tmp_path, ROOT / "Snakefile")
    file = tmp_path / "host.yaml"
    written = file.read_text()
    file.write_text(f"{written}other: yes\n")
    assert "sub/results/small/figures/figure4.svg" in host.snakemake("-n")
    file.write_text(f"{written}  seed: 3\n")
    line = written.count("\n") + 1
    with pytest.raises(
        AssertionError, match=f"host.yaml, line {line}: small.seed: given twice, first on line "
    ):
        host.snakemake("-n")
