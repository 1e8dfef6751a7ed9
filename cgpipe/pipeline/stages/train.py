"""Stage `train`: runs of SGD, plain or winsorized (Chatterjee 2020, sections 2 and 3)."""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cache
from itertools import accumulate, groupby
from pathlib import Path
from typing import Any

import torch
import xarray as xr

from cgpipe.data.images import flat_images, shaped_images
from cgpipe.kernels import operators
from cgpipe.learning.evaluation import snapshot_steps
from cgpipe.learning.finite import NonFiniteError
from cgpipe.learning.lockstep.served import memory
from cgpipe.learning.rules import kernel, update_rule
from cgpipe.learning.run import Examples, Logged, TrainingRun, examples, start_run
from cgpipe.learning.training import in_lockstep, train_pack
from cgpipe.names import Device, Init, Kernel, Schedule, UpdateName
from cgpipe.pipeline.artifacts import Provenance, read_netcdf, software, write_netcdf
from cgpipe.pipeline.checkpoints import Checkpoint, StoppedError, StopRequest
from cgpipe.pipeline.progress import log, progress
from cgpipe.pipeline.stages.device import TrainingImages, choose, held_gpus
from cgpipe.pipeline.stages.inputs import PackError, each_run, of_updates, read_corrupted
from cgpipe.pipeline.stages.networks import is_dense, named, network_of_settings
from cgpipe.pipeline.stages.snapshots import begin_from, write_snapshots

# A job that is killed loses the work since it last saved. It saves this often, and less often where that
# would take more than SAVING of its time.
SECONDS_BETWEEN_SAVES = 10.0
SAVING = 0.02


@dataclass(frozen=True)
class Spec:
    """The settings that this stage reads."""

    batch_size: int
    device: Device
    init: Init
    learning_rate: float
    momentum: float
    network: dict[str, Any]
    noise: float
    normalize: bool
    replicate: int
    schedule: Schedule
    seed: int
    snapshots: bool
    steps: int
    update: UpdateName
    weight_decay: float
    winsor: int
    clip_norm: float | None = None
    kernel: Kernel = "auto"
    marks: list[float] = field(default_factory=list)
    noise_multiplier: float | None = None
    labels: str = ""  # where they lie: those of other examples make another training
    start: str | None = None  # where the run lies whose last weights are the first here
    examples: int | None = None  # of the training set; None: as many as there are labels


class KernelError(RuntimeError):
    """The settings require a fused kernel that cannot be used here."""


class Data:
    """All that the runs of a job train on: the files as they were read, and tensors on the device."""

    def __init__(self, dataset: Path, device: torch.device, *, normalize: bool, flat: bool) -> None:
        self.device = device
        self.images = read_netcdf(dataset, "data")
        self.classes = int(self.images["train_labels"].max()) + 1
        self._training = TrainingImages(self.images, device, normalize=normalize, flat=flat)
        test = (flat_images if flat else shaped_images)(self.images, "test", normalize=normalize)
        self.test = examples(test, self.images["test_labels"].values, device)
        self.labels = cache(lambda path: read_corrupted(path, self.images))

    def training(self, labels: xr.Dataset) -> Examples:
        """The training set of a run."""
        return examples(self._training.of(labels), labels["label_train"].values, self.device)

    def identity(self, labels: xr.Dataset) -> tuple[str, ...]:
        """What a checkpoint must have been made with, besides settings and code, to be gone on from."""
        files = (read.encoding["sha256"] for read in (self.images, labels))
        return (self.device.type, *files, software())


def run(
    spec: Spec | list[Spec],
    provenance: Provenance,
    *,
    dataset: Path,
    corrupted: Sequence[Path],
    folders: Sequence[Path],
    start: Sequence[Path] = (),
) -> None:
    """Train one network, or a pack of one experiment's, each with labels and a folder of its own."""
    of_start = {"start": start} if start else {}
    runs = each_run(spec, provenance, corrupted=corrupted, folders=folders, **of_start)
    stop = StopRequest()
    device = choose(runs[0][0].device)
    for one, _, _ in runs:
        require_kernel(one, device)
    first = runs[0][0]
    data = Data(dataset, device, normalize=first.normalize, flat=is_dense(asdict(first)))
    if device.type == "cuda":
        require_room([one for one, _, _ in runs], data, torch.cuda.mem_get_info()[0])
    with room_for(len(runs)):
        members = [Member(one, made, data, *files) for one, made, files in runs]
        Pack(members, stop).train()
    for member in members:
        member.checkpoint.discard()


