"""The paper's figures: for each a table of the numbers it shows, and a drawing of that table."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
