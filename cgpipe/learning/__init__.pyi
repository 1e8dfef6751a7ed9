from .aggregation.operators import winsorized_linear_gradient
from .aggregation.reference import clipped_per_side, mean_linear_gradient, winsorized_mean
from .aggregation.rules import update_rule
from .aggregation.updates import UpdateRule
from .batches import BatchOrder
from .evaluation import Evaluation, evaluate, learned_steps, logged_steps, snapshot_steps
from .finite import NonFiniteError
from .run import Examples, TrainingRun, examples, start_run
from .trainer import Trainer
from .training import train, train_pack

__all__ = [
    "BatchOrder",
    "Evaluation",
    "Examples",
    "NonFiniteError",
    "Trainer",
    "TrainingRun",
    "UpdateRule",
    "clipped_per_side",
    "evaluate",
    "examples",
    "learned_steps",
    "logged_steps",
    "mean_linear_gradient",
    "snapshot_steps",
    "start_run",
    "train",
    "train_pack",
    "update_rule",
    "winsorized_linear_gradient",
    "winsorized_mean",
]
