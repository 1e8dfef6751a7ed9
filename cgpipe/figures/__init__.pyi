from .drawing import draw as draw
from .registry import FIGURES as FIGURES
from .style import Style as Style
from .style import styled as styled
