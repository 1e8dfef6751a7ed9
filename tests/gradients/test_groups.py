"""The cosine between two groups, against the gradients themselves."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgpipe.gradients.groups import cosine_between


def squared(*gradients):
    return [float(np.square(of).sum()) for of in gradients]


@given(st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_it_is_the_cosine_of_the_sums(dimensions, seed):
    one, other = np.random.default_rng(seed).standard_normal((2, dimensions))
    expected = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
    assert cosine_between(one @ other, *squared(one, other)) == pytest.approx(expected, abs=1e-9)


def test_opposed_gradients_have_the_cosine_of_minus_one_and_an_empty_group_none():
    g = np.array([3.0, 4.0])
    cosines = cosine_between(
        *np.transpose([(g @ other, *squared(g, other)) for other in (-2 * g, 0 * g, g)]),
    )
    np.testing.assert_allclose(cosines, [-1, np.nan, 1])


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_a_group_far_smaller_than_the_other_has_the_same_cosine(scale):
    one, other = np.array([3.0, 4.0]), scale * np.array([1.0, 0.0])
    assert cosine_between(one @ other, *squared(one, other)) == pytest.approx(0.6, rel=1e-14)


@pytest.mark.parametrize("norms", [([1.0, -1.0], [1.0, 1.0]), ([1.0, 1.0], [1.0, -1.0])])
def test_a_negative_squared_norm_is_refused(norms):
    with pytest.raises(ValueError, match="a squared norm is negative"):
        cosine_between([1.0, 1.0], *norms)
