import hashlib
import json
from importlib.metadata import version

import netCDF4
import numpy as np
import pytest
import safetensors.numpy
import xarray as xr

from cgpipe.pipeline import artifacts
from cgpipe.pipeline.artifacts import (
    ArtifactError,
    Provenance,
    open_tensors,
    read_netcdf,
    settings_of,
    whole,
    write_netcdf,
    write_tensors,
)
from cgpipe.pipeline.records import file_hash, seal_of

PROVENANCE = Provenance("train", '{"seed":3,"steps":20}', "0123456789abcdef")


def example():
    """A Dataset with a variable of every kind that the stages write."""
    rng = np.random.default_rng(0)
    named = {"long_name": "something", "units": "1"}
    with_nan = rng.standard_normal(5)
    with_nan[2] = np.nan
    return xr.Dataset(
        {
            "correct": (("step", "example"), rng.random((5, 7)) < 0.5, named),
            "gradient": (("step", "example"), rng.standard_normal((5, 7)).astype(np.float32), named),
            "with_nan": ("step", with_nan, named),
            "images": (("example", "pixel"), rng.integers(0, 256, (7, 9), dtype=np.uint8), named),
            "labels": ("example", np.arange(7), named),
            "scalar": ((), 0.25, named),
            "empty": (("step", "nothing"), np.empty((5, 0)), named),
        },
        coords={
            "step": ("step", np.array([0, 1, 2, 10, 20]), named),
            "group": ("group", ["pristine", "corrupt"], named),
        },
        attrs={"worlds": 99, "dataset": "digits"},
    )


def write(path, dataset=None, provenance=PROVENANCE):
    write_netcdf(example() if dataset is None else dataset, path, title="A title", provenance=provenance)


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


# --- NetCDF ---------------------------------------------------------------------------------------


def test_files_follow_the_cf_conventions_and_no_variable_has_a_fill_value(tmp_path):
    numbers = {
        f"{kind}{size}{ndim}": (
            ("step", "group")[:ndim],
            np.ones((5, 2)[:ndim], f"{kind}{size}"),
            {"long_name": "a"},
        )
        for kind, size in (("f", 4), ("f", 8), ("i", 1), ("i", 8), ("u", 1), ("b", 1))
        for ndim in (0, 1, 2)
    }
    undefined = {"undefined": ((), np.nan, {"long_name": "a"}), "label": ((), "text", {"long_name": "a"})}
    write(tmp_path / "a.nc", example().assign(numbers | undefined))
    with netCDF4.Dataset(tmp_path / "a.nc") as file:
        assert file.getncattr("Conventions") == "CF-1.11"
        assert file.getncattr("history") == "cgpipe train"
        assert {*numbers, *undefined, "step", "group"} <= set(file.variables)
        assert [name for name, of in file.variables.items() if "_FillValue" in of.ncattrs()] == []
        assert np.isnan(file["undefined"][...])
    assert np.isnan(read_netcdf(tmp_path / "a.nc", "train")["undefined"])


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "new" / "folder" / "a.nc"
    write(path)
    read = read_netcdf(path, "train")
    xr.testing.assert_equal(read, example())
    for name, variable in example().variables.items():
        assert read[name].dtype.kind == variable.dtype.kind
        assert read[name].attrs == variable.attrs
        if variable.dtype.kind != "U":
            assert read[name].dtype == variable.dtype
    assert names_in(path.parent) == ["a.nc"]
    path.unlink()
    assert float(read["scalar"]) == 0.25  # in memory


def test_all_arrays_of_numbers_have_checksums_and_a_chunk_for_each_step(tmp_path):
    write(tmp_path / "a.nc")
    with xr.open_dataset(tmp_path / "a.nc") as raw:
        numbers = [name for name, of in raw.variables.items() if of.ndim and of.dtype.kind != "U"]
        assert len(numbers) == 7
        assert all(raw[name].encoding["fletcher32"] for name in numbers)
        packed = {name for name in numbers if raw[name].encoding["zlib"]}
        assert packed == {name for name in numbers if raw[name].dtype != np.float32}
        assert packed != set(numbers)
        assert raw["gradient"].encoding["chunksizes"] == (1, 7)


