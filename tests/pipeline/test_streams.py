from itertools import combinations
from math import comb
from typing import get_args

import numpy as np
import pytest

from cgpipe.pipeline.streams import Concern, stream

CONCERNS = get_args(Concern)


def draws(*of):
    return stream(*of).standard_normal(4_000)


@pytest.mark.parametrize("concern", CONCERNS)
def test_a_stream_can_be_repeated(concern):
    assert np.array_equal(draws(7, concern, 2), draws(7, concern, 2))


def test_streams_of_other_seeds_concerns_and_replicates_are_independent():
    streams = [draws(seed, c, r) for seed in (0, 1) for c in CONCERNS for r in range(3)]
    correlations = [np.corrcoef(a, b)[0, 1] for a, b in combinations(streams, 2)]
    assert len(correlations) == comb(6 * len(CONCERNS), 2)
    assert np.abs(correlations).max() < 5 / np.sqrt(4_000)
    assert np.std(correlations) == pytest.approx(1 / np.sqrt(4_000), rel=0.2)


def test_drawing_more_of_one_stream_changes_no_other():
    expected = stream(0, "batches", 0).permutation(100)
    stream(0, "initialisation", 0).standard_normal(1_000)
    batches = stream(0, "batches", 0)
    stream(0, "batches", 0).permutation(5)
    assert np.array_equal(batches.permutation(100), expected)


@pytest.mark.parametrize(
    ("concern", "number"),
    [
        ("corruption", 0),
        ("initialisation", 1),
        ("batches", 2),
        ("sample", 3),
        ("nullworlds", 4),
        ("stiffness", 5),
        ("subset", 6),
        ("update", 7),
        ("clipping", 8),
        ("replaced", 9),
        ("zeroed", 10),
    ],
)
def test_the_number_of_a_concern_is_part_of_every_result(concern, number):
    expected = np.random.Generator(np.random.PCG64(np.random.SeedSequence(5, spawn_key=(number, 1))))
    assert np.array_equal(stream(5, concern, 1).integers(0, 2**62, 10), expected.integers(0, 2**62, 10))


def test_an_unknown_concern_has_no_stream():
    with pytest.raises(KeyError, match="dropout"):
        stream(0, "dropout", 0)
