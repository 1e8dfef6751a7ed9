"""The words that settings, stages and functions have in common, each list once.

Imports nothing but Python. What trains imports this module, so a word that is added here trains anew.
Datasets and figures, of which there will be more, have registries of their own: `cgpipe.data.shapes` and
`cgpipe.figures.registry`.
"""

from typing import Literal

Selection = Literal["exact", "bernoulli"]
Init = Literal["xavier", "official"]
Schedule = Literal["constant", "cosine", "step"]
UpdateName = Literal[
    "winsorized_mean",
    "trimmed_mean",
    "median",
    "m3",
    "rm3",
    "ra3",
    "sign_of_sum",
    "sum_of_signs",
    "scaled_mean",
    "random_drop",
    "inlier_clip",
    "norm_clip",
]
# The update rules that a level c of winsorization means something for; each is plain SGD at c = 0.
CLIPPING: tuple[UpdateName, ...] = (
    "winsorized_mean",
    "trimmed_mean",
    "scaled_mean",
    "random_drop",
    "inlier_clip",
    "norm_clip",
)
# The update rules that need earlier minibatches.
REMEMBERING: tuple[UpdateName, ...] = ("rm3", "ra3")
BURST = 5  # consecutive steps that are measured together, as one step is one draw
MOST_PAIRED = 2_000  # examples of a minibatch, for a rule that takes the products of all pairs of gradients
Device = Literal["auto", "cpu", "cuda"]
Kernel = Literal["auto", "required"]
Learned = Literal["at_step", "first", "last"]
Source = Literal["sampled", "exact", "displacement"]
Palette = Literal["colorblind", "deep", "muted", "pastel", "bright", "dark"]
