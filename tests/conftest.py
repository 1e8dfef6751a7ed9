"""What several test modules share."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# Before torch is imported, here and in what the tests start: threads of two workers wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
settings.register_profile("cgpipe", deadline=None, database=None, max_examples=60)
settings.load_profile("cgpipe")


@pytest.fixture(scope="session")
def digits():
    """The digits of scikit-learn, as `cgpipe.data.datasets.load` returns them; not to be changed."""
    from cgpipe.data import datasets

    return datasets.load("digits")


@pytest.fixture(scope="session")
def mnist_root() -> Path:
    """Folder in torchvision's layout that holds MNIST."""
    from cgpipe.pipeline.config.datasets import expanded

    root = os.environ.get("CGPIPE_DATA_ROOT")
    if not root:
        pytest.skip("needs MNIST: set CGPIPE_DATA_ROOT to a folder in torchvision's layout that holds it")
    return expanded(root)


@pytest.fixture(scope="session")
def mnist(mnist_root):
    """MNIST, as `cgpipe.data.datasets.load` returns it; not to be changed."""
    from cgpipe.data import datasets

    return datasets.load("mnist", mnist_root)
