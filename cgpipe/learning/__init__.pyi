from .aggregation.operators import winsorized_linear_gradient
from .aggregation.reference import clipped_per_side, mean_linear_gradient, winsorized_mean
from .aggregation.rules import UpdateRule, update_rule
from .batches import BatchOrder
from .evaluation import Evaluation, evaluate, learned_steps, logged_steps
from .finite import NonFiniteError
from .trainer import Trainer
from .training import TrainingRun, train

__all__ = [
    "BatchOrder",
    "Evaluation",
    "NonFiniteError",
    "Trainer",
    "TrainingRun",
    "UpdateRule",
    "clipped_per_side",
    "evaluate",
    "learned_steps",
    "logged_steps",
    "mean_linear_gradient",
    "train",
    "update_rule",
    "winsorized_linear_gradient",
    "winsorized_mean",
]
