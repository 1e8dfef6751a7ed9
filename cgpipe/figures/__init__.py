"""The paper's figures: for each a table of the numbers that it shows, and a plot of that table.

`cgpipe.figures.draw` makes any of them. `cgpipe.figures.registry` lists them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
