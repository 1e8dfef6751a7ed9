"""The paper's figures: for each a table of the numbers that it shows, and a plot of that table.

`cgpipe.figures.draw` makes any of them. `cgpipe.figures.registry` lists them.
"""

from importlib.util import find_spec

import lazy_loader

if not (find_spec("matplotlib") and find_spec("seaborn")):
    raise ModuleNotFoundError(
        "cgpipe.figures needs matplotlib and seaborn: python -m pip install 'cgpipe[figures]'"
    )

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
