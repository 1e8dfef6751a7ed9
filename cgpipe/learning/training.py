"""Runs of stochastic gradient descent, plain or winsorized (Chatterjee 2020, sections 2 and 3)."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr

from cgpipe.kernels.operators import ready
from cgpipe.learning.evaluation import logged_steps
from cgpipe.learning.finite import NonFiniteError
from cgpipe.learning.lockstep.served import serves
from cgpipe.learning.module_trainer import ModuleTrainer
from cgpipe.learning.private import PrivateSGD, accountant
from cgpipe.learning.run import State, TrainingRun, examples, start_run
from cgpipe.learning.trainer import Trainer
from cgpipe.names import Init, Schedule, UpdateName
from cgpipe.networks.fully_connected import Dense
from cgpipe.networks.given import NetworkLike
from cgpipe.networks.module import ModuleNetwork
from cgpipe.networks.network import Network

if TYPE_CHECKING:
    from cgpipe.learning.lockstep.step import Lockstep


def train(
    images: npt.ArrayLike | torch.Tensor,
    labels: npt.ArrayLike | torch.Tensor,
    test_images: npt.ArrayLike | torch.Tensor,
    test_labels: npt.ArrayLike | torch.Tensor,
    *,
    hidden: Sequence[int] | None = None,
    network: NetworkLike | None = None,
    steps: int,
    batch_size: int,
    learning_rate: float,
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
    pristine: npt.NDArray[np.bool_] | None = None,
    rng: np.random.Generator | int | None = None,
    batch_rng: np.random.Generator | None = None,
    update_rng: np.random.Generator | None = None,
    device: torch.device | str = "cpu",
    state: State | None = None,
    on_logged: Callable[[TrainingRun], object] | None = None,
    on_step: Callable[[TrainingRun], object] | None = None,
) -> xr.Dataset:
    """Train a network by SGD, plain or winsorized (Chatterjee 2020, sections 2 and 3).

    It is evaluated on both sets at the steps of `logged_steps(steps)`, and at its `marks`. "Step t" is after
    t updates.

    Parameters
    ----------
    images, test_images : array or tensor of float, shape (example, ...)
        Images as the network sees them, (channel, row, column) or, for a fully connected one, (feature,);
        intensities usually from 0 to 1 (`cgpipe.data.flat_images`, `cgpipe.data.shaped_images`); taken as
        float32.
    labels, test_labels : array or tensor of int, shape (example,)
        The classes to train on, some of them corrupt perhaps, and the true classes of the test set.
    hidden : sequence of int, optional
        For a fully connected ReLU network: units of each hidden layer, from the input on; none for a linear
        classifier.
    network : torch.nn.Module or Network, optional
        Any other network, in the place of `hidden`. It begins with the weights it has. A module is copied, a
        Network is changed in place.
    steps : int
        Updates of the whole run.
    batch_size : int
        Examples in a minibatch.
    learning_rate : float
        Step size, for gradients at the scale of one example.
    schedule : {"constant", "cosine", "step"}
        How the learning rate falls: not, to 0 as a cosine, or to a tenth at half of the steps and again at
        three quarters.
    momentum : float
        From 0 up to, not including, 1.
    weight_decay : float
        Added to the direction of each update: this times the parameter.
    update : str
        The update rule, one of `cgpipe.names.UpdateName`.
    c : int
        Gradients to clip (winsorized mean) or to leave out (trimmed mean) on each side, for each parameter on
        its own, or what is compared with that (the controls in `cgpipe.names.CLIPPING`); 0 for plain SGD, and
        for all other rules.
    clip_norm, noise_multiplier : float, optional
        C and σ of the rule `dp_sgd`, which needs both: per-example gradients of the whole network are scaled
        down to norm C, and their sum gets normal noise of standard deviation σC.
    marks : sequence of float, optional
        Losses, in nats, descending: the run is evaluated when the mean loss of the last
        `cgpipe.learning.marks.WINDOW` minibatches, each before its update, first falls to one.
    init : {"xavier", "official"}
        Standard deviation of the initial weights of a fully connected network, as for
        `cgpipe.networks.initial_layers`.
    classes : int, optional
        Units of the output; by default one more than the largest label.
    pristine : array of bool, shape (example,), optional
        Which training labels are the true ones: becomes a variable of the result.
    rng : numpy.random.Generator or int, optional
        The initial weights are sampled from it; an int is a seed.
    batch_rng : numpy.random.Generator, optional
        The order of the minibatches; by default `rng` goes on to give it.
    update_rng : numpy.random.Generator, optional
        What the rules `random_drop` and `dp_sgd` sample; by default `rng` goes on to give it.
    device : torch.device or str
        Where the network runs. The result depends on it in the last bits.
    state : tuple, optional
        What `TrainingRun.state` returned in a run of the same arguments: this one goes on from there, and
        ends with the same bits as one that was not interrupted.
    on_logged : callable, optional
        Called with the `TrainingRun` after each evaluation: `run.step`, `run.logged[run.step]`,
        `run.network`, and, for what outlives the step, `run.parameters()` and `run.state()`.
    on_step : callable, optional
        Called with the `TrainingRun` before each update. What either callback raises ends the training.

    Returns
    -------
    Dataset
        Along `step`: `loss_training`, `loss_test` (mean cross-entropy, nats), `accuracy_training` and
        `accuracy_test`. Along `step` and `layer` (the ReLUs, of a dense network from 1 on): `dead` and
        `active`, the shares of the units that no training example activates, and that one activates on
        average. Along `step` and `example`: `correct`, whether a training example is classified as its
        label, and along `step` and `test_example` the same of the test set, `correct_test`. Along `example`:
        `learned_first`, `learned_last` (see `learned_steps`), `label`, and `pristine` where given. Along
        `mark`, if there are marks: `mark_step`, the step at which each was passed, -1 for never. Along
        `step`, for `dp_sgd`: `epsilon`, of (ε, δ) differential privacy at the attribute `delta`, 1/examples,
        by the attribute `accountant`. The attribute `classes` is the number of classes.

    Raises
    ------
    NonFiniteError
        If the run diverges: an activation, a gradient or a loss is not finite.
    ValueError
        If shapes, labels, the minibatch, c, the rule or the marks do not fit.
    TypeError
        If images are not floating-point or labels are not integers.
    ImportError
        If the rule is `dp_sgd` and Opacus is missing; before the first step.

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
    >>> bool(history["accuracy_test"][-1] > 0.8), snapshots[200]["0.weight"].shape
    (True, (8, 4))
    """
    if steps < 0:
        raise ValueError(f"steps {steps}: give 0 or more")
    run = start_run(
        examples(images, labels, device),
        examples(test_images, test_labels, device),
        hidden=hidden,
        network=network,
        batch_size=batch_size,
        learning_rate=learning_rate,
        steps=steps,
        schedule=schedule,
        momentum=momentum,
        weight_decay=weight_decay,
        update=update,
        c=c,
        clip_norm=clip_norm,
        noise_multiplier=noise_multiplier,
        marks=marks,
        init=init,
        classes=classes,
        rng=rng,
        batch_rng=batch_rng,
        update_rng=update_rng,
        state=state,
    )

    def before_update(_: Sequence[TrainingRun]) -> None:
        if on_step:
            on_step(run)

    for _, error in train_pack([run], steps, on_logged=on_logged, on_step=before_update):
        if error:
            raise error
    return run.history(pristine)


@torch.no_grad()
def train_pack(
    runs: Sequence[TrainingRun],
    steps: int,
    *,
    on_logged: Callable[[TrainingRun], object] | None = None,
    on_step: Callable[[Sequence[TrainingRun]], object] | None = None,
) -> Iterator[tuple[TrainingRun, NonFiniteError | None]]:
    """Go on with several runs until each has made `steps` updates or has diverged.

    A run ends with the same bits alone as in any company. On a GPU those of one shape and without marks train
    in lockstep if their update rule clips at most 16 values a side; elsewhere one trains after the other.

    Parameters
    ----------
    runs : sequence of TrainingRun
        They may have made different numbers of updates.
    steps : int
        Updates of a whole run.
    on_logged : callable, optional
        Called with a run after each evaluation of it.
    on_step : callable, optional
        Called before each update with the runs that are updated. What either callback raises ends the
        training of all.

    Yields
    ------
    run : TrainingRun
        One that has ended.
    error : NonFiniteError or None
        Why, if it diverged.
    """
    if any(isinstance(run.rule, PrivateSGD) for run in runs):
        accountant()  # so that no run is made whose ε cannot be computed
    logged = frozenset(logged_steps(steps))
    for pack in packs(runs):
        going = list(pack.runs)
        while going:
            for run in tuple(going):
                diverged = None
                try:
                    due = run.step in logged or run.step in run.marks.steps
                    if due and run.step not in run.logged:
                        pack.check(run)
                        run.evaluate()
                        if on_logged:
                            on_logged(run)
                except NonFiniteError as error:
                    diverged = _diverged(run, error)
                if diverged or run.step >= steps:
                    going.remove(run)
                    pack.leave(run)
                    yield run, diverged
            if not going:
                break
            if on_step:
                on_step(going)
            try:
                pack.step()
            except NonFiniteError as error:  # of a run alone: others are not waited for
                yield going[0], _diverged(going.pop(), error)


def trainer(network: Network, *of: Any) -> Trainer | ModuleTrainer:
    """What updates a network."""
    if isinstance(network, Dense):
        return Trainer(network.stack, *of)
    assert isinstance(network, ModuleNetwork)
    return ModuleTrainer(network, *of)


class _Alone:
    """A run by itself, with the interface of `Lockstep`."""

    def __init__(self, run: TrainingRun) -> None:
        self.runs = [run]
        self._trainer = trainer(run.network, *run.training, run.order.batch_size, run.rule, run.descent)

    def step(self) -> None:
        (run,) = self.runs
        batch = run.order.next()
        if run.marks.left:
            run.marks.see(run.loss(batch), run.step + 1)
        self._trainer.step(batch, run.rate.at(run.step))
        run.step += 1

    def check(self, _: TrainingRun) -> None:
        self._trainer.check()

    def leave(self, _: TrainingRun) -> None:
        self.runs = []


def in_lockstep(run: TrainingRun) -> bool:
    """Whether `train_pack` trains a run in lockstep with others."""
    return run.training.images.device.type == "cuda" and serves(run) and ready("cuda") == "triton"


def packs(runs: Sequence[TrainingRun]) -> "Iterator[_Alone | Lockstep]":
    """The runs that there are kernels for in lockstep, those of one shape together; the others one by one."""
    together: dict[object, list[TrainingRun]] = {}
    alone = []
    for run in runs:
        if in_lockstep(run):
            device = run.training.images.device
            shapes = (of["weight"].shape for of in run.network.parameters())
            shape = (device, run.order.batch_size, *shapes)
            together.setdefault(shape, []).append(run)
        else:
            alone.append(run)
    for pack in together.values():
        from cgpipe.learning.lockstep.step import Lockstep  # noqa: PLC0415 - imports triton

        yield Lockstep(pack)
    yield from map(_Alone, alone)


def _diverged(run: TrainingRun, error: NonFiniteError) -> NonFiniteError:
    diverged = NonFiniteError(
        f"the run diverged: after {run.step} updates {error}. The learning rate, "
        f"{run.rate.learning_rate:g}, is probably too large for this network"
    )
    diverged.__cause__ = error
    return diverged
