"""Per-example gradients, what each example contributes to a step, and coherence."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
