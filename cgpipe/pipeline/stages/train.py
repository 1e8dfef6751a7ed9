"""Stage `train`: runs of SGD, plain or winsorized (Chatterjee 2020, sections 2 and 3)."""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr

from cgpipe.learning.aggregation import operators
from cgpipe.learning.aggregation.rules import UpdateRule, update_rule
from cgpipe.learning.training import (
    BatchOrder,
    Evaluation,
    NonFiniteError,
    Trainer,
    evaluate,
    learned_steps,
    logged_steps,
)
from cgpipe.names import Device, Init, Kernel, UpdateName
from cgpipe.networks.dense import Layer, initial_layers
from cgpipe.pipeline.artifacts import Provenance, read_netcdf, software, write_netcdf, write_tensors
from cgpipe.pipeline.canonical import canonical
from cgpipe.pipeline.checkpoints import Arrays, Checkpoint, StoppedError, StopRequest
from cgpipe.pipeline.progress import log, progress
from cgpipe.pipeline.stages.device import choose, held_gpus
from cgpipe.pipeline.stages.inputs import flat_images, read_corrupted
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


class Set:
    """A training or test set on the device."""

    def __init__(self, images: npt.NDArray[np.float32], labels: npt.NDArray[Any], device: torch.device):
        self.images = torch.from_numpy(images).to(device)  # (example, feature)
        self.labels = torch.from_numpy(labels.astype(np.int64)).to(device)  # (example,)


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
        self.training = Set(flat_images(self.images, "train"), self.labels["label_train"].values, device)
        self.test = Set(flat_images(self.images, "test"), self.images["test_labels"].values, device)
        self.classes = int(self.images["train_labels"].max()) + 1


class Run:
    """A run in the middle: parameters, batches, and what was seen at the logged steps so far."""

    def __init__(self, spec: Spec, data: Data) -> None:
        self.step = 0
        self.widths = [data.training.images.shape[1], *spec.hidden, data.classes]
        rng = stream(spec.seed, "initialisation", spec.replicate)
        self.layers = initial_layers(self.widths, spec.init, rng, data.device)
        rng = stream(spec.seed, "batches", spec.replicate)
        self.order = BatchOrder(len(data.training.labels), spec.batch_size, rng)
        self.rule = update_rule(spec.update, spec.winsor, spec.batch_size)
        self.trainer = Trainer(
            self.layers,
            data.training.images,
            data.training.labels,
            spec.batch_size,
            spec.learning_rate,
            self.rule,
        )
        self.seen: list[tuple[Evaluation, Evaluation]] = []  # on the training and on the test set
        self._maker = maker(self.rule, data.device)
        self._since, self._earlier = 0, list[dict[str, Any]]()  # of the processes before this one

    def made_by(self) -> list[dict[str, Any]]:
        """What made the updates so far, in order, each with its first and its last update."""
        if self.step == self._since:
            return self._earlier
        if self._earlier and self._maker == {k: v for k, v in self._earlier[-1].items() if k != "steps"}:
            *before, last = self._earlier
            return [*before, {**last, "steps": [last["steps"][0], self.step]}]
        return [*self._earlier, {**self._maker, "steps": [self._since + 1, self.step]}]

    def save(self, checkpoint: Checkpoint) -> None:
        """Write all that the rest of the run depends on."""
        order = self.order.state()
        arrays = {
            **parameters(self.layers),
            **{f"rule.{name}": values.cpu().numpy() for name, values in self.rule.state().items()},
            "permutation": order.pop("permutation"),
            "correct": np.array([train.correct for train, _ in self.seen]),
        }
        curves = [(train.loss, train.accuracy, test.loss, test.accuracy) for train, test in self.seen]
        description = {"step": self.step, "order": order, "curves": curves, "made_by": self.made_by()}
        checkpoint.save(arrays, description)

    def restore(self, arrays: Arrays, description: dict[str, Any]) -> None:
        """Go on from what was saved."""
        self.step = self._since = description["step"]
        self._earlier = description["made_by"]
        self.order.restore({**description["order"], "permutation": arrays["permutation"]})
        for number, layer in enumerate(self.layers):
            layer.weight.copy_(torch.from_numpy(arrays[f"weight.{number}"]))
            layer.bias.copy_(torch.from_numpy(arrays[f"bias.{number}"]))
        device = self.layers[0].weight.device
        self.rule.restore(
            {
                name.removeprefix("rule."): torch.from_numpy(values).to(device)
                for name, values in arrays.items()
                if name.startswith("rule.")
            }
        )
        self.seen = [
            (Evaluation(loss, accuracy, correct), Evaluation(test_loss, test_accuracy, correct[:0]))
            for (loss, accuracy, test_loss, test_accuracy), correct in zip(
                description["curves"], arrays["correct"], strict=True
            )
        ]
        log.info("going on from a checkpoint at step %d", self.step)


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
    torch.set_grad_enabled(False)
    stop = StopRequest()
    device = choose(specs[0].device)
    for one in specs:
        require_kernel(one, device)
    data = Data(dataset, corrupted, device)
    checkpoints, diverged = [], []
    for one, text, folder in zip(specs, texts, folders, strict=True):
        try:
            checkpoints.append(train(one, replace(provenance, spec=text), data, folder, stop))
        except NonFiniteError as error:
            log.error("%s", error)
            diverged.append(error)
    # Of a job that fails, snakemake removes the results of every run: those that were done keep their
    # checkpoints, and are there again at once when the job is tried again.
    if diverged:
        raise diverged[0]
    for checkpoint in checkpoints:
        checkpoint.discard()


