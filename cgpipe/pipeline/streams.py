"""Named random streams: one seed, and a generator of its own for each concern and replicate.

Every sample is taken on the CPU, from one of these, and then moved to the device. Streams are
independent of each other, so that sampling more of one changes nothing in another; and they do not
depend on noise or winsorization, so that the levels of a replicate are compared on equal terms.
"""

from typing import Literal, get_args

import numpy as np

# Its number is part of every result: a concern, once here, keeps its place.
Concern = Literal[
    "corruption",
    "initialisation",
    "batches",
    "sample",
    "nullworlds",
    "stiffness",
    "subset",
    "update",
    "clipping",
    "replaced",
    "zeroed",
    "heldout",
    "similarity",
]
_NUMBERS = {concern: number for number, concern in enumerate(get_args(Concern))}


def stream(seed: int, concern: Concern, replicate: int) -> np.random.Generator:
    """The generator of a concern.

    Parameters
    ----------
    seed : int
        The seed of the workflow.
    concern : str
        What is sampled.
    replicate : int
        From 0.

    Returns
    -------
    numpy.random.Generator
        At its beginning.
    """
    sequence = np.random.SeedSequence(seed, spawn_key=(_NUMBERS[concern], replicate))
    return np.random.Generator(np.random.PCG64(sequence))