def test_an_artifact_says_how_it_was_made(tmp_path):
    path = tmp_path / "a.nc"
    write(path)
    attrs = read_netcdf(path, "train").attrs
    assert attrs["title"] == "A title"
    assert (attrs["stage"], attrs["spec"], attrs["code"]) == (
        PROVENANCE.stage,
        PROVENANCE.spec,
        PROVENANCE.code,
    )
    assert json.loads(attrs["inputs"]) == {}
    assert json.loads(attrs["software"])["numpy"] == version("numpy")
    assert "Coherent Gradients" in attrs["references"]
    assert attrs["source"] == "cgpipe"
    assert (attrs["worlds"], attrs["dataset"]) == (99, "digits")
    assert settings_of(read_netcdf(path, "train")) == {"seed": 3, "steps": 20}


def test_the_source_of_raw_data_is_kept(tmp_path):
    write(tmp_path / "a.nc", example().assign_attrs(source="MNIST"))
    assert read_netcdf(tmp_path / "a.nc", "train").attrs["source"] == "MNIST"


def test_an_artifact_names_what_it_was_made_from_and_what_that_was_made_from(tmp_path):
    write(tmp_path / "data.nc", provenance=Provenance("data", '{"a":1}', "aaaa"))
    data = read_netcdf(tmp_path / "data.nc", "data")
    write(tmp_path / "corrupt.nc", provenance=Provenance("corrupt", '{"b":2}', "bbbb").of(data))
    corrupted = read_netcdf(tmp_path / "corrupt.nc", "corrupt")
    write(tmp_path / "train.nc", provenance=PROVENANCE.of(corrupted))
    attrs = read_netcdf(tmp_path / "train.nc", "train").attrs
    sha = {name: seal_of(tmp_path / f"{name}.nc") for name in ("data", "corrupt")}
    assert json.loads(attrs["inputs"]) == {
        "corrupt": {"spec": '{"b":2}', "code": "bbbb", "sha256": sha["corrupt"]},
        "data": {"spec": '{"a":1}', "code": "aaaa", "sha256": sha["data"]},
    }
    assert json.loads(attrs["input_sha256"]) == [sha["corrupt"]]
    assert PROVENANCE.inputs == {}


def test_the_same_is_written_byte_by_byte_alike(tmp_path):
    a, b = tmp_path / "a.nc", tmp_path / "elsewhere" / "b.nc"
    write(a)
    write(b)
    assert a.read_bytes() == b.read_bytes()
    write(a)
    assert a.read_bytes() == b.read_bytes()


def test_a_variable_without_long_name_is_refused_by_name(tmp_path):
    unnamed = example()
    del unnamed["labels"].attrs["long_name"]
    del unnamed["step"].attrs["long_name"]
    with pytest.raises(ValueError, match=r"without long_name: (labels, step|step, labels)$"):
        write(tmp_path / "a.nc", unnamed)
    assert names_in(tmp_path) == []


def fails_halfway(self, path, **_):
    path.write_bytes(b"\x89HDF half of it")
    raise OSError("No space left on device")


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(xr.Dataset, "to_netcdf", fails_halfway)
    with pytest.raises(ArtifactError, match=r"a\.nc cannot be written \(No space left.* MB are free on its"):
        write(tmp_path / "a.nc")
    assert names_in(tmp_path) == []


def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch):
    write(tmp_path / "a.nc")
    before = (tmp_path / "a.nc").read_bytes()
    monkeypatch.setattr(xr.Dataset, "to_netcdf", fails_halfway)
    with pytest.raises(ArtifactError, match="cannot be written"):
        write(tmp_path / "a.nc", example().assign(scalar=2.0 * example()["scalar"]))
    assert names_in(tmp_path) == ["a.nc"]
    assert (tmp_path / "a.nc").read_bytes() == before


def test_what_does_not_read_back_as_it_was_is_no_artifact(tmp_path, monkeypatch):
    original = artifacts._load

    def lossy(path):
        return original(path).assign(gradient=lambda d: d["gradient"] * np.nan)

    monkeypatch.setattr(artifacts, "_load", lossy)
    with pytest.raises(ArtifactError, match=r"a\.nc: what was written does not read back"):
        write(tmp_path / "a.nc")
    assert names_in(tmp_path) == []


def test_an_artifact_has_the_permissions_of_any_new_file(tmp_path):
    (tmp_path / "any").touch()
    write(tmp_path / "a.nc")
    write_tensors({"x": np.ones(3)}, tmp_path / "a.safetensors", {})
    expected = (tmp_path / "any").stat().st_mode
    assert (tmp_path / "a.nc").stat().st_mode == expected
    assert (tmp_path / "a.safetensors").stat().st_mode == expected


def test_a_missing_artifact_is_named_with_the_stage_that_makes_it(tmp_path):
    with pytest.raises(ArtifactError, match=r"a\.nc not found: .* stage train"):
        read_netcdf(tmp_path / "a.nc", "train")
    with pytest.raises(ArtifactError, match="not found"):
        read_netcdf(tmp_path, "train")


