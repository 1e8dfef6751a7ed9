"""The datasets, and the size of each; the place where a new one gets its name.

Imports nothing but Python, so that settings can be checked before any data are there.
"""

from typing import NamedTuple


class Shape(NamedTuple):
    """Size of a dataset."""

    examples: int  # of the training set
    features: int  # values of an image: height x width x channels
    classes: int


DATASETS = {
    "digits": Shape(examples=1_000, features=64, classes=10),
    "mnist": Shape(examples=60_000, features=784, classes=10),
    "fashion_mnist": Shape(examples=60_000, features=784, classes=10),
    "cifar10": Shape(examples=50_000, features=3_072, classes=10),
}
