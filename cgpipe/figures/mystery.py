"""The claims of Chatterjee and Zielinski (2022) as tests, drawn as those of the first paper."""

from cgpipe.figures.claims import draw, table

__all__ = ["draw", "table"]