def test_an_artifact_of_another_stage_is_refused(tmp_path):
    write(tmp_path / "a.nc")
    with pytest.raises(ArtifactError, match=r"a\.nc is of stage train, but one of corrupt was expected"):
        read_netcdf(tmp_path / "a.nc", "corrupt")


def test_a_file_that_no_stage_wrote_is_refused(tmp_path):
    example().to_netcdf(tmp_path / "a.nc")
    with pytest.raises(ArtifactError, match=r"a\.nc cannot be read \(its SHA-256 is not the one"):
        read_netcdf(tmp_path / "a.nc", "train")
    (tmp_path / "b.nc").write_text("no NetCDF at all\n" * 100)
    with pytest.raises(ArtifactError, match=r"b\.nc cannot be read"):
        read_netcdf(tmp_path / "b.nc", "train")


def small_netcdf(path):
    write(path, xr.Dataset({"x": ("step", np.arange(3.0), {"long_name": "something"})}))


def small_tensors(path):
    write_tensors({"x": np.arange(3.0), "y": np.zeros((2, 0), np.float32)}, path, {"steps": [1]})


def read_whatever(path):
    return read_netcdf(path, "train") if path.suffix == ".nc" else read_tensors(path)


KINDS = [("a.nc", small_netcdf), ("a.safetensors", small_tensors)]


def places(content):
    """Bytes from the first to the last, all of the last, where the sum stands."""
    return sorted({*range(0, len(content), 17), *range(len(content) - 80, len(content))})


@pytest.mark.parametrize(("name", "write_small"), KINDS)
def test_an_artifact_cut_at_any_byte_is_refused(tmp_path, name, write_small):
    path = tmp_path / name
    write_small(path)
    read_whatever(path)
    content = path.read_bytes()
    for length in places(content):
        path.write_bytes(content[:length])
        with pytest.raises(ArtifactError, match=r"cannot be read .* cut short or damaged. Remove it"):
            read_whatever(path)


@pytest.mark.parametrize(("name", "write_small"), KINDS)
def test_an_artifact_with_any_byte_altered_is_refused(tmp_path, name, write_small):
    path = tmp_path / name
    write_small(path)
    content = path.read_bytes()
    for place in places(content):
        altered = bytearray(content)
        altered[place] ^= 1 << place % 8
        path.write_bytes(altered)
        with pytest.raises(ArtifactError, match=r"cannot be read .* cut short or damaged. Remove it"):
            read_whatever(path)


@pytest.mark.parametrize(("name", "write_small"), KINDS)
@pytest.mark.parametrize("more", [b"\0", b"x" * 1000])
def test_an_artifact_with_more_at_its_end_is_refused(tmp_path, name, write_small, more):
    path = tmp_path / name
    write_small(path)
    path.write_bytes(path.read_bytes() + more)
    with pytest.raises(ArtifactError, match="cannot be read"):
        read_whatever(path)


@pytest.mark.parametrize("engine", ["netcdf4", None])
def test_the_sum_at_the_end_is_in_nobody_elses_way(tmp_path, engine):
    write(tmp_path / "a.nc")
    with xr.open_dataset(tmp_path / "a.nc", engine=engine) as opened:
        xr.testing.assert_equal(opened.load(), example())


def test_an_artifact_that_was_edited_is_refused(tmp_path):
    write(tmp_path / "a.nc")
    with netCDF4.Dataset(tmp_path / "a.nc", "a") as file:
        file["labels"][0] = 3
    with pytest.raises(ArtifactError, match="its SHA-256 is not the one that it notes"):
        read_netcdf(tmp_path / "a.nc", "train")


# --- safetensors ----------------------------------------------------------------------------------


def tensors():
    rng = np.random.default_rng(0)
    return {
        "weight.0": rng.standard_normal((5, 4, 3)).astype(np.float32),
        "bias.0": rng.standard_normal((5, 4)),
        "permutation": rng.permutation(100),
        "correct": rng.random((3, 8)) < 0.5,
        "empty": np.empty((0, 3), np.float32),
    }


def read_tensors(path):
    with open_tensors(path) as (description, file):
        return {name: file.get_tensor(name) for name in file.keys()}, description  # noqa: SIM118


