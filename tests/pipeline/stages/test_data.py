"""Stage `data`, of a folder of images."""

import pytest
from folders import write_folder

from cgpipe.data.datasets import load_folder
from cgpipe.data.errors import DataError
from cgpipe.data.folder import listed
from cgpipe.pipeline.artifacts import Provenance, read_netcdf
from cgpipe.pipeline.stages import data


@pytest.fixture
def made(digits, tmp_path):
    """Make dataset.nc of a folder with this checksum."""
    images = write_folder(tmp_path / "images", digits)

    def function(files, folder=images):
        out = tmp_path / "out" / "dataset.nc"
        spec = data.Spec(data.Folder(files, 4))
        made = Provenance("data", "{}", "")
        try:
            data.run(spec, made, dataset=out, data_root=None, downloads=tmp_path / "none", folder=folder)
        except (DataError, ValueError):
            assert not out.parent.exists()
            raise
        return out

    return images, function


def test_a_folder_is_written_as_it_is_loaded(made):
    images, write = made
    written = read_netcdf(write(listed(images).checksum()), "data")
    assert written.equals(load_folder(images, 4))
    assert written["class"].to_numpy().tolist() == ["class 0", "class 1", "class 2"]


def test_files_that_are_not_those_that_were_planned_are_refused(made):
    images, write = made
    with pytest.raises(DataError, match=f"{images}: its files changed while it was read"):
        write("0" * 64)


def test_a_folder_has_to_be_named(made):
    _, write = made
    with pytest.raises(ValueError, match="name it with --folder"):
        write("0" * 64, folder=None)
