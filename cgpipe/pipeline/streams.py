"""Named random streams: one seed, and a generator of its own for each concern and replicate.

Every sample is taken on the CPU, from one of these, and then moved to the device. Streams are
independent of each other, so that sampling more of one changes nothing in another; and they do not
depend on noise or winsorization, so that the levels of a replicate are compared on equal terms.
"""

from typing import Literal

import numpy as np

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

# Part of every result: a number, once given, stays with its concern.
_NUMBERS: dict[Concern, int] = {
    "corruption": 0,
    "initialisation": 1,
    "batches": 2,
    "sample": 3,
    "nullworlds": 4,
    "stiffness": 5,
    "subset": 6,
    "update": 7,
    "clipping": 8,
    "replaced": 9,
    "zeroed": 10,
    "heldout": 11,
    "similarity": 12,
}


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
