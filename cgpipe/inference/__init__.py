"""Permutation tests over null worlds, and verdicts on the claims of the papers."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
