"""A run of stochastic gradient descent, plain or winsorized (Chatterjee 2020, sections 2 and 3)."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr

from cgpipe.learning.aggregation.rules import UpdateRule, update_rule
from cgpipe.learning.batches import BatchOrder
from cgpipe.learning.evaluation import evaluate, learned_steps, logged_steps
from cgpipe.learning.finite import NonFiniteError
from cgpipe.learning.trainer import Trainer
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
        self.order, self.rule = order, rule
        self.step = 0
        self.logged: dict[int, Logged] = {}
        self._trainer = Trainer(layers, *training, order.batch_size, learning_rate, rule)

    def update(self) -> None:
        """Make the next update. A NonFiniteError of a GPU comes with the next evaluation."""
        self._trainer.step(self.order.next())
        self.step += 1

    def evaluate(self) -> Logged:
        """Evaluate the network on both sets, and log the result."""
        self._trainer.check()
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


@torch.no_grad()
def train(
    images: npt.ArrayLike | torch.Tensor,
    labels: npt.ArrayLike | torch.Tensor,
    test_images: npt.ArrayLike | torch.Tensor,
    test_labels: npt.ArrayLike | torch.Tensor,
    *,
    hidden: Sequence[int],
    steps: int,
    batch_size: int,
    learning_rate: float,
    update: UpdateName = "winsorized_mean",
    c: int = 0,
    init: Init = "xavier",
    classes: int | None = None,
    pristine: npt.NDArray[np.bool_] | None = None,
    rng: np.random.Generator | int | None = None,
    batch_rng: np.random.Generator | None = None,
    device: torch.device | str = "cpu",
    state: State | None = None,
    on_logged: Callable[[TrainingRun], object] | None = None,
    on_step: Callable[[TrainingRun], object] | None = None,
) -> xr.Dataset:
    """Train a fully connected ReLU network by SGD, plain or winsorized (Chatterjee 2020, sections 2 and 3).

    It is evaluated on both sets at the steps of `logged_steps(steps)`. "Step t" is after t updates.

    Parameters
    ----------
    images, test_images : array or tensor of float, shape (example, feature)
        Flat images, as the network sees them, intensities usually from 0 to 1 (`cgpipe.data.flat_images`);
        taken as float32.
    labels, test_labels : array or tensor of int, shape (example,)
        The classes to train on, some of them corrupt perhaps, and the true classes of the test set.
    hidden : sequence of int
        Units of each hidden layer, from the input on; none for a linear classifier.
    steps : int
        Updates of the whole run.
    batch_size : int
        Examples in a minibatch.
    learning_rate : float
        Step size, for gradients at the scale of one example.
    update : str
        The update rule, one of `cgpipe.names.UpdateName`.
    c : int
        Gradients to clip (winsorized mean) or to leave out (trimmed mean) on each side, for each parameter on
        its own; 0 for plain SGD, and for all other rules.
    init : {"xavier", "official"}
        Standard deviation of the initial weights, as for `cgpipe.networks.initial_layers`.
    classes : int, optional
        Units of the output; by default one more than the largest label.
    pristine : array of bool, shape (example,), optional
        Which training labels are the true ones: becomes a variable of the result.
    rng : numpy.random.Generator or int, optional
        The initial weights are sampled from it; an int is a seed.
    batch_rng : numpy.random.Generator, optional
        The order of the minibatches; by default `rng` goes on to give it.
    device : torch.device or str
        Where the network runs. The result depends on it in the last bits.
    state : tuple, optional
        What `TrainingRun.state` returned in a run of the same arguments: this one goes on from there, and
        ends with the same bits as one that was not interrupted.
    on_logged : callable, optional
        Called with the `TrainingRun` after each evaluation: `run.step`, `run.logged[run.step]`, `run.layers`,
        and, for what outlives the step, `run.parameters()` and `run.state()`.
    on_step : callable, optional
        Called with the `TrainingRun` before each update. What either callback raises ends the training.

    Returns
    -------
    Dataset
        Along `step`: `loss_training`, `loss_test` (mean cross-entropy, nats), `accuracy_training` and
        `accuracy_test`. Along `step` and `layer` (hidden layers, from 1 at the input): `dead` and `active`,
        the shares of the units that no training example activates, and that one activates on average. Along
        `step` and `example`: `correct`, whether a training example is classified as its label. Along
        `example`: `learned_first`, `learned_last` (see `learned_steps`), and `pristine` where given.
        The attribute `classes` is the number of classes.

    Raises
    ------
    NonFiniteError
        If the run diverges: an activation, a gradient or a loss is not finite.
    ValueError
        If shapes, labels, the minibatch, c or the rule do not fit.
    TypeError
        If images are not floating-point or labels are not integers.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> images = rng.uniform(size=(60, 4)).astype(np.float32)
    >>> labels = (images[:, 0] > images[:, 1]).astype(int)
    >>> snapshots = {}
    >>> history = train(
    ...     images[:40], labels[:40], images[40:], labels[40:],
    ...     hidden=[8], steps=200, batch_size=10, learning_rate=0.5, c=1, rng=0,
    ...     on_logged=lambda run: snapshots.update({run.step: run.parameters()}),
    ... )
    >>> history["step"].values[-3:].tolist(), history.attrs["classes"]
    ([90, 100, 200], 2)
    >>> bool(history["accuracy_test"][-1] > 0.8), snapshots[200]["weight.0"].shape
    (True, (8, 4))
    """
    if steps < 0:
        raise ValueError(f"steps {steps}: give 0 or more")
    training, test = _examples(images, labels, device), _examples(test_images, test_labels, device)
    classes = _classes(training, test) if classes is None else classes
    for examples in (training, test):
        _check_fit(examples, training.images.shape[1], classes)
    rng = np.random.default_rng(rng)
    layers = initial_layers([training.images.shape[1], *hidden, classes], init, rng, device)
    order = BatchOrder(len(training.labels), batch_size, batch_rng or rng)
    run = TrainingRun(layers, training, test, order, update_rule(update, c, batch_size), learning_rate)
    if state is not None:
        run.restore(state)
    logged = frozenset(logged_steps(steps))
    try:
        while True:
            if run.step in logged and run.step not in run.logged:
                run.evaluate()
                if on_logged:
                    on_logged(run)
            if run.step >= steps:
                return run.history(pristine)
            if on_step:
                on_step(run)
            run.update()
    except NonFiniteError as error:
        raise NonFiniteError(
            f"the run diverged: after {run.step} updates {error}. The learning rate, {learning_rate:g}, is "
            "probably too large for this network"
        ) from error


def _copy(tensor: torch.Tensor) -> npt.NDArray[Any]:
    return tensor.numpy(force=True).copy()  # without it, on the CPU, the memory would be the network's


def _examples(
    images: npt.ArrayLike | torch.Tensor, labels: npt.ArrayLike | torch.Tensor, device: torch.device | str
) -> Examples:
    """A set on the device, without a copy where it is there already."""
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
