"""Inner products of the gradients of pairs, and distances of images, against loops in float64."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from problems import by_example, conv_problem, flat

from cgpipe.gradients.similarity import measure_similarity, pixel_distances


def test_products_are_those_of_single_examples_at_each_step():
    network, images, labels = conv_problem(12, torch.float32)
    later = network.copy()
    for values in later.state().values():
        values.mul_(1.5).add_(0.1)
    steps = [(0, 0, network), (0, 1, later), (7, 7, network)]
    found = measure_similarity(iter(steps), images, labels)
    assert found["burst_step"].values.tolist() == [0, 1, 7]
    assert found["snapshot"].values.tolist() == [0, 0, 7]
    for _, step, of_step in steps:
        each = flat(by_example(of_step, images, labels))
        np.testing.assert_allclose(found["product"].sel(burst_step=step), each @ each.T, rtol=1e-6, atol=1e-8)
    np.testing.assert_array_equal(found["pixel_distance"], pixel_distances(images).astype(np.float32))


@given(st.integers(0, 1000), st.integers(1, 6), st.sampled_from([(3,), (2, 3, 3)]))
def test_distances_are_those_of_a_loop_and_0_between_copies(seed, examples, shape):
    images = torch.from_numpy(np.random.default_rng(seed).random((examples, *shape), np.float32))
    images = torch.cat([images, images[:1]])
    found = pixel_distances(images)
    pixels = images.double().numpy()
    expected = [[np.sqrt(((one - other) ** 2).sum()) for other in pixels] for one in pixels]
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=0)
    assert found[0, -1] == 0
    assert not np.diag(found).any()


def test_a_gradient_that_is_not_finite_is_an_error():
    network, images, labels = conv_problem(5)
    network.state()["4.weight"].fill_(np.nan)
    with pytest.raises(ValueError, match="step 3: gradients are not finite"):
        measure_similarity([(3, 3, network)], images, labels)
