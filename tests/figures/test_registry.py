"""Registry, modules, captions and settings agree: what a new figure needs, and what its errors say."""

import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from trees import ROOT

import cgpipe.figures
from cgpipe.figures.drawing import draw
from cgpipe.figures.registry import FIGURES, OF_RUNS
from cgpipe.names import Learned
from cgpipe.pipeline import layout
from cgpipe.pipeline.config.models import Config
from cgpipe.pipeline.config.reference import leaves

# Modules of the package that make no figure of their own.
SHARED = {"comparison", "dots", "drawing", "null_rows", "registry", "style", "summary", "words"}
CAPTIONS = ROOT / "workflow" / "report"


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_has_a_module_with_a_table_and_a_drawing_that_take_its_options(name: str) -> None:
    module = importlib.import_module(f"cgpipe.figures.{name}")
    options = set()
    for function, takes in ((module.table, ["runs"]), (module.draw, ["numbers", "style", "colors"])):
        parameters = inspect.signature(function).parameters.values()
        assert [of.name for of in parameters if of.kind is not of.KEYWORD_ONLY] == takes
        options |= {of.name for of in parameters if of.kind is of.KEYWORD_ONLY}
    assert options == {*FIGURES[name].keys, *FIGURES[name].shared}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_has_a_caption(name: str) -> None:
    caption = CAPTIONS / f"{name}.rst"
    assert caption.exists(), f"{name} has no caption: write {caption.relative_to(ROOT)}"
    assert caption.read_text(encoding="utf-8").strip()


def test_every_module_and_every_caption_is_of_a_figure() -> None:
    modules = {path.stem for path in Path(cgpipe.figures.__file__).parent.glob("[!_]*.py")}
    assert modules - SHARED == set(FIGURES), (
        "a module without an entry in cgpipe/figures/registry.py, or without use"
    )
    assert {path.stem for path in CAPTIONS.glob("*.rst")} - {"runs", "workflow"} == set(FIGURES)


def test_the_section_of_the_config_is_that_of_the_registry() -> None:
    keys: dict[str, dict[str, object]] = {}
    for path, field in leaves():
        section, _, rest = path.partition(".")
        if section == "figures":
            figure, key = rest.split(".")
            keys.setdefault(figure, {})[key] = field
    assert list(keys) == [*OF_RUNS, "style"]
    for name, entry in OF_RUNS.items():
        has = {"controls": entry.controls, "others": entry.others, "compare_with": bool(entry.levels)}
        more = [key for key, given in has.items() if given]
        assert list(keys[name]) == ["experiment", *more, *entry.keys]
    learned = keys["figure1"]["learned"]
    assert (learned.annotation, learned.default) == (Learned, "at_step")  # type: ignore[attr-defined]
    section = Config.model_fields["figures"].annotation
    for name, entry in OF_RUNS.items():
        assert section.model_fields[name].description == f"{entry.description}. Omit for none"


def test_what_a_figure_plots_has_a_place() -> None:
    assert {entry.artifact for entry in FIGURES.values()} == set(layout.PLOTTED)


def test_the_registry_is_light() -> None:
    program = "import sys; import cgpipe.figures.registry; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"matplotlib", "numpy", "pandas", "xarray", "torch", "pydantic"} & set(loaded)


@pytest.mark.parametrize(
    ("name", "options", "error"),
    [
        ("figure9", {}, "there is no figure 'figure9'; there are figure1, figure2,"),
        ("figure1", {"learnt": "last"}, "figure1 has no option learnt; it has learned"),
        ("coherence", {"classes": 10}, "coherence has no option classes; it has none"),
        ("figure4", {}, "figure4 needs a value for classes"),
        ("figure2_exact", {}, "figure2_exact needs a value for examples"),
    ],
)
def test_a_figure_or_option_that_there_is_not_is_an_error(name: str, options: dict, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        draw(name, [], **options)


def test_a_figure_without_levels_is_not_compared() -> None:
    with pytest.raises(
        ValueError, match=r"claims cannot be compared with a\.csv; allowed for figure1, figure4"
    ):
        draw("claims", [], compare_with=("a.csv", pd.DataFrame()))
