"""What a sample would show, against all samples there are."""

from itertools import combinations

import numpy as np
import pytest
import xarray as xr

from cgpipe.gradients.contributions import contributions, self_terms
from cgpipe.inference.groups import null_worlds
from cgpipe.inference.sampling import (
    burst_fraction,
    cumulative_of_draws,
    decade_fraction,
    expected_product,
    fraction_of_draws,
    sample_fraction,
)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_the_expected_product_is_the_mean_over_all_samples(size):
    rng = np.random.default_rng(size)
    gradients = rng.standard_normal((size, 3))
    members = rng.random(size) < 0.5
    whole = gradients.sum(0) @ gradients[members].sum(0)
    self_terms = (gradients[members] ** 2).sum()
    for sampled in range(1, size + 1):
        products = [
            gradients[chosen].sum(0) @ gradients[chosen][members[chosen]].sum(0)
            for chosen in map(list, combinations(range(size), sampled))
        ]
        expected = expected_product(whole, self_terms, sampled=sampled, size=size)
        np.testing.assert_allclose(expected * sampled / size, np.mean(products), rtol=1e-12, atol=1e-14)


def test_all_of_a_curve_at_once():
    np.testing.assert_allclose(expected_product([4.0, 8.0], [1.0, 2.0], sampled=[2, 4], size=4), [2.0, 8.0])


@pytest.mark.parametrize(("sampled", "size"), [(0, 5), (6, 5), ([1, 6], 5)])
def test_more_than_there_are_cannot_be_sampled(sampled, size):
    with pytest.raises(ValueError, match="sample at least 1, at most all"):
        expected_product(1.0, 1.0, sampled=sampled, size=size)


def test_f_of_a_sample_is_the_ratio_of_the_means_over_all_samples_and_f_of_a_decade_that_of_sums():
    gradients = np.random.default_rng(0).normal(size=(12, 6, 5)) + 0.3  # (step, example, weight)
    pristine, steps = np.arange(6) < 4, np.array([*range(11), 20])
    u = contributions(gradients)
    null = null_worlds(u, self_terms(gradients), pristine, steps, worlds=9, rng=np.random.default_rng(0))
    samples = [list(chosen) for chosen in combinations(range(6), 3)]
    among = [[e for e in chosen if pristine[e]] for chosen in samples]
    product, squared = (
        np.mean([np.einsum("tew,tdw->t", gradients[:, e], gradients[:, d]) for e, d in pairs], axis=0)
        for pairs in (list(zip(samples, among, strict=True)), list(zip(samples, samples, strict=True)))
    )
    found = sample_fraction(null, 3)
    np.testing.assert_allclose(found, product / squared)
    assert found["step"].values.tolist() == steps.tolist()
    np.testing.assert_allclose(sample_fraction(null, 400), null["f"].sel(group="pristine"))
    with pytest.raises(ValueError, match="0 sampled of 6 examples: sample at least 1"):
        sample_fraction(null, 0)
    sums = decade_fraction(null)
    assert sums["first_step"].values.tolist() == [0, 10]
    product, squared = u[:, pristine].sum(1), u.sum(1)
    expected = [product[:10].sum() / squared[:10].sum(), product[10:].sum() / squared[10:].sum()]
    np.testing.assert_allclose(sums, expected)


GROUPS = {"group": ["pristine", "corrupt"]}


def test_f_of_a_burst_is_that_of_sums_between_those_of_its_steps():
    product = ("burst_step", "group"), [[3, 1], [1, -2], [2, 2], [0, 0]]
    null = xr.Dataset({"burst_product": product}, {"snapshot": ("burst_step", [0, 0, 10, 20]), **GROUPS})
    found = burst_fraction(null)
    assert found["snapshot"].values.tolist() == [0, 10, 20]
    for name, (first, second) in {"": (4 / 3, -1 / 3), "_low": (-1, 1 / 4), "_high": (3 / 4, 2)}.items():
        np.testing.assert_allclose(found[f"f_burst{name}"], [[first, second], [0.5, 0.5], [np.nan] * 2])


def test_f_of_the_draws_has_a_mean_and_ends():
    product = [[[3, 1], [1, 1]], [[1, 1], [1, 0]], [[5, 0], [0, 0]]]  # (draw, step, group)
    null = xr.Dataset({"product": (("draw", "step", "group"), product)}, {"step": [0, 7], **GROUPS})
    found = fraction_of_draws(null).sel(group="pristine")
    for name, expected in {"mean": [0.75, 0.75], "low": [0.5, 0.5], "high": [1, 1]}.items():
        np.testing.assert_allclose(found[f"f_draws_{name}"], expected)


def test_i_of_the_draws_is_of_the_first_steps_and_of_the_draws_that_have_the_group():
    product = [[[2, 1], [4, 1], [9, 9]], [[1, 0], [1, 0], [9, 9]]]  # (draw, step, group)
    null = xr.Dataset(
        {
            "product": (("draw", "step", "group"), product),
            "group_size": (("draw", "group"), [[2, 4], [1, 0]]),
        },
        {"step": [0, 1, 5], "early_step": [0, 1], **GROUPS},
    )
    found = cumulative_of_draws(null)
    assert found["early_step"].values.tolist() == [0, 1]
    for name, (first, second) in {"mean": (1, 2.5), "low": (1, 2), "high": (1, 3)}.items():
        np.testing.assert_allclose(found[f"i_draws_{name}"], [[first, 0.25], [second, 0.5]])
