"""The package without its repository: a wheel, installed where the locked libraries are at hand."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
import yaml
from trees import ROOT

import cgpipe

SOURCES = ("cgpipe", "pyproject.toml", "README.md", "LICENSE")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def pip(*arguments: str | Path) -> None:
    command = [sys.executable, "-m", "pip", "--isolated", "--quiet", *map(str, arguments)]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": ""})


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel, built by the setuptools that is installed."""
    source, built = (tmp_path_factory.mktemp(name) for name in ("source", "built"))
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    pip("wheel", "--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", built, source)
    (path,) = built.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def elsewhere(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that holds nothing but the wheel, and sees the libraries of this one."""
    folder = tmp_path_factory.mktemp("elsewhere")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    pip("--python", python, "install", "--no-index", "--no-deps", wheel)
    (site,) = folder.glob("lib/*/site-packages")
    # The .pth files of a folder that is named like this are not read, such as that of the editable cgpipe.
    (site / "locked.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    return folder


def run(folder: Path, program: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a program of the environment, in its folder."""
    return subprocess.run(
        [folder / "bin" / program, *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_version_and_description_are_the_same_everywhere() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == PROJECT["version"] == cgpipe.__version__
    assert citation["title"].lower() == f"cgpipe: {PROJECT['description']}".lower()
    assert cgpipe.__doc__.startswith(f"{PROJECT['description']}.")
    assert citation["license"] == PROJECT["license"]


def test_a_figure_without_its_libraries_says_how_to_get_them() -> None:
    script = "import sys; sys.modules['matplotlib'] = None; import cgpipe; cgpipe.figures"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stderr.endswith("pip install 'cgpipe[figures]'\n")


@pytest.mark.slow
def test_a_wheel_holds_all_sources(wheel: Path) -> None:
    kinds = (".py", ".pyi", ".cpp", ".h", ".typed")
    sources = {
        str(p.relative_to(ROOT))
        for p in ROOT.glob("cgpipe/**/*")
        if p.suffix in kinds or p.name == "py.typed"
    }
    with zipfile.ZipFile(wheel) as archive:
        assert {name for name in archive.namelist() if ".dist-info/" not in name} == sources


@pytest.mark.slow
def test_an_installed_wheel_has_a_command_and_a_version(elsewhere: Path) -> None:
    assert run(elsewhere, "cgpipe", "--version").stdout == f"cgpipe, version {PROJECT['version']}\n"
    shown = run(elsewhere, "cgpipe", "--help")
    assert shown.stdout.startswith("Usage: cgpipe ")
    assert shown.returncode == 0
    done = run(elsewhere, "python", "-c", "import cgpipe; print(cgpipe.__version__, cgpipe.__file__)")
    version, path = done.stdout.split()
    assert version == PROJECT["version"]
    assert elsewhere in Path(path).parents
    done = run(elsewhere, "cgpipe", "corrupt", "--spec", "{}", "--dataset", "a.nc", "--corrupted", "b.nc")
    assert done.returncode == 1
    assert "cgpipe corrupt: error: --spec: " in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("c++") is None, reason="needs a compiler")
def test_the_example_of_the_readme_runs_on_a_wheel_by_the_compiled_kernel(
    elsewhere: Path, tmp_path: Path
) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```python\n(.*?)^```", readme, re.DOTALL | re.MULTILINE)[:1]
    assert "winsorized" in example
    # The fallback is a warning.
    done = run(elsewhere, "python", "-W", "error", "-c", example, TORCH_EXTENSIONS_DIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert [path for path in tmp_path.rglob("*") if path.is_file()]
