"""Stage `train` with several runs in one job: the bytes of each, what is kept, and what is refused."""

import json
import logging
import re
import signal

import pytest
import torch

from cgpipe.learning.finite import NonFiniteError
from cgpipe.learning.lockstep.served import memory
from cgpipe.learning.run import Logged
from cgpipe.pipeline.artifacts import Provenance
from cgpipe.pipeline.canonical import canonical
from cgpipe.pipeline.checkpoints import Checkpoint, StoppedError
from cgpipe.pipeline.stages import corrupt, data, train

SPEC = {
    "batch_size": 50,
    "device": "cpu",
    "init": "xavier",
    "kernel": "auto",
    "learning_rate": 0.1,
    "momentum": 0.0,
    "network": {"dense": [8]},
    "noise": 0.5,
    "normalize": False,
    "replicate": 0,
    "schedule": "constant",
    "seed": 3,
    "snapshots": True,
    "steps": 12,
    "update": "winsorized_mean",
    "weight_decay": 0.0,
    "winsor": 0,
}
RUNS = [{}, {"winsor": 2}, {"noise": 0.25, "winsor": 2}, {"replicate": 1}]
MARKED = {"steps": 30, "marks": [9.0, 2.3, 2.29]}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """The dataset, and the labels of a noise level and replicate."""
    folder = tmp_path_factory.mktemp("inputs")
    dataset = folder / "dataset.nc"
    made = Provenance("data", "{}", "")
    data.run(data.Spec("digits"), made, dataset=dataset, data_root=None, downloads=folder)

    def labels(noise, replicate):
        path = folder / f"{noise}-{replicate}.nc"
        if not path.exists():
            spec = corrupt.Spec(noise, replicate, 3, "exact")
            corrupt.run(spec, Provenance("corrupt", "{}", ""), dataset=dataset, corrupted=path)
        return path

    return dataset, labels


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch):
    """Several attempts, one after the other, in one process: none holds a lock, and none takes signals."""
    monkeypatch.setattr(Checkpoint, "hold", lambda self: self._folder.mkdir(parents=True, exist_ok=True))
    monkeypatch.setattr(train, "StopRequest", lambda: Stop(None))


class Stop:
    """Asks to stop before so many updates of this process, or never."""

    def __init__(self, after):
        self.after, self.asked = after, 0

    @property
    def signal(self):
        self.asked += 1
        return signal.SIGTERM if self.after is not None and self.asked > self.after else None


@pytest.fixture
def trained(inputs, tmp_path):
    """Train runs in one job, each in a folder of its place; their results by run."""

    def function(runs, *, name="pack", folders=None):
        dataset, labels = inputs
        specs = [{**SPEC, **run} for run in runs]
        folders = folders or [tmp_path / name / str(place) for place in range(len(specs))]
        train.run(
            [train.Spec(**spec) for spec in specs],
            Provenance("train", canonical(specs), "code"),
            dataset=dataset,
            corrupted=[labels(spec["noise"], spec["replicate"]) for spec in specs],
            folders=folders,
        )
        return [results(folder) for folder in folders]

    return function


def results(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def alone(trained):
    return [trained([run], name=f"alone-{place}")[0] for place, run in enumerate(RUNS)]


def test_a_run_in_a_pack_has_the_bytes_that_it_has_alone(trained, alone):
    assert trained(RUNS) == alone
    assert trained(RUNS[::-1], name="backwards") == alone[::-1]
    assert {name for run in alone for name in run} == {"history.nc", "snapshots.safetensors"}


def test_a_pack_that_is_stopped_goes_on_and_what_was_done_is_not_trained_again(
    trained, alone, tmp_path, monkeypatch, caplog
):
    caplog.set_level(logging.INFO, "cgpipe")
    stops = [Stop(17), Stop(3), Stop(None)]
    monkeypatch.setattr(train, "StopRequest", iter(stops).__next__)
    for _ in range(2):
        with pytest.raises(StoppedError, match="stopped by SIGTERM at step"):
            trained(RUNS)
        assert (tmp_path / "pack/0/history.nc").read_bytes() == alone[0]["history.nc"]
    assert trained(RUNS) == alone
    # An update that was asked to stop was not made.
    assert sum(stop.asked for stop in stops) - 2 == 12 * len(RUNS)


@pytest.mark.parametrize("more", [{}, MARKED])
def test_a_pack_that_is_killed_goes_on_from_older_states(trained, monkeypatch, more):
    """Snapshots that were kept after the last state are kept again."""
    runs = [{**run, **more} for run in RUNS]
    alone = [trained([run], name=f"alone-{place}")[0] for place, run in enumerate(runs)]
    last = 20 if more else 10
    monkeypatch.setattr(train, "SECONDS_BETWEEN_SAVES", 0.0)
    monkeypatch.setattr(train, "SAVING", 1e9)
    kept = Checkpoint.keep

    def killed(self, step, parameters):
        kept(self, step, parameters)
        if step == last:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "keep", killed)
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                trained(runs)
    assert trained(runs) == alone


def test_a_state_that_is_damaged_costs_that_run_alone(trained, alone, tmp_path, monkeypatch, caplog):
    stops = [Stop(30), Stop(None)]
    monkeypatch.setattr(train, "StopRequest", iter(stops).__next__)
    with pytest.raises(StoppedError):
        trained(RUNS)
    (state,) = (tmp_path / "pack/1").glob(".checkpoint-*/state.safetensors")
    state.write_bytes(state.read_bytes()[:-1])
    assert trained(RUNS) == alone
    assert caplog.text.count("the checkpoint is of no use, and the run begins again") == 1
    assert stops[1].asked == 12 + (36 - 30) + 12


