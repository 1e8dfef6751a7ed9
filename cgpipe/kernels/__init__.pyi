from .operators import winsorized_linear_gradient
from .reference import clipped_per_side, mean_linear_gradient, winsorized_mean

__all__ = ["clipped_per_side", "mean_linear_gradient", "winsorized_linear_gradient", "winsorized_mean"]
