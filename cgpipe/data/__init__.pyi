from .corruption import corrupt_labels as corrupt_labels
from .corruption import corruption as corruption
from .datasets import DataError as DataError
from .datasets import load as load
from .images import flat_images as flat_images
from .subset import balanced_subset as balanced_subset
