from .corruption import Selection, corrupt_labels, corruption
from .datasets import DataError, load

__all__ = ["DataError", "Selection", "corrupt_labels", "corruption", "load"]
