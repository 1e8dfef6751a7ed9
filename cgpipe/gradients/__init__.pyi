from .autodiff import example_contributions_by_autodiff
from .coherence import (
    alpha,
    alpha_from_minibatches,
    alpha_of_layers,
    cosine_between,
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
    terms,
)
from .groups import coherence_by_group
from .per_example import WeightSample, draw_weights, measure_gradients, sampled_gradients
from .population import (
    Contributions,
    GroupGradients,
    example_contributions,
    group_gradients,
    inner_products,
    measure_contributions,
)

__all__ = [
    "Contributions",
    "GroupGradients",
    "WeightSample",
    "alpha",
    "alpha_from_minibatches",
    "alpha_of_layers",
    "coherence_by_group",
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
    "measure_contributions",
    "measure_gradients",
    "noise_scale",
    "pair_coherence",
    "sampled_gradients",
    "self_terms",
    "stiffness",
    "terms",
]
