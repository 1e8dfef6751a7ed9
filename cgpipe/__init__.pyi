from . import data, figures, gradients, inference, learning

__all__ = ["data", "figures", "gradients", "inference", "learning"]
