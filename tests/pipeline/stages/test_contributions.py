"""Stages `contributions` and `coherence`: a run has the same artifacts in a job with others as in its own."""

import json

import numpy as np
import pytest

from cgpipe.networks.dense import initial_layers
from cgpipe.pipeline.artifacts import Provenance, read_netcdf, write_tensors
from cgpipe.pipeline.canonical import canonical
from cgpipe.pipeline.stages import coherence, contributions, corrupt, data
from cgpipe.pipeline.stages.inputs import PackError

RUNS = [
    {"device": "cpu", "noise": noise, "replicate": replicate, "seed": 3, "stiffness_examples": 20}
    for noise, replicate in ((0.0, 0), (0.5, 0), (0.5, 1))
]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A dataset, and of each run labels and snapshots."""
    folder = tmp_path_factory.mktemp("runs")
    dataset = folder / "dataset.nc"
    data.run(
        data.Spec("digits"), Provenance("data", "{}", ""), dataset=dataset, data_root=None, downloads=folder
    )
    files = {"corrupted": [], "snapshots": []}
    for number, run in enumerate(RUNS):
        labels, snapshots = folder / f"{number}.nc", folder / f"{number}.safetensors"
        spec = {"noise": run["noise"], "replicate": run["replicate"], "seed": 3, "selection": "exact"}
        provenance = Provenance("corrupt", canonical(spec), "")
        corrupt.run(corrupt.Spec(**spec), provenance, dataset=dataset, corrupted=labels)
        rng = np.random.default_rng(number)
        steps = [initial_layers([64, 12, 10], "xavier", rng) for _ in range(2)]
        tensors = {
            f"{layer}.{name}": np.stack([getattr(step[layer], name).numpy() for step in steps])
            for layer in range(2)
            for name in ("weight", "bias")
        }
        images, read = read_netcdf(dataset, "data"), read_netcdf(labels, "corrupt")
        trained = canonical({**run, "init": "xavier", "network": {"dense": [12]}, "normalize": False})
        written = Provenance("train", trained, "").of(images, read).attributes()
        write_tensors(tensors, snapshots, {"steps": [0, 7], **written})
        files["corrupted"].append(labels)
        files["snapshots"].append(snapshots)
    return {"dataset": dataset, **files}


def job(stage, runs, outs, several=True, **files):
    """Run a stage for some runs, in one job; their settings are a list if they are several."""
    specs = [
        dict(run) if stage is contributions else {k: run[k] for k in ("noise", "replicate")} for run in runs
    ]
    read = [stage.Spec(**spec) for spec in specs]
    name = stage.__name__.rpartition(".")[2]
    given = (read, canonical(specs)) if several else (read[0], canonical(specs[0]))
    stage.run(given[0], Provenance(name, given[1], "code"), **{name: outs}, **files)
    return outs


def measured(made, runs, folder, several=True):
    """Contributions, then coherence, of the runs with these numbers."""
    folder.mkdir()
    those, outs = [RUNS[n] for n in runs], [folder / f"{n}.nc" for n in runs]
    files = {kind: [made[kind][n] for n in runs] for kind in ("corrupted", "snapshots")}
    job(contributions, those, outs, several, dataset=made["dataset"], **files)
    return outs, job(
        coherence, those, [folder / f"coherence-{n}.nc" for n in runs], several, contributions=outs
    )


def test_a_run_has_the_same_bytes_alone_and_in_any_company(made, tmp_path):
    together = measured(made, [2, 0, 1], tmp_path / "together")
    for number, *files in zip([2, 0, 1], *together, strict=True):
        alone = measured(made, [number], tmp_path / f"alone-{number}", several=False)
        for mine, (wanted,) in zip(files, alone, strict=True):
            assert mine.read_bytes() == wanted.read_bytes()
        assert json.loads(read_netcdf(files[0], "contributions").attrs["spec"]) == RUNS[number]


def test_what_is_done_is_written_when_a_later_run_fails(made, tmp_path):
    with pytest.raises(Exception, match="belong"):
        job(
            contributions,
            RUNS[:2],
            [tmp_path / "0.nc", tmp_path / "1.nc"],
            dataset=made["dataset"],
            corrupted=made["corrupted"][:2],
            snapshots=[made["snapshots"][0], made["snapshots"][2]],
        )
    assert [path.name for path in tmp_path.iterdir()] == ["0.nc"]


@pytest.mark.parametrize("kind", ["corrupted", "snapshots", "contributions"])
def test_files_that_are_not_one_for_each_run_are_refused(made, tmp_path, kind):
    files = {**made, "contributions": [tmp_path / f"{n}.nc" for n in range(3)]}
    files[kind] = files[kind][:2]
    with pytest.raises(PackError, match=f"settings of 3 runs.* 2 of {kind}.*Give one of each"):
        job(contributions, RUNS, files.pop("contributions"), **files)
    assert not list(tmp_path.iterdir())


def test_runs_with_other_settings_than_those_of_their_level_are_refused(made, tmp_path):
    runs = [*RUNS[:2], {**RUNS[2], "device": "auto", "seed": 4}]
    with pytest.raises(PackError, match=r"device: cpu and auto; seed: 3 and 4\): .*noise, winsor, replicate"):
        job(contributions, runs, [tmp_path / f"{n}.nc" for n in range(3)], **made)
    assert not list(tmp_path.iterdir())
