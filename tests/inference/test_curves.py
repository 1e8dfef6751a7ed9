"""Curves over the logged steps, against loops over the steps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cgpipe.inference.curves import first_reached, mean_over_log_steps

SHARES = st.integers(0, 8).map(lambda eighths: eighths / 8)


@st.composite
def curves(draw, many=2):
    steps = sorted(draw(st.sets(st.integers(0, 50), min_size=2, max_size=9)))
    return steps, *(np.array([draw(SHARES) for _ in steps]) for _ in range(many))


def first_by_loop(steps, values, level):
    if values[0] >= level:
        return float(steps[0])
    for k in range(1, len(steps)):
        if values[k] >= level:
            part = (level - values[k - 1]) / (values[k] - values[k - 1])
            return steps[k - 1] + part * (steps[k] - steps[k - 1])
    return np.nan


@given(curves(1), SHARES)
def test_a_level_is_first_reached_where_a_loop_over_the_steps_finds_it(curve, level):
    steps, values = curve
    expected = first_by_loop(steps, values, level)
    np.testing.assert_allclose(first_reached(steps, values, level), expected, rtol=1e-12)


def test_curves_in_float32_are_read_in_float64():
    steps, values = [0, 3, 8], np.array([0.1, 0.3, 0.7], np.float32)
    wide = values.astype(np.float64)
    assert (
        first_reached(steps, values, [0.2, 0.6]).tolist() == first_reached(steps, wide, [0.2, 0.6]).tolist()
    )
    assert mean_over_log_steps(steps, values) == mean_over_log_steps(steps, wide)


def test_the_mean_over_log_steps_is_that_of_lines_between_the_steps():
    steps, values = [0, 9, 99, 999], [1.0, 3.0, np.nan, 5.0]
    assert mean_over_log_steps(steps, values) == pytest.approx(2)
    values[2] = 4.0
    at = np.linspace(0, 3, 300_001)
    assert mean_over_log_steps(steps, values) == pytest.approx(np.interp(at, range(4), values).mean())
    assert np.isnan(mean_over_log_steps(steps, [1.0, np.nan, 3.0, np.nan]))


def test_an_average_over_finer_steps_is_the_same():
    steps = np.array([0, 9, 99])
    values = np.array([0.0, 0.5, 0.2])
    finer = np.arange(100)
    on_them = np.interp(np.log10(finer + 1), np.log10(steps + 1), values)
    assert mean_over_log_steps(finer, on_them) == pytest.approx(mean_over_log_steps(steps, values))
