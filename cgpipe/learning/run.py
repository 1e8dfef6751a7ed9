"""A run of stochastic gradient descent, as it stands between two updates."""

import math
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr

from cgpipe.learning.batches import BatchOrder
from cgpipe.learning.descent import Descent, Rate
from cgpipe.learning.evaluation import evaluate, learned_steps
from cgpipe.learning.marks import Marks
from cgpipe.learning.private import PrivateSGD, epsilons
from cgpipe.learning.rules import update_rule
from cgpipe.learning.updates import UpdateRule
from cgpipe.names import Init, Schedule, UpdateName
from cgpipe.networks.dense import initial_layers, losses
from cgpipe.networks.fully_connected import Dense
from cgpipe.networks.given import NetworkLike, network_of
from cgpipe.networks.network import Network

Arrays = dict[str, npt.NDArray[Any]]
State = tuple[Arrays, dict[str, Any]]
SHAPES = "as cgpipe.data.flat_images or cgpipe.data.shaped_images returns them"


# Dimensions and meanings of the variables of a history.
HISTORY = {
    "loss_training": (("step",), "mean cross-entropy on the whole training set, nats"),
    "accuracy_training": (("step",), "share of the training examples classified as their label"),
    "loss_test": (("step",), "mean cross-entropy on the whole test set, nats"),
    "accuracy_test": (("step",), "share of the test examples classified as their label"),
    "dead": (("step", "layer"), "share of the units that no training example activates"),
    "active": (("step", "layer"), "share of the units that a training example activates, mean"),
    "correct": (
        ("step", "example"),
        "whether the training example is classified as the class to train on",
    ),
    "correct_test": (
        ("step", "test_example"),
        "whether the test example is classified as its class",
    ),
    "learned_first": (("example",), "first logged step at which the example is right, -1 for never"),
    "learned_last": (
        ("example",),
        "logged step since which the example has stayed right, -1 for never",
    ),
    "label": (("example",), "class that the example is trained on"),
    "pristine": (("example",), "whether the class to train on is the true one"),
    "mark_step": (("mark",), "step at which the loss of minibatches first falls to the mark, -1 for never"),
    "epsilon": (("step",), "ε of (ε, δ) differential privacy, if minibatches were Poisson samples"),
}


class Examples(NamedTuple):
    """A training or a test set, on the device of the network."""

    images: torch.Tensor  # (example, feature) or (example, channel, row, column), float32
    labels: torch.Tensor  # (example,), int64


class Logged(NamedTuple):
    """What a run keeps of a logged step."""

    loss_training: float  # mean cross-entropy, in nats
    accuracy_training: float  # share of examples classified as their label
    loss_test: float
    accuracy_test: float
    dead: Sequence[float]  # (ReLU,), shares of the units, on the training set
    active: Sequence[float]
    correct: npt.NDArray[np.bool_]  # (example,), of the training set
    correct_test: npt.NDArray[np.bool_]  # (test_example,)


