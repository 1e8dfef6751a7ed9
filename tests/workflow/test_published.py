"""What is published is made by a rule, and takes its numbers from the tables."""

import copy
import shutil
from typing import Any

import pandas as pd
from trees import SMALL, Tree

TEXT = """# {{ rows("claims") | length }} statistics

At the end: {{ at("figure1", "mean", panel="a", noise=0.5, group="all", step=12) }}. ![](figure1.svg)
{{ at("costs", "jobs", stage="train", experiment="label_noise") }} runs with {{
    at("software", "value", name="kernel") }}.
"""


def publish(tree: Tree, text: str, **more: Any) -> None:
    (tree.folder / "config" / "text.md").write_text(text, encoding="utf-8")
    settings = copy.deepcopy(SMALL)
    settings["publish"] = {"folder": "published", "template": "config/text.md", **more}
    tree.configure(settings)


def test_figures_tables_and_text_are_published_and_kept_in_step(tree: Tree) -> None:
    publish(tree, TEXT)
    assert tree.planned() == {"text": 1, "publish": 1}
    tree.snakemake()
    folder, figures = tree.folder / "published", tree.results / "figures"
    names = {path.name for path in folder.iterdir()}
    drawn = {path.name for path in figures.iterdir() if path.suffix not in (".pdf", ".json")}
    assert names == {"README.md", "costs.csv", "software.csv", *drawn}
    assert all((folder / name).read_bytes() == (figures / name).read_bytes() for name in drawn)
    shown = pd.read_csv(figures / "figure1.csv").query(
        "panel == 'a' and noise == 0.5 and group == 'all' and step == 12"
    )
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert text.startswith("<!-- Written by snakemake from config/text.md: change that. -->")
    assert f"At the end: {shown['mean'].item()}." in text
    assert "2 runs with " in text
    assert tree.planned() == {}
    # A figure that is removed comes back.
    (folder / "figure1.svg").unlink()
    assert tree.planned() == {"publish": 1}
    tree.snakemake()
    assert {path.name for path in folder.iterdir()} == names
    # A text that asks for what is not there, or says what does not follow, changes nothing of what is there.
    for wrong, why in (
        ('{{ at("figure1", "mean", noise=0.3) }}', "figure1 has no row with noise = 0.3"),
        ('{{ check(1 > 2, "One is more.") }}', "the tables no longer say so, write it anew: One is more."),
    ):
        publish(tree, TEXT + wrong)
        assert tree.planned() == {"text": 1, "publish": 1}
        said = tree.snakemake(check=False)
        assert said.returncode != 0
        assert why in said.stdout + said.stderr
        assert {path.name for path in folder.iterdir()} == names
        assert (folder / "README.md").read_text(encoding="utf-8") == text
    # What no rule makes is not published, nor lost.
    publish(tree, TEXT + "More.\n")
    (folder / "more.png").write_bytes(b"mine")
    said = tree.snakemake(check=False)
    assert said.returncode != 0
    assert "published holds more.png, which this does not make" in said.stdout + said.stderr
    assert {path.name for path in folder.iterdir()} == {*names, "more.png"}
    (folder / "more.png").unlink()
    # What a killed job left is no stranger, and goes.
    (folder / ".figure1.svg.1234.tmp").write_bytes(b"half")
    tree.snakemake()
    assert {path.name for path in folder.iterdir()} == names
    assert (folder / "README.md").read_text(encoding="utf-8") == text + "More.\n"


def test_the_text_takes_numbers_of_other_workflows_too(tree: Tree) -> None:
    other = tree.folder / "other.csv"
    pd.DataFrame({"claim": ["C1"], "n": [7]}).to_csv(other, index=False)
    publish(tree, 'There {{ at("other.csv", "n", claim="C1") }} runs.\n', beside=["other.csv"])
    tree.snakemake()
    written = tree.folder / "published" / "README.md"
    assert "There 7 runs." in written.read_text(encoding="utf-8")
    assert tree.planned() == {}
    other.write_text("", encoding="utf-8")
    said = tree.snakemake(check=False)
    assert "other.csv is no CSV table (No columns to parse from file)" in said.stdout + said.stderr
    assert "There 7 runs." in written.read_text(encoding="utf-8")
    other.unlink()
    said = tree.snakemake(check=False)
    assert "other.csv" in said.stdout + said.stderr
    assert said.returncode != 0


def test_the_table_of_another_workflow_goes_beside_a_figure(tree: Tree) -> None:
    settings = copy.deepcopy(SMALL)
    other = tree.folder / "other.csv"
    shutil.copyfile(tree.results / "figures" / "figure1.csv", other)
    settings["figures"]["figure1"]["compare_with"] = "other.csv"
    tree.configure(settings)
    assert tree.planned() == {"figure1": 1}
    tree.snakemake()
    drawn = pd.read_csv(tree.results / "figures" / "figure1.csv")
    assert set(drawn["source"]) == {"here", "other.csv"}
    assert tree.planned() == {}
