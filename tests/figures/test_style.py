"""The same numbers give the same bytes, whatever the user has configured and installed."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import pytest
from trees import ROOT

from cgpipe.figures.style import Style, new_figure, note, styled

SCRIPT = """
import sys
from pathlib import Path
import numpy as np
from cgpipe.pipeline.stages import figures  # first, as in a job
import xarray as xr
from cgpipe.figures.drawing import draw
from cgpipe.figures.style import Style, styled
from cgpipe.pipeline.artifacts import Provenance
from cgpipe.runs import Run

steps = np.array([0, 1, 2, 10, 100])
curves = {name: ("step", 0.5 + 0.3 * np.sin(steps + k)) for k, name in enumerate(
    ["loss_training", "loss_test", "accuracy_training", "accuracy_test"])}
history = xr.Dataset({**curves, "pristine": ("example", np.arange(4) < 2)}, coords={"step": steps})
others = history.assign(loss_test=history["loss_test"] * 0.9)
runs = [Run(0.5, c, k, of) for c in (0, 2) for k, of in enumerate((history, others))]
style = Style(width=5.0, dpi=60)
with styled(style):
    _, figure = draw("figure4", runs, style=style, classes=10)
    axes = figure.axes[0]
    axes.set_title(r"$f^p$, $\\sum_e u_e$, minus −3, and text")
    figures.lay_out(figure)
    for ending in ("pdf", "svg", "png"):
        figures.save(figure, Path(sys.argv[1], f"figure.{ending}"), ending, Provenance("figures", "{}", ""))
"""
ODD = """
text.usetex: True
savefig.bbox: tight
savefig.pad_inches: 2
savefig.transparent: True
savefig.dpi: 33
savefig.facecolor: red
figure.dpi: 44
figure.constrained_layout.w_pad: 0.5
lines.marker: o
lines.markersize: 9
mathtext.fontset: cm
axes.prop_cycle: cycler(color=['r', 'g'])
axes.facecolor: yellow
axes.formatter.use_locale: True
axes.unicode_minus: False
font.family: serif
path.simplify: False
path.sketch: 3, 100, 2
svg.fonttype: path
svg.hashsalt: mine
svg.image_inline: False
pdf.fonttype: 3
pdf.compression: 0
legend.loc: center
xtick.direction: in
backend: TkAgg
"""


def plot(folder: Path, cwd: Path, **environment: str) -> dict[str, bytes]:
    """Plot a figure in a process of its own: its bytes in every format."""
    folder.mkdir()
    command = [sys.executable, "-c", SCRIPT, str(folder)]
    inherited = {name: of for name, of in os.environ.items() if not name.startswith(("MPL", "MATPLOTLIB"))}
    environment = {**inherited, "PYTHONPATH": str(ROOT), **environment}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {path.suffix: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where matplotlib keeps its list of fonts, which takes time to make."""
    return str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, cache: str) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("undisturbed")
    found = plot(folder / "out", folder, HOME=str(folder), XDG_CACHE_HOME=cache)
    assert set(found) == {".pdf", ".svg", ".png"}
    return found


def working_folder(at: Path) -> dict[str, str]:
    (at / "matplotlibrc").write_text(ODD)
    return {}


def variable(at: Path) -> dict[str, str]:
    (at / "mine.rc").write_text(ODD)
    return {"MATPLOTLIBRC": str(at / "mine.rc"), "FREETYPE_PROPERTIES": "truetype:interpreter-version=35"}


def broken(at: Path) -> dict[str, str]:
    (at / "matplotlibrc").write_bytes(b"\xff\xfe\x00no text\nlines.marker\n: :\nlines.width: wide\n")
    return {"MPLBACKEND": "module://matplotlib_inline.backend_inline"}


def nowhere_to_write(at: Path) -> dict[str, str]:
    (at / "file").write_text("")
    (at / "matplotlibrc").write_text("lines.linewidth: wide\nno.such.key: 1\nfont.size\nbackend: nope\n")
    return {"MPLCONFIGDIR": str(at / "file" / "below"), "MPLBACKEND": "nope", "LC_ALL": "C"}


def relative(at: Path) -> dict[str, str]:
    (at / "mpl").mkdir()
    (at / "mpl" / "matplotlibrc").write_text(ODD)
    return {"MPLCONFIGDIR": "mpl", "LC_ALL": "de_DE.UTF-8", "SOURCE_DATE_EPOCH": "1000000000"}


def fonts(at: Path) -> dict[str, str]:
    """Other letters under the name that is asked for and under one that seaborn asks for; a file at home."""
    (at / ".config" / "matplotlib").mkdir(parents=True)
    (at / ".config" / "matplotlib" / "matplotlibrc").write_text(ODD)
    fonts = Path(mpl.get_data_path(), "fonts", "ttf")
    installed = at / ".local" / "share" / "fonts"
    installed.mkdir(parents=True)
    for name in ("DejaVu Sans", "Arial"):
        rename(fonts / "STIXGeneral.ttf", installed / f"{name}.ttf", name)
    return {"XDG_DATA_HOME": str(at / ".local" / "share"), "XDG_CACHE_HOME": str(at)}


def rename(source: Path, target: Path, family: str) -> None:
    """Copy a font under the name of another family."""
    from fontTools.ttLib import TTFont

    font = TTFont(source)
    for record in font["name"].names:
        if record.nameID in (1, 4, 16):
            record.string = family
    font.save(target)


@pytest.mark.parametrize("configure", [working_folder, variable, broken, nowhere_to_write, relative, fonts])
def test_figures_are_the_same_bytes_whatever_is_configured(
    undisturbed: dict[str, bytes], cache: str, tmp_path: Path, configure: Callable[[Path], dict[str, str]]
) -> None:
    environment = {"HOME": str(tmp_path), "XDG_CACHE_HOME": cache, **configure(tmp_path)}
    found = plot(tmp_path / "out", tmp_path, **environment)
    assert [name for name in undisturbed if found[name] != undisturbed[name]] == []


def test_a_style_starts_from_the_defaults_and_leaves_what_was_set(tmp_path: Path) -> None:
    with mpl.rc_context({"lines.marker": "o", "savefig.bbox": "tight", "font.family": ["serif"]}):
        with styled(Style()):
            assert mpl.rcParams["lines.marker"] == "None"
            assert mpl.rcParams["savefig.bbox"] is None
            assert mpl.rcParams["font.family"] == ["sans-serif"]
            assert "MPL_IGNORE_SYSTEM_FONTS" in os.environ
        assert mpl.rcParams["lines.marker"] == "o"
        assert mpl.rcParams["savefig.bbox"] == "tight"
        assert mpl.rcParams["font.family"] == ["serif"]
    assert "MPL_IGNORE_SYSTEM_FONTS" not in os.environ


def test_a_note_that_is_too_long_is_wrapped() -> None:
    style = Style(width=4.0)
    with styled(style):
        figure = new_figure(style, 0.5)
        figure.subplots()
        note(figure, f"A line of its own.\n{'a note that goes on and on ' * 10}")
        figure.draw_without_rendering()
        below = figure._supxlabel.get_window_extent()
        assert below.x1 <= figure.bbox.width
        assert below.height > 3 * style.font_size * figure.dpi / 72
