from .corruption import corrupt_labels, corruption
from .datasets import DataError, load
from .images import flat_images

__all__ = ["DataError", "corrupt_labels", "corruption", "flat_images", "load"]
