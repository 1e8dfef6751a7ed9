"""DP-SGD (Abadi et al. 2016): gradients of examples clipped by their norm, noise, and the privacy they give.

Index letters: b example.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from cgpipe.learning.updates import RandomRule
from cgpipe.networks.network import Parameters
from cgpipe.networks.per_example.base import LayerGradients


class PrivateSGD(RandomRule):
    """The sum of per-example gradients, each of norm C at most, with noise; over the examples of a minibatch.

    A gradient is that of the whole network, and is scaled by min(1, C/‖g_b‖). The noise is normal with
    standard deviation σC, independent for each parameter; it is sampled on the CPU in float32.

    Parameters
    ----------
    clip_norm : float
        C, above 0.
    noise_multiplier : float
        σ, above 0.
    rng : numpy.random.Generator
        The rule's seed is sampled from it.

    Raises
    ------
    ValueError
        If C or σ is not a finite number above 0.
    """

    def __init__(self, clip_norm: float, noise_multiplier: float, rng: np.random.Generator) -> None:
        for name, value in (("clip_norm", clip_norm), ("noise_multiplier", noise_multiplier)):
            if not 0 < value < np.inf:
                raise ValueError(f"{name} {value}: give a finite number above 0")
        super().__init__(rng)
        self.clip_norm, self.noise_multiplier = clip_norm, noise_multiplier

    def update(self, layers: Sequence[LayerGradients], into: Sequence[Parameters], rate: float) -> None:
        """Subtract it."""
        rng = self.next_generator()
        norms = torch.stack([layer.squared_norms() for layer in layers]).sum(0).sqrt()  # (b,)
        shares = (self.clip_norm / norms).clamp(max=1)  # (b,)
        for layer, parameters in zip(layers, into, strict=True):
            for name, total in layer.scaled(shares).sums().items():
                noise = torch.as_tensor(rng.standard_normal(total.shape, np.float32)).to(total)
                noisy = total.add(noise, alpha=self.noise_multiplier * self.clip_norm)
                parameters[name].sub_(noisy, alpha=rate / len(norms))


def accountant() -> Any:
    """Opacus's accountant by Rényi differential privacy.

    Raises
    ------
    ImportError
        If Opacus is not installed, with what to do.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # those of what it imports
            from opacus.accountants import RDPAccountant  # noqa: PLC0415 - optional, and takes seconds
    except ImportError as error:
        raise ImportError(
            f"update dp_sgd needs Opacus, which computes its ε ({error}): python -m pip install "
            "'cgpipe[privacy]'"
        ) from error
    return RDPAccountant()


def epsilons(
    steps: Sequence[int], *, noise_multiplier: float, sample_rate: float, delta: float
) -> npt.NDArray[np.float64]:
    """The ε of (ε, δ) differential privacy after so many updates, by Opacus.

    The accountant is of minibatches that each example is in with a probability, independently (Poisson
    sampling).

    Parameters
    ----------
    steps : sequence of int
        Updates made.
    noise_multiplier : float
        σ, as of `PrivateSGD`.
    sample_rate : float
        Share of the examples in a minibatch.
    delta : float
        δ.

    Returns
    -------
    array of float64, shape (step,)
        0 before the first update.
    """
    found = []
    account = accountant()
    for step in steps:
        account.history = [(noise_multiplier, sample_rate, step)] if step else []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that another order might give a smaller ε
            found.append(float(account.get_epsilon(delta)))
    return np.array(found)