class TrainingRun:
    """A run between two updates: the network, the order of the batches, and what was logged so far.

    Parameters
    ----------
    network : Network
        Changed in place.
    training, test : Examples
        On the network's device.
    order : BatchOrder
        The minibatches.
    rule : UpdateRule
        How per-example gradients become one direction.
    rate : Rate
        Step sizes, for gradients at the scale of one example.
    descent : Descent
        Momentum and weight decay.
    marks : Marks, optional
        Losses at which it is evaluated, too.

    Attributes
    ----------
    step : int
        Updates made.
    logged : dict of int to Logged
        What was seen so far, by step.
    """

    def __init__(
        self,
        network: Network,
        training: Examples,
        test: Examples,
        order: BatchOrder,
        rule: UpdateRule,
        rate: Rate,
        descent: Descent,
        marks: Marks | None = None,
    ) -> None:
        self.network, self.training, self.test = network, training, test
        self.order, self.rule, self.rate, self.descent = order, rule, rate, descent
        self.marks = marks or Marks()
        self.step = 0
        self.logged: dict[int, Logged] = {}

    def evaluate(self) -> Logged:
        """Evaluate the network on both sets, and log the result."""
        training, test = (evaluate(self.network, *part) for part in (self.training, self.test))
        curves = training.loss, training.accuracy, test.loss, test.accuracy
        logged = Logged(*curves, training.dead, training.active, training.correct, test.correct)
        self.logged[self.step] = logged
        return logged

    def loss(self, batch: npt.NDArray[np.int64]) -> float:
        """Mean cross-entropy of a minibatch, by its indices."""
        index = torch.from_numpy(batch).to(self.training.images.device)
        images, labels = (values[index] for values in self.training)
        return float(losses(self.network.logits(images), labels).mean(dtype=torch.float64))

    def parameters(self) -> Arrays:
        """A copy of what the logits depend on, by name: 0.weight (out, in), 0.bias (out,), 1.weight, ..."""
        return {name: _copy(values) for name, values in self.network.state().items()}

    def state(self) -> State:
        """A copy of all that the rest of the run depends on: arrays by name, and what JSON can hold."""
        order = self.order.state()
        arrays = {
            **{f"network.{name}": values for name, values in self.parameters().items()},
            **{f"rule.{name}": _copy(values) for name, values in self.rule.state().items()},
            **{f"velocity.{name}": _copy(values) for name, values in self.descent.state().items()},
            "permutation": order.pop("permutation"),
            "correct": np.array([logged.correct for logged in self.logged.values()]),  # (step, example)
            "correct_test": np.array([logged.correct_test for logged in self.logged.values()]),
        }
        curves = [(step, *logged[:-2]) for step, logged in self.logged.items()]
        marks = self.marks.state()
        return arrays, {"step": self.step, "order": order, "curves": curves, "marks": marks}

    def restore(self, state: State) -> None:
        """Go on from where `state` was taken, bit by bit."""
        arrays, description = state
        self.step = description["step"]
        self.order.restore({**description["order"], "permutation": arrays["permutation"]})
        device = self.training.images.device

        def those(kind: str) -> dict[str, torch.Tensor]:
            named = {
                name.removeprefix(kind): values for name, values in arrays.items() if name.startswith(kind)
            }
            return {name: torch.from_numpy(values).to(device) for name, values in named.items()}

        self.network.load(those("network."))
        self.rule.restore(those("rule."))
        self.descent.restore(those("velocity."), self.network.parameters())
        self.marks.restore(description["marks"])
        self.logged = {
            step: Logged._make((*curve, correct, correct_test))
            for (step, *curve), correct, correct_test in zip(
                description["curves"], arrays["correct"], arrays["correct_test"], strict=True
            )
        }

    def history(self, pristine: npt.NDArray[np.bool_] | None = None) -> xr.Dataset:
        """What was logged so far, as `train` returns it."""
        steps = np.array(list(self.logged))  # (step,)
        arrays = {
            name: np.array([getattr(logged, name) for logged in self.logged.values()])
            for name in Logged._fields
        }
        arrays["learned_first"], arrays["learned_last"] = learned_steps(steps, arrays["correct"])
        arrays["label"] = self.training.labels.numpy(force=True).copy()
        if pristine is not None:
            arrays["pristine"] = np.array(pristine)
        attrs: dict[str, Any] = {"classes": self.network.classes}
        if self.marks.levels:
            arrays["mark_step"] = np.array(self.marks.steps)
        if isinstance(self.rule, PrivateSGD):
            examples = len(self.training.labels)
            attrs |= {"delta": 1 / examples, "accountant": f"Opacus {version('opacus')}, RDP"}
            arrays["epsilon"] = epsilons(
                steps.tolist(),
                noise_multiplier=self.rule.noise_multiplier,
                sample_rate=self.order.batch_size / examples,
                delta=attrs["delta"],
            )
        variables = {}
        for name, values in arrays.items():
            dims, meaning = HISTORY[name]
            units = {"units": "1"} if values.dtype.kind == "f" else {}
            variables[name] = (dims, values, {"long_name": meaning, **units})
        levels = {"mark": ("mark", list(self.marks.levels), {"long_name": "loss, nats", "units": "1"})}
        return xr.Dataset(
            variables,
            coords={
                **(levels if self.marks.levels else {}),
                "step": ("step", steps, {"long_name": "updates made", "units": "1"}),
                "layer": (
                    "layer",
                    np.array(self.network.activations, dtype=str),
                    {"long_name": "ReLU, in the order of the forward pass"},
                ),
            },
            attrs=attrs,
        )


