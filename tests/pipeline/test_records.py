import json

import numpy as np
import pytest
import xarray as xr

from cgpipe.pipeline.artifacts import (
    ArtifactError,
    Provenance,
    open_tensors,
    read_netcdf,
    write_netcdf,
    write_record,
    write_tensors,
)
from cgpipe.pipeline.layout import made_from
from cgpipe.pipeline.records import TAIL, NoRecordError, file_hash, record_of, seal_of, why_stale

SPEC = '{"noise":0.5,"style":{"dpi":200,"width":7.0}}'


def write(path, provenance, value=1.0):
    dataset = xr.Dataset({"x": ("step", np.full(4, value), {"long_name": "something"})})
    write_netcdf(dataset, path, title="A title", provenance=provenance)
    return path


@pytest.fixture
def chain(tmp_path):
    """Data, and a result that was made from them."""
    data = write(tmp_path / "dataset.nc", Provenance("data", "{}", "aaaa"))
    made = Provenance("corrupt", SPEC, "bbbb").of(read_netcdf(data, "data"))
    return data, write(tmp_path / "corrupted.nc", made)


def stale(output, *inputs, stage="corrupt", spec=SPEC, code="bbbb", **more):
    reasons = why_stale([output], inputs, stage=stage, spec=spec, code=code, **more)
    assert set(reasons.values()) <= {output}
    return list(reasons)


# --- records ----------------------------------------------------------------------------------------


def test_the_record_of_a_netcdf_file_is_read_without_its_data(chain):
    data, corrupted = chain
    record = record_of(corrupted)
    assert (record["stage"], record["spec"], record["code"]) == ("corrupt", SPEC, "bbbb")
    assert json.loads(record["input_sha256"]) == [seal_of(data)]
    assert record["sha256"] == read_netcdf(corrupted, "corrupt").encoding["sha256"]
    attrs = read_netcdf(corrupted, "corrupt").attrs
    assert {name: attrs[name] for name in record if name != "sha256"} == {
        name: value for name, value in record.items() if name != "sha256"
    }


@pytest.mark.parametrize("length", [10, TAIL - 300, TAIL, 5 * TAIL])
def test_a_record_may_be_longer_than_what_is_read_first(tmp_path, length):
    path = write(tmp_path / "a.nc", Provenance("train", json.dumps({"text": "x" * length}), "c"))
    assert json.loads(record_of(path)["spec"]) == {"text": "x" * length}


def test_the_record_of_tensors_and_of_files_that_hold_none(tmp_path):
    provenance = Provenance("train", SPEC, "c")
    write_tensors({"w": np.ones(3)}, tmp_path / "a.safetensors", provenance.attributes())
    assert record_of(tmp_path / "a.safetensors")["spec"] == SPEC
    with open_tensors(tmp_path / "a.safetensors") as (description, _):
        assert description["sha256"] == seal_of(tmp_path / "a.safetensors")
    table = tmp_path / "a.csv"
    table.write_text("a,b\n")
    write_record(tmp_path / "a.json", provenance.answering_for(table))
    assert json.loads(record_of(tmp_path / "a.json")["files"]) == {"a.csv": file_hash(table)}


@pytest.mark.parametrize("suffix", [".nc", ".safetensors", ".json"])
@pytest.mark.parametrize("content", [b"", b"\0" * 500, b"\xff" * 9, b"sha256 " + b"0" * 64, b"{}", b"[1]"])
def test_what_is_no_artifact_holds_no_record(tmp_path, suffix, content):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    with pytest.raises(NoRecordError, match=path.name):
        record_of(path)
    assert seal_of(path) == file_hash(path)


@pytest.mark.parametrize("kept", [0, 1, 100, -1, -65, -100])
def test_a_file_cut_short_holds_no_record(chain, kept):
    content = chain[1].read_bytes()
    chain[1].write_bytes(content[:kept])
    assert stale(chain[1], chain[0]) == ["holds no record of its making: damaged, or of another program"]


