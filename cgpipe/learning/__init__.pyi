from .activity import active_examples
from .aggregation.operators import winsorized_linear_gradient
from .aggregation.reference import clipped_per_side, mean_linear_gradient, winsorized_mean
from .aggregation.rules import UpdateRule, update_rule
from .networks import Layer, forward, initial_layers, losses, output_gradients
from .training import (
    BatchOrder,
    Evaluation,
    NonFiniteError,
    Trainer,
    evaluate,
    learned_steps,
    logged_steps,
)

__all__ = [
    "BatchOrder",
    "Evaluation",
    "Layer",
    "NonFiniteError",
    "Trainer",
    "UpdateRule",
    "active_examples",
    "clipped_per_side",
    "evaluate",
    "forward",
    "initial_layers",
    "learned_steps",
    "logged_steps",
    "losses",
    "mean_linear_gradient",
    "output_gradients",
    "update_rule",
    "winsorized_linear_gradient",
    "winsorized_mean",
]
