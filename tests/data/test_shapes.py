import pytest

from cgpipe.data.datasets import load
from cgpipe.data.published import PUBLISHED
from cgpipe.data.shapes import DATASETS


def test_every_dataset_that_can_be_loaded_has_a_shape():
    assert set(DATASETS) == {"digits", *PUBLISHED}


@pytest.mark.parametrize("name", DATASETS)
def test_the_shape_of_a_dataset_is_that_of_its_data(request, name):
    if name in ("digits", "mnist"):
        loaded = request.getfixturevalue(name)
    else:
        root = request.getfixturevalue("mnist_root")
        if not (root / PUBLISHED[name].layout).is_dir():
            pytest.skip(f"needs {name}: set CGPIPE_DATA_ROOT to a folder that holds it")
        loaded = load(name, root)
    shape = DATASETS[name]
    assert (loaded.sizes["train_example"], loaded.sizes["test_example"]) == (
        shape.examples,
        shape.test_examples,
    )
    channels = (shape.channels,) * (shape.channels > 1)
    assert loaded["train_images"].shape[1:] == (shape.height, shape.width, *channels)
    assert loaded.sizes["channel"] == shape.channels
    for part in ("train", "test"):
        assert set(loaded[f"{part}_labels"].to_numpy()) == set(range(shape.classes))