def test_a_file_that_cannot_be_read_is_an_error_and_not_stale(chain, monkeypatch):
    def refuse(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("pathlib.Path.open", refuse)
    with pytest.raises(OSError, match="Input/output"):
        stale(chain[1], chain[0])


# --- stale ------------------------------------------------------------------------------------------


def test_what_is_planned_is_not_stale(chain):
    assert stale(chain[1], chain[0]) == []


@pytest.mark.parametrize(
    ("planned", "reason"),
    [
        ({"spec": SPEC.replace("0.5", "0.25")}, "was made with noise = 0.5, not 0.25"),
        ({"spec": SPEC.replace("200", "300")}, "was made with style.dpi = 200, not 300"),
        ({"spec": SPEC.replace('"noise":0.5,', "")}, "was made with noise = 0.5, not nothing"),
        ({"spec": SPEC.replace("{", '{"a":null,', 1)}, "was made with a = nothing, not null"),
        ({"code": "cccc"}, "was made by other code"),
        ({"stage": "train"}, "is of stage corrupt, not train"),
    ],
)
def test_other_settings_code_and_stage_are_told(chain, planned, reason):
    assert stale(chain[1], chain[0], **planned) == [reason]


def test_other_inputs_are_told(chain, tmp_path):
    data, corrupted = chain
    reason = ["was made from other files than those that are there now"]
    assert stale(corrupted, data, write(tmp_path / "more.nc", Provenance("data", "{}", "b"))) == reason
    write(data, Provenance("data", "{}", "aaaa"), value=2.0)
    assert stale(corrupted, data) == reason


def test_inputs_that_are_not_there_are_left_to_snakemake(chain):
    data, corrupted = chain
    data.unlink()
    assert stale(corrupted, data) == []
    corrupted.unlink()
    assert stale(corrupted, data) == []


def test_inputs_that_are_not_there_must_have_been_those_that_are_planned(chain):
    data, corrupted = chain

    def before(spec="{}", code="aaaa"):
        return lambda stage: (spec, code) if stage == "data" else None

    other = '{"dataset":"mnist"}'
    assert stale(corrupted, data, before=before(other)) == []  # then its own record says so
    data.unlink()
    assert stale(corrupted, data, before=before()) == []
    assert stale(corrupted, data, before=before(other)) == [
        'was made from results of stage data with dataset = nothing, not "mnist"'
    ]
    assert stale(corrupted, data, before=before(code="dddd")) == [
        "was made from results of stage data by other code"
    ]


def test_inputs_of_inputs_that_are_not_there_must_have_been_those_that_are_planned(chain, tmp_path):
    _, corrupted = chain
    made = Provenance("train", "{}", "cccc").of(read_netcdf(corrupted, "corrupt"))
    history = write(tmp_path / "history.nc", made)
    for path in chain:
        path.unlink()
    planned = {"data": ("{}", "aaaa"), "corrupt": (SPEC.replace("0.5", "0.75"), "bbbb")}
    why = stale(history, corrupted, stage="train", spec="{}", code="cccc", before=planned.__getitem__)
    assert why == ["was made from results of stage corrupt with noise = 0.5, not 0.75"]


@pytest.mark.parametrize(
    ("noted", "planned"),
    [
        ({"network": {"lenet5": {}}}, {"network": {"vgg11": {}}}),
        ({"network": {"module": "a:B", "args": {}}}, {"network": {"module": "a:B"}}),
        ({"network": {"lenet5": {}}}, {"network": {}}),
        ({"network": {}}, {}),
        ({"marks": []}, {}),
    ],
)
def test_settings_without_settings_of_their_own_differ_by_name(tmp_path, noted, planned):
    path = write(tmp_path / "history.nc", Provenance("train", json.dumps(noted), "c"))
    for spec, differs in ((planned, True), (noted, False)):
        why = stale(path, stage="train", spec=json.dumps(spec), code="c")
        assert bool(why) == differs
        assert all(reason.startswith("was made with ") for reason in why)


def test_what_is_made_from_many_files_is_made_again_if_one_is_not_there(chain, tmp_path):
    data, record = chain[0], tmp_path / "claims.json"
    write_record(record, Provenance("claims", "{}", "c").of_many(read_netcdf(data, "data")))

    def why():
        return list(why_stale([record], [data], stage="claims", spec="{}", code="c"))

    assert why() == []
    data.unlink()
    assert why() == ["is made from many files, and one of them is not there"]


def test_files_that_hold_no_record_are_known_by_their_content(chain, tmp_path):
    data = chain[0]
    figure, table, record = (tmp_path / f"figure.{ending}" for ending in ("png", "csv", "json"))
    figure.write_bytes(b"\x89PNG")
    table.write_text("a,b\n")
    made = Provenance("figures", SPEC, "f").of_many(read_netcdf(data, "data")).answering_for(figure, table)
    write_record(record, made)

    def why():
        files = [figure, table, record]
        return why_stale(files, [data], stage="figures", spec=SPEC, code="f")

    assert why() == {}
    table.write_text("a,c\n")
    assert why() == {"is not as it was written": table}
    table.write_text("a,b\n")
    record.unlink()
    assert why() == {"is not as it was written": figure}  # nothing answers for them


# --- provenance -------------------------------------------------------------------------------------


def test_what_was_made_from_different_files_does_not_belong_together(chain, tmp_path):
    data, corrupted = chain
    images, labels = read_netcdf(data, "data"), read_netcdf(corrupted, "corrupt")
    Provenance("train", "{}", "t").of(images, labels)
    write(data, Provenance("data", "{}", "aaaa"), value=2.0)
    with pytest.raises(ArtifactError, match="different results of stage data"):
        Provenance("train", "{}", "t").of(read_netcdf(data, "data"), labels)


def test_the_layout_says_what_an_artifact_of_a_run_was_made_from(tmp_path):
    run = tmp_path / "noise_of_labels" / "noise-012.5" / "winsor-2" / "replicate-3"
    found = made_from(run / "coherence.nc", {})
    assert found["data"] == tmp_path / "dataset.nc"
    assert found["corrupt"] == tmp_path / "corrupted" / "noise-012.5" / "replicate-3.nc"
    assert found["train"] == run / "snapshots.safetensors"
    assert found["contributions"] == run / "contributions.nc"
    of_subset = made_from(run / "coherence.nc", {"examples": 50, "replicate": 3})
    assert of_subset["corrupt"] == tmp_path / "corrupted/examples-50/noise-012.5/replicate-3.nc"
    assert {**of_subset, "corrupt": found["corrupt"]} == found
    shared = made_from(
        run / "coherence.nc", {"examples": {"copies": 2, "chosen": "easy-of-one"}, "replicate": 0}
    )
    place = "corrupted/chosen-easy-of-one/copies-2/noise-012.5/replicate-0.nc"
    assert {**found, "corrupt": tmp_path / place} == shared
    assert made_from(tmp_path / "coherence.nc", {}) == {}
    begun = made_from(run / "coherence.nc", {}, start=("before", 1.0))
    before = tmp_path / "before" / "noise-100" / "winsor-0" / "replicate-3"
    assert begun == {**found, "start": before / "snapshots.safetensors"}
