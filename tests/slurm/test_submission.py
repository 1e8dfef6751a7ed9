"""What reaches sbatch; commands that stand in for Slurm's are enough for that."""

import re
import shlex
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest
import warm
from trees import ROOT, Tree, new_tree

from slurm.conftest import QUICK
from slurm.pretended import Pretended

GUIDE = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
HISTORY = "results/small/label_noise/noise-050/winsor-0/replicate-0/history.nc"
SHORT = {"-p": "--partition", "-A": "--account", "-C": "--constraint", "-t": "--time"}


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """The small workflow, in which only trainings and what follows is to be done."""
    tree = new_tree(tmp_path_factory.mktemp("submission") / "tree")
    tree.snakemake(*(f"results/small/corrupted/{of}noise-050/replicate-0.nc" for of in ("", "examples-900/")))
    return tree


class Submitted(NamedTuple):
    """Options by which a job was submitted, short ones by their long names; and Slurm's variables."""

    options: dict[str, str]
    variables: dict[str, str]


def snakemake(
    tree: Tree, slurm: Pretended, *arguments: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    options = ["--configfile", "config/small.yaml", "--cores", "8", *QUICK]
    options += ["--slurm-init-seconds-before-status-checks", "1", *arguments]
    environment = slurm.environment(PYTHONPATH=str(tree.folder), **variables)
    return warm.snakemake(options, tree.folder, environment)


def submit(tree: Tree, folder: Path, *arguments: str, **variables: str) -> Submitted:
    """Submit one training, which is refused."""
    slurm = Pretended(folder / "slurm")
    done = snakemake(tree, slurm, "--retries", "0", *arguments, "--", HISTORY, SUBMIT_LIMIT="0", **variables)
    (asked,) = slurm.asked()
    assert done.returncode != 0
    assert "Job violates accounting/QOS policy" in done.stdout + done.stderr
    return Submitted(as_options(asked["arguments"]), asked["environment"])


def as_options(arguments: list[str]) -> dict[str, str]:
    options = {}
    for i, given in enumerate(arguments):
        name, _, value = given.partition("=")
        if name.startswith("-"):
            follows = arguments[i + 1 : i + 2]
            options[SHORT.get(name, name)] = value or "".join(one for one in follows if one[0] != "-")
    return options


def recipes(column: int) -> list[tuple[str, list[str]]]:
    """An option of sbatch, and the words by which docs/cluster.md says to give it."""
    table = GUIDE.partition("## Options of sbatch")[2].partition("\n- ")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.strip().splitlines()[2:]]
    cells = [(row[0].strip("`"), row[column]) for row in rows]
    return [(option, shlex.split(cell.strip("`"))) for option, cell in cells if cell.count("`") == 2]


def reached(submitted: Submitted, option: str) -> bool:
    name, _, value = option.partition("=")
    variable = f"SBATCH_{name.lstrip('-').upper()}"
    return submitted.options.get(name, submitted.variables.get(variable)) == value


def test_options_for_all_jobs_reach_sbatch(ready: Tree, tmp_path: Path) -> None:
    given = [words for _, words in recipes(1)]
    variables = dict(words[1].split("=") for words in given if words[0] == "export")
    arguments = [word for words in given if words[0] != "export" for word in words]
    assert len(given) == 6
    submitted = submit(ready, tmp_path, "--profile", "slurm", *arguments, **variables)
    assert [option for option, _ in recipes(1) if not reached(submitted, option)] == []


def test_options_for_the_jobs_of_a_rule_reach_sbatch(ready: Tree, tmp_path: Path) -> None:
    given = [words for _, words in recipes(2)]
    assert {words[0] for words in given} == {"--set-resources"}
    resources = [words[1].partition("=")[::2] for words in given]
    extra = " ".join(value.strip("'") for name, value in resources if name == "train:slurm_extra")
    assert extra.count("--") == 3
    others = ["=".join(one) for one in resources if one[0] != "train:slurm_extra"]
    asked_for = ["--set-resources", *others, f"train:slurm_extra='{extra}'"]
    submitted = submit(ready, tmp_path, "--profile", "slurm", *asked_for)
    assert [option for option, _ in recipes(2) if not reached(submitted, option)] == []
    assert submitted.variables["SBATCH_SIGNAL"] == "USR1@120"


DEFAULT = "slurm_extra='--exclude=node7 --mail-type=FAIL'"


