"""Which runs can train in lockstep; without triton, which the rest of the package imports."""

import torch

from cgpipe.learning.aggregation.reference import MOST_LISTED
from cgpipe.learning.run import TrainingRun

MOST_EXAMPLES = 1024  # of a minibatch that is clipped, as a program lists all of them


def serves(run: TrainingRun) -> bool:
    """Whether there are kernels for a run's update rule, type and size of minibatch."""
    fused = run.rule.fused
    if fused is None or run.training.images.dtype != torch.float32:
        return False
    return fused.c == 0 or (fused.c <= MOST_LISTED and run.order.batch_size <= MOST_EXAMPLES)
