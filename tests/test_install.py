"""`make install`, with a small package and a small requirement in place of cgpipe and its own."""

import base64
import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from trees import ROOT

# Builds the package without setuptools, which not every Python brings.
BACKEND = """
import zipfile
def build_editable(folder, config_settings=None, metadata_directory=None):
    with zipfile.ZipFile(f"{folder}/cgpipe-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("cgpipe-1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: cgpipe\\nVersion: 1\\n")
        wheel.writestr("cgpipe-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nTag: py3-none-any\\n")
        wheel.writestr("cgpipe-1.dist-info/RECORD", "")
    return "cgpipe-1-py3-none-any.whl"
"""
PROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "cgpipe"
version = "1"
"""
PIP_CONF = """
[global]
no-index = true
find-links = {wheels}
[install]
user = true
target = {elsewhere}/by-file
no-deps = true
only-binary = :all:
dry-run = true
"""


def wheel(folder: Path) -> Path:
    """A package that has a module and a program."""
    folder.mkdir()
    path = folder / "thing-2-py3-none-any.whl"
    files = {
        "thing.py": "def main(): print('this is thing')\n",
        "thing-2.dist-info/METADATA": "Metadata-Version: 2.1\nName: thing\nVersion: 2\n",
        "thing-2.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "thing-2.dist-info/entry_points.txt": "[console_scripts]\nthing = thing:main\n",
    }
    record = [
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(of.encode()).digest()).decode().rstrip('=')},"
        for name, of in files.items()
    ]
    files["thing-2.dist-info/RECORD"] = "\n".join([*record, "thing-2.dist-info/RECORD,,", ""])
    with zipfile.ZipFile(path, "w") as archive:
        for name, of in files.items():
            archive.writestr(name, of)
    return path


def make(clone: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    of_system = {
        name: of for name, of in os.environ.items() if not name.startswith(("PIP_", "PYTHON", "MAKE"))
    }
    return subprocess.run(
        ["make", f"PYTHON={Path(sys.base_prefix, 'bin', 'python3')}", *arguments],
        cwd=clone,
        env={**of_system, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A clone that was installed in an environment in which pip is to install elsewhere, and other things."""
    folder = tmp_path_factory.mktemp("install")
    clone, elsewhere, wheels = folder / "a clone", folder / "elsewhere", wheel(folder / "wheels")
    (clone / "tools").mkdir(parents=True)
    shutil.copy(ROOT / "Makefile", clone)
    shutil.copy(ROOT / "tools" / "pip.py", clone / "tools")
    (clone / "backend.py").write_text(BACKEND)
    (clone / "pyproject.toml").write_text(PROJECT)
    digest = hashlib.sha256(wheels.read_bytes()).hexdigest()
    (clone / "requirements.lock").write_text(f"thing==2 --hash=sha256:{digest}\n")
    (folder / ".config" / "pip").mkdir(parents=True)
    conf = PIP_CONF.format(wheels=wheels.parent, elsewhere=elsewhere)
    (folder / ".config" / "pip" / "pip.conf").write_text(conf)
    # What a loaded module brings: the same package, older, and a Python that breaks what imports it.
    module = folder / "module"
    shutil.copytree(module.parent / "wheels", module)
    (module / "thing-1.dist-info").mkdir()
    (module / "thing-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: thing\nVersion: 2\n")
    (module / "pip.py").write_text("raise SystemExit('not this pip')")
    environment = {
        "HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder / ".config"),
        "PIP_USER": "1",
        "PIP_TARGET": str(elsewhere / "target"),
        "PIP_PREFIX": str(elsewhere / "prefix"),
        "PIP_ROOT": str(elsewhere / "root"),
        "PIP_REQUIRE_VIRTUALENV": "1",
        "PIP_NO_BINARY": ":all:",
        "PIP_IGNORE_INSTALLED": "1",
        "PYTHONPATH": str(module),
        "PYTHONHOME": str(folder / "nowhere"),
        "PYTHONUSERBASE": str(elsewhere / "userbase"),
        "PYTHONWARNINGS": "error",
    }
    done = make(clone, "install", **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not elsewhere.exists()
    return clone, environment


def run(program: Path) -> str:
    return subprocess.run([program], capture_output=True, text=True, check=True, env={}).stdout


def test_all_goes_into_the_environment_whatever_pip_is_configured_to(
    installed: tuple[Path, dict[str, str]],
) -> None:
    clone, _ = installed
    assert run(clone / ".venv/bin/thing") == "this is thing\n"
    found = sorted(path.name for path in (clone / ".venv").glob("lib/python3*/site-packages/*.dist-info"))
    assert {"cgpipe-1.dist-info", "thing-2.dist-info"} <= set(found)


def test_a_clone_that_was_copied_or_moved_says_what_to_do(
    installed: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    clone, environment = installed
    (tmp_path / "link").symlink_to(clone)
    assert make(tmp_path / "link", "install", **environment).returncode == 0
    other = tmp_path / "other"
    shutil.copytree(clone, other, symlinks=True)

    def refused(goal: str) -> str:
        done = make(other, goal, **environment)
        assert done.returncode != 0
        assert "Make it anew (results stay): make clean install" in done.stderr
        return done.stderr

    for goal in ("install", "unit", "demo"):
        assert f".venv was made as {clone}/.venv: this clone was moved or copied since" in refused(goal)
    (other / "requirements.lock").touch()
    assert "moved or copied" in refused("install")
    kept = clone.rename(clone.with_name("aside"))  # as if it had been moved
    assert "moved or copied" in refused("install")
    kept.rename(clone)
    python = other / ".venv/bin/python"
    python.unlink()
    python.symlink_to("/nowhere/python3")
    assert "The Python that .venv was made with is gone" in refused("install")
    done = make(other, "clean", "install", **environment)
    assert done.returncode == 0, done.stderr
    assert run(other / ".venv/bin/thing") == "this is thing\n"
