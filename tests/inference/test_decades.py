"""Decades of steps."""

import numpy as np
import pytest

from cgpipe.inference.decades import decades


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([0], [0]),
        ([0, 1, 9, 10, 99, 100, 500], [0, 0, 0, 1, 1, 2, 2]),
        ([0, 9, 10], [0, 0, 0]),
        ([0, 10, 90, 100], [0, 1, 1, 1]),  # the last step counts with those before it
        ([0, 10, 100, 101], [0, 1, 2, 2]),
        ([0, 10, 100, 1000, 5000], [0, 1, 2, 3, 3]),
    ],
)
def test_a_decade_is_that_of_the_step_and_the_last_step_is_none_of_its_own(steps, expected):
    np.testing.assert_array_equal(decades(steps), expected)
    assert decades(steps).dtype == np.int64
