from .drawing import draw
from .registry import FIGURES
from .style import Style, styled

__all__ = ["FIGURES", "Style", "draw", "styled"]
