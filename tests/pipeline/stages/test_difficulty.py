"""Stage `difficulty`: which examples all runs have right after two epochs."""

import json

import numpy as np
import pytest
import xarray as xr

from cgpipe.pipeline.artifacts import ArtifactError, Provenance, read_netcdf
from cgpipe.pipeline.stages import corrupt, data, difficulty, train


def history(steps, examples=60, batch=10, **spec):
    """A run that is right at random, reproducibly."""
    rng = np.random.default_rng(spec.get("replicate", 0))
    sizes = {"correct": ("example", examples), "correct_test": ("test_example", 30)}
    right = {
        name: (("step", dim), rng.random((len(steps), size)) < 0.8) for name, (dim, size) in sizes.items()
    }
    return xr.Dataset(right, {"step": list(steps)}, {"spec": json.dumps({"batch_size": batch, **spec})})


def test_easy_is_what_all_runs_have_right_at_that_step():
    runs = [history([0, 10, 20], replicate=replicate) for replicate in range(3)]
    found = difficulty.counted(runs, 10)
    for name, end in (("correct", ""), ("correct_test", "_test")):
        rows = [run[name].values[1] for run in runs]
        counts = [sum(bool(row[e]) for row in rows) for e in range(len(rows[0]))]
        assert found[f"right{end}"].values.tolist() == counts
        assert found[f"easy{end}"].values.tolist() == [count == 3 for count in counts]
        assert 0 < sum(count == 3 for count in counts) < len(counts)


@pytest.mark.parametrize(
    ("steps", "batch", "expected"),
    [([0, 1, 11, 12, 13], 10, 12), ([0, 9, 16], 10, 9), ([0, 15, 16], 10, 15), ([0, 1, 2, 3], 60, 2)],
)
def test_the_logged_step_nearest_to_two_epochs_stands_for_these(steps, batch, expected):
    assert difficulty.step_of([history(steps, batch=batch)]) == expected


@pytest.mark.parametrize("steps", [[0, 1, 8], [0, 16, 20]])
def test_a_step_far_from_two_epochs_does_not(steps):
    said = f"no step from 9 to 15 is logged; these are: {', '.join(map(str, steps))}. Set another batch_size"
    with pytest.raises(ValueError, match=said):
        difficulty.step_of([history(steps)])


@pytest.fixture
def runs(tmp_path):
    """Two runs on the same labels, and one on others of the same experiment."""
    dataset = tmp_path / "dataset.nc"
    made = Provenance("data", "{}", "")
    data.run(data.Spec("digits"), made, dataset=dataset, data_root=None, downloads=tmp_path)
    shared, own = (tmp_path / f"corrupted/examples-60/noise-000/replicate-{r}.nc" for r in (0, 1))
    for replicate, path in enumerate((shared, own)):
        spec = corrupt.Spec(0.0, replicate, 0, "exact", examples=60)
        given = json.dumps({"examples": 60, "replicate": replicate})
        corrupt.run(spec, Provenance("corrupt", given, ""), dataset=dataset, corrupted=path)
    histories = []
    for replicate, labels in ((0, shared), (1, shared), (2, own)):
        folder = tmp_path / f"base/noise-000/winsor-0/replicate-{replicate}"
        settings = {
            "batch_size": 10,
            "device": "cpu",
            "init": "xavier",
            "learning_rate": 0.3,
            "momentum": 0.0,
            "network": {"dense": [8]},
            "noise": 0.0,
            "normalize": False,
            "replicate": replicate,
            "schedule": "constant",
            "seed": 0,
            "snapshots": False,
            "steps": 12,
            "update": "winsorized_mean",
            "weight_decay": 0.0,
            "winsor": 0,
        }
        made = Provenance("train", json.dumps(settings), "")
        spec = train.Spec(**settings)
        train.run(spec, made, dataset=dataset, corrupted=[labels], folders=[folder])
        histories.append(folder / "history.nc")
    return dataset, shared, histories


def test_the_result_names_examples_by_their_place_in_the_dataset(runs, tmp_path):
    dataset, labels, histories = runs
    path = tmp_path / "difficulty.nc"

    def see(histories):
        made = Provenance("difficulty", "{}", "")
        files = {"dataset": dataset, "corrupted": labels, "histories": histories}
        difficulty.run(difficulty.Spec(), made, **files, difficulty=path)
        return read_netcdf(path, "difficulty")

    found = see(histories[:2])
    assert found.sizes == {"example": 60, "test_example": 797}
    assert np.array_equal(found["index"], read_netcdf(labels, "corrupt")["index"])
    assert (found.attrs["runs"], found.attrs["step"]) == (2, 12)
    assert found.attrs["checksum"] == read_netcdf(dataset, "data").attrs["checksum"]
    last = [read_netcdf(path, "train").sel(step=12) for path in histories[:2]]
    assert np.array_equal(found["right"], sum(run["correct"].astype(int) for run in last))
    assert np.array_equal(found["easy_test"], last[0]["correct_test"] & last[1]["correct_test"])
    path.unlink()
    with pytest.raises(ArtifactError, match="was trained on other examples than /"):
        see(histories)
    assert not path.exists()


def test_a_step_that_only_some_runs_logged_does_not():
    # The first run passed a mark of its loss at step 12, after two epochs.
    runs = [history([0, 10, 12, 20]), history([0, 10, 20])]
    assert difficulty.step_of(runs) == 10
