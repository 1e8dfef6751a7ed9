"""What the statistics of the claims have in common, at its limits."""

import numpy as np
import pytest
import xarray as xr
from made_runs import history, of_levels

from cgpipe.inference.claims.statistics import UndecidedError, examples, mean_over_log_steps, members


def test_one_run_says_how_many_examples_there_are():
    assert examples(of_levels(history([0]))[:1]) == 20
    assert np.isnan(examples([]))


def test_two_steps_have_a_mean_and_a_curve_that_is_not_known_has_none():
    two, three = (xr.Dataset(coords={"step": steps}) for steps in ([0, 9], [0, 9, 99]))
    assert mean_over_log_steps(two, [0.2, 0.6]) == 0.4
    assert np.isnan(mean_over_log_steps(three, [0.2, 0.6, np.nan]))


@pytest.mark.parametrize(("pristine", "empty"), [(True, "corrupt"), (False, "pristine")])
def test_a_group_without_examples_is_named(pristine, empty):
    alone = history([0], pristine=np.full(20, pristine))
    assert members(alone, pristine=pristine).all()
    with pytest.raises(UndecidedError, match=f"there is no {empty} example"):
        members(alone, pristine=not pristine)
