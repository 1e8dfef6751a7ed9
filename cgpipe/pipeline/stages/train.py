"""Stage `train`: runs of SGD, plain or winsorized (Chatterjee 2020, sections 2 and 3)."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cgpipe.data.images import flat_images
from cgpipe.learning.aggregation import operators
from cgpipe.learning.aggregation.rules import kernel, served, update_rule
from cgpipe.learning.evaluation import logged_steps
from cgpipe.learning.finite import NonFiniteError
from cgpipe.learning.run import TrainingRun
from cgpipe.learning.training import train
from cgpipe.names import Device, Init, Kernel, UpdateName
from cgpipe.pipeline.artifacts import Provenance, read_netcdf, software, write_netcdf, write_tensors
from cgpipe.pipeline.canonical import canonical
from cgpipe.pipeline.checkpoints import Checkpoint, StoppedError, StopRequest
from cgpipe.pipeline.progress import Progress, log, progress
from cgpipe.pipeline.stages.device import TrainingImages, choose, held_gpus
from cgpipe.pipeline.stages.inputs import read_corrupted
from cgpipe.pipeline.streams import stream

# At most this much work is lost when a run is killed between logged steps.
SECONDS_BETWEEN_SAVES = 60.0


@dataclass(frozen=True)
class Spec:
    """The settings that this stage reads."""

    batch_size: int
    device: Device
    hidden: tuple[int, ...]
    init: Init
    learning_rate: float
    noise: float
    replicate: int
    seed: int
    snapshots: bool
    steps: int
    update: UpdateName
    winsor: int
    kernel: Kernel = "auto"


class KernelError(RuntimeError):
    """The settings require a fused kernel that cannot be used here."""


class Data:
    """All that the runs of a job train on: the files as they were read, and tensors on the device."""

    def __init__(self, dataset: Path, corrupted: Path, device: torch.device) -> None:
        self.device = device
        self.images = read_netcdf(dataset, "data")
        self.labels = read_corrupted(corrupted, self.images)
        self.identity = (
            device.type,
            *(read.encoding["sha256"] for read in (self.images, self.labels)),
            software(),
        )
        self.classes = int(self.images["train_labels"].max()) + 1
        # Images and labels of the training set, and of the test set, as `train` takes them.
        self.tensors = [
            TrainingImages(self.images, device).of(self.labels),  # (example, feature)
            *(
                torch.from_numpy(values).to(device)
                for values in (
                    self.labels["label_train"].values.astype(np.int64),  # (example,)
                    flat_images(self.images, "test"),
                    self.images["test_labels"].values.astype(np.int64),
                )
            ),
        ]


def run(
    spec: Spec | list[Spec],
    provenance: Provenance,
    *,
    dataset: Path,
    corrupted: Path,
    folders: Sequence[Path],
) -> None:
    """Train one network, or several one after the other, each into a folder of its own."""
    specs = spec if isinstance(spec, list) else [spec]
    texts = [canonical(one) for one in json.loads(provenance.spec)] if specs is spec else [provenance.spec]
    if not len(specs) == len(folders) > 0:
        raise ValueError(f"settings of {len(specs)} runs for {len(folders)} folders: give a folder for each")
    if len({one.device for one in specs}) > 1:
        raise ValueError("the runs of one job have different devices: give them one")
    stop = StopRequest()
    device = choose(specs[0].device)
    for one in specs:
        require_kernel(one, device)
    data = Data(dataset, corrupted, device)
    checkpoints, diverged = [], []
    for one, text, folder in zip(specs, texts, folders, strict=True):
        try:
            checkpoints.append(train_one(one, replace(provenance, spec=text), data, folder, stop))
        except NonFiniteError as error:
            log.error("%s", error)
            diverged.append(error)
    # Of a job that fails, snakemake removes the results of every run: those that were done keep their
    # checkpoints, and are there again at once when the job is tried again.
    if diverged:
        raise diverged[0]
    for checkpoint in checkpoints:
        checkpoint.discard()


def train_one(spec: Spec, provenance: Provenance, data: Data, folder: Path, stop: StopRequest) -> Checkpoint:
    """Train one network; resumes from its own checkpoint, and leaves it for the caller to discard."""
    checkpoint = Checkpoint(folder, provenance.spec, provenance.code, *data.identity)
    checkpoint.hold()
    logged = logged_steps(spec.steps)
    saved = checkpoint.load(logged if spec.snapshots else [])
    start, earlier = (saved[1]["step"], saved[1]["made_by"]) if saved else (0, [])
    if saved:
        log.info("going on from a checkpoint at step %d", start)
    network = "-".join(map(str, (data.tensors[0].shape[1], *spec.hidden, data.classes)))
    rule = rule_label(spec)
    log.info(
        "%s on %s (%s), noise %g, %s, replicate %d",
        *(network, data.device, f"{torch.get_num_threads()} threads", spec.noise, rule, spec.replicate),
    )
    with progress(spec.steps, start, spec.batch_size) as shown:
        job = Job(spec, checkpoint, shown, stop, MadeBy(spec, data.device, start, earlier))
        try:
            history = train(
                *data.tensors,
                hidden=spec.hidden,
                steps=spec.steps,
                batch_size=spec.batch_size,
                learning_rate=spec.learning_rate,
                update=spec.update,
                c=spec.winsor,
                init=spec.init,
                classes=data.classes,
                pristine=data.labels["pristine"].values,
                rng=stream(spec.seed, "initialisation", spec.replicate),
                batch_rng=stream(spec.seed, "batches", spec.replicate),
                device=data.device,
                state=saved,
                on_logged=job.on_logged,
                on_step=job.on_step,
            )
        except NonFiniteError as error:
            checkpoint.discard()
            raise NonFiniteError(f"{error}. Nothing was written") from error
    made = provenance.of(data.images, data.labels)
    if spec.snapshots:
        write_snapshots(checkpoint, logged, folder / "snapshots.safetensors", made)
    history.attrs["made_by"] = json.dumps(job.made_by.until(spec.steps), sort_keys=True)
    title = f"Training of {network} with {spec.noise:.0%} noise, {rule}, replicate {spec.replicate}"
    write_netcdf(history, folder / "history.nc", title=title, provenance=made)
    log.info("wrote %s", folder / "history.nc")
    return checkpoint


class MadeBy:
    """What made the updates of a run: this process those after step `start`, others the `earlier` ones."""

    def __init__(self, spec: Spec, device: torch.device, start: int, earlier: list[dict[str, Any]]) -> None:
        rule = update_rule(spec.update, spec.winsor, spec.batch_size)
        self.start, self.earlier = start, earlier
        self.maker = {
            "device": device.type,
            "kernel": kernel(rule, device.type),
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


@dataclass
class Job:
    """What the job does between the updates of a run: it shows progress, saves, and stops if asked to."""

    spec: Spec
    checkpoint: Checkpoint
    shown: Progress
    stop: StopRequest
    made_by: MadeBy
    saved_at: float = 0.0

    def __post_init__(self) -> None:
        self.saved_at = time.monotonic()

    def on_logged(self, run: TrainingRun) -> None:
        """Keep what was seen at a logged step."""
        if self.spec.snapshots:
            self.checkpoint.keep(run.step, run.parameters())
        self.save(run)
        now = run.logged[run.step]
        accuracies = f"{now.accuracy_training:.4f} (training) {now.accuracy_test:.4f} (test)"
        self.shown.report(run.step, f"loss {now.loss_training:.4f}  accuracy {accuracies}")

    def on_step(self, run: TrainingRun) -> None:
        """Save if it is time to; raise StoppedError if the scheduler has asked the run to stop."""
        self.shown.reach(run.step)
        signal = self.stop.signal
        if signal or time.monotonic() - self.saved_at > SECONDS_BETWEEN_SAVES:
            self.save(run)
        if signal:
            raise StoppedError(
                f"stopped by {signal.name} at step {run.step} of {self.spec.steps}; the state is "
                "saved, and the same job goes on from it"
            )

    def save(self, run: TrainingRun) -> None:
        """Write all that the rest of the run depends on."""
        arrays, description = run.state()
        self.checkpoint.save(arrays, {**description, "made_by": self.made_by.until(run.step)})
        self.saved_at = time.monotonic()


def rule_label(spec: Spec) -> str:
    """The update rule, for titles and the log."""
    if spec.update == "winsorized_mean":
        return f"winsorization c = {spec.winsor}"
    return f"{spec.update} c = {spec.winsor}" if spec.winsor else spec.update


def require_kernel(spec: Spec, device: torch.device) -> None:
    """Raise KernelError if a run requires a fused kernel that is made for it, but cannot be used here."""
    rule = update_rule(spec.update, spec.winsor, spec.batch_size)
    if spec.kernel == "required" and served(rule, device.type) and (why := operators.missing(device.type)):
        raise KernelError(
            f"kernel: required, but the fused kernel for {rule_label(spec)} cannot be used here: {why}. "
            "Or set kernel: auto, to train without it, much slower"
        )


def write_snapshots(checkpoint: Checkpoint, logged: list[int], path: Path, provenance: Provenance) -> None:
    """Collect the parameters at the logged steps into one file, each as (step, ...)."""
    kept = [checkpoint.kept(step) for step in logged]
    stacked = {name: np.stack([parameters[name] for parameters in kept]) for name in kept[0]}
    write_tensors(stacked, path, {"steps": logged, **provenance.attributes()})
