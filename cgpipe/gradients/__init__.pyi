from .coherence import (
    alpha,
    alpha_from_minibatches,
    alpha_of_layers,
    gradient_diversity,
    m_coherence,
    noise_scale,
    pair_coherence,
    stiffness,
)
from .contributions import (
    contributions,
    fraction,
    group_sum,
    leading_steps,
    mean_cumulative,
    self_terms,
)
from .groups import cosine_between
from .per_example import WeightSample, draw_weights, sampled_gradients
from .population import (
    Contributions,
    GroupGradients,
    example_contributions,
    example_contributions_by_autodiff,
    group_gradients,
    inner_products,
)

__all__ = [
    "Contributions",
    "GroupGradients",
    "WeightSample",
    "alpha",
    "alpha_from_minibatches",
    "alpha_of_layers",
    "contributions",
    "cosine_between",
    "draw_weights",
    "example_contributions",
    "example_contributions_by_autodiff",
    "fraction",
    "gradient_diversity",
    "group_gradients",
    "group_sum",
    "inner_products",
    "leading_steps",
    "m_coherence",
    "mean_cumulative",
    "noise_scale",
    "pair_coherence",
    "sampled_gradients",
    "self_terms",
    "stiffness",
]
