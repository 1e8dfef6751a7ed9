"""What is written is in step with what is there."""

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml
from slurm.test_faults import CASES

from benchmarks.verdicts import table as power_table
from cgpipe.inference.claims.claim import CG
from cgpipe.inference.claims.registry import criteria_table
from cgpipe.inference.mystery.runs import GM
from cgpipe.pipeline.config import reference
from cgpipe.pipeline.config.load import load
from cgpipe.pipeline.documents import between
from cgpipe.reproduction.pages import NOTHING
from cgpipe.reproduction.publish import PAGES, reproduce

ROOT = Path(__file__).parents[1]
FOLDERS = [folder for _, folder, _ in PAGES.values()]


def read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def test_schema_is_generated_from_the_code() -> None:
    assert json.loads(read("workflow/schemas/config.schema.json")) == reference.schema(), "run `make docs`"


def test_reference_of_the_keys_is_generated_from_the_code() -> None:
    table = read("config/README.md").split("<!-- begin keys -->\n")[1].split("<!-- end keys -->")[0]
    assert table == reference.table(), "run `make docs`"


@pytest.mark.parametrize(("part", "paper"), [("criteria", CG), ("mystery", GM)])
def test_criteria_of_the_claims_are_generated_from_the_code(part: str, paper: str) -> None:
    assert between(read("docs/science.md"), part) == criteria_table(paper), "run `make docs`"


def test_power_of_the_verdicts_is_that_of_the_simulation() -> None:
    assert between(read("docs/science.md"), "power") == power_table(), "run `make docs`"


@pytest.mark.parametrize("path", sorted(path.name for path in (ROOT / "config").glob("*.yaml")))
def test_config_files_are_valid_and_told_of(path: str) -> None:
    load(yaml.safe_load(read(f"config/{path}")))
    assert path in read("config/README.md")


def test_the_paper_is_configured_as_the_paper_says() -> None:
    paper = load(yaml.safe_load(read("config/config.yaml")))
    noise = [0, 0.25, 0.5, 0.75, 1]
    labels, winsor = paper.experiments["label_noise"], paper.experiments["winsorization"]
    assert (labels.network.dense, labels.steps, labels.noise, labels.winsor) == ([2048], 100_000, noise, [0])
    assert (winsor.network.dense, winsor.steps) == ([256, 256, 256], 60_000)
    assert (winsor.noise, winsor.winsor) == (noise, [0, 1, 2, 4, 8])
    for experiment in (labels, winsor):
        assert (experiment.batch_size, experiment.learning_rate, experiment.init) == (100, 0.1, "xavier")
    assert (paper.gradients.examples, paper.gradients.weights, paper.nullworlds.shown) == (400, 300, 3)
    assert paper.nullworlds.count >= 10_000
    assert paper.corruption.selection == "exact"


def test_example_of_the_readme_runs() -> None:
    example = re.findall(r"```python\n(.*?)```", read("README.md"), flags=re.DOTALL)[0]
    names: dict[str, object] = {}
    exec(compile(example, "README.md", "exec"), names)
    assert names["test"].p_value.shape == (3,)  # type: ignore[attr-defined]


def test_every_fault_that_is_brought_about_on_slurm_is_in_the_table() -> None:
    table = read("docs/reliability.md").split("<!-- begin matrix -->\n")[1].split("<!-- end matrix -->")[0]
    rows = {tuple(cell.strip() for cell in line.split("|")[1:3]) for line in table.splitlines()}
    assert set(CASES) <= rows, "run `make reliability`"


def test_the_pages_of_the_reproduction_are_what_make_reproduction_writes(tmp_path: Path) -> None:
    for name in ("README.md", "config", "docs"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    reproduce(tmp_path)
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert after == before, "run `make reproduction`"


@pytest.mark.parametrize(
    ("name", "differ"), [("conventions_init", {"init"}), ("conventions_selection", set())]
)
def test_settings_that_are_compared_with_the_paper_differ_as_they_say(name: str, differ: set[str]) -> None:
    paper, other = (load(yaml.safe_load(read(f"config/{path}.yaml"))) for path in ("config", name))
    assert (paper.seed, paper.dataset, paper.device) == (other.seed, other.dataset, other.device)
    assert (paper.corruption == other.corruption) == (name == "conventions_init")
    for experiment, of in other.experiments.items():
        ours, theirs = of.model_dump(), paper.experiments[experiment].model_dump()
        assert set(ours["noise"]) <= set(theirs["noise"])
        assert {key for key in ours if ours[key] != theirs[key]} - {"noise", "replicates"} == differ


def test_the_readme_says_which_pages_have_no_results_yet() -> None:
    rows = {
        folder: [row for row in read("README.md").splitlines() if f"| [{folder}]" in row]
        for folder in FOLDERS
    }
    for folder, [row] in rows.items():
        assert ("no results yet" in row) == (NOTHING in read(f"{folder}/README.md")), row


def test_links_of_the_documents_lead_somewhere() -> None:
    documents = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("config/*.md")]
    links = [
        (document, link)
        for document in documents
        for link in re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8"))
    ]
    assert links
    assert [(d.name, link) for d, link in links if not (d.parent / link).exists()] == []