def train(spec: Spec, provenance: Provenance, data: Data, folder: Path, stop: StopRequest) -> Checkpoint:
    """Train one network; goes on from its own checkpoint, and leaves it for the caller to discard."""
    checkpoint = Checkpoint(folder, provenance.spec, provenance.code, *data.identity)
    checkpoint.hold()
    current = Run(spec, data)
    logged = logged_steps(spec.steps)
    if saved := checkpoint.load(logged if spec.snapshots else []):
        current.restore(*saved)
    network = "-".join(map(str, current.widths))
    log.info(
        "%s on %s (%s), noise %g, %s, replicate %d",
        network,
        data.device,
        f"{torch.get_num_threads()} threads",
        spec.noise,
        rule_in_words(spec),
        spec.replicate,
    )
    saved_at = time.monotonic()
    with (
        progress(spec.steps, current.step, spec.batch_size) as shown,
        told_if_diverged(current, spec, checkpoint),
    ):
        while True:
            if current.step in logged[len(current.seen) :]:
                current.trainer.check()
                now = evaluate_both(current, data)
                current.seen.append(now)
                if spec.snapshots:
                    checkpoint.keep(current.step, parameters(current.layers))
                current.save(checkpoint)
                saved_at = time.monotonic()
                shown.report(current.step, in_words(now))
            if current.step == spec.steps:
                break
            if stop.signal or time.monotonic() - saved_at > SECONDS_BETWEEN_SAVES:
                current.save(checkpoint)
                saved_at = time.monotonic()
            if stop.signal:
                raise StoppedError(
                    f"stopped by {stop.signal.name} at step {current.step} of {spec.steps}; the state is "
                    "saved, and the same job goes on from it"
                )
            current.trainer.step(current.order.next())
            current.step += 1
            shown.step()

    made = provenance.of(data.images, data.labels)
    result = as_dataset(current, logged, data.labels["pristine"].values)
    result.attrs["made_by"] = json.dumps(current.made_by(), sort_keys=True)
    if spec.snapshots:
        write_snapshots(checkpoint, logged, folder / "snapshots.safetensors", made)
    title = (
        f"Training of {network} with {spec.noise:.0%} noise, {rule_in_words(spec)}, "
        f"replicate {spec.replicate}"
    )
    write_netcdf(result, folder / "history.nc", title=title, provenance=made)
    log.info("wrote %s", folder / "history.nc")
    return checkpoint


def rule_in_words(spec: Spec) -> str:
    """The update rule, for titles and the log."""
    if spec.update == "winsorized_mean":
        return f"winsorization c = {spec.winsor}"
    return f"{spec.update} c = {spec.winsor}" if spec.winsor else spec.update


def served(rule: UpdateRule, device: torch.device) -> bool:
    """Whether a fused kernel is made for the rule's updates on a device."""
    return rule.fused is not None and operators.serves(rule.fused.c, device.type)


