from .corruption import corrupt_labels as corrupt_labels
from .corruption import corruption as corruption
from .datasets import load as load
from .datasets import load_folder as load_folder
from .errors import DataError as DataError
from .images import flat_images as flat_images
from .images import shaped_images as shaped_images
from .subset import balanced_subset as balanced_subset