class Member:
    """A run of the job, as it stands; goes on from its own checkpoint, and leaves it there."""

    def __init__(
        self,
        spec: Spec,
        provenance: Provenance,
        data: Data,
        corrupted: Path,
        folder: Path,
        start: Path | None = None,
    ) -> None:
        self.spec, self.folder, self.labels = spec, folder, data.labels(corrupted)
        if spec.examples not in (None, count := self.labels.sizes["example"]):
            raise ValueError(f"{corrupted} has labels of {count} examples: give those of {spec.examples}")
        if (spec.start is None) != (start is None):
            raise ValueError(f"start {spec.start} with --start {start}: give both or neither")
        self.provenance = provenance.of(data.images, self.labels)
        network = network_of_settings(asdict(spec), data.images, data.device)
        identity = data.identity(self.labels)
        if start is not None:
            self.provenance = begin_from(start, network, self.provenance)
            identity = (*identity, self.provenance.inputs["start"]["sha256"])
        self.checkpoint = Checkpoint(folder, provenance.spec, provenance.code, *identity)
        self.checkpoint.hold()
        state = self.checkpoint.load()
        self.run = start_run(
            data.training(self.labels),
            data.test,
            network=network,
            **of_updates(asdict(spec)),
            marks=spec.marks,
            classes=data.classes,
            state=state,
        )
        self.saved = self.run.step
        self.made_by = MadeBy(self.run, state[1]["made_by"] if state else [])
        self.network = label(spec, data)
        self.name = f"noise {spec.noise:g}, {rule_label(spec)}, replicate {spec.replicate}"
        place = f"{data.device} ({torch.get_num_threads()} threads)"
        log.info("%s on %s, %s", self.network, place, self.name)
        if state:
            log.info("going on from a checkpoint at step %d", self.saved)

    @property
    def snapshots(self) -> list[int]:
        """Steps whose parameters are written when the run has ended, as far as they are known."""
        steps = {*snapshot_steps(self.spec.steps), *self.run.marks.passed().values()}
        return sorted(steps) if self.spec.snapshots else []

    def keep(self) -> None:
        """Keep the parameters of a logged step that is among the snapshots."""
        if self.run.step in self.snapshots:
            self.checkpoint.keep(self.run.step, self.run.parameters())

    def save(self) -> None:
        """Write all that the rest of the run depends on, if it is not there."""
        if self.run.step > self.saved:
            arrays, description = self.run.state()
            more = {
                "made_by": self.made_by.until(self.run.step),
                "kept": [step for step in self.snapshots if step <= self.run.step],
            }
            self.checkpoint.save(arrays, {**description, **more})
            self.saved = self.run.step

    def finish(self) -> None:
        """Write the results."""
        self.save()
        if self.spec.snapshots:
            kept = [self.checkpoint.kept(step) for step in self.snapshots]
            description = {"steps": self.snapshots, "marks": self.run.marks.passed()}
            write_snapshots(kept, self.folder / "snapshots.safetensors", description, self.provenance)
        history = self.run.history(self.labels["pristine"].values)
        history.attrs["made_by"] = json.dumps(self.made_by.until(self.spec.steps), sort_keys=True)
        rule, noise = rule_label(self.spec), f"{self.spec.noise:.0%} noise"
        title = f"Training of {self.network} with {noise}, {rule}, replicate {self.spec.replicate}"
        write_netcdf(history, self.folder / "history.nc", title=title, provenance=self.provenance)
        log.info("wrote %s", self.folder / "history.nc")


class MadeBy:
    """What made the updates of a run: this process those after step `start`, others the `earlier` ones."""

    def __init__(self, run: TrainingRun, earlier: list[dict[str, Any]]) -> None:
        device, self.start, self.earlier = run.training.images.device, run.step, earlier
        self.maker = {
            "device": device.type,
            "kernel": "triton" if in_lockstep(run) else kernel(run.rule, device.type),
            "threads": torch.get_num_threads(),
            **({"gpu_idle": True} if device.type == "cpu" and held_gpus() else {}),
        }

    def until(self, step: int) -> list[dict[str, Any]]:
        """The makers up to a step, in order, each with its first and its last update."""
        if step == self.start:
            return self.earlier
        first, before = self.start + 1, self.earlier
        if before and self.maker == {k: v for k, v in before[-1].items() if k != "steps"}:
            first, before = before[-1]["steps"][0], before[:-1]
        return [*before, {**self.maker, "steps": [first, step]}]


