from .activity import active_examples, measure_activity
from .aggregation.operators import winsorized_linear_gradient
from .aggregation.reference import clipped_per_side, mean_linear_gradient, winsorized_mean
from .aggregation.rules import UpdateRule, update_rule
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
    "NonFiniteError",
    "Trainer",
    "UpdateRule",
    "active_examples",
    "clipped_per_side",
    "evaluate",
    "learned_steps",
    "logged_steps",
    "mean_linear_gradient",
    "measure_activity",
    "update_rule",
    "winsorized_linear_gradient",
    "winsorized_mean",
]
