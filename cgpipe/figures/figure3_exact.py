"""Figure 3 from all examples and all parameters instead of a sample of both."""

from cgpipe.figures.figure3 import CONTRIBUTION
from cgpipe.figures.null_rows import EXACT

_EXACT = CONTRIBUTION._replace(source=EXACT)
table, draw = _EXACT.table, _EXACT.draw