class Pack:
    """What the job does between the updates of its runs: it shows progress, saves, and stops if asked to."""

    def __init__(self, members: Sequence[Member], stop: StopRequest) -> None:
        self.training = {member.run: member for member in members}  # those that have not ended
        self.runs, self.stop = len(members), stop
        self.steps, self.batch_size = members[0].spec.steps, members[0].spec.batch_size
        self.updates = sum(run.step for run in self.training)  # of all runs
        self.seen: list[tuple[int, Logged, str]] = []  # at logged steps, and not said yet
        self.company = 0  # runs that were updated last, together
        self.save_at = time.monotonic() + SECONDS_BETWEEN_SAVES

    def train(self) -> None:
        """Train the runs to their ends, and write the results of each at its end.

        Raises
        ------
        NonFiniteError
            In the end, if some have diverged. Snakemake then removes the results of all; the others keep
            their checkpoints, and are there again at once when the job is tried again.
        StoppedError
            If the scheduler asks the job to stop; all is saved.
        """
        diverged = []
        with progress(self.steps * self.runs, self.updates, self.batch_size) as self.shown:
            runs = [*self.training]
            for run, error in train_pack(runs, self.steps, on_logged=self.on_logged, on_step=self.on_step):
                member = self.training.pop(run)
                if error is None:
                    member.finish()
                else:
                    member.checkpoint.discard(diverged=self.runs > 1)
                    diverged.append(f"{member.name}: {error}")
                    log.error("%s", diverged[-1])
            self.report()
        if diverged:
            others = self.runs - len(diverged)
            kept = f"The other {others} are kept" if others else "Nothing was written"
            raise NonFiniteError(f"{'. '.join(diverged)}. {kept}")

    def on_logged(self, run: TrainingRun) -> None:
        """Keep what was seen at a logged step."""
        self.training[run].keep()
        self.seen.append((run.step, run.logged[run.step], self.training[run].name))
        if len(self.seen) == self.company:
            self.report()

    def on_step(self, runs: Sequence[TrainingRun]) -> None:
        """Save if it is time to; raise StoppedError if the scheduler has asked the job to stop."""
        self.report()
        self.shown.reach(self.updates)
        self.updates += len(runs)
        self.company = len(runs)
        signal = self.stop.signal
        if signal or time.monotonic() > self.save_at:
            self.save()
        if signal:
            raise StoppedError(
                f"stopped by {signal.name} at step {runs[0].step} of {self.steps}; the state is saved, and "
                "the same job goes on from it"
            )

    def save(self) -> None:
        """Save all runs that have not ended."""
        began = time.monotonic()
        for member in self.training.values():
            member.save()
        now = time.monotonic()
        self.save_at = now + max(SECONDS_BETWEEN_SAVES, (now - began) / SAVING)

    def report(self) -> None:
        """Say what was seen at a logged step, in one line for all runs that made it together."""
        for step, group in groupby(self.seen, key=lambda one: one[0]):
            _, seen, names = zip(*group, strict=True)
            loss, training, test = (
                span([getattr(logged, name) for logged in seen])
                for name in ("loss_training", "accuracy_training", "accuracy_test")
            )
            of = "" if self.runs == 1 else f"  {names[0] if len(names) == 1 else f'{len(names)} runs'}"
            accuracies = f"accuracy {training} (training) {test} (test)"
            self.shown.report(self.updates, f"step {step} of {self.steps}{of}  loss {loss}  {accuracies}")
        self.seen.clear()


def span(values: Sequence[float]) -> str:
    """One value, or the smallest and the largest."""
    low, high = f"{min(values):.4f}", f"{max(values):.4f}"
    return low if low == high else f"{low} to {high}"


def require_room(specs: Sequence[Spec], data: Data, free: int) -> None:
    """Raise PackError if the runs need more than the free bytes of a GPU's memory."""
    if not is_dense(asdict(specs[0])):
        return  # they do not train in lockstep: each takes what it takes alone, and its parameters stay
    widths = [data.test.images.shape[1], *specs[0].network["dense"], data.classes]
    each = [memory(widths, spec.batch_size, clips=spec.winsor > 0) for spec in specs]
    if len(specs) > 1 and sum(each) > free:
        fit = sum(total <= free for total in accumulate(sorted(each, reverse=True)))
        raise PackError(
            f"the {len(specs)} runs of this job need some {sum(each) / 1e9:.1f} GB of the GPU's memory, and "
            f"{free / 1e9:.1f} GB are free: {fit} fit. Set runs_per_job of the experiment to {max(1, fit)}"
        )


@contextmanager
def room_for(runs: int) -> Iterator[None]:
    """Say what to do where the memory of the GPU does not suffice for a pack."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        if runs == 1:
            raise
        raise PackError(
            f"the memory of the GPU does not suffice for the {runs} runs of this job: set runs_per_job of "
            "the experiment lower. Runs that have ended are kept, and are there again at once. torch said: "
            f"{error}"
        ) from error


def label(spec: Spec, data: Data) -> str:
    """The network, for titles and the log."""
    name, arguments = named(spec.network)
    if name == "dense":
        return "-".join(map(str, (data.test.images.shape[1], *arguments, data.classes)))
    return " ".join([Path(name).name, *(f"{key}={value}" for key, value in arguments.items())])


def rule_label(spec: Spec) -> str:
    """The update rule, for titles and the log."""
    if spec.update == "dp_sgd":
        return f"dp_sgd C = {spec.clip_norm:g}, σ = {spec.noise_multiplier:g}"
    if spec.update == "winsorized_mean":
        return f"winsorization c = {spec.winsor}"
    return f"{spec.update} c = {spec.winsor}" if spec.winsor else spec.update


def require_kernel(spec: Spec, device: torch.device) -> None:
    """Raise KernelError if a run requires a fused kernel that is made for it, but cannot be used here."""
    rule = update_rule(
        *(spec.update, spec.winsor, spec.batch_size),
        clip_norm=spec.clip_norm,
        noise_multiplier=spec.noise_multiplier,
    )
    if spec.kernel == "required" and rule.served(device.type) and (why := operators.missing(device.type)):
        raise KernelError(
            f"kernel: required, but the fused kernel for {rule_label(spec)} cannot be used here: {why}. "
            "Or set kernel: auto, to train without it, much slower"
        )
