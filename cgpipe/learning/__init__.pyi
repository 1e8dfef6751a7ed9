from .aggregation.reference import (
    clipped_per_side,
    mean_linear_gradient,
    winsorized_linear_gradient,
    winsorized_mean,
)
from .networks import Layer, forward, initial_layers, output_gradients
from .training import (
    BatchOrder,
    Evaluation,
    NonFiniteError,
    evaluate,
    learned_steps,
    logged_steps,
    sgd_step,
)

__all__ = [
    "BatchOrder",
    "Evaluation",
    "Layer",
    "NonFiniteError",
    "clipped_per_side",
    "evaluate",
    "forward",
    "initial_layers",
    "learned_steps",
    "logged_steps",
    "mean_linear_gradient",
    "output_gradients",
    "sgd_step",
    "winsorized_linear_gradient",
    "winsorized_mean",
]