def start_run(
    training: Examples,
    test: Examples,
    *,
    hidden: Sequence[int] | None = None,
    network: NetworkLike | None = None,
    batch_size: int,
    learning_rate: float,
    steps: int = 0,
    schedule: Schedule = "constant",
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    update: UpdateName = "winsorized_mean",
    c: int = 0,
    clip_norm: float | None = None,
    noise_multiplier: float | None = None,
    marks: Sequence[float] = (),
    init: Init = "xavier",
    classes: int | None = None,
    rng: np.random.Generator | int | None = None,
    batch_rng: np.random.Generator | None = None,
    update_rng: np.random.Generator | None = None,
    state: State | None = None,
) -> TrainingRun:
    """A run before its first update, or where `state` was taken.

    Parameters
    ----------
    training, test : Examples
        On one device, as `examples` returns them; runs may share them.
    hidden, network, batch_size, learning_rate, steps, schedule, momentum, weight_decay, update, c, \
    clip_norm, noise_multiplier, marks, init, classes, rng, batch_rng, update_rng, state
        As of `train`.

    Returns
    -------
    TrainingRun
        For `train_pack`.

    Raises
    ------
    ValueError
        If shapes, labels, the minibatch, c, the rule, the learning rate, the schedule or the marks do not
        fit.
    """
    if (hidden is None) == (network is None):
        raise ValueError("give either hidden, for a fully connected network, or network")
    classes = _classes(training, test) if classes is None else classes
    for part in (training, test):
        _check_fit(part, training.images.shape[1:], classes)
    rng = np.random.default_rng(rng)
    if hidden is not None:
        if training.images.ndim != 2:
            raise ValueError(
                f"images of shape {tuple(training.images.shape)} with hidden: give (example, feature), as "
                "cgpipe.data.flat_images returns them, or a network that takes such images"
            )
        if init not in get_args(Init):
            raise ValueError(f"init {init!r}: give one of {', '.join(get_args(Init))}")
        widths = [training.images.shape[1], *hidden, classes]
        network = Dense(initial_layers(widths, init, rng, training.images.device))
    assert network is not None
    order = BatchOrder(len(training.labels), batch_size, batch_rng or rng)
    rule = update_rule(
        *(update, c, batch_size, update_rng or rng), clip_norm=clip_norm, noise_multiplier=noise_multiplier
    )
    if schedule not in get_args(Schedule):
        raise ValueError(f"schedule {schedule!r}: give one of {', '.join(get_args(Schedule))}")
    if schedule != "constant" and steps < 1:
        raise ValueError(f"schedule {schedule} with steps {steps}: give the updates of the whole run")
    if not 0 < learning_rate < math.inf:
        raise ValueError(f"learning rate {learning_rate}: give a number above 0")
    rate = Rate(learning_rate, schedule, steps)
    descent = Descent(momentum, weight_decay)
    made = network_of(network, training.images)
    run = TrainingRun(made, training, test, order, rule, rate, descent, Marks(marks))
    if run.network.classes != classes:
        raise ValueError(
            f"a network of {run.network.classes} classes for labels of {classes}: give the network as many "
            f"outputs, or classes={run.network.classes} if some classes have no example"
        )
    for of in run.network.parameters():
        for name, parameter in of.items():
            if parameter.dtype != training.images.dtype:
                raise ValueError(
                    f"parameter {name} of the network is {parameter.dtype}, and images are "
                    f"{training.images.dtype}: give a network in {training.images.dtype}"
                )
    if state is not None:
        run.restore(state)
    return run


def _copy(tensor: torch.Tensor) -> npt.NDArray[Any]:
    return tensor.numpy(force=True).copy()  # without it, on the CPU, the memory would be the network's


def examples(
    images: npt.ArrayLike | torch.Tensor,
    labels: npt.ArrayLike | torch.Tensor,
    device: torch.device | str = "cpu",
) -> Examples:
    """A set on the device, without a copy where it is there already.

    Parameters
    ----------
    images : array or tensor of float, shape (example, feature) or (example, channel, row, column)
        Images, flat for a fully connected network (`cgpipe.data.flat_images`); taken as float32.
    labels : array or tensor of int, shape (example,)
        Their classes.
    device : torch.device or str
        Where the network runs.

    Returns
    -------
    tuple
        The images as float32 and the labels as int64.

    Raises
    ------
    ValueError
        If the shapes do not fit, or an image has a value that is not finite.
    TypeError
        If images are not floating-point or labels are not integers.
    """
    x, y = torch.as_tensor(images), torch.as_tensor(labels)
    if not x.is_floating_point():
        raise TypeError(f"images are {x.dtype}: give intensities as float32, {SHAPES}")
    if x.ndim not in (2, 4) or not len(x):
        raise ValueError(
            f"images have shape {tuple(x.shape)}: give (example, feature) or (example, channel, row, "
            f"column), {SHAPES}"
        )
    if y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        raise TypeError(f"labels are {y.dtype}: give integers, the classes")
    if y.shape != x.shape[:1]:
        raise ValueError(f"labels have shape {tuple(y.shape)} with {len(x)} images: give one for each")
    if not bool(torch.isfinite(x).all()):
        raise ValueError("images have values that are not finite: give numbers alone")
    return Examples(x.to(device, torch.float32).contiguous(), y.to(device, torch.int64))


def _classes(*parts: Examples) -> int:
    return max(int(part.labels.max()) for part in parts) + 1


def _check_fit(part: Examples, shape: Sequence[int], classes: int) -> None:
    if part.images.shape[1:] != shape:
        raise ValueError(
            f"test images of shape {tuple(part.images.shape[1:])}, training images of {tuple(shape)}: give "
            "both the same"
        )
    low, high = int(part.labels.min()), int(part.labels.max())
    if low < 0 or high >= classes:
        raise ValueError(f"labels from {low} to {high} with {classes} classes: give 0 to {classes - 1}")
