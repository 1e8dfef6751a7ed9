"""Which runs can train in lockstep, and what they need; without triton, which the other modules import."""

from collections.abc import Sequence
from itertools import pairwise

import torch

from cgpipe.kernels.reference import MOST_LISTED
from cgpipe.learning.run import TrainingRun
from cgpipe.networks.fully_connected import Dense

MOST_EXAMPLES = 1024  # of a minibatch: a program lists all of them


def serves(run: TrainingRun) -> bool:
    """Whether there are kernels for a run's network, update rule, type and minibatch; none are for marks."""
    return (
        isinstance(run.network, Dense)
        and not run.marks.levels
        and run.descent.plain
        and run.rate.schedule == "constant"
        and run.rule.fused is not None
        and run.rule.fused.c <= MOST_LISTED
        and run.order.batch_size <= MOST_EXAMPLES
        and run.training.images.dtype == torch.float32
    )


def memory(widths: Sequence[int], batch: int, *, clips: bool) -> int:
    """Bytes on the device that a run in lockstep takes, besides the images and labels.

    Parameters
    ----------
    widths : sequence of int
        Units of the input, of each hidden layer and of the output.
    batch : int
        Examples in a minibatch.
    clips : bool
        Whether its update rule clips.
    """
    units = sum(widths[1:])
    parameters = sum((i + 1) * o for i, o in pairwise(widths))
    # Parameters are copied into one place; what leaves a layer, and the gradient there, are of one size.
    floats = 2 * parameters + 2 * batch * units
    return 4 * (floats + (units * (2 * batch + 2) if clips else 0))
