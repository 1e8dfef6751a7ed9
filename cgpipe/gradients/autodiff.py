"""Contributions of a whole population for any network, by automatic differentiation."""

import warnings
from collections.abc import Callable, Mapping

import torch
from torch.func import grad, jvp, vmap

from cgpipe.gradients.contributions import Floats
from cgpipe.networks.per_example.base import rows


def example_contributions_by_autodiff(
    loss: Callable[[Mapping[str, torch.Tensor], torch.Tensor, torch.Tensor], torch.Tensor],
    parameters: Mapping[str, torch.Tensor],
    images: torch.Tensor,
    labels: torch.Tensor,
    *,
    at_once: int = 100,
) -> tuple[Floats, Floats]:
    """u_e = ⟨g, g_e⟩ and ‖g_e‖² by torch.func: u_e is the loss's derivative along g, a forward-mode product.

    The reference of `example_contributions`, and the way for layers without a closed form. Per-example
    gradients of `at_once` examples are in memory at a time.

    Parameters
    ----------
    loss : callable
        Takes parameters, images and labels, and returns the loss of each example, shape (example,).
    parameters : mapping from str to tensor
        Of the network; in float64 for reference.
    images : tensor of float, shape (example, ...)
        All examples.
    labels : tensor of int, shape (example,)
        The labels they are trained on.
    at_once : int
        Examples in memory at once.

    Returns
    -------
    u, squared_norm : arrays of float64, shape (example,)
        Over all parameters.
    """
    parts = [slice(start, start + at_once) for start in range(0, len(images), at_once)]

    def of_one(p: Mapping[str, torch.Tensor], x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return loss(p, x[None], y[None])[0]

    total = {name: torch.zeros_like(p) for name, p in parameters.items()}
    squares = []
    for part in parts:
        each = vmap(grad(of_one), in_dims=(None, 0, 0))(parameters, images[part], labels[part])
        squares.append(torch.stack([rows(g).double().square().sum(1) for g in each.values()]).sum(0))
        for name, g in each.items():
            total[name] += g.sum(0)
    with warnings.catch_warnings():
        # Torch's own rules of forward mode are scripted, which it warns of when they are first used.
        warnings.filterwarnings("ignore", r".*torch\.jit\.script", FutureWarning)
        u = [
            jvp(lambda p, part=part: loss(p, images[part], labels[part]), (dict(parameters),), (total,))[1]
            for part in parts
        ]
    return torch.cat(u).double().cpu().numpy(), torch.cat(squares).cpu().numpy()
