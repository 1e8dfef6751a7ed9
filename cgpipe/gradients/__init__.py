"""Per-example gradients, and what each example contributes to the decrease of the loss."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
