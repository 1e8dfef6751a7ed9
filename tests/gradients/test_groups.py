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
    assert cosine_between(*squared(one + other, one, other)) == pytest.approx(expected, abs=1e-9)


def test_opposed_gradients_have_the_cosine_of_minus_one_and_an_empty_group_none():
    g = np.array([3.0, 4.0])
    cosines = cosine_between(
        *np.transpose([squared(g - 2 * g, g, -2 * g), squared(g, g, 0 * g), squared(2 * g, g, g)])
    )
    np.testing.assert_allclose(cosines, [-1, np.nan, 1])


def test_a_negative_squared_norm_is_refused():
    with pytest.raises(ValueError, match="a squared norm is negative"):
        cosine_between([1.0, -1.0], [1.0, 1.0], [1.0, 1.0])
