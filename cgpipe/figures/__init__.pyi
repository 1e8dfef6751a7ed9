from . import figure1, figure2, figure3, figure4
from .style import Style, styled

__all__ = ["Style", "figure1", "figure2", "figure3", "figure4", "styled"]
