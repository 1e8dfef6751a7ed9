"""Distances between a run and its twin, against loops over parameters and images."""

import numpy as np
import pytest
import torch
from problems import conv_problem, problem

from cgpipe.learning.twins import measure_twins
from cgpipe.networks.given import network_of


def changed(network, seed):
    """A copy with other parameters."""
    other, generator = network.copy(), torch.Generator().manual_seed(seed)
    for values in other.state().values():
        values.add_(torch.randn(values.shape, generator=generator, dtype=values.dtype))
    return other


def dense_case():
    layers, images, _ = problem([6, 9, 4], 50, torch.float32)
    return network_of(layers, images), images


def conv_case():
    network, images, _ = conv_problem(50, torch.float32)
    return network, images


@pytest.mark.parametrize("case", [dense_case, conv_case])
def test_distances_are_those_of_a_loop(case):
    start, images = case()
    originals, twins = ([changed(start, seed) for seed in seeds] for seeds in ((1, 2), (3, 4)))
    steps = [0, 5, 20]
    pairs = list(zip(steps, [start, *originals], [start, *twins], strict=True))
    found = measure_twins(iter(pairs), start, images)
    assert found["step"].values.tolist() == steps
    assert found["layer"].values.tolist() == list(start.layers)
    for step, original, twin in pairs:
        here = found.sel(step=step)
        for number, layer in enumerate(start.layers):
            w, v, w0 = (of.parameters()[number] for of in (original, twin, start))
            for name, one, other in (("distance", v, w), ("travelled", w, w0)):
                squares = [((one[p] - other[p]).double().numpy() ** 2).sum() for p in one]
                assert float(here[name].sel(layer=layer)) == pytest.approx(np.sqrt(sum(squares)), rel=1e-6)
        different, variations = 0, []
        for image in images:
            logits = [of.logits(image[None])[0].double().numpy() for of in (original, twin)]
            p, q = (np.exp(of) / np.exp(of).sum() for of in logits)
            different += logits[0].argmax() != logits[1].argmax()
            variations.append(np.abs(p - q).sum() / 2)
        assert float(here["disagreement"]) == different / len(images)
        assert float(here["variation"]) == pytest.approx(np.mean(variations), rel=1e-5)


def test_a_run_is_nowhere_away_from_itself():
    start, images = dense_case()
    later = changed(start, 1)
    found = measure_twins([(0, start, start), (9, later, later)], start, images)
    for name in ("distance", "disagreement", "variation"):
        assert not found[name].any()
    assert not found["travelled"].sel(step=0).any()
    assert found["travelled"].sel(step=9).all()


def test_a_run_that_diverged_and_twins_without_common_steps_are_errors():
    start, images = dense_case()
    broken = changed(start, 1)
    broken.parameters()[0]["weight"].fill_(np.nan)
    with pytest.raises(ValueError, match="step 5: a run of the two diverged"):
        measure_twins([(5, start, broken)], start, images)
    with pytest.raises(ValueError, match="no step in common"):
        measure_twins([], start, images)
