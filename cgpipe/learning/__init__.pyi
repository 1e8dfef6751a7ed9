from .batches import BatchOrder
from .evaluation import Evaluation, evaluate, learned_steps, logged_steps, snapshot_steps
from .finite import NonFiniteError
from .rules import update_rule
from .run import Examples, TrainingRun, examples, start_run
from .trainer import Trainer
from .training import train, train_pack
from .updates import UpdateRule

__all__ = [
    "BatchOrder",
    "Evaluation",
    "Examples",
    "NonFiniteError",
    "Trainer",
    "TrainingRun",
    "UpdateRule",
    "evaluate",
    "examples",
    "learned_steps",
    "logged_steps",
    "snapshot_steps",
    "start_run",
    "train",
    "train_pack",
    "update_rule",
]