def test_states_are_saved_at_the_end_and_now_and_then(trained, monkeypatch):
    saved = []
    monkeypatch.setattr(Checkpoint, "save", lambda self, arrays, description: saved.append(description))
    trained(RUNS[:2])
    assert [description["step"] for description in saved] == [12, 12]
    saved.clear()
    monkeypatch.setattr(train, "SECONDS_BETWEEN_SAVES", 0.0)
    monkeypatch.setattr(train, "SAVING", 1e9)
    trained(RUNS[:2], name="often")
    assert [description["step"] for description in saved] == [*range(1, 12), 12, *range(1, 12), 12]


def test_runs_that_diverge_are_named_and_the_others_are_kept(trained, tmp_path):
    runs = [{**run, "learning_rate": 1.0e20, "steps": 1, "snapshots": False} for run in ({"winsor": 24}, {})]
    with pytest.raises(NonFiniteError, match=r"c = 0, replicate 0: the run diverged.*The other 1 are kept"):
        trained(runs)
    assert [path.parent.name for path in tmp_path.glob("pack/*/history.nc")] == ["0"]
    assert [path.parent.parent.name for path in tmp_path.glob("pack/*/.checkpoint-*/diverged")] == ["1"]
    assert trained(runs[:1])[0].keys() == {"history.nc"}


def test_a_gpu_that_fills_up_is_told_and_what_has_ended_is_kept(trained, alone, tmp_path, monkeypatch):
    whole_pack = train.train_pack

    def fills_up(runs, steps, **callbacks):
        yield from whole_pack(runs[:2], steps, **callbacks)
        raise torch.OutOfMemoryError("Tried to allocate 20.00 MiB")

    with monkeypatch.context() as patch:
        patch.setattr(train, "train_pack", fills_up)
        told = r"does not suffice for the 4 runs of this job: set runs_per_job .* lower.*Tried to allocate 20"
        with pytest.raises(train.PackError, match=told):
            trained(RUNS)
    for place in range(2):
        assert (tmp_path / f"pack/{place}/history.nc").read_bytes() == alone[place]["history.nc"]
    assert not (tmp_path / "pack/2/history.nc").exists()
    assert trained(RUNS) == alone


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"network": {"dense": [9]}}, r"network: {'dense': \[8\]} and {'dense': \[9\]}"),
        ({"device": "auto"}, "device: cpu and auto"),
        ({"steps": 13, "learning_rate": 0.2}, r"learning_rate: 0.1 and 0.2; steps: 12 and 13"),
    ],
)
def test_a_pack_of_different_settings_is_refused(trained, tmp_path, changed, told):
    with pytest.raises(train.PackError, match=rf"the runs of one job have different settings \({told}\)"):
        trained([{}, {"winsor": 2}, {"winsor": 3, **changed}])
    assert not (tmp_path / "pack").exists()


def test_each_run_has_labels_and_a_folder(trained, tmp_path):
    with pytest.raises(train.PackError, match="settings of 2 runs, and files: 2 of corrupted, 1 of folders"):
        trained(RUNS[:2], folders=[tmp_path / "one"])


def test_a_logged_step_of_runs_in_lockstep_is_one_line(trained, monkeypatch, caplog):
    caplog.set_level(logging.INFO, "cgpipe")

    def lockstep(runs, steps, *, on_logged, on_step):
        for step in range(steps):
            for number, run in enumerate(runs):
                run.step = step
                run.logged[step] = Logged(2.0 + number, 0.5, 0.0, 0.25, (), (), None, None)
                on_logged(run)
            on_step(runs)
        for run in runs:
            run.step = steps
            run.logged[steps] = Logged(1.0, 0.5, 0.0, 0.25, (), (), None, None)
            on_logged(run)
            yield run, None

    monkeypatch.setattr(train, "train_pack", lockstep)
    monkeypatch.setattr(train.Member, "finish", lambda self: None)
    trained([{**run, "steps": 2, "snapshots": False} for run in RUNS[:3]])
    lines = [message for message in caplog.messages if message.startswith("step ")]
    assert [re.sub(r"  [\d,]+ examples/s.*", "", line) for line in lines] == [
        f"step {step} of 2  3 runs  loss {loss}  accuracy 0.5000 (training) 0.2500 (test)"
        for step, loss in enumerate(("2.0000 to 4.0000", "2.0000 to 4.0000", "1.0000"))
    ]


def test_a_spec_of_several_runs_is_that_of_each(trained, tmp_path):
    trained(RUNS)
    for place, run in enumerate(RUNS):
        content = (tmp_path / f"pack/{place}/history.nc").read_bytes()
        assert json.dumps(canonical({**SPEC, **run}))[1:-1].encode() in content


def test_more_runs_than_a_gpu_has_memory_for_are_refused_with_the_number_that_fits(inputs):
    of = train.Data(inputs[0], torch.device("cpu"), normalize=False, flat=True)
    specs = [train.Spec(**{**SPEC, "winsor": c}) for c in (0, 2, 2, 2)]
    each = memory([64, 8, 10], 50, clips=True)
    train.require_room(specs, of, 4 * each)
    train.require_room(specs[:1], of, 1)  # torch says itself that one run is too large
    # Of other networks one trains after the other.
    train.require_room([train.Spec(**{**SPEC, "network": {"conv_small": {}}})] * 4, of, 1)
    with pytest.raises(
        train.PackError, match=r"the 4 runs .* 2 fit\. Set runs_per_job of the experiment to 2"
    ):
        train.require_room(specs, of, 3 * each - 1)
