import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import grimp
import pytest

import cgpipe
from cgpipe.figures.registry import FIGURES
from cgpipe.pipeline import fingerprint
from cgpipe.pipeline.fingerprint import IMPORTED_BY_NAME, code_hash, modules, without_comments

STAGES = ("data", "corrupt", "train", "gradients", "nullworlds", "figures")

SOURCE = '''
"""Of the module."""

import os


class Thing:
    """Of the class."""

    size: int = 3

    def method(self, a, *, b=None):
        """Of the method."""
        text = "not a docstring"
        return [a, b, text, {**os.environ}]


async def later():
    """All there is."""
'''


# --- without_comments ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("import os", "import os  # for its environment"),
        ("size: int = 3", "# why\n    size: int = 3"),
        ('"""Of the module."""', '"""Another."""'),
        ('"""Of the module."""', ""),
        ('"""Of the class."""', "'Another.'"),
        ('"""Of the method."""', '"""Two\n\n        paragraphs."""'),
        ('"""All there is."""', '"""Another."""'),
        (
            "[a, b, text, {**os.environ}]",
            "[\n            a,\n            b,\n            text,\n            {**os.environ},\n        ]",
        ),
        ("size: int = 3", "size: int = (3)"),
        ("\n\n\n", "\n"),
        ('"not a docstring"', "'not a docstring'"),
    ],
)
def test_comments_docstrings_and_layout_do_not_matter(old, new):
    assert old in SOURCE
    changed = SOURCE.replace(old, new)
    assert changed != SOURCE
    assert without_comments(changed) == without_comments(SOURCE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("size: int = 3", "size: int = 4"),
        ("size: int = 3", "size: int = 3.0"),
        ("size: int = 3", "size: int = '3'"),
        ("size: int = 3", "size = 3"),
        ("size: int = 3", "size: int"),
        ("b=None", "b=0"),
        ("b=None", "b"),
        ("a, *, b", "a, b"),
        ("[a, b, text", "[b, a, text"),
        ("{**os.environ}", "{None: os.environ}"),
        ("not a docstring", "not a doc-string"),
        ("import os", "import sys as os"),
        ("async def", "def"),
        ("class Thing", "class Another"),
        ("return [", "yield ["),
        ("    def method", "    @staticmethod\n    def method"),
    ],
)
def test_code_matters(old, new):
    assert old in SOURCE
    assert without_comments(SOURCE.replace(old, new, 1)) != without_comments(SOURCE)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("return_ = None", "return_ = ..."),
        ("x = None", "x: None"),
        ("x = f(None)", "x = f()"),
        ("x = a[1:]", "x = a[:1]"),
        ("x = [None, 1]", "x = [1, None]"),
        ("def f(*, a=None, b): pass", "def f(*, a, b=None): pass"),
        ("match x:\n case None: pass", "match x:\n case True: pass"),
        ("x = b'1'", "x = '1'"),
        ("x = True", "x = 1"),
        ("x = 1 - 2", "x = 1 + 2"),
        ("from . import a", "from .. import a"),
        ("def f():\n return", "def f():\n return None"),
        ("x = 0", "x = False"),
        ("x = ''", "x = []"),
        ("x = -0.0", "x = 0.0"),
    ],
)
def test_programs_that_differ_in_little_differ(a, b):
    assert without_comments(a) != without_comments(b)


def test_a_string_in_the_middle_is_no_docstring():
    assert without_comments("x = 1\n'one'") != without_comments("x = 1\n'two'")
    assert without_comments("f'{x}'\nx = 1") != without_comments("x = 1")


def test_a_module_with_a_docstring_alone_is_empty():
    assert without_comments('"""Says something."""') == without_comments("") == without_comments("# nothing")


# --- modules --------------------------------------------------------------------------------------


def test_a_stage_is_its_module_what_that_imports_and_the_packages_around():
    train = modules("cgpipe.pipeline.stages.train")
    assert {
        "cgpipe.pipeline.stages.train",
        "cgpipe.pipeline.stages.device",
        "cgpipe.learning.training",
        "cgpipe.networks.dense",
        "cgpipe.kernels.reference",
        "cgpipe.pipeline.checkpoints",
    } <= set(train)
    assert "cgpipe.kernels.build" in train  # by way of operators
    assert {"cgpipe", "cgpipe.pipeline.stages", "cgpipe.learning", "cgpipe.kernels"} <= set(train)
    assert list(train) == sorted(set(train))


@pytest.mark.parametrize("stage", STAGES)
def test_no_stage_is_what_it_does_not_import(stage):
    found = set(modules(f"cgpipe.pipeline.stages.{stage}"))
    assert f"cgpipe.pipeline.stages.{stage}" in found
    assert not found & {f"cgpipe.pipeline.stages.{other}" for other in STAGES if other != stage}
    assert not found & {"cgpipe.cli", "cgpipe.pipeline.plan", "cgpipe.kernels.oracle"}
    assert ("cgpipe.networks.dense" in found) == (stage in ("train", "gradients"))
    assert ("cgpipe.figures.figure1" in found) == (stage == "figures")


