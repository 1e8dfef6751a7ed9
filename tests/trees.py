"""Whole workflows, small: copies of this repository that run and are changed as a user would."""

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import warm
import yaml

from cgpipe.figures.registry import OF_RUNS

ROOT = Path(__file__).parents[1]
SOURCES = ("Snakefile", "workflow", "profiles", "slurm", "cgpipe", "config", "pyproject.toml")

EXPERIMENT: dict[str, Any] = {
    "network": {"dense": [16]},
    "init": "xavier",
    "learning_rate": 0.5,
    "schedule": "constant",
    "momentum": 0.0,
    "weight_decay": 0.0,
    "examples": "all",
    "subset": "own",
    "choose": None,
    "copies": 1,
    "zeroed": 0.0,
    "twin": None,
    "normalize": False,
    "batch_size": 50,
    "steps": 12,
    "update": "winsorized_mean",
    "noise": [0.5],
    "clip_norm": None,
    "noise_multiplier": None,
    "winsor": [0],
    "replicates": 1,
    "runs_per_job": 1,
    "snapshots": True,
    "marks": [],
    "start": None,
}
# Alike, but for some examples of the second.
TWINS = {"original": None, "replaced": {"of": "original", "replaced": 30}}
SMALL: dict[str, Any] = {
    "name": "small",
    "seed": 1,
    "dataset": "digits",
    "data_root": None,
    "device": "auto",
    "kernel": "auto",
    "corruption": {"selection": "exact"},
    "replicates": 3,
    "experiments": {
        "label_noise": {
            **EXPERIMENT,
            "learning_rate": 0.25,
            "examples": 900,
            "normalize": True,
            "noise": [0, 0.5],
        },
        "winsorization": {**EXPERIMENT, "winsor": [0, 2]},
        # As "winsorization", but in one job.
        "pair": {**EXPERIMENT, "winsor": [0, 2], "runs_per_job": 2},
        "bare": {**EXPERIMENT, "learning_rate": 0.125, "batch_size": "all", "snapshots": False},
        **{
            name: {**EXPERIMENT, "learning_rate": 0.25, "examples": 900, "twin": twin}
            for name, twin in TWINS.items()
        },
    },
    "gradients": {"examples": 60, "weights": 40, "draws": 3},
    "contributions": {"stiffness_examples": 50},
    "clipping": {"levels": [1, 4], "batches": 2},
    "heldout": {"examples": 60},
    "similarity": {"examples": 40},
    "nullworlds": {"shown": 2, "count": 200, "level": 0.9},
    "figures": {
        name: {
            "experiment": "replaced"
            if name == "twins"
            else "label_noise"
            if entry.plain
            else "winsorization",
            **({"compare_with": None} if entry.levels else {}),
            **({"controls": []} if entry.controls else {}),
            **({"others": []} if entry.others else {}),
            **{key: of.default for key, of in entry.keys.items()},
        }
        for name, entry in OF_RUNS.items()
    }
    | {
        "style": {"width": 6.0, "font_size": 8.0, "dpi": 50, "palette": "colorblind"},
    },
    "mystery": None,
    "claims": {
        "label_noise": "label_noise",
        "winsorization": "winsorization",
        "full_batch": "bare",
        "minibatch": "winsorization",
        "seen": [],
    },
}


class Tree:
    """A copy of the repository, with results or without."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def results(self) -> Path:
        return self.folder / "results" / "small"

    def configure(self, settings: dict[str, Any]) -> None:
        (self.folder / "config" / "small.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")

    def snakemake(
        self, *arguments: str, check: bool = True, anew: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """Run snakemake; `anew`, in processes that import everything themselves."""
        arguments = ("--configfile", "config/small.yaml", "--cores", "2", *arguments)
        # The copy's own package, before the installed one. Snakemake's plugin asks Slurm for settings even
        # if it is not used, and where Slurm is installed but does not run, waits for an answer.
        environment = {"SLURM_CONF": os.devnull, **os.environ, "PYTHONPATH": str(self.folder)}
        if anew:
            command = [sys.executable, "-m", "snakemake", *arguments]
            options: dict[str, Any] = {"capture_output": True, "text": True, "timeout": 900}
            done = subprocess.run(command, cwd=self.folder, env=environment, check=False, **options)
        else:
            done = warm.snakemake([*arguments], self.folder, environment)
        if check and done.returncode:
            raise AssertionError(f"snakemake failed:\n{done.stdout}\n{done.stderr}")
        return done

    def planned(self, *arguments: str) -> Counter[str]:
        """What a dry run would run: number of jobs by rule."""
        done = self.snakemake("-n", *arguments)
        said = done.stdout + done.stderr
        if "Nothing to be done" in said:
            return Counter()
        table = re.search(r"^job +count\n[- ]+\n(.*?)^total ", said, flags=re.MULTILINE | re.DOTALL)
        assert table, said
        jobs = Counter({rule: int(n) for rule, n in re.findall(r"^(\w+) +(\d+)$", table[1], re.MULTILINE)})
        del jobs["all"]
        assert jobs, said
        return jobs

    def copy(self, to: Path) -> "Tree":
        """Copy all, results and Snakemake's memory included, with new time stamps."""
        shutil.copytree(self.folder, to, copy_function=shutil.copy)
        return Tree(to)


def new_tree(folder: Path) -> Tree:
    """A fresh clone, in effect, that is set to run the small workflow."""
    ignored = shutil.ignore_patterns("__pycache__")
    folder.mkdir(parents=True)
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=ignored)
        else:
            shutil.copy(source, folder / name)
    tree = Tree(folder)
    tree.configure(SMALL)
    return tree
