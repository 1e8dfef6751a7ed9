"""A run of stochastic gradient descent, as it stands between two updates."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr

from cgpipe.learning.aggregation.rules import update_rule
from cgpipe.learning.aggregation.updates import UpdateRule
from cgpipe.learning.batches import BatchOrder
from cgpipe.learning.evaluation import evaluate, learned_steps
from cgpipe.names import Init, UpdateName
from cgpipe.networks.dense import Layer, initial_layers

Arrays = dict[str, npt.NDArray[Any]]
State = tuple[Arrays, dict[str, Any]]
FLAT = "as cgpipe.data.flat_images returns them"


# Dimensions and meanings of the variables of a history.
HISTORY = {
    "loss_training": (("step",), "mean cross-entropy on the whole training set, nats"),
    "accuracy_training": (("step",), "share of the training examples classified as their label"),
    "loss_test": (("step",), "mean cross-entropy on the whole test set, nats"),
    "accuracy_test": (("step",), "share of the test examples classified as their label"),
    "dead": (("step", "layer"), "share of the units of the hidden layer that no training example activates"),
    "active": (
        ("step", "layer"),
        "share of the units of the hidden layer that a training example activates, mean",
    ),
    "correct": (
        ("step", "example"),
        "whether the training example is classified as the class to train on",
    ),
    "learned_first": (("example",), "first logged step at which the example is right, -1 for never"),
    "learned_last": (
        ("example",),
        "logged step since which the example has stayed right, -1 for never",
    ),
    "label": (("example",), "class that the example is trained on"),
    "pristine": (("example",), "whether the class to train on is the true one"),
}


class Examples(NamedTuple):
    """A training or a test set, on the device of the network."""

    images: torch.Tensor  # (example, feature), float32
    labels: torch.Tensor  # (example,), int64


class Logged(NamedTuple):
    """What a run keeps of a logged step."""

    loss_training: float  # mean cross-entropy, in nats
    accuracy_training: float  # share of examples classified as their label
    loss_test: float
    accuracy_test: float
    dead: Sequence[float]  # (hidden layer,), shares of the units, on the training set
    active: Sequence[float]
    correct: npt.NDArray[np.bool_]  # (example,), of the training set


class TrainingRun:
    """A run between two updates: the network, the order of the batches, and what was logged so far.

    Parameters
    ----------
    layers : list of Layer
        The network; changed in place.
    training, test : Examples
        On the network's device.
    order : BatchOrder
        The minibatches.
    rule : UpdateRule
        How per-example gradients become one update.
    learning_rate : float
        Step size, for gradients at the scale of one example.

    Attributes
    ----------
    step : int
        Updates made.
    logged : dict of int to Logged
        What was seen so far, by step.
    """

    def __init__(
        self,
        layers: list[Layer],
        training: Examples,
        test: Examples,
        order: BatchOrder,
        rule: UpdateRule,
        learning_rate: float,
    ) -> None:
        self.layers, self.training, self.test = layers, training, test
        self.order, self.rule, self.learning_rate = order, rule, learning_rate
        self.step = 0
        self.logged: dict[int, Logged] = {}

    def evaluate(self) -> Logged:
        """Evaluate the network on both sets, and log the result."""
        training, test = evaluate(self.layers, *self.training), evaluate(self.layers, *self.test)
        curves = training.loss, training.accuracy, test.loss, test.accuracy
        logged = Logged(*curves, training.dead, training.active, training.correct)
        self.logged[self.step] = logged
        return logged

    def parameters(self) -> Arrays:
        """A copy of the parameters: weight.0 (out, in), bias.0 (out,), weight.1, ... from the input on."""
        named = {}
        for number, layer in enumerate(self.layers):
            named[f"weight.{number}"] = _copy(layer.weight)
            named[f"bias.{number}"] = _copy(layer.bias)
        return named

    def state(self) -> State:
        """A copy of all that the rest of the run depends on: arrays by name, and what JSON can hold."""
        order = self.order.state()
        arrays = {
            **self.parameters(),
            **{f"rule.{name}": _copy(values) for name, values in self.rule.state().items()},
            "permutation": order.pop("permutation"),
            "correct": np.array([logged.correct for logged in self.logged.values()]),  # (step, example)
        }
        curves = [(step, *logged[:-1]) for step, logged in self.logged.items()]
        return arrays, {"step": self.step, "order": order, "curves": curves}

    def restore(self, state: State) -> None:
        """Go on from where `state` was taken, bit by bit."""
        arrays, description = state
        self.step = description["step"]
        self.order.restore({**description["order"], "permutation": arrays["permutation"]})
        for number, layer in enumerate(self.layers):
            layer.weight.copy_(torch.from_numpy(arrays[f"weight.{number}"]))
            layer.bias.copy_(torch.from_numpy(arrays[f"bias.{number}"]))
        device = self.training.images.device
        named = {name.removeprefix("rule."): name for name in arrays if name.startswith("rule.")}
        self.rule.restore({key: torch.from_numpy(arrays[name]).to(device) for key, name in named.items()})
        self.logged = {
            step: Logged._make((*curve, correct))
            for (step, *curve), correct in zip(description["curves"], arrays["correct"], strict=True)
        }

    def history(self, pristine: npt.NDArray[np.bool_] | None = None) -> xr.Dataset:
        """What was logged so far, as `train` returns it."""
        steps = np.array(list(self.logged))  # (step,)
        arrays = {
            name: np.array([getattr(logged, name) for logged in self.logged.values()])
            for name in Logged._fields
        }
        arrays["learned_first"], arrays["learned_last"] = learned_steps(steps, arrays["correct"])
        arrays["label"] = self.training.labels.cpu().numpy()
        if pristine is not None:
            arrays["pristine"] = pristine
        variables = {}
        for name, values in arrays.items():
            dims, meaning = HISTORY[name]
            units = {"units": "1"} if values.dtype.kind == "f" else {}
            variables[name] = (dims, values, {"long_name": meaning, **units})
        return xr.Dataset(
            variables,
            coords={
                "step": ("step", steps, {"long_name": "updates made", "units": "1"}),
                "layer": (
                    "layer",
                    np.arange(1, len(self.layers)),
                    {"long_name": "hidden layer, from 1 at the input"},
                ),
            },
            attrs={"classes": len(self.layers[-1].bias)},
        )


def start_run(
    training: Examples,
    test: Examples,
    *,
    hidden: Sequence[int],
    batch_size: int,
    learning_rate: float,
    update: UpdateName = "winsorized_mean",
    c: int = 0,
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
    hidden, batch_size, learning_rate, update, c, init, classes, rng, batch_rng, update_rng, state
        As of `train`.

    Returns
    -------
    TrainingRun
        For `train_pack`.

    Raises
    ------
    ValueError
        If shapes, labels, the minibatch, c or the rule do not fit.
    """
    device, features = training.images.device, training.images.shape[1]
    classes = _classes(training, test) if classes is None else classes
    for part in (training, test):
        _check_fit(part, features, classes)
    rng = np.random.default_rng(rng)
    layers = initial_layers([features, *hidden, classes], init, rng, device)
    order = BatchOrder(len(training.labels), batch_size, batch_rng or rng)
    rule = update_rule(update, c, batch_size, update_rng or rng)
    run = TrainingRun(layers, training, test, order, rule, learning_rate)
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
    images : array or tensor of float, shape (example, feature)
        Flat images (`cgpipe.data.flat_images`); taken as float32.
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
        If the shapes do not fit.
    TypeError
        If images are not floating-point or labels are not integers.
    """
    x, y = torch.as_tensor(images), torch.as_tensor(labels)
    if not x.is_floating_point():
        raise TypeError(f"images are {x.dtype}: give intensities as float32, {FLAT}")
    if x.ndim != 2 or not len(x):
        raise ValueError(f"images have shape {tuple(x.shape)}: give (example, feature), {FLAT}")
    if y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        raise TypeError(f"labels are {y.dtype}: give integers, the classes")
    if y.shape != x.shape[:1]:
        raise ValueError(f"labels have shape {tuple(y.shape)} with {len(x)} images: give one for each")
    return Examples(x.to(device, torch.float32).contiguous(), y.to(device, torch.int64))


def _classes(*parts: Examples) -> int:
    return max(int(part.labels.max()) for part in parts) + 1


def _check_fit(part: Examples, features: int, classes: int) -> None:
    if part.images.shape[1] != features:
        raise ValueError(f"test images have {part.images.shape[1]} features, training images {features}")
    low, high = int(part.labels.min()), int(part.labels.max())
    if low < 0 or high >= classes:
        raise ValueError(f"labels from {low} to {high} with {classes} classes: give 0 to {classes - 1}")
