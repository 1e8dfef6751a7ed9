"""Null worlds: what would be seen if the designation of the examples meant nothing."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