def require_kernel(spec: Spec, device: torch.device) -> None:
    """Raise KernelError if a run requires a fused kernel that is made for it, but cannot be used here."""
    rule = update_rule(spec.update, spec.winsor, spec.batch_size)
    if spec.kernel == "required" and served(rule, device) and (why := operators.missing(device.type)):
        raise KernelError(
            f"kernel: required, but the fused kernel for {rule_in_words(spec)} cannot be used here: {why}. "
            "Or set kernel: auto, to train without it, much slower"
        )


def kernel(rule: UpdateRule, device: torch.device) -> str:
    """What makes the updates: the CPU kernel's instruction set, `triton`, `reference`, or torch alone."""
    if not served(rule, device):
        return "torch"
    made_by = operators.ready(device.type)
    return "torch" if rule.fused and rule.fused.c == 0 and made_by == "reference" else made_by


def maker(rule: UpdateRule, device: torch.device) -> dict[str, Any]:
    """What makes the updates in this process, as history.nc notes it."""
    made_by = {"device": device.type, "kernel": kernel(rule, device), "threads": torch.get_num_threads()}
    return {**made_by, "gpu_idle": True} if device.type == "cpu" and held_gpus() else made_by


def in_words(seen: tuple[Evaluation, Evaluation]) -> str:
    """Losses and accuracies, for the log."""
    training, test = seen
    return f"loss {training.loss:.4f}  accuracy {training.accuracy:.4f} (training) {test.accuracy:.4f} (test)"


def evaluate_both(current: Run, data: Data) -> tuple[Evaluation, Evaluation]:
    """The network on the whole training and the whole test set."""
    return (
        evaluate(current.layers, data.training.images, data.training.labels),
        evaluate(current.layers, data.test.images, data.test.labels),
    )


@contextmanager
def told_if_diverged(current: Run, spec: Spec, checkpoint: Checkpoint) -> Iterator[None]:
    """Leave nothing of a run that diverged, and say at which step it did, and what to do."""
    try:
        yield
    except NonFiniteError as error:
        checkpoint.discard()
        raise NonFiniteError(
            f"the run diverged: after {current.step} updates {error}. Nothing was written. The learning "
            f"rate, {spec.learning_rate:g}, is probably too large for this network"
        ) from error


def parameters(layers: list[Layer]) -> dict[str, npt.NDArray[np.float32]]:
    """Parameters by name, on the CPU: weight.0, bias.0, weight.1, ... from the input on."""
    named = {}
    for number, layer in enumerate(layers):
        named[f"weight.{number}"] = layer.weight.cpu().numpy()
        named[f"bias.{number}"] = layer.bias.cpu().numpy()
    return named


def write_snapshots(checkpoint: Checkpoint, logged: list[int], path: Path, provenance: Provenance) -> None:
    """Collect the parameters at the logged steps into one file, each as (step, ...)."""
    kept = [checkpoint.kept(step) for step in logged]
    stacked = {name: np.stack([parameters[name] for parameters in kept]) for name in kept[0]}
    write_tensors(stacked, path, {"steps": logged, **provenance.attributes()})


def as_dataset(current: Run, logged: list[int], pristine: npt.NDArray[np.bool_]) -> xr.Dataset:
    """What was seen at the logged steps."""
    curves = {}
    for part, index in (("training", 0), ("test", 1)):
        seen = [pair[index] for pair in current.seen]
        curves[f"loss_{part}"] = (
            "step",
            np.array([e.loss for e in seen]),
            {"long_name": f"mean cross-entropy on the whole {part} set, nats", "units": "1"},
        )
        curves[f"accuracy_{part}"] = (
            "step",
            np.array([e.accuracy for e in seen]),
            {"long_name": f"share of the {part} examples classified as their label", "units": "1"},
        )
    correct = np.array([train.correct for train, _ in current.seen])  # (step, example)
    first, last = learned_steps(np.array(logged), correct)
    return xr.Dataset(
        {
            **curves,
            "correct": (
                ("step", "example"),
                correct,
                {"long_name": "whether the training example is classified as the class to train on"},
            ),
            "learned_first": (
                "example",
                first,
                {"long_name": "first logged step at which the example is right, -1 for never"},
            ),
            "learned_last": (
                "example",
                last,
                {"long_name": "logged step since which the example has stayed right, -1 for never"},
            ),
            "pristine": (
                "example",
                pristine,
                {"long_name": "whether the class to train on is the true one"},
            ),
        },
        coords={"step": ("step", np.array(logged), {"long_name": "updates made", "units": "1"})},
    )
