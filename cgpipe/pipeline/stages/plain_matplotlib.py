"""Imports matplotlib without the user's configuration; to be imported before all that plots.

A `matplotlibrc` that cannot be read, or the backend of a notebook where there is none, is an error while
matplotlib and seaborn are imported. `cgpipe.figures.style` sets back what a configuration sets, for those
who plot from Python.
"""

import contextlib
import os
from pathlib import Path

if "MPLCONFIGDIR" in os.environ:
    os.environ["MPLCONFIGDIR"] = str(Path(os.environ["MPLCONFIGDIR"]).absolute())
os.environ["MPLBACKEND"] = "agg"
os.environ["MATPLOTLIBRC"] = os.devnull
os.environ.pop("FREETYPE_PROPERTIES", None)  # how glyphs are hinted
with contextlib.chdir(Path(__file__).parent):  # a matplotlibrc of the working folder comes before all others
    import matplotlib as mpl  # noqa: F401
