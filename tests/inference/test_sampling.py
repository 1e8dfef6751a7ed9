"""What a sample would show, against all samples there are."""

from itertools import combinations

import numpy as np
import pytest

from cgpipe.gradients.contributions import contributions, self_terms
from cgpipe.inference.groups import null_worlds
from cgpipe.inference.sampling import decade_fraction, expected_product, sample_fraction


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
    np.testing.assert_allclose(sample_fraction(null, 3), product / squared)
    np.testing.assert_allclose(sample_fraction(null, 400), null["f"].sel(group="pristine"))
    with pytest.raises(ValueError, match="0 sampled of 6 examples: sample at least 1"):
        sample_fraction(null, 0)
    sums = decade_fraction(null)
    assert sums["first_step"].values.tolist() == [0, 10]
    product, squared = u[:, pristine].sum(1), u.sum(1)
    expected = [product[:10].sum() / squared[:10].sum(), product[10:].sum() / squared[10:].sum()]
    np.testing.assert_allclose(sums, expected)