def test_a_stage_is_also_what_it_imports_by_name():
    figures = set(modules("cgpipe.pipeline.stages.figures"))
    assert {f"cgpipe.figures.{name}" for name in FIGURES} <= figures
    assert {"cgpipe.inference.sampling", "cgpipe.gradients.contributions"} <= figures  # what these import


@pytest.mark.parametrize("stage", STAGES)
def test_what_imports_by_name_is_in_the_table(stage):
    found = set()
    for module in modules(f"cgpipe.pipeline.stages.{stage}"):
        source = Path(find_spec(module).origin).read_text(encoding="utf-8")
        found |= {module} if "import_module" in source else set()
    # It imports a network of the user's, whose source is a setting.
    assert found <= {*IMPORTED_BY_NAME, "cgpipe.networks.build"}, "add it to fingerprint.IMPORTED_BY_NAME"


def test_no_module_imports_names_of_a_package_that_loads_them_lazily():
    # Such a name would be missing from the graph of imports, and a change of it from the fingerprint.
    graph = grimp.build_graph("cgpipe", cache_dir=None)
    found = []
    for importer in graph.modules:
        for imported in graph.find_modules_directly_imported_by(importer):
            spec = find_spec(imported)
            if spec.submodule_search_locations is not None:
                trivial = without_comments(Path(spec.origin).read_text(encoding="utf-8")) == without_comments(
                    ""
                )
                found += [] if trivial else [f"{importer} imports from {imported}"]
    assert found == []
    assert len(graph.modules) > 25


# --- code_hash ------------------------------------------------------------------------------------


def test_a_hash_is_16_hexadecimal_digits_and_each_stage_has_its_own():
    hashes = {stage: code_hash(stage) for stage in STAGES}
    assert all(len(h) == 16 and int(h, 16) >= 0 for h in hashes.values())
    assert len(set(hashes.values())) == len(STAGES)


def hashes_of(folder):
    """Hashes of all stages, of the copy of the package that lies in a folder."""
    program = (
        "import json, cgpipe; from cgpipe.pipeline.fingerprint import code_hash;"
        f"print(json.dumps([cgpipe.__file__, {{s: code_hash(s) for s in {STAGES!r}}}]))"
    )
    done = subprocess.run(
        [sys.executable, "-B", "-c", program], cwd=folder, capture_output=True, text=True, check=True
    )
    file, hashes = json.loads(done.stdout)
    assert Path(file).parent == folder / "cgpipe"
    return hashes


def test_a_stage_has_another_hash_when_code_that_it_imports_is_another(tmp_path):
    package = tmp_path / "cgpipe"
    shutil.copytree(Path(cgpipe.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    listing = sorted(tmp_path.rglob("*"))
    before = hashes_of(tmp_path)
    assert sorted(tmp_path.rglob("*")) == listing  # nothing is written

    for path in package.rglob("*.py"):
        path.write_text(
            "# Another comment.\n" + path.read_text(encoding="utf-8") + "\n\n# One more.\n", encoding="utf-8"
        )
    for path in [*package.rglob("*.cpp"), *package.rglob("*.h")]:
        path.write_text("// One more.\n\n" + path.read_text(encoding="utf-8"), encoding="utf-8")
    assert hashes_of(tmp_path) == before

    for path, changed in (
        ("networks/dense.py", {"train", "gradients"}),
        ("learning/rules.py", {"train"}),
        ("kernels/reference.py", {"train", "gradients"}),
        ("kernels/kernel.cpp", {"train", "gradients"}),
        ("kernels/lanes.h", {"train", "gradients"}),
        ("kernels/sparse.h", {"train", "gradients"}),
        ("kernels/step.cpp", {"train", "gradients"}),
        ("inference/nullworlds.py", {"nullworlds"}),
        ("figures/null_rows.py", {"figures"}),
        ("pipeline/stages/__init__.py", set(STAGES)),
    ):
        source = package / path
        added = "\nADDED = 1\n" if path.endswith(".py") else "\nconst int ADDED = 1;\n"
        source.write_text(source.read_text(encoding="utf-8") + added, encoding="utf-8")
        after = hashes_of(tmp_path)
        assert {stage for stage in STAGES if after[stage] != before[stage]} == changed
        before = after


def test_the_stage_of_figures_has_all_of_them_in_its_hash():
    assert {*fingerprint.modules("cgpipe.pipeline.stages.figures")} >= {
        f"cgpipe.figures.{name}" for name in (*FIGURES, "registry")
    }


def test_a_module_without_source_is_an_error(monkeypatch):
    monkeypatch.setattr(fingerprint, "find_spec", lambda _: None)
    with pytest.raises(RuntimeError, match=r"cgpipe\.absent is imported .* not found"):
        fingerprint._module_hash.__wrapped__("cgpipe.absent")


# --- what the Snakefile imports -------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "import cgpipe",
        "from cgpipe.pipeline import fingerprint, plan; from cgpipe.pipeline.config import load, reference",
        "import cgpipe.cli",
    ],
)
def test_importing_is_light(statement):
    program = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert "cgpipe" in loaded
    assert not loaded & {"torch", "torchvision", "xarray", "scipy", "pandas", "matplotlib", "sklearn"}
