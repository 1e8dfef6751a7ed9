"""Sums of the gradients of the pristine and of the corrupt examples, at consecutive steps of a run.

The gradient at one step is mostly SGD's back and forth along steep directions, so a logged step is measured
as a burst of consecutive steps. At some steps the loss is also taken after a step by all examples, to compare
what the gradient predicts to first order with what happens.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import xarray as xr

from cgpipe.gradients.contributions import Floats, mask
from cgpipe.gradients.population import group_gradients
from cgpipe.names import BURST
from cgpipe.networks.dense import losses
from cgpipe.networks.given import NetworkLike, network_of
from cgpipe.networks.network import Network, Parameters

RATES = (0.1, 0.01)  # of steps by all examples
GROUPS = ("pristine", "corrupt")

VARIABLES = {
    "product": (
        ("burst_step", "group"),
        "inner product of the sum of all gradients with that of the group's, nats²",
    ),
    "gram": (
        ("burst_step", "group", "other_group"),
        "inner product of the summed gradients of two groups of examples, nats²",
    ),
    "energy": (("burst_step", "group"), "sum of the squared norms over the group's examples, nats²"),
    "loss_before": (("descent_step", "group"), "sum of the losses of the examples of the group, nats"),
    "loss_after": (
        ("descent_step", "rate", "group"),
        "sum of the losses of the group after a step by all examples, nats",
    ),
}


def burst_steps(snapshots: Sequence[int], marks: Collection[int]) -> list[tuple[int, int]]:
    """Steps to measure a run at: each snapshot, and how many steps from there on, up to the next one.

    Five consecutive steps begin at step 0, at each mark and at the last snapshot, from which they go beyond
    the end of the run; other snapshots are measured alone. Where a snapshot lies within the five steps, they
    go on from it. So no step is measured twice, and those of a mark are the five from it on.

    Parameters
    ----------
    snapshots : sequence of int
        Updates made at the snapshots, in ascending order; at least one.
    marks : collection of int
        Those of them where a burst begins.

    Returns
    -------
    list of (int, int)
        One pair a snapshot, in ascending order: its step, and the number of steps from it on, at least 1.

    Examples
    --------
    >>> burst_steps([0, 10, 20, 22, 40], marks=[20])
    [(0, 5), (10, 1), (20, 2), (22, 3), (40, 5)]
    """
    long = {0, *marks, snapshots[-1]}
    ends = [*snapshots[1:], snapshots[-1] + BURST]
    until = 0
    steps = []
    for start, end in zip(snapshots, ends, strict=True):
        until = max(until, start + (BURST if start in long else 1))
        steps.append((start, min(until, end) - start))
    return steps


def has_descent(step: int) -> bool:
    """Whether steps by all examples are tried there: at 0 to 10 and at the powers of ten.

    Examples
    --------
    >>> [step for step in (0, 9, 10, 20, 100, 200, 1_000) if has_descent(step)]
    [0, 9, 10, 100, 1000]
    """
    return step <= 10 or str(step).rstrip("0") == "1"


@torch.no_grad()
def measure_bursts(
    bursts: Iterable[tuple[int, int, NetworkLike]],
    images: torch.Tensor,
    labels: torch.Tensor,
    pristine: npt.NDArray[np.bool_],
) -> xr.Dataset:
    """Sums over the pristine and over the corrupt examples, at bursts of consecutive steps.

    Parameters
    ----------
    bursts : iterable of (int, int, network)
        Step of the snapshot that a burst begins with, updates made, and the network then; in ascending order.
    images : tensor of float, shape (example, ...)
        All training examples.
    labels : tensor of int, shape (example,)
        The labels they are trained on.
    pristine : array of bool, shape (example,)
        Whether the label is the true one.

    Returns
    -------
    Dataset
        Over burst_step and group, of all parameters: `product`, ⟨g, Σ g_e⟩, `gram` (group, other_group), and
        `energy`, Σ‖g_e‖², all in nats² at the scale of sums. Over descent_step and group: `loss_before` and
        `loss_after` (rate), in nats, at the scale of sums: after w - rate · g/m with m examples, so that the
        predicted change is -rate/m · product. Coordinate `snapshot` (burst_step) says where a burst begins.
        `size` (group) are the examples.

    Raises
    ------
    ValueError
        If a gradient is not finite.
    """
    pristine = mask(pristine, len(labels))
    # Group by group, so that hardly a part of them has to be sorted at each step.
    order = np.argsort(~pristine, kind="stable")
    images, labels = (values[torch.from_numpy(order).to(values.device)] for values in (images, labels))
    group = torch.from_numpy(~pristine[order]).long().to(images.device)  # (e,), as GROUPS

    def loss_after(network: Network, total: Sequence[Parameters], rate: float) -> Floats:
        """Of each group, after a step; the network is as before in the end."""
        before = {name: values.clone() for name, values in network.state().items()}
        for own, g in zip(network.parameters(), total, strict=True):
            for name, p in own.items():
                p.copy_(p - (rate / len(images)) * g[name].to(p.dtype))
        each = losses(network.all_logits(images), labels)
        network.load(before)
        of_groups = np.bincount(group.cpu().numpy(), each.double().cpu().numpy(), len(GROUPS))
        return of_groups.astype(np.float64)

    measured: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in VARIABLES}
    steps: list[tuple[int, int]] = []
    descents = []
    for snapshot, step, given in bursts:
        network = network_of(given, images)
        steps.append((snapshot, step))
        sums = group_gradients(network, images, labels, lambda _, part: group[part], len(GROUPS))
        gram = sums.gram().sum(0)
        values = {"product": gram.sum(1), "gram": gram, "energy": sums.energy.sum(1)}
        if step == snapshot and has_descent(step):
            descents.append(step)
            values["loss_before"] = sums.loss
            values["loss_after"] = np.stack([loss_after(network, sums.total(), rate) for rate in RATES])
        for name, value in values.items():
            measured[name].append(value)

    snapshots, burst_steps = np.transpose(steps)
    members = {"long_name": "designation of the examples"}
    made = {"long_name": "updates made", "units": "1"}
    return xr.Dataset(
        {
            **{
                name: (dims, np.stack(measured[name]), {"long_name": meaning, "units": "1"})
                for name, (dims, meaning) in VARIABLES.items()
            },
            "size": ("group", np.bincount(~pristine, minlength=2), {"long_name": "examples in the group"}),
        },
        coords={
            "burst_step": ("burst_step", burst_steps, made),
            "snapshot": (
                "burst_step",
                snapshots,
                {"long_name": "step of the snapshot that the burst begins with", "units": "1"},
            ),
            "group": ("group", list(GROUPS), members),
            "other_group": ("other_group", list(GROUPS), members),
            "descent_step": ("descent_step", descents, made),
            "rate": ("rate", list(RATES), {"long_name": "learning rate", "units": "1"}),
        },
    )
