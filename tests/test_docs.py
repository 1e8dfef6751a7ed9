"""What is written is in step with what is there."""

import json
import re
from pathlib import Path

import pytest
import yaml
from slurm.test_faults import CASES

from cgpipe.runtime import config

ROOT = Path(__file__).parents[1]


def read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def test_schema_is_generated_from_the_code() -> None:
    assert json.loads(read("workflow/schemas/config.schema.json")) == config.schema(), "run `make docs`"


def test_reference_of_the_keys_is_generated_from_the_code() -> None:
    table = read("config/README.md").split("<!-- begin keys -->\n")[1].split("<!-- end keys -->")[0]
    assert table == config.reference(), "run `make docs`"


@pytest.mark.parametrize("path", sorted(path.name for path in (ROOT / "config").glob("*.yaml")))
def test_config_files_are_valid_and_told_of(path: str) -> None:
    config.load(yaml.safe_load(read(f"config/{path}")))
    assert path in read("config/README.md")


def test_the_paper_is_configured_as_the_paper_says() -> None:
    paper = config.load(yaml.safe_load(read("config/config.yaml")))
    noise = [0, 0.25, 0.5, 0.75, 1]
    labels, winsor = paper.experiments["label_noise"], paper.experiments["winsorization"]
    assert (labels.hidden, labels.steps, labels.noise, labels.winsor) == ([2048], 100_000, noise, [0])
    assert (winsor.hidden, winsor.steps) == ([256, 256, 256], 60_000)
    assert (winsor.noise, winsor.winsor) == (noise, [0, 1, 2, 4, 8])
    for experiment in (labels, winsor):
        assert (experiment.batch_size, experiment.learning_rate, experiment.init) == (100, 0.1, "xavier")
    assert (paper.gradients.examples, paper.gradients.weights, paper.nullworlds.drawn) == (400, 300, 3)
    assert paper.nullworlds.worlds >= 10_000
    assert paper.corruption.selection == "exact"


def test_example_of_the_readme_runs() -> None:
    example = re.findall(r"```python\n(.*?)```", read("README.md"), flags=re.DOTALL)[0]
    names: dict[str, object] = {}
    exec(compile(example, "README.md", "exec"), names)
    assert names["p"].shape == (3,)  # type: ignore[attr-defined]


def test_every_fault_that_is_brought_about_on_slurm_is_in_the_table() -> None:
    table = read("docs/reliability.md").split("<!-- begin matrix -->\n")[1].split("<!-- end matrix -->")[0]
    rows = {tuple(cell.strip() for cell in line.split("|")[1:3]) for line in table.splitlines()}
    assert set(CASES) <= rows, "run `make reliability`"


def test_links_of_the_documents_lead_somewhere() -> None:
    documents = [ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("config/*.md")]
    links = [
        (document, link)
        for document in documents
        for link in re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8"))
    ]
    assert links
    assert [(d.name, link) for d, link in links if not (d.parent / link).exists()] == []