@pytest.mark.parametrize("how", ["command line", "profile", "another profile", "rule"])
def test_the_users_options_and_the_signal_both_reach_sbatch(ready: Tree, tmp_path: Path, how: str) -> None:
    arguments: list[str] = ["--profile", "slurm"]
    if how == "command line":
        example = GUIDE.partition("## Options of sbatch")[2].partition("```bash\n")[2].partition("```")[0]
        arguments = shlex.split(example.replace("\\\n", " "))[3:]
    elif how == "rule":
        arguments += ["--set-resources", f"train:{DEFAULT}"]
    else:
        # As commented in the profile; in the one of the workflow, or in the user's own.
        profile = (
            (ROOT / "slurm/profile.yaml").read_text(encoding="utf-8").replace("# slurm_extra", "slurm_extra")
        )
        own = tmp_path / "own"
        if how == "profile":
            ready = ready.copy(tmp_path / "tree")
            own = ready.folder / "slurm"
        own.mkdir(exist_ok=True)
        (own / "profile.yaml").write_text(profile, encoding="utf-8")
        arguments = ["--profile", "slurm"] if how == "profile" else ["--profile", str(own)]
    options, variables = submit(ready, tmp_path, *arguments, SBATCH_SIGNAL="")
    assert (options["--exclude"], options["--mail-type"]) == ("node7", "FAIL")
    assert variables["SBATCH_SIGNAL"] == "USR1@120"
    assert "--signal" not in options
    assert (options["--mem"], options["--time"], options["--gpus"]) == ("4000", "240", "1")


def test_the_users_signal_wins(ready: Tree, tmp_path: Path) -> None:
    extra = ("--set-resources", "train:slurm_extra='--signal=USR1@600'")
    options, variables = submit(ready, tmp_path, "--profile", "slurm", *extra, SBATCH_SIGNAL="TERM@300")
    assert variables["SBATCH_SIGNAL"] == "TERM@300"
    assert options["--signal"] == "USR1@600"  # sbatch takes options before variables


def test_what_has_a_resource_of_its_own_is_not_taken_as_another_option(ready: Tree, tmp_path: Path) -> None:
    slurm = Pretended(tmp_path / "slurm")
    extra = ("--set-resources", "train:slurm_extra='--qos=long'")
    done = snakemake(ready, slurm, "--profile", "slurm", "--retries", "0", *extra, "--", HISTORY)
    assert done.returncode != 0
    (told,) = re.findall(r"`(The --quality-of-service [^`]*)`", GUIDE)
    assert told in done.stdout + done.stderr


def test_the_gpus_of_this_machine_do_not_limit_what_is_submitted(ready: Tree, tmp_path: Path) -> None:
    slurm = Pretended(tmp_path / "slurm")
    driver = slurm.folder / "bin" / "nvidia-smi"
    driver.write_text("#!/bin/sh\necho 'GPU 0: NVIDIA'\n", encoding="utf-8")
    driver.chmod(0o755)
    both = [HISTORY, HISTORY.replace("label_noise", "bare")]
    done = snakemake(ready, slurm, "--profile", "slurm", "--retries", "0", "--", *both, SUBMIT_LIMIT="0")
    assert "Execute 2 jobs..." in done.stdout + done.stderr
    assert [as_options(asked["arguments"])["--gpus"] for asked in slurm.asked()] == ["1", "1"]


@pytest.mark.slow
def test_a_limit_of_submitted_jobs_is_kept_by_fewer_jobs(ready: Tree, tmp_path: Path) -> None:
    tree = ready.copy(tmp_path / "tree")
    corrupted = tree.results / "corrupted"
    files = [corrupted / "noise-000/replicate-0.nc", corrupted / "noise-050/replicate-0.nc"]
    files[1].unlink()
    wanted = [str(path.relative_to(tree.folder)) for path in files]
    slurm = Pretended(tmp_path / "slurm")
    (slurm.folder / "jobs" / "1").mkdir()  # another of the user's, which goes on

    def run(limit: int, *arguments: str) -> tuple[int, int, str]:
        options = ("--profile", "slurm", *arguments, "--", *wanted)
        done = snakemake(tree, slurm, *options, SUBMIT_LIMIT=str(limit))
        return done.returncode, len(slurm.asked()), done.stdout + done.stderr

    status, asked, said = run(1)
    assert status != 0
    assert asked == 4 + 4
    for told in re.findall(r"`(QOSMaxSubmit\w+|Job violates [^`…]*)", GUIDE):
        assert told.strip() in said
    status, asked, said = run(2, "--jobs", "1")
    assert status == 0, said
    assert asked == 8 + 2
    assert all(path.exists() for path in files)
