"""Decades of steps, over which what fluctuates from step to step is averaged."""

import numpy as np
import numpy.typing as npt


def decades(steps: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Decade of each logged step: 0 for steps 0 to 9, 1 for 10 to 99, and so on.

    Parameters
    ----------
    steps : array of int, shape (step,)
        Updates made, ascending.

    Returns
    -------
    array of int64, shape (step,)
        The state after the last step counts with the decade before it: the last of 1,000 steps is 100-1000.
    """
    made = np.asarray(steps, np.int64)
    return np.floor(np.log10(np.clip(made, 1, max(int(made[-1]) - 1, 1)))).astype(np.int64)
