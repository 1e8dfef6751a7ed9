from .corruption import corrupt_labels, corruption
from .datasets import DataError, load
from .images import flat_images
from .subset import balanced_subset

__all__ = ["DataError", "balanced_subset", "corrupt_labels", "corruption", "flat_images", "load"]
