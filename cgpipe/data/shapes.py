"""The published datasets, and the size of each; the place where a new one gets its name.

Imports nothing but Python, so that settings can be checked before any data are there.
"""

from typing import NamedTuple


class Shape(NamedTuple):
    """Size of a dataset."""

    examples: int  # of the training set
    height: int
    width: int
    channels: int
    classes: int
    test_examples: int


DATASETS = {
    "digits": Shape(examples=1_000, height=8, width=8, channels=1, classes=10, test_examples=797),
    "mnist": Shape(examples=60_000, height=28, width=28, channels=1, classes=10, test_examples=10_000),
    "fashion_mnist": Shape(
        examples=60_000, height=28, width=28, channels=1, classes=10, test_examples=10_000
    ),
    "cifar10": Shape(examples=50_000, height=32, width=32, channels=3, classes=10, test_examples=10_000),
}