def test_tensors_written_are_tensors_read(tmp_path):
    path = tmp_path / "new" / "a.safetensors"
    description = {"steps": [0, 1, 10], "of": {"noise": 0.5, "none": None}, "rng": {"state": 2**100}}
    write_tensors(tensors(), path, description)
    found, described = read_tensors(path)
    assert len(described.pop("sha256")) == 64
    assert described == description
    assert found.keys() == tensors().keys()
    for name, tensor in tensors().items():
        assert found[name].dtype == tensor.dtype
        assert np.array_equal(found[name], tensor)
        assert found[name].shape == tensor.shape
    assert names_in(path.parent) == ["a.safetensors"]


def test_tensors_may_lie_in_memory_in_any_order(tmp_path):
    weight = tensors()["weight.0"]
    write_tensors({"t": weight.T, "s": weight[::-2, :, 1]}, tmp_path / "a.safetensors", {})
    found, _ = read_tensors(tmp_path / "a.safetensors")
    assert np.array_equal(found["t"], weight.T)
    assert np.array_equal(found["s"], weight[::-2, :, 1])


def test_a_tensor_without_axes_stays_without(tmp_path):
    write_tensors({"scalar": np.array(3.0)}, tmp_path / "a.safetensors", {})
    found, _ = read_tensors(tmp_path / "a.safetensors")
    assert found["scalar"].shape == ()


def test_the_same_tensors_are_written_byte_by_byte_alike(tmp_path):
    write_tensors(tensors(), tmp_path / "a", {"x": 1, "y": [2]})
    write_tensors(tensors(), tmp_path / "b", {"y": [2], "x": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_failed_write_of_tensors_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    write_tensors(tensors(), path, {"step": 1})
    before = path.read_bytes()

    def fails(_, path, __):
        path.write_bytes(b"half of it")
        raise safetensors.SafetensorError("No space left on device")

    monkeypatch.setattr(safetensors.numpy, "save_file", fails)
    with pytest.raises(ArtifactError, match=r"a\.safetensors cannot be written \(No space left"):
        write_tensors(tensors(), path, {"step": 2})
    assert names_in(tmp_path) == ["a.safetensors"]
    assert path.read_bytes() == before


def test_missing_tensors_are_named(tmp_path):
    with pytest.raises(ArtifactError, match=r"a\.safetensors not found"):
        read_tensors(tmp_path / "a.safetensors")


@pytest.mark.parametrize(
    "metadata",
    [None, {}, {"other": "{}"}, *({"cgpipe": text} for text in ("{", "", "{}", "[]", '{"sha256": 3}'))],
)
def test_tensors_that_are_not_of_the_workflow_are_refused(tmp_path, metadata):
    path = tmp_path / "a.safetensors"
    safetensors.numpy.save_file(tensors(), path, metadata)
    with pytest.raises(ArtifactError, match=r"a\.safetensors cannot be read"):
        read_tensors(path)


@pytest.mark.parametrize("error", [KeyError("mine"), TypeError("mine"), ValueError("mine")])
def test_a_mistake_of_the_reader_is_not_laid_to_the_file(tmp_path, error):
    path = tmp_path / "a.safetensors"
    write_tensors(tensors(), path, {})
    with pytest.raises(type(error), match="mine"), open_tensors(path):
        raise error


# --- whole and file_hash --------------------------------------------------------------------------


def test_a_file_has_its_name_only_when_it_is_whole(tmp_path):
    path = tmp_path / "deep" / "a.txt"
    with whole(path) as temporary:
        temporary.write_text("all of it")
        assert not path.exists()
        assert temporary.parent == path.parent  # where renaming is atomic
    assert path.read_text() == "all of it"
    assert names_in(path.parent) == ["a.txt"]


@pytest.mark.parametrize(
    ("error", "told"),
    [(OSError, ArtifactError), (KeyboardInterrupt, KeyboardInterrupt), (KeyError, KeyError)],
)
def test_an_interrupted_file_leaves_nothing(tmp_path, error, told):
    def interrupted():
        with whole(tmp_path / "a.txt") as temporary:
            temporary.write_text("half of")
            raise error

    with pytest.raises(told):
        interrupted()
    assert names_in(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ArtifactError, match=r"a\.nc cannot be written .*Not a directory"):
        write(tmp_path / "file" / "folder" / "a.nc")


def test_a_file_that_was_never_written_is_an_error(tmp_path):
    with pytest.raises(ArtifactError, match="No such file"), whole(tmp_path / "a.txt"):
        pass
    assert names_in(tmp_path) == []


def test_the_hash_of_a_file_is_that_of_its_bytes(tmp_path):
    content = bytes(range(256)) * 5_000
    (tmp_path / "a").write_bytes(content)
    assert file_hash(tmp_path / "a") == hashlib.sha256(content).hexdigest()
