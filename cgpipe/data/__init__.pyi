from .corruption import corrupt_labels, corruption
from .datasets import DataError, load

__all__ = ["DataError", "corrupt_labels", "corruption", "load"]
