"""Null worlds and the claims of the papers: what chance would show, and what the runs do show."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
