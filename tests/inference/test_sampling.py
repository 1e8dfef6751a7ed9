"""What a sample would show, against all samples there are."""

from itertools import combinations

import numpy as np
import pytest

from cgpipe.inference.sampling import expected_product


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
