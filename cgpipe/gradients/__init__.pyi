from .contributions import (
    contributions,
    fraction,
    group_sum,
    leading_steps,
    mean_cumulative,
    self_terms,
)
from .per_example import WeightSample, draw_weights, sampled_gradients

__all__ = [
    "WeightSample",
    "contributions",
    "draw_weights",
    "fraction",
    "group_sum",
    "leading_steps",
    "mean_cumulative",
    "sampled_gradients",
    "self_terms",
]
