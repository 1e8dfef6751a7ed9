from . import data, figures, gradients, inference, learning, networks

__all__ = ["data", "figures", "gradients", "inference", "learning", "networks"]
