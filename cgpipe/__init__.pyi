from . import data, figures, gradients, inference, learning, networks
from .version import __version__

__all__ = ["__version__", "data", "figures", "gradients", "inference", "learning", "networks"]
